"""Flights: one run for all dispatches that ask for the same thing at the same time.

Each dispatch that may share is a Participant. The leader runs; the others wait until it
answers, fails, or leaves with no outcome to share: then one of them leads instead. The
owner of the flights finds them by key.
"""

from cpython.ref cimport PyObject

from cqrs_fast.waits.line cimport Line, Ticket


cdef enum Role:
    ALONE = 0           # not in a flight, or it left one: it shares no outcome
    WAITING = 1
    ANSWERED = 2        # `outcome` is the leader's result
    FAILED = 3          # `outcome` is the leader's exception
    LEADING = 4


cdef class Participant(Ticket):
    """One dispatch in a flight, kept in its slot. One that is freed gives up."""

    cdef Role role
    cdef object outcome
    cdef unsigned long thread
    cdef PyObject *task             # of this thread, only compared; NULL: none
    cdef object loop                # of this thread, or None
    cdef bint on_loop               # the async driver runs it

    # Set the last four, before it leads or waits; runs code of asyncio.
    cdef int identify(self, bint on_loop) except -1
    # A wait ended: leave the flight if there is no outcome; return the new role.
    cdef Role resume(self) noexcept


cdef class Flight(Line):
    cdef PyObject *leader           # a Participant, borrowed; NULL once it has left
    cdef bint closed                # its outcome is known, or will never be

    cdef int lead(self, Participant participant) noexcept
    # If the leader's event loop is closed, let another lead; close if nobody is left.
    # Runs code of that loop.
    cdef int skip_closed(self) except -1
    # Whether it may wait: not for a dispatch that called it, and never by blocking an
    # event loop.
    cdef bint admits(self, Participant participant) noexcept
    cdef int join(self, Participant participant) noexcept
    # Close it with the leader's outcome, and wake all participants.
    cdef int answer(self, object result) except -1
    cdef int fail(self, object error) except -1
    # Close it without an outcome: each waiting dispatch runs by itself.
    cdef int dissolve(self) except -1
    # The leader left without an outcome: another leads. False: nobody is left.
    cdef bint pass_on(self) except -1
    # After a fork: only this thread is left. Whether there is a leader.
    cdef bint keep_only(self, unsigned long thread) except -1

    cdef int dismiss(self) noexcept
    cdef int close(self, Role role, object outcome) except -1
