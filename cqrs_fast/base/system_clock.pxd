"""The system clock, compiled into its callers. Open last."""

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

    /* The time of the last tick of the system, read several times faster. */
    static inline int64_t cqrs_coarse_ns(void) {
    #ifdef CLOCK_MONOTONIC_COARSE
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    #else
        return cqrs_monotonic_ns();
    #endif
    }

    /* A tick lasts 10 ms at most, so a time far from the last tick is not reached. */
    static __attribute__((noinline)) int cqrs_reached(int64_t due_ns) {
        return cqrs_coarse_ns() + 50000000 >= due_ns && cqrs_monotonic_ns() >= due_ns;
    }
    """
    # The same reading as time.monotonic_ns().
    int64_t monotonic_ns "cqrs_monotonic_ns"() noexcept nogil
    # Whether the system clock has reached `due_ns`.
    bint is_reached "cqrs_reached"(int64_t due_ns) noexcept nogil
