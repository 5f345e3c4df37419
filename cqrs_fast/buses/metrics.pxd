"""Metrics: the outcomes and times of the dispatches of a message."""

from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.outcome cimport OUTCOME_COUNT, Outcome
from cqrs_fast.pipeline.stage cimport Stage
from cqrs_fast.policies.histogram cimport Histogram


cdef struct Counters:
    uint64_t outcomes[OUTCOME_COUNT]
    uint64_t cache_hits
    uint64_t retries
    int64_t in_flight
    Histogram histogram


cdef class Metrics(Stage):
    cdef Counters counters
    cdef int sample             # one of so many is timed …
    cdef int until_sampled      # … and how many until the next
    cdef object __weakref__

    cdef int count_inner(self, Context context) noexcept
    # Count a dispatch that never reached its pipeline; it has no latency.
    cdef int count(self, Outcome outcome) except -1


# A BusStats; no other code runs while the counters are copied.
cdef object take_snapshot(dict metrics, list middleware)
