/* Hold the clock by the processor's counter to its promises, with a counter and a clock
 * that this program makes up.
 *
 *     counter_clock [threads [operations [seed]]]
 *
 * `operations` readings are made of each of `threads` clocks, one after another: they
 * are kept under the GIL. Ends with 1 and a line that says what was broken.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cqrs_fast/base/counter_clock.h"
#include "cqrs_fast/policies/core/random.h"

enum {
    STEADY_NS = 1000,           /* so far off at most, while nothing happens */
    KNOWN_NS = 30 * 1000 * 1000 /* after so long all is well again */
};

static cqrs_random random_bits;
static uint64_t seed;

static uint64_t below(uint64_t limit) {
    return cqrs_random_bits(&random_bits) % limit;
}

static void fail(const char *what, int64_t now_ns, int64_t told_ns) {
    fprintf(stderr, "counter_clock: %s: %" PRId64 " told at %" PRId64 " (seed %" PRIu64 ")\n",
            what, told_ns, now_ns, seed);
    exit(1);
}

typedef struct {
    int64_t now_ns;         /* of the system's clock */
    int64_t shown_ns;       /* what it shows at the middle of a reading */
    double counter;
    double counts;          /* for a nanosecond */
    double slew;            /* by which the clock runs away from the counter */
    int64_t trouble_ns;     /* when the counter was last unsteady */
} machine;

static void pass(machine *m, int64_t ns) {
    m->now_ns += ns;
    m->counter += (double)ns * m->counts * m->slew;
}

static int64_t anchored(cqrs_counter_clock *clock, machine *m) {
    uint64_t before = (uint64_t)m->counter, after;
    int64_t now_ns;
    /* One of 16 readings is interrupted, on either side of the system's. */
    pass(m, below(16) == 0 ? (int64_t)below(8 * 1000 * 1000) : 20);
    now_ns = m->now_ns;
    pass(m, below(16) == 0 ? (int64_t)below(8 * 1000 * 1000) : 20);
    after = (uint64_t)m->counter;
    m->shown_ns = now_ns;
    return cqrs_counter_anchor(clock, before, now_ns, after);
}

static int64_t read_clock(cqrs_counter_clock *clock, machine *m) {
    int64_t told_ns;
    m->shown_ns = m->now_ns;
    told_ns = cqrs_counter_time(clock, (uint64_t)m->counter);
    return told_ns >= 0 ? told_ns : anchored(clock, m);
}

static void disturb(machine *m) {
    switch (below(4)) {
    case 0: /* a machine that is moved to another one */
        m->counter = (double)below(UINT64_C(1) << 50);
        m->counts = 1.0 + (double)below(4000) / 1000.0;
        break;
    case 1: /* a suspension, in which neither goes on */
        m->counter = (double)below(1000000);
        break;
    case 2:
        m->counter += (double)below(UINT64_C(1) << 24);
        break;
    default:
        m->counter -= (double)below((uint64_t)m->counter / 2 + 1);
    }
    m->trouble_ns = m->now_ns;
}

static void check(cqrs_counter_clock *clock, machine *m, int64_t *last_ns) {
    int64_t told_ns = read_clock(clock, m);
    int64_t off_ns = told_ns - m->shown_ns;
    if (told_ns < *last_ns) {
        fail("it went back", m->shown_ns, told_ns);
    }
    *last_ns = told_ns;
    if (off_ns > CQRS_SPAN_NS + STEADY_NS || off_ns < -CQRS_SPAN_NS - STEADY_NS) {
        fail("it is off by more than an anchor lasts", m->shown_ns, told_ns);
    }
    if (m->shown_ns - m->trouble_ns < KNOWN_NS) {
        return;
    }
    /* The slew changes within the life of an anchor. */
    if (off_ns > 5 * STEADY_NS || off_ns < -5 * STEADY_NS) {
        fail("it is off, though the counter is steady", m->shown_ns, told_ns);
    }
}

static void run(int64_t operations) {
    cqrs_counter_clock clock = {0};
    machine m = {1 + (int64_t)below(UINT64_C(1) << 50), 0, 0, 0, 1.0, 0};
    int64_t last_ns = 0, exact = 0;
    m.counter = (double)below(UINT64_C(1) << 50);
    m.counts = 1.0 + (double)below(4000) / 1000.0;
    m.trouble_ns = m.now_ns;
    for (int64_t done = 0; done < operations; done++) {
        check(&clock, &m, &last_ns);
        exact += clock.span == 0;
        pass(&m, (int64_t)below(below(200) == 0 ? 20 * 1000 * 1000 : 200 * 1000));
        if (below(1000) == 0) {
            m.slew = 1.0 + ((double)below(1001) - 500.0) / 1000000.0;
        }
        if (below(3000) == 0) {
            disturb(&m);
        }
    }
    if (!cqrs_counter_is_used(&clock)) {
        fail("it was given up, though mostly steady", clock.faults, operations);
    }
    if (operations >= 10000 && exact > operations / 2) {
        fail("it is hardly ever used", exact, operations);
    }
}

/* A counter that means nothing is left alone soon, and nothing wrong is told till then. */
static void run_hopeless(void) {
    cqrs_counter_clock clock = {0};
    machine m = {1, 0, 0, 1.0, 1.0, 0};
    int64_t last_ns = 0;
    for (int done = 0; done < 100000 && cqrs_counter_is_used(&clock); done++) {
        int64_t told_ns = read_clock(&clock, &m);
        if (told_ns < last_ns) {
            fail("it went back", m.shown_ns, told_ns);
        }
        last_ns = told_ns;
        pass(&m, 1000 * 1000);
        if (below(20) == 0) {
            disturb(&m);
        }
    }
    if (cqrs_counter_is_used(&clock)) {
        fail("it is never given up", clock.faults, m.now_ns);
    }
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 4;
    int64_t operations = count > 2 ? atoll(arguments[2]) : 100000;
    seed = count > 3 ? strtoull(arguments[3], NULL, 10) : 1;
    random_bits = (cqrs_random){seed};
    for (int number = 0; number < threads; number++) {
        run(operations);
        run_hopeless();
    }
    printf("counter_clock: %d clocks, %" PRId64 " readings each\n", threads, operations);
    return 0;
}
