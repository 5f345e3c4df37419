"""LatencyHistogram: durations in seconds, and their percentiles."""

cimport cython
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.policies.histogram cimport (
    histogram_free, histogram_merge, histogram_percentile, histogram_record,
)


@cython.final
cdef class LatencyHistogram:
    """Record durations and return their percentiles, at most 1/64 off.

    Parameters:
        clock: what `measure` reads; time.monotonic_ns by default.

    Durations are seconds and kept in whole nanoseconds; those over 73 minutes share one
    bucket and answer with the maximum. Takes about 10 kB once it holds one. Safe to use
    from any thread.
    """

    def __init__(self, *, clock=None):
        """Check and keep the parameters: the class describes them."""
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
        return f"<LatencyHistogram of {self.histogram.count} values>"


@cython.final
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


signed(LatencyHistogram)
constructed(LatencyHistogram)
constructed(Measurement)
