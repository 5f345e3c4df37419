/* Threads hammer one circuit breaker on a clock that they share and move.
 *
 * ./circuit_breaker [threads] [operations of each] [seed]
 */
#define CQRS_PTHREADS

#include <stdio.h>
#include <stdlib.h>

#include "cqrs_fast/policies/core/circuit_breaker.h"

enum { HELD = 8, PROBES = 3, TIMEOUT_NS = 50, LEASE_NS = 400 };

static cqrs_breaker breaker;
static _Atomic int64_t now_ns;
static _Atomic int64_t faults;
static _Atomic uint64_t transitions, probes_taken, refused, stale;
static long operations = 20000;
static uint64_t seed = 1;

/* The most that were in flight under one generation, as the permits themselves tell. */
static _Atomic uint64_t flying;     /* generation * 128 + probes in flight */

static void fault(const char *what) {
    if (atomic_fetch_add(&faults, 1) < 10) {
        fprintf(stderr, "fault: %s\n", what);
    }
}

static void probe_begins(uint64_t generation) {
    uint64_t seen = atomic_load(&flying);
    uint64_t next;
    do {
        if (seen / 128 > generation) {
            return;                 /* another thread is a transition ahead already */
        }
        next = seen / 128 == generation ? seen + 1 : generation * 128 + 1;
    } while (!atomic_compare_exchange_weak(&flying, &seen, next));
    if (next % 128 > PROBES) {
        fault("more probes than half_open_max_calls");
    }
}

static void probe_ends(uint64_t generation) {
    uint64_t seen = atomic_load(&flying);
    do {
        if (seen / 128 != generation || seen % 128 == 0) {
            return;
        }
    } while (!atomic_compare_exchange_weak(&flying, &seen, seen - 1));
}

static void check(const cqrs_breaker_changes *changes) {
    int index;
    if (changes->count < 0 || changes->count > CQRS_BREAKER_MOST_CHANGES) {
        fault("too many transitions at once");
    }
    for (index = 0; index < changes->count; index++) {
        const cqrs_breaker_change *change = &changes->made[index];
        atomic_fetch_add(&transitions, 1);
        if (change->before == change->after || change->number == 0) {
            fault("a transition to the same state");
        }
        if (index > 0 && (change->before != changes->made[0].after ||
                          change->number != changes->made[0].number + 1)) {
            fault("transitions of one decision that do not follow");
        }
    }
}

static void finish(cqrs_breaker_permit *permit, uint64_t bits) {
    cqrs_breaker_changes changes;
    uint64_t generation = permit->token >> 2;
    int outcome = bits % 8 < 3 ? CQRS_BREAKER_FAILURE
        : bits % 8 < 6 ? CQRS_BREAKER_SUCCESS
        : bits % 8 < 7 ? CQRS_BREAKER_ANSWERED : CQRS_BREAKER_IGNORED;
    int64_t time_ns = atomic_load(&now_ns);
    if (outcome == CQRS_BREAKER_SUCCESS && cqrs_breaker_unmoved(&breaker, permit)) {
        permit->token = 0;
        return;
    }
    if (permit->probe != 0) {
        /* First, so that the count is never above the breaker's own. */
        probe_ends(generation);
    }
    cqrs_breaker_record(&breaker, time_ns, permit, outcome, &changes);
    check(&changes);
    if (permit->token != 0 || permit->probe != 0) {
        fault("a permit that came back is still one");
    }
}

static void begin(cqrs_breaker_permit *permit) {
    cqrs_breaker_changes changes;
    cqrs_breaker_picture seen;
    permit->probe = 0;
    if (cqrs_breaker_passes(&breaker, permit)) {
        return;
    }
    if (!cqrs_breaker_admit(
            &breaker, atomic_load(&now_ns), permit, &seen, &changes)) {
        atomic_fetch_add(&refused, 1);
        if (seen.retry_after_ns == 0 || permit->token != 0) {
            fault("refused, and yet it would be admitted");
        }
    } else if (permit->probe != 0) {
        atomic_fetch_add(&probes_taken, 1);
        probe_begins(permit->token >> 2);
    }
    check(&changes);
}

static void look(void) {
    cqrs_breaker_changes changes;
    cqrs_breaker_picture seen;
    cqrs_breaker_look(&breaker, atomic_load(&now_ns), &seen, &changes);
    check(&changes);
    if (seen.probes < 0 || seen.probes > PROBES || seen.failures < 0) {
        fault("probes out of bounds");
    }
}

