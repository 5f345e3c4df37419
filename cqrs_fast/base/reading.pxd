"""Readings of the clocks, compiled into their callers. Open last."""

from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock, counter_clock, counter_ns, monotonic_ns


# The reading of `clock`; None is the system clock.
cdef inline int64_t read_clock(Clock clock) except? -1:
    if clock is None:
        return monotonic_ns()
    return clock.now()


# The same time as monotonic_ns() to a few nanoseconds, but cheaper. Never goes back.
# Call it only if the counter is steady.
cdef inline int64_t counted_ns() noexcept:
    return counter_ns(&counter_clock)
