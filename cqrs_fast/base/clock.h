/* Readings of the system clock, directly or from the processor's counter. */
#ifndef CQRS_FAST_CLOCK_H
#define CQRS_FAST_CLOCK_H

#include <Python.h>
#include <stdint.h>
#include <time.h>
#include "counter_clock.h"

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

static __attribute__((noinline)) int64_t cqrs_counter_anchored(cqrs_counter_clock *clock) {
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

#endif