static void *hammer(void *argument) {
    cqrs_random random = {seed + (uint64_t)(intptr_t)argument * 7919};
    cqrs_breaker_permit held[HELD] = {{0, 0}};
    cqrs_breaker_changes changes;
    long done;
    int index;
    for (done = 0; done < operations; done++) {
        uint64_t bits = cqrs_random_bits(&random);
        cqrs_breaker_permit *permit = &held[bits % HELD];
        bits >>= 8;
        atomic_fetch_add(&now_ns, (int64_t)(bits % 4));
        bits >>= 8;
        if (permit->token != 0) {
            finish(permit, bits);
        } else {
            begin(permit);
        }
        bits >>= 8;
        if (bits % 16 == 0) {
            look();
        } else if (bits % 4096 == 1) {
            static const int states[] = {
                CQRS_BREAKER_CLOSED, CQRS_BREAKER_CLOSED, CQRS_BREAKER_FORCED_OPEN,
                CQRS_BREAKER_DISABLED
            };
            cqrs_breaker_force(&breaker, states[(bits >> 12) % 4], &changes);
            check(&changes);
            cqrs_breaker_force(&breaker, CQRS_BREAKER_CLOSED, &changes);
            check(&changes);
        }
    }
    for (index = 0; index < HELD; index++) {
        if (held[index].token != 0) {
            finish(&held[index], 4);
        }
    }
    return NULL;
}

/* With every permit back, time alone must lead to a probe that closes it. */
static void check_end(void) {
    cqrs_breaker_changes changes;
    cqrs_breaker_picture seen;
    cqrs_breaker_permit permit;
    int round;
    cqrs_breaker_look(&breaker, atomic_load(&now_ns), &seen, &changes);
    check(&changes);
    if (seen.probes != 0 || breaker.probes != 0) {
        fault("probes are left");
    }
    atomic_fetch_add(&now_ns, 10 * TIMEOUT_NS);
    for (round = 0; round < 4; round++) {
        permit.probe = 0;
        if (!cqrs_breaker_passes(&breaker, &permit)) {
            if (!cqrs_breaker_admit(
                    &breaker, atomic_load(&now_ns), &permit, &seen, &changes)) {
                fault("no probe is admitted");
            }
            check(&changes);
        }
        cqrs_breaker_record(
            &breaker, atomic_load(&now_ns), &permit, CQRS_BREAKER_SUCCESS, &changes);
        check(&changes);
    }
    if (breaker.state != CQRS_BREAKER_CLOSED || breaker.failures != 0) {
        fault("it is not closed");
    }
    if (breaker.transitions != atomic_load(&transitions)) {
        fault("transitions were lost");
    }
    stale = breaker.late_results;
}

int main(int argc, char **argv) {
    const cqrs_breaker_limits limits = {
        .failure_threshold = 4, .success_threshold = 2, .half_open_max_calls = PROBES,
        .timeout_ns = TIMEOUT_NS, .probe_timeout_ns = LEASE_NS,
        .max_timeout_ns = 4 * TIMEOUT_NS, .timeout_multiplier = 2.0,
        .timeout_jitter = 0.25
    };
    long threads = argc > 1 ? atol(argv[1]) : 8;
    long index;
    pthread_t *started;
    operations = argc > 2 ? atol(argv[2]) : operations;
    seed = argc > 3 ? strtoull(argv[3], NULL, 10) : seed;
    started = calloc((size_t)threads, sizeof *started);
    if (started == NULL) {
        return 2;
    }
    cqrs_breaker_init(&breaker, &limits, seed);
    for (index = 0; index < threads; index++) {
        if (pthread_create(&started[index], NULL, hammer, (void *)(intptr_t)index)) {
            return 2;
        }
    }
    for (index = 0; index < threads; index++) {
        pthread_join(started[index], NULL);
    }
    free(started);
    check_end();
    printf(
        "circuit_breaker: %ld threads, %ld operations each, %llu transitions, "
        "%llu probes, %llu refused, %llu late, %lld faults\n",
        threads, operations, (unsigned long long)transitions,
        (unsigned long long)probes_taken, (unsigned long long)refused,
        (unsigned long long)stale, (long long)faults
    );
    return faults != 0;
}
