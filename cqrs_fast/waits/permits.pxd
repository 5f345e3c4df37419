"""PermitLine: those who wait for a permit, which whoever has one hands over."""

from libc.stdint cimport int64_t

from cqrs_fast.policies.core.bulkhead cimport cqrs_bulkhead
from cqrs_fast.waits.line cimport Line, Ticket


cdef class PermitLine(Line):
    # How many permits there are; part of the line's owner, who makes the line and whom
    # every ticket keeps alive.
    cdef cqrs_bulkhead *permits

    # Take a permit, or a place among at most `most` who wait: an answer of
    # bulkhead_enter. Runs no other code.
    cdef int enter(self, Ticket ticket, object owner, int64_t most) noexcept
    # Give the permit that is meant for the first in line to one that can run.
    cdef int hand_over(self) except -1


cdef PermitLine new_permit_line(cqrs_bulkhead *permits)
