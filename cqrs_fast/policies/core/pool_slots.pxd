"""The objects of a pool: which are idle, which are lent."""

from libc.stdint cimport uint32_t


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
