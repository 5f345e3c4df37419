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

    /* The coarse clock is read several times faster and lags behind by a tick, 10 ms at
       most; it only tells that a time is far from due. */
    static __attribute__((noinline)) int cqrs_reached(int64_t due_ns) {
    #ifdef CLOCK_MONOTONIC_COARSE
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        if ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec + 50000000 < due_ns) {
            return 0;
        }
    #endif
        return cqrs_monotonic_ns() >= due_ns;
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


# `clock` as given to a constructor: None, a Clock or a callable that returns ns.
cdef Clock as_clock(object clock)

# Whether `clock` has reached `due_ns`: cheaper than a reading while that is far off.
cdef inline bint has_reached(Clock clock, int64_t due_ns) except -1:
    if clock is None:
        return is_reached(due_ns)
    return clock.now() >= due_ns

# The reading of `clock`, where None is the system clock.
cdef inline int64_t read_clock(Clock clock) except? -1:
    if clock is None:
        return monotonic_ns()
    return clock.now()
