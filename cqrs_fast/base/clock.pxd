"""Monotonic time in int64 nanoseconds, and the alarms of clocks that are not real."""

from libc.stdint cimport int64_t


cdef extern from *:
    """
    #include <stdint.h>
    #include <time.h>
    /* Not inlined: a caller would need a stack protector for `now`. */
    static __attribute__((noinline)) int64_t cqrs_monotonic_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }

    /* The same time as of the system's last tick, read several times faster. */
    static inline int64_t cqrs_coarse_ns(void) {
    #ifdef CLOCK_MONOTONIC_COARSE
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    #else
        return cqrs_monotonic_ns();
    #endif
    }

    /* A tick lasts 10 ms at most: what the last one is far from is not reached. */
    static __attribute__((noinline)) int cqrs_reached(int64_t due_ns) {
        return cqrs_coarse_ns() + 50000000 >= due_ns && cqrs_monotonic_ns() >= due_ns;
    }
    """
    # The same reading as time.monotonic_ns().
    int64_t monotonic_ns "cqrs_monotonic_ns"() noexcept nogil
    # Whether the system clock has reached `due_ns`.
    bint is_reached "cqrs_reached"(int64_t due_ns) noexcept nogil


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

# The reading of `clock`, where None is the system clock.
cdef inline int64_t read_clock(Clock clock) except? -1:
    if clock is None:
        return monotonic_ns()
    return clock.now()
