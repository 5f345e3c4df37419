"""Flights: one run for everybody who asks for the same thing meanwhile.

Each dispatch that may share is a Participant. The leader runs; the others wait until
the leader answers, fails, or leaves with no outcome to share: then one of them leads
in its place. Nothing here looks at keys: the owner of the flights finds them.
"""

from cpython.ref cimport PyObject

from cqrs_fast.waits.line cimport Line, Ticket


cdef enum Role:
    ALONE = 0           # not in a flight, or it left one: what it does is its own
    WAITING = 1
    ANSWERED = 2        # `outcome` is the leader's result
    FAILED = 3          # `outcome` is the leader's exception
    LEADING = 4


cdef class Participant(Ticket):
    """One dispatch in a flight, kept in its slot. One that is freed gives up."""

    cdef Role role
    cdef object outcome
    # Who it is
    cdef unsigned long thread
    cdef PyObject *task             # that runs in this thread, to be compared, or NULL
    cdef object loop                # that this thread runs, or None
    cdef bint on_loop               # the async driver runs it

    # Find out who it is, before it leads or waits; runs code of asyncio.
    cdef int identify(self, bint on_loop) except -1
    # A wait ended: leave the flight if nothing came; the role says what did.
    cdef Role resume(self) noexcept


cdef class Flight(Line):
    """Who leads, and those who wait in line: the `line` of all participants."""

    cdef PyObject *leader           # a Participant, borrowed; NULL once it has left
    cdef bint closed                # its outcome is known, or will never be

    cdef int lead(self, Participant participant) noexcept
    # Where the event loop of the leader is closed, let another lead; closed if nobody
    # is left. Runs code of that loop.
    cdef int skip_closed(self) except -1
    # Whether this one can wait for it: not inside of what it would wait for, and not
    # where it would block an event loop.
    cdef bint admits(self, Participant participant) noexcept
    # Let it wait in line.
    cdef int join(self, Participant participant) noexcept
    # Close it with the leader's outcome, and wake everybody.
    cdef int answer(self, object result) except -1
    cdef int fail(self, object error) except -1
    # Close it without an outcome: each who waits does it itself.
    cdef int dissolve(self) except -1
    # The leader left without an outcome: another leads. False: nobody is left.
    cdef bint pass_on(self) except -1
    # After a fork: only this thread is left. Whether somebody leads.
    cdef bint keep_only(self, unsigned long thread) except -1

    cdef int dismiss(self) noexcept
    cdef int close(self, Role role, object outcome) except -1
