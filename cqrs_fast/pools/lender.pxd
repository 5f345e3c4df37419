"""Lender: the part of a pool that waits and leases use."""

from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.context cimport Context
from cqrs_fast.policies.core.bulkhead cimport cqrs_bulkhead
from cqrs_fast.policies.core.pool_slots cimport PoolSlots
from cqrs_fast.waits.line cimport PermitLine, Ticket


# One acquisition of an object; `slot` 0 means none.
cdef struct Loan:
    uint32_t slot
    uint32_t round
    uint32_t forks


cdef class Lender:
    cdef cqrs_bulkhead permits          # each gives the right to one object
    cdef PoolSlots slots                # owns the objects
    cdef PermitLine line
    cdef Clock clock                    # of `max_wait_ns`; None is the system clock
    cdef int64_t max_wait_ns
    cdef list inherited                 # objects of the parent process, or None
    cdef dict places                    # debug builds: slot -> where it was acquired
    cdef bint closed
    cdef str owner                      # the class name in its rejections
    cdef int64_t waits, exhausted, leaked

    # Acquire an object, waiting if necessary; return its slot.
    cdef uint32_t take(self, Context ctx) except 0
    # The same with a permit that is held already: an idle object, or a new one.
    cdef uint32_t claim(self) except 0
    # The object of a slot, for the caller.
    cdef object hand_out(self, uint32_t slot)
    # None if a permit was acquired, else a Wait for one; `blocks`: in this thread.
    cdef Wait wait_for_permit(self, Context ctx, bint blocks)
    cdef int end_loan(self, uint32_t slot) except -1
    # The loan that has just begun; and its end, which may come twice.
    cdef Loan loan(self, uint32_t slot) noexcept
    cdef int return_loan(self, Loan *loan) except -1
    cdef object exhausted_error(self)
    # Drop all objects, for the last time.
    cdef int empty(self) noexcept


cdef class Wait(Ticket):
    """A wait for a permit, in a thread or on an event loop."""

    cdef Lender lender
    cdef Context ctx                    # or None

    # Whether the permit was granted; raises if it never will be.
    cdef bint is_over(self) except -1
    cdef int64_t begin_round(self) except -2
    cdef int end_round(self) except -1
    cdef int end(self) except -1
    cdef int block(self) except -1


cdef class BaseLease:
    cdef Lender lender
    cdef Context ctx
    cdef Loan loan

    cdef int end(self) except -1
    cdef int check_free(self) except -1
    cdef object begin(self, uint32_t slot)


cdef class Lease(BaseLease):
    pass


cdef class LeaseAsync(BaseLease):
    pass


cdef object closed_error()

# Note the line of the calling Python code as where this slot was acquired, and forget
# it. Neither fails: a loan does not depend on it.
cdef int note_place(dict places, uint32_t slot) noexcept
cdef int forget_place(dict places, uint32_t slot) noexcept
# Warn about objects in use at the end of a pool.
cdef int warn_of_missing(dict places, str end) except -1

# Let the garbage collector clear the objects of a pool, and no other field.
cdef int clear_objects_only(type cls) except -1
