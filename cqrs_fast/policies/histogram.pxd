"""Histogram: a log-linear histogram of durations, for use in C. Open last."""

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    SUB_BUCKET_BITS = 5                             # 32 buckets to each power of two
    SUB_BUCKETS = 1 << SUB_BUCKET_BITS
    LARGEST_POWER = 42                              # from 2**42 ns (73 minutes) on: one
    BUCKETS = (LARGEST_POWER - SUB_BUCKET_BITS + 1) * SUB_BUCKETS + 1


cdef struct Histogram:
    uint64_t *buckets           # NULL until the first duration
    uint64_t count
    int64_t sum_ns
    int64_t min_ns              # of those that there are
    int64_t max_ns


# Make room for the first duration. False: out of memory.
cdef bint histogram_reserve(Histogram *histogram) noexcept nogil
# The smallest duration that at least `fraction` of all do not exceed, or 0 of none.
cdef int64_t histogram_percentile(
    const Histogram *histogram, double fraction
) noexcept nogil
# Add everything in `other`. False: out of memory.
cdef bint histogram_merge(Histogram *histogram, const Histogram *other) noexcept nogil
cdef void histogram_free(Histogram *histogram) noexcept nogil


cdef extern from *:
    int leading_zeros "__builtin_clzll"(unsigned long long) noexcept nogil


cdef inline int bucket_of(uint64_t duration_ns) noexcept nogil:
    cdef int power
    if duration_ns < SUB_BUCKETS:
        return <int>duration_ns
    power = 63 - leading_zeros(duration_ns)
    if power >= LARGEST_POWER:
        return BUCKETS - 1
    power -= SUB_BUCKET_BITS
    return (power + 1) * SUB_BUCKETS + <int>((duration_ns >> power) - SUB_BUCKETS)


# Record one duration; those below zero count as zero. False: out of memory.
cdef inline bint histogram_record(
    Histogram *histogram, int64_t duration_ns
) noexcept nogil:
    # hot
    if histogram.buckets == NULL and not histogram_reserve(histogram):
        return False
    if duration_ns < 0:
        duration_ns = 0
    if duration_ns < histogram.min_ns:
        histogram.min_ns = duration_ns
    if duration_ns > histogram.max_ns:
        histogram.max_ns = duration_ns
    histogram.buckets[bucket_of(<uint64_t>duration_ns)] += 1
    histogram.count += 1
    histogram.sum_ns += duration_ns
    return True
