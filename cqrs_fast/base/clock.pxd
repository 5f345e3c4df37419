"""Monotonic time in int64 nanoseconds, and the alarms of clocks that are not real."""

from libc.stdint cimport int64_t


cdef class Clock:
    """A source of time. None stands for the system clock wherever a Clock is taken."""

    # The present reading; an error of a user's callable passes through.
    cdef int64_t now(self) except? -1
    # Whether a wait of `delay_ns` is left to real time; a manual clock says no and
    # calls waiter.wake() once its own time has come.
    cdef bint waits_really(self, int64_t delay_ns, object waiter) except -1
    # Whether this clock itself calls waiter.wake() once `delay_ns` has passed; nobody
    # waits for it, so an automatic clock does not move.
    cdef bint set_alarm(self, int64_t delay_ns, object waiter) except -1
    # Whether it is told to move, so that no timer of an event loop goes by it.
    cdef bint is_manual(self) noexcept
    cdef int forget(self, object waiter) except -1


# Wake all of them, whatever event loops and signals raise meanwhile; then raise that.
cdef int wake_all(object waiters) except -1

# `clock` as given to a constructor: None, a Clock or a callable that returns ns.
cdef Clock as_clock(object clock)
