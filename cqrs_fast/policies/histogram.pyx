"""Histogram: a log-linear histogram of durations, for use in C.

Each power of two is cut into 32 equal buckets, and a bucket answers with its middle: no
answer is off by more than 1/64 of the duration. Count, sum, minimum and maximum are
exact. The idea is that of HdrHistogram (Gil Tene).
"""

from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free


cdef int64_t middle_of(int bucket) noexcept nogil:
    cdef int power = bucket // SUB_BUCKETS - 1
    cdef int64_t lowest
    if power < 1:
        return bucket
    lowest = (<int64_t>(bucket % SUB_BUCKETS + SUB_BUCKETS)) << power
    return lowest + ((<int64_t>1 << power) >> 1)


cdef bint histogram_reserve(Histogram *histogram) noexcept nogil:
    histogram.buckets = <uint64_t *>calloc(BUCKETS, sizeof(uint64_t))
    if histogram.buckets == NULL:
        return False
    histogram.min_ns = INT64_MAX
    return True


cdef int64_t histogram_percentile(
    const Histogram *histogram, double fraction
) noexcept nogil:
    cdef uint64_t seen = 0
    cdef double wanted = fraction * histogram.count
    cdef int64_t middle
    cdef int bucket
    if histogram.count == 0:
        return 0
    for bucket in range(BUCKETS - 1):
        seen += histogram.buckets[bucket]
        if seen > 0 and seen >= wanted:
            middle = middle_of(bucket)
            return max(histogram.min_ns, min(middle, histogram.max_ns))
    return histogram.max_ns


cdef bint histogram_merge(Histogram *histogram, const Histogram *other) noexcept nogil:
    cdef int bucket
    if other.count == 0:
        return True
    if histogram.buckets == NULL:
        histogram.buckets = <uint64_t *>calloc(BUCKETS, sizeof(uint64_t))
        if histogram.buckets == NULL:
            return False
    for bucket in range(BUCKETS):
        histogram.buckets[bucket] += other.buckets[bucket]
    if histogram.count == 0 or other.min_ns < histogram.min_ns:
        histogram.min_ns = other.min_ns
    histogram.max_ns = max(histogram.max_ns, other.max_ns)
    histogram.count += other.count
    histogram.sum_ns += other.sum_ns
    return True


cdef void histogram_free(Histogram *histogram) noexcept nogil:
    free(histogram.buckets)
    histogram.buckets = NULL
