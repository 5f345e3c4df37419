"""Readings of a Clock, compiled into their callers. Open last."""

from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.system_clock cimport monotonic_ns


# The reading of `clock`; None is the system clock.
cdef inline int64_t read_clock(Clock clock) except? -1:
    if clock is None:
        return monotonic_ns()
    return clock.now()
