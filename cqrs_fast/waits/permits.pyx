"""PermitLine: those who wait for a permit, which whoever has one hands over.

A permit that is passed on is never free in between, so nobody overtakes. One handed to
an event loop that is held up stays with it; the others leave at their own bounds.
"""

cimport cython

from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.policies.core.bulkhead cimport (
    ADMITTED,
    QUEUED,
    bulkhead_enter,
    bulkhead_give_up,
    bulkhead_leave,
)
from cqrs_fast.waits.line cimport wake


@cython.final
@cython.no_gc_clear
cdef class PermitLine(Line):
    """Those who wait for a permit, first come, first served."""

    cdef int enter(self, Ticket ticket, object owner, int64_t most) noexcept:
        cdef int answer = bulkhead_enter(self.permits, most)
        if answer == <int>QUEUED:
            self.append(ticket)
        elif answer == <int>ADMITTED:
            ticket.granted = True
            ticket.line = self
        ticket.owner = owner
        return answer

    cdef int leave(self, Ticket ticket) except -1:
        if ticket.queued:
            self.remove(ticket)
            bulkhead_give_up(self.permits)
        elif ticket.granted:
            ticket.granted = False
            if ticket.forks == fork_count and bulkhead_leave(self.permits):
                self.hand_over()
        return 0

    cdef int hand_over(self) except -1:
        cdef Ticket first
        while True:
            first = <Ticket>self.first
            self.remove(first)
            first.granted = True
            # It may leave meanwhile and give the permit back by itself.
            if wake(first) or not first.granted:
                return 0
            first.granted = False
            if not bulkhead_leave(self.permits):
                return 0


cdef PermitLine new_permit_line(cqrs_bulkhead *permits):
    cdef PermitLine line = PermitLine.__new__(PermitLine)
    line.permits = permits
    return line


constructed(PermitLine)
