"""ObjectPool: objects that are costly to make, lent to one user at a time."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.context cimport Context
from cqrs_fast.policies.core.bulkhead cimport cqrs_bulkhead
from cqrs_fast.waits.line cimport Ticket
from cqrs_fast.waits.permits cimport PermitLine


cdef extern from "cqrs_fast/policies/core/pool_slots.h":
    ctypedef struct PoolSlot "cqrs_pool_slot":
        void *object
        uint32_t next, round

    ctypedef struct PoolSlots "cqrs_pool_slots":
        PoolSlot *slots
        uint32_t used, idle, idle_count

    void pool_empty "cqrs_pool_empty"(PoolSlots *) noexcept
    bint pool_init "cqrs_pool_init"(PoolSlots *, uint32_t size) noexcept
    void pool_free "cqrs_pool_free"(PoolSlots *) noexcept
    uint32_t pool_find "cqrs_pool_find"(const PoolSlots *, const void *) noexcept
    bint pool_is_lent "cqrs_pool_is_lent"(const PoolSlots *, uint32_t) noexcept
    uint32_t pool_lend "cqrs_pool_lend"(PoolSlots *) noexcept
    void pool_take_back "cqrs_pool_take_back"(PoolSlots *, uint32_t) noexcept
    void pool_shelve "cqrs_pool_shelve"(PoolSlots *, uint32_t) noexcept
    uint32_t pool_add "cqrs_pool_add"(PoolSlots *, void *) noexcept
    void *pool_remove "cqrs_pool_remove"(PoolSlots *, uint32_t) noexcept


# What somebody was lent; `slot` 0 is nothing.
cdef struct Loan:
    uint32_t slot
    uint32_t round
    uint32_t forks


cdef class ObjectPool:
    cdef cqrs_bulkhead permits          # whoever has one may have an object
    cdef PoolSlots slots                # owns the objects
    cdef PermitLine line
    cdef object factory, reset, dispose
    cdef Clock clock
    cdef int64_t max_wait_ns
    cdef bint closed
    cdef bint cleans                    # a release has more to do than to shelve it
    cdef str owner                      # the class name in its refusals
    cdef list inherited                 # objects of the parent process, or None
    cdef dict places                    # debug builds: where each slot was lent
    cdef int64_t created, waits, exhausted, reset_failures, leaked
    cdef object __weakref__

    # Lend one and say which, waiting if need be.
    cdef uint32_t take(self, Context ctx) except 0
    # The same from a permit that is held already: an idle one, or one made now.
    cdef uint32_t claim(self) except 0
    # The object, for whom it was lent to; builds for debugging remember who that is.
    cdef object hand_out(self, uint32_t slot)
    # A permit (None), or a wait that ends with one; `blocks` this thread meanwhile.
    cdef Wait line_up(self, Context ctx, bint blocks)
    cdef uint32_t make(self) except 0
    cdef int give_permit_back(self) except -1
    cdef int end_loan(self, uint32_t slot) except -1
    cdef int clean(self, uint32_t slot) except -1
    cdef int drop(self, uint32_t slot) except -1
    # Make idle ones, as long as it has fewer than `count`.
    cdef int fill(self, uint32_t count) except -1
    cdef int was_no_loan(self, object given, uint32_t slot) except -1
    # What was lent just now, remembered; and its end, which may come twice.
    cdef Loan loan(self, uint32_t slot) noexcept
    cdef int let_go(self, Loan *loan) except -1
    cdef object refusal(self)


cdef class Wait:
    """One who waits for a permit."""

    cdef ObjectPool pool
    cdef Ticket ticket
    cdef Context ctx                    # or None

    # Whether the permit is there; raises why it will never be.
    cdef bint is_over(self) except -1
    cdef int64_t begin_rest(self) except -2
    cdef int end_rest(self) except -1
    cdef int block(self) except -1


cdef inline object lent(ObjectPool pool, uint32_t slot):
    return <object><PyObject *>pool.slots.slots[slot].object
