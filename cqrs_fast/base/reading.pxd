"""Readings of a Clock, compiled into those who take them. Open last.

None is the system clock.
"""

from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.system_clock cimport monotonic_ns


# Whether a reading runs no code of users and is near the system clock's.
cdef inline bint by_system(Clock clock) noexcept:
    return clock is None or clock.coarse

# The reading of `clock`, where None is the system clock.
cdef inline int64_t read_clock(Clock clock) except? -1:
    if clock is None:
        return monotonic_ns()
    return clock.now()

# The same for what is to be measured: the system clock where `clock` is a coarse one.
cdef inline int64_t read_exactly(Clock clock) except? -1:
    if by_system(clock):
        return monotonic_ns()
    return clock.now()

# How far a reading of `clock` may lag behind.
cdef inline int64_t tick_of(Clock clock) noexcept:
    return 0 if clock is None else clock.tick_ns
