/* Monotonic time from the processor's cycle counter.

   A reading of the system clock waits for all earlier instructions; a reading of the
   counter does not. The time follows from an anchor, a reading of both, and the rate of
   the counter. An anchor is valid for a few milliseconds, and the next one shows whether
   the rate still holds. So if the counter jumps (on a machine that is migrated, for
   example), the error is limited in size and in time.

   Pure functions of the readings, so that tests can pass their own. Calls must exclude
   each other; under the GIL they do. */

#ifndef CQRS_COUNTER_CLOCK_H
#define CQRS_COUNTER_CLOCK_H

#include <stdint.h>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#define CQRS_HAS_COUNTER 1
#else
#define CQRS_HAS_COUNTER 0
#endif

typedef struct {
    uint64_t anchor;    /* the counter there … */
    int64_t anchor_ns;  /* … and the clock */
    uint64_t span;      /* counts for which the anchor is valid; 0: it is not */
    uint64_t rate;      /* nanoseconds per count, times 2^32; 0: not known yet … */
    int trusted;        /* … and whether an anchor has confirmed it */
    int64_t told_ns;    /* the last reading returned: no later one is smaller */
    uint64_t origin;    /* the start of the measurement of the rate … */
    int64_t origin_ns;  /* … and its time */
    int faults;         /* of the counter; each valid anchor removes one */
} cqrs_counter_clock;

enum {
    CQRS_SPAN_NS = 4 * 1000 * 1000,
    CQRS_FIRST_RATE_NS = 10 * 1000 * 1000,  /* the first measurement of the rate … */
    CQRS_RATE_NS = 1000 * 1000 * 1000,      /* … and the later ones */
    CQRS_TRIAL_NS = 1000 * 1000,            /* before the first rate is trusted */
    CQRS_INTERRUPTED = 500, /* counts between its two readings that spoil an anchor */
    CQRS_STEADY = 1024,     /* allowed deviation: one part of this (slewing is less) … */
    CQRS_JUMP = 8,          /* faults for a counter that deviates more */
    CQRS_GIVE_UP = 64       /* faults after which the counter is no longer used */
};
#define CQRS_STEADY_NS 1000 /* … plus this */

static inline int64_t cqrs_never_back(cqrs_counter_clock *clock, int64_t now_ns) {
    if (now_ns > clock->told_ns) {
        clock->told_ns = now_ns;
    }
    return clock->told_ns;
}

/* Whether the counter is still used. */
static inline int cqrs_counter_is_used(const cqrs_counter_clock *clock) {
    return clock->faults < CQRS_GIVE_UP;
}

/* Return the time at `counter`, or -1 if that needs a new anchor. */
static inline int64_t cqrs_counter_time(cqrs_counter_clock *clock, uint64_t counter) {
    uint64_t passed = counter - clock->anchor;
    if (passed >= clock->span) {
        return -1;
    }
    /* No overflow: the span is milliseconds. */
    return cqrs_never_back(
        clock, clock->anchor_ns + (int64_t)((passed * clock->rate) >> 32)
    );
}

/* Whether the rate of the counter has held since the last anchor. */
static inline int cqrs_counter_agrees(
    const cqrs_counter_clock *clock, uint64_t counter, int64_t now_ns
) {
    __extension__ typedef unsigned __int128 wide;
    int64_t elapsed_ns = now_ns - clock->anchor_ns;
    wide counted_ns = ((wide)(counter - clock->anchor) * clock->rate) >> 32;
    int64_t allowed_ns = elapsed_ns / CQRS_STEADY + CQRS_STEADY_NS;
    return counted_ns + allowed_ns >= (wide)elapsed_ns
        && counted_ns <= (wide)(elapsed_ns + allowed_ns);
}

/* Measure the rate from the origin to a reading of both. */
static inline void cqrs_counter_measure(
    cqrs_counter_clock *clock, uint64_t counter, int64_t now_ns
) {
    __extension__ typedef unsigned __int128 wide;
    int64_t elapsed_ns = now_ns - clock->origin_ns;
    int64_t enough_ns = clock->rate == 0 ? CQRS_FIRST_RATE_NS : CQRS_RATE_NS;
    if (elapsed_ns >= enough_ns) {
        clock->rate = (uint64_t)(((wide)elapsed_ns << 32) / (counter - clock->origin));
    }
    if (elapsed_ns >= CQRS_RATE_NS) {
        clock->origin = counter;
        clock->origin_ns = now_ns;
    }
}

/* Return the time from a reading of the clock between two of the counter, and make it
   the anchor. */
static inline int64_t cqrs_counter_anchor(
    cqrs_counter_clock *clock, uint64_t before, int64_t now_ns, uint64_t after
) {
    uint64_t counter = before + (after - before) / 2;
    int known;
    clock->span = 0;
    if (clock->told_ns - now_ns > 2 * CQRS_SPAN_NS) {
        clock->told_ns = now_ns;  /* the system clock itself went back */
    }
    if (after - before > CQRS_INTERRUPTED) {
        clock->faults++;
        return cqrs_never_back(clock, now_ns);
    }
    if (clock->origin_ns == 0 || counter <= clock->origin
            || (clock->rate != 0 && !cqrs_counter_agrees(clock, counter, now_ns))) {
        clock->faults += clock->origin_ns == 0 ? 0 : CQRS_JUMP;
        clock->rate = 0;
        clock->trusted = 0;
        clock->origin = counter;
        clock->origin_ns = now_ns;
    }
    known = clock->rate != 0;
    if (known && now_ns - clock->anchor_ns >= CQRS_TRIAL_NS) {
        clock->trusted = 1;
    }
    cqrs_counter_measure(clock, counter, now_ns);
    if (!known || clock->trusted) {
        clock->anchor = counter;
        clock->anchor_ns = now_ns;
    }
    if (clock->trusted && clock->rate != 0) {
        clock->faults -= clock->faults > 0;
        clock->span = ((uint64_t)CQRS_SPAN_NS << 32) / clock->rate;
    }
    return cqrs_never_back(clock, now_ns);
}

#endif
