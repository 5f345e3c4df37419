/* The monotonic clock by the processor's counter of cycles.

   A reading of the system's clock waits for all instructions before it. One of the
   counter does not, and the clock follows from it: from an anchor, where both were read,
   and the rate between them. An anchor is good for a few milliseconds. So whatever
   happens to the counter (a machine that is moved, a suspension) the clock is off by so
   much at most, and by what the system's is slewed within that time where nothing does.

   Pure but for the readings that are passed in: the tests give it those that they want.
   Calls must exclude each other; under the GIL they do. */

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
    uint64_t span;      /* how many counts the anchor is good for; 0: there is none */
    uint64_t rate;      /* nanoseconds for a count, times 2^32; 0: not known yet */
    int64_t floor_ns;   /* what may have been told already: no reading is before it */
    uint64_t origin;    /* where the rate is measured from … */
    int64_t origin_ns;  /* … and when; 0 before the first reading */
} cqrs_counter_clock;

enum {
    CQRS_SPAN_NS = 4 * 1000 * 1000,
    CQRS_FIRST_RATE_NS = 10 * 1000 * 1000,    /* long enough to know the rate … */
    CQRS_RATE_NS = 1000 * 1000 * 1000,        /* … and for how long it is measured */
    CQRS_INTERRUPTED_NS = 1000                /* between the counter's two readings */
};

/* How long so many counts last; they may not be more than about a second's. */
static inline int64_t cqrs_counted_ns(const cqrs_counter_clock *clock, uint64_t counts) {
    return (int64_t)((counts * clock->rate) >> 32);
}

/* Tell the time at `counter`, or -1 where that needs an anchor. */
static inline int64_t cqrs_counter_time(
    const cqrs_counter_clock *clock, uint64_t counter
) {
    uint64_t passed = counter - clock->anchor;
    int64_t now_ns;
    if (passed >= clock->span) {
        return -1;
    }
    now_ns = clock->anchor_ns + cqrs_counted_ns(clock, passed);
    return now_ns < clock->floor_ns ? clock->floor_ns : now_ns;
}

/* Measure the rate anew, from where that began to a reading of both. */
static inline void cqrs_counter_measure(
    cqrs_counter_clock *clock, uint64_t counter, int64_t now_ns
) {
    int64_t elapsed_ns = now_ns - clock->origin_ns;
    uint64_t counts = counter - clock->origin;
    uint64_t rate, change;
    if (clock->origin_ns != 0 && elapsed_ns < CQRS_FIRST_RATE_NS) {
        return;
    }
    rate = 0;
    if (clock->origin_ns != 0 && counts != 0) {
        rate = (uint64_t)(((unsigned __int128)elapsed_ns << 32) / counts);
        change = rate > clock->rate ? rate - clock->rate : clock->rate - rate;
        if (clock->rate != 0 && change > clock->rate >> 10) {
            rate = 0;  /* it is not steady: begin anew */
        }
    }
    clock->rate = rate;
    if (rate == 0 || elapsed_ns >= CQRS_RATE_NS) {
        clock->origin = counter;
        clock->origin_ns = now_ns;
    }
}

/* Tell the time by a reading of the clock between two of the counter, and take that as
   the anchor. */
static inline int64_t cqrs_counter_anchor(
    cqrs_counter_clock *clock, uint64_t before, int64_t now_ns, uint64_t after
) {
    uint64_t passed = before - clock->anchor;
    int64_t told_ns = clock->floor_ns;
    if (clock->span != 0) {
        if (passed > clock->span) {
            passed = clock->span;
        }
        if (clock->anchor_ns + cqrs_counted_ns(clock, passed) > told_ns) {
            told_ns = clock->anchor_ns + cqrs_counted_ns(clock, passed);
        }
    }
    clock->floor_ns = told_ns > now_ns ? told_ns : now_ns;
    clock->span = 0;
    if (clock->rate != 0 && cqrs_counted_ns(clock, after - before) > CQRS_INTERRUPTED_NS) {
        return clock->floor_ns;
    }
    cqrs_counter_measure(clock, before + (after - before) / 2, now_ns);
    if (clock->rate != 0) {
        clock->anchor = before + (after - before) / 2;
        clock->anchor_ns = now_ns;
        clock->span = ((uint64_t)CQRS_SPAN_NS << 32) / clock->rate;
    }
    return clock->floor_ns;
}

#endif
