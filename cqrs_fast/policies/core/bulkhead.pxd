"""The count of a bulkhead: who holds a permit, who waits for one."""

from libc.stdint cimport int64_t


cdef extern from "cqrs_fast/policies/core/bulkhead.h" nogil:
    ctypedef struct cqrs_bulkhead:
        int64_t limit
        int64_t in_flight
        int64_t waiting

    enum:
        ADMITTED "CQRS_BULKHEAD_ADMITTED"
        QUEUED "CQRS_BULKHEAD_QUEUED"

    void bulkhead_init "cqrs_bulkhead_init"(
        cqrs_bulkhead *bulkhead, int64_t limit
    ) noexcept
    int bulkhead_enter "cqrs_bulkhead_enter"(
        cqrs_bulkhead *bulkhead, int64_t max_queue
    ) noexcept
    bint bulkhead_leave "cqrs_bulkhead_leave"(cqrs_bulkhead *bulkhead) noexcept
    void bulkhead_give_up "cqrs_bulkhead_give_up"(cqrs_bulkhead *bulkhead) noexcept
    void bulkhead_forget "cqrs_bulkhead_forget"(cqrs_bulkhead *bulkhead) noexcept
    void bulkhead_resize "cqrs_bulkhead_resize"(
        cqrs_bulkhead *bulkhead, int64_t limit
    ) noexcept
    bint bulkhead_admit_next "cqrs_bulkhead_admit_next"(
        cqrs_bulkhead *bulkhead
    ) noexcept
