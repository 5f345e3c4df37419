"""Delays of a policy that is used alone: by its clock, in a thread or on a loop."""

from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock


cdef class Alarm:
    cdef object lock
    cdef object loop, future


# Let `delay_ns` pass by `clock`, where None is the system clock, blocking this thread.
# A signal handler that raises ends it. `suspend` is its async twin.
cdef int block(Clock clock, int64_t delay_ns) except -1
