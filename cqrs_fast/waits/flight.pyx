"""Flights: one run for everybody who asks for the same thing meanwhile.

Under the GIL each of these steps is atomic: none calls Python code, allocates what the
garbage collector tracks or drops a last reference between looking and changing.
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
cdef class Seat(Ticket):
    """One dispatch in a flight, kept in its slot."""

    cdef int identify(self, bint on_loop) except -1:
        self.waiter = Waiter.__new__(Waiter)
        self.thread = PyThread_get_thread_ident()
        self.on_loop = on_loop
        self.loop = running_loop()
        if self.loop is not None:
            task = sys.modules["asyncio"].current_task()
            # Not kept: what it is in keeps this one.
            self.task = NULL if task is None else <PyObject *>task
        return 0

    cdef Stand resume(self) noexcept:
        if self.stand == WAITING:
            self.line.remove(self)
            self.stand = ALONE
            self.line = None
        return self.stand


@cython.final
@cython.no_gc_clear
cdef class Flight(Line):
    """What one leader does for itself and for those who wait."""

    cdef int lead(self, Seat seat) noexcept:
        seat.stand = LEADING
        seat.line = self
        self.leader = <PyObject *>seat
        return 0

    cdef int leave(self, Ticket ticket) except -1:
        if (<Seat>ticket).resume() == LEADING:
            self.pass_on()
        return 0

    cdef int skip_closed(self) except -1:
        cdef Seat leader
        if self.leader != NULL:
            leader = <Seat>self.leader
            # Another may have been told to lead meanwhile.
            if leader.loop is not None and leader.loop.is_closed():
                if self.leader == <PyObject *>leader:
                    self.pass_on()
        return 0

    cdef bint admits(self, Seat seat) noexcept:
        cdef Seat leader
        if self.leader == NULL or (seat.loop is not None and not seat.on_loop):
            return False
        leader = <Seat>self.leader
        if leader.thread == seat.thread:
            # A sync leader of this very thread waits for what is called here to return.
            return leader.on_loop and leader.task != seat.task
        return True

    cdef int join(self, Seat seat) noexcept:
        seat.stand = WAITING
        return self.append(seat)

    cdef int answer(self, object result) except -1:
        return self.close(ANSWERED, result)

    cdef int fail(self, object error) except -1:
        return self.close(FAILED, error)

    cdef int dissolve(self) except -1:
        return self.close(ALONE, None)

    cdef int close(self, Stand stand, object outcome) except -1:
        cdef PyObject *one = self.first
        cdef Seat seat
        failure = None
        self.closed = True
        self.dismiss()
        # All of them first: from then on it is no matter who leaves.
        while one != NULL:
            seat = <Seat>one
            seat.stand = stand
            seat.outcome = outcome
            one = seat.behind
        while self.first != NULL:
            seat = <Seat>self.first
            self.remove(seat)
            seat.line = None
            try:
                wake(seat)
            except BaseException as error:
                failure = error
        if failure is not None:
            raise failure
        return 0

    cdef int dismiss(self) noexcept:
        """Let the leader be nobody's leader any more."""
        if self.leader != NULL:
            (<Seat>self.leader).stand = ALONE
            (<Seat>self.leader).line = None
            self.leader = NULL
        return 0

    cdef bint pass_on(self) except -1:
        cdef Seat seat
        self.dismiss()
        while self.first != NULL:
            seat = <Seat>self.first
            self.remove(seat)
            self.lead(seat)
            # It may leave meanwhile, and let another lead.
            if wake(seat) or self.leader != <PyObject *>seat:
                return True
            # Its loop is closed: it never runs again, nor may it lead when collected.
            self.dismiss()
        self.closed = True
        return False

    cdef bint keep_only(self, unsigned long thread) except -1:
        cdef PyObject *one = self.first
        cdef Seat seat
        while one != NULL:
            seat = <Seat>one
            one = seat.behind
            if seat.thread != thread:
                self.remove(seat)
                seat.stand = ALONE
                seat.line = None
        if self.leader != NULL and (<Seat>self.leader).thread == thread:
            return True
        return self.pass_on()


constructed(Flight)
