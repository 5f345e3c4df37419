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
    static __attribute__((noinline)) int64_t cqrs_coarse_ns(void) {
    #ifdef CLOCK_MONOTONIC_COARSE
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    #else
        return cqrs_monotonic_ns();
    #endif
    }

    /* How far that lags behind at most; 0 where there is no such clock. */
    static inline int64_t cqrs_tick_ns(void) {
    #ifdef CLOCK_MONOTONIC_COARSE
        struct timespec tick;
        if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0) {
            return (int64_t)tick.tv_sec * 1000000000 + tick.tv_nsec;
        }
        return 10000000;
    #else
        return 0;
    #endif
    }

    /* A tick lasts 10 ms at most: what the last one is far from is not reached. */
    static __attribute__((noinline)) int cqrs_reached(int64_t due_ns) {
        return cqrs_coarse_ns() + 50000000 >= due_ns && cqrs_monotonic_ns() >= due_ns;
    }
    """
    # The same reading as time.monotonic_ns().
    int64_t monotonic_ns "cqrs_monotonic_ns"() noexcept nogil
    # The same as of the last tick of the system, a reading that costs much less.
    int64_t coarse_ns "cqrs_coarse_ns"() noexcept nogil
    # How long a tick lasts; 0 where the system has no coarse clock.
    int64_t system_tick_ns "cqrs_tick_ns"() noexcept nogil
    # Whether the system clock has reached `due_ns`.
    bint is_reached "cqrs_reached"(int64_t due_ns) noexcept nogil


cdef class Clock:
    """A source of time. None stands for the system clock wherever a Clock is taken."""

    # It is the system clock as of its last tick …
    cdef bint coarse
    # … that far behind at most: a wait lasts so much longer, that its end is reached.
    cdef readonly int64_t tick_ns

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

# Whether a reading runs no code of users and is near the system clock's.
cdef inline bint by_system(Clock clock) noexcept:
    return clock is None or clock.coarse

# Whether `clock` has reached `due_ns`: cheaper than a reading while that is far off.
cdef inline bint has_reached(Clock clock, int64_t due_ns) except -1:
    if by_system(clock):
        return is_reached(due_ns)
    return clock.now() >= due_ns

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
