"""LatencyHistogram: a log-linear histogram of durations in nanoseconds.

Each power of two is cut into 32 equal buckets, and a bucket answers with its middle: no
answer is off by more than 1/64 of the duration. Count, sum, minimum and maximum are
exact. The idea is that of HdrHistogram (Gil Tene).
"""

cimport cython
from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free

from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed


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


@cython.final
@cython.auto_pickle(False)
cdef class LatencyHistogram:
    """Record durations and tell their percentiles, at most 1/64 off.

    Parameters:
        clock: what `measure` reads; time.monotonic_ns by default.

    Durations are seconds and kept in whole nanoseconds; those over 73 minutes share one
    bucket and answer with the maximum. Takes about 10 kB once it holds one. Safe to use
    from any thread.
    """

    def __init__(self, *, clock=None):
        self.clock = as_clock(clock)

    def __dealloc__(self):
        histogram_free(&self.histogram)

    def record(self, double seconds):
        """Record one duration. Raises ValueError unless it is finite and 0 or more."""
        if not 0 <= seconds < 9e9:
            raise ValueError(f"seconds must be from 0 to 9e9, got {seconds!r}")
        if not histogram_record(&self.histogram, <int64_t>(seconds * 1e9 + 0.5)):
            raise MemoryError

    def measure(self):
        """Return a context manager that records how long its block takes."""
        return Measurement(self)

    def percentile(self, double q):
        """Return the duration in seconds that `q` percent (0 to 100) do not exceed.

        0.0 while nothing is recorded. Raises ValueError for another `q`.
        """
        if not 0 <= q <= 100:
            raise ValueError(f"q must be from 0 to 100, got {q!r}")
        return histogram_percentile(&self.histogram, q / 100) / 1e9

    def merge(self, LatencyHistogram other not None):
        """Add everything that `other` has recorded."""
        if not histogram_merge(&self.histogram, &other.histogram):
            raise MemoryError

    def __len__(self):
        return self.histogram.count

    @property
    def count(self):
        """How many durations are recorded."""
        return self.histogram.count

    @property
    def mean(self):
        """The mean in seconds, exact; 0.0 while nothing is recorded."""
        if self.histogram.count == 0:
            return 0.0
        return self.histogram.sum_ns / <double>self.histogram.count / 1e9

    @property
    def min(self):
        """The shortest duration in seconds, exact; 0.0 while nothing is recorded."""
        return self.histogram.min_ns / 1e9

    @property
    def max(self):
        """The longest duration in seconds, exact; 0.0 while nothing is recorded."""
        return self.histogram.max_ns / 1e9

    def __repr__(self):
        return f"<LatencyHistogram of {self.histogram.count}>"


@cython.final
@cython.auto_pickle(False)
cdef class Measurement:
    """The block of one `LatencyHistogram.measure()`."""

    cdef LatencyHistogram into
    cdef int64_t started_ns

    def __init__(self, LatencyHistogram into not None):
        self.into = into

    def __enter__(self):
        self.started_ns = read_clock(self.into.clock)

    def __exit__(self, *raised):
        now = read_clock(self.into.clock)
        if not histogram_record(&self.into.histogram, now - self.started_ns):
            raise MemoryError


constructed(LatencyHistogram)
constructed(Measurement)
