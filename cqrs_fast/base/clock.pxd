"""Monotonic time in int64 nanoseconds, and the alarms of manual clocks."""

from libc.stdint cimport int64_t


cdef class Clock:
    """A source of time. In place of any Clock, None means the system clock."""

    # The present reading; raises what a user's callable raises.
    cdef int64_t now(self) except? -1
    # Whether a wait of `delay_ns` takes real time; a manual clock returns False and
    # calls waiter.wake() at its time.
    cdef bint waits_really(self, int64_t delay_ns, object waiter) except -1
    # Whether this clock calls waiter.wake() after `delay_ns`; nobody waits for it, so a
    # clock with auto_advance does not move.
    cdef bint set_alarm(self, int64_t delay_ns, object waiter) except -1
    # Whether it moves only by `advance`; timers of event loops cannot follow it.
    cdef bint is_manual(self) noexcept
    cdef int forget(self, object waiter) except -1


# Wake all, even if event loops or signals raise; then raise the last error.
cdef int wake_all(object waiters) except -1

# `clock` as given to a constructor: None, a Clock or a callable that returns ns.
cdef Clock as_clock(object clock)
