"""Line: tickets that wait for one thing, first come, first served."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.policies.core.bulkhead cimport cqrs_bulkhead
from cqrs_fast.waits.waiter cimport Waiter


cdef class Ticket:
    """One that waits. The waiting code owns it; the line only borrows it."""

    cdef Waiter waiter          # None for one that never waits
    cdef Line line              # that it waits in or was granted something by, or None
    cdef object owner           # of the line; kept alive by the ticket
    cdef PyObject *before
    cdef PyObject *behind
    cdef int64_t due_ns         # when it expects to be served, if that is known
    cdef int64_t until_ns       # when it gives up
    cdef int64_t number         # grows with each arrival, if arrivals are counted
    cdef uint32_t forks         # fork_count at its arrival
    cdef bint queued            # it is in the line
    cdef bint granted           # it was given what it waited for
    cdef bint passed            # it was passed over because it does not act


cdef class Line:
    cdef PyObject *first        # borrowed, NULL when empty
    cdef PyObject *last
    cdef readonly int64_t length

    # The next three run no other code, so they may be part of an atomic step.
    cdef int append(self, Ticket ticket) noexcept
    cdef int remove(self, Ticket ticket) noexcept
    cdef int forget_all(self) noexcept
    # Leave the line, or give back a grant; idempotent. A freed ticket does so itself.
    cdef int leave(self, Ticket ticket) except -1


cdef class PermitLine(Line):
    cdef cqrs_bulkhead *permits     # a part of the line's owner

    # Take a permit, or join the line if fewer than `most` wait: an answer of
    # bulkhead_enter. Runs no other code.
    cdef int enter(self, Ticket ticket, object owner, int64_t most) noexcept
    # Grant the permit reserved for the first ticket to the first one that can run.
    cdef int hand_over(self) except -1


cdef Ticket new_ticket()
cdef PermitLine new_permit_line(cqrs_bulkhead *permits)

# Wake the waiter of a ticket. False: its event loop is closed, it will never act again.
cdef bint wake(Ticket ticket) except -1
