"""Flights: one run for all dispatches that ask for the same thing at the same time.

Under the GIL each step is atomic: between reading and changing, none calls Python code,
allocates what the garbage collector tracks, or drops a last reference.
"""

import sys

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport PyObject

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.waits.line cimport Ticket, wake
from cqrs_fast.waits.loops cimport running_loop
from cqrs_fast.waits.waiter cimport Waiter


@cython.no_gc_clear
cdef class Participant(Ticket):
    """One dispatch in a flight, kept in its slot."""

    cdef int identify(self, bint on_loop) except -1:
        self.waiter = Waiter.__new__(Waiter)
        self.thread = PyThread_get_thread_ident()
        self.on_loop = on_loop
        self.loop = running_loop()
        if self.loop is not None:
            task = sys.modules["asyncio"].current_task()
            # Borrowed: the task keeps this participant alive.
            self.task = NULL if task is None else <PyObject *>task
        return 0

    cdef Role resume(self) noexcept:
        if self.role == WAITING:
            self.line.remove(self)
            self.role = ALONE
            self.line = None
        return self.role


@cython.final
@cython.no_gc_clear
cdef class Flight(Line):
    """The leader, and the participants that wait for it in line."""

    cdef int lead(self, Participant participant) noexcept:
        participant.role = LEADING
        participant.line = self
        self.leader = <PyObject *>participant
        return 0

    cdef int leave(self, Ticket ticket) except -1:
        if (<Participant>ticket).resume() == LEADING:
            self.pass_on()
        return 0

    cdef int skip_closed(self) except -1:
        cdef Participant leader
        if self.leader != NULL:
            leader = <Participant>self.leader
            if leader.loop is not None and leader.loop.is_closed():
                # is_closed() may have let another lead.
                if self.leader == <PyObject *>leader:
                    self.pass_on()
        return 0

    cdef bint admits(self, Participant participant) noexcept:
        cdef Participant leader
        if self.leader == NULL:
            return False
        if participant.loop is not None and not participant.on_loop:
            return False
        leader = <Participant>self.leader
        if leader.thread == participant.thread:
            # A sync leader in the same thread waits for this call to return.
            return leader.on_loop and leader.task != participant.task
        return True

    cdef int join(self, Participant participant) noexcept:
        participant.role = WAITING
        return self.append(participant)

    cdef int answer(self, object result) except -1:
        return self.close(ANSWERED, result)

    cdef int fail(self, object error) except -1:
        return self.close(FAILED, error)

    cdef int dissolve(self) except -1:
        return self.close(ALONE, None)

    cdef int close(self, Role role, object outcome) except -1:
        cdef PyObject *one = self.first
        cdef Participant participant
        failure = None
        self.closed = True
        self.dismiss()
        # All roles first: then it no longer matters who leaves while others wake.
        while one != NULL:
            participant = <Participant>one
            participant.role = role
            participant.outcome = outcome
            one = participant.behind
        while self.first != NULL:
            participant = <Participant>self.first
            self.remove(participant)
            participant.line = None
            try:
                wake(participant)
            except BaseException as error:
                failure = error
        if failure is not None:
            raise failure
        return 0

    cdef int dismiss(self) noexcept:
        if self.leader != NULL:
            (<Participant>self.leader).role = ALONE
            (<Participant>self.leader).line = None
            self.leader = NULL
        return 0

    cdef bint pass_on(self) except -1:
        cdef Participant participant
        self.dismiss()
        while self.first != NULL:
            participant = <Participant>self.first
            self.remove(participant)
            self.lead(participant)
            # While it is woken it may leave and let another lead.
            if wake(participant) or self.leader != <PyObject *>participant:
                return True
            # Its loop is closed: it never runs again, nor may it lead when collected.
            self.dismiss()
        self.closed = True
        return False

    cdef bint keep_only(self, unsigned long thread) except -1:
        cdef PyObject *one = self.first
        cdef Participant participant
        while one != NULL:
            participant = <Participant>one
            one = participant.behind
            if participant.thread != thread:
                self.remove(participant)
                participant.role = ALONE
                participant.line = None
        if self.leader != NULL and (<Participant>self.leader).thread == thread:
            return True
        return self.pass_on()


constructed(Flight)
