"""The arithmetic of a token bucket."""

from libc.stdint cimport int64_t


cdef extern from "cqrs_fast/policies/core/token_bucket.h" nogil:
    ctypedef struct cqrs_bucket:
        int64_t last_ns
        int64_t limit, cost, cap

    void bucket_init "cqrs_bucket_init"(
        cqrs_bucket *bucket, int64_t limit, int64_t cost, int64_t burst
    ) noexcept
    int64_t bucket_take "cqrs_bucket_take"(
        cqrs_bucket *bucket, int64_t now_ns, int64_t n
    ) noexcept
    int64_t bucket_wait "cqrs_bucket_wait"(
        cqrs_bucket *bucket, int64_t now_ns, int64_t n
    ) noexcept
    int64_t bucket_remaining "cqrs_bucket_remaining"(
        cqrs_bucket *bucket, int64_t now_ns
    ) noexcept
    int64_t bucket_full_at "cqrs_bucket_full_at"(cqrs_bucket *bucket) noexcept
    void bucket_reset "cqrs_bucket_reset"(cqrs_bucket *bucket) noexcept
    void bucket_retime "cqrs_bucket_retime"(
        cqrs_bucket *bucket, int64_t now_ns, int64_t other_now_ns
    ) noexcept
    void bucket_reshape "cqrs_bucket_reshape"(
        cqrs_bucket *bucket, int64_t now_ns, int64_t limit, int64_t cost, int64_t burst
    ) noexcept
    void bucket_copy "cqrs_bucket_copy"(
        cqrs_bucket *bucket, cqrs_bucket *other, int64_t now_ns
    ) noexcept
