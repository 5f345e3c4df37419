"""LatencyHistogram: a log-linear histogram of durations in nanoseconds."""

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.policies.histogram cimport Histogram


cdef class LatencyHistogram:
    cdef Histogram histogram
    cdef Clock clock
