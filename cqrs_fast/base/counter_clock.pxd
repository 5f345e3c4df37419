"""Monotonic time from the processor's counter, for hot paths. Open last."""

from libc.stdint cimport int64_t

from cqrs_fast.base.system_clock cimport monotonic_ns


cdef extern from "cqrs_fast/base/counter_clock.h":
    """
    #ifdef Py_GIL_DISABLED
    #undef CQRS_HAS_COUNTER
    #define CQRS_HAS_COUNTER 0
    #endif
    #if CQRS_HAS_COUNTER
    #include <x86intrin.h>
    #define cqrs_counter() __rdtsc()
    #else
    #define cqrs_counter() ((uint64_t)0)
    #endif

    static __attribute__((noinline)) int64_t cqrs_counter_anchored(
        cqrs_counter_clock *clock
    ) {
        uint64_t before;
        int64_t now_ns;
        if (!cqrs_counter_is_used(clock)) {
            return cqrs_never_back(clock, cqrs_monotonic_ns());
        }
        before = cqrs_counter();
        now_ns = cqrs_monotonic_ns();
        return cqrs_counter_anchor(clock, before, now_ns, cqrs_counter());
    }

    static inline int64_t cqrs_counter_ns(cqrs_counter_clock *clock) {
        int64_t now_ns = -1;
        if (clock->span != 0) {
            now_ns = cqrs_counter_time(clock, cqrs_counter());
        }
        return now_ns >= 0 ? now_ns : cqrs_counter_anchored(clock);
    }
    """
    ctypedef struct CounterClock "cqrs_counter_clock":
        pass
    bint HAS_COUNTER "CQRS_HAS_COUNTER"
    int64_t counter_ns "cqrs_counter_ns"(CounterClock *clock) noexcept


# The state of this process; use it only under the GIL.
cdef CounterClock counter_clock
# Whether the system clock uses that counter, so that it is reliable.
cdef bint counter_is_steady


# The same time as monotonic_ns() to a few nanoseconds, but cheaper. Never goes back.
# Call it only if the counter is steady.
cdef inline int64_t counted_ns() noexcept:
    return counter_ns(&counter_clock)
