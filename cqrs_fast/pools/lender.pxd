"""Lender: what a pool is to those who wait for its objects, and to leases."""

from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.context cimport Context
from cqrs_fast.policies.core.bulkhead cimport cqrs_bulkhead
from cqrs_fast.policies.core.pool_slots cimport PoolSlots
from cqrs_fast.waits.line cimport Ticket
from cqrs_fast.waits.permits cimport PermitLine


# What somebody was lent; `slot` 0 is nothing.
cdef struct Loan:
    uint32_t slot
    uint32_t round
    uint32_t forks


cdef class Lender:
    cdef cqrs_bulkhead permits          # whoever has one may have an object
    cdef PoolSlots slots                # owns the objects
    cdef dict places                    # debug builds: where each slot was lent
    cdef PermitLine line
    cdef Clock clock                    # of `max_wait_ns`; None is the system clock
    cdef int64_t max_wait_ns
    cdef bint closed
    cdef str owner                      # the class name in its refusals
    cdef int64_t waits, exhausted, leaked

    # Lend one and say which, waiting if need be.
    cdef uint32_t take(self, Context ctx) except 0
    # The same from a permit that is held already: an idle one, or one made now.
    cdef uint32_t claim(self) except 0
    # The object, for whom it was lent to; builds for debugging remember who that is.
    cdef object hand_out(self, uint32_t slot)
    # A permit (None), or a wait that ends with one; `blocks` this thread meanwhile.
    cdef Wait line_up(self, Context ctx, bint blocks)
    cdef int end_loan(self, uint32_t slot) except -1
    # What was lent just now, remembered; and its end, which may come twice.
    cdef Loan loan(self, uint32_t slot) noexcept
    cdef int return_loan(self, Loan *loan) except -1
    cdef object refusal(self)
    # Own nothing any more, and nobody holds a permit. The objects are not let go of.
    cdef int forget(self) noexcept
    # Drop all objects, for the last time.
    cdef int empty(self) noexcept


cdef class Wait:
    """One who waits for a permit."""

    cdef Lender lender
    cdef Ticket ticket
    cdef Context ctx                    # or None

    # Whether the permit is there; raises why it will never be.
    cdef bint is_over(self) except -1
    cdef int64_t begin_rest(self) except -2
    cdef int end_wait(self) except -1
    cdef int block(self) except -1


cdef object closed_error()

# Let the collector clear the objects of a pool, and nothing else of it.
cdef int clear_objects_only(type cls) except -1
