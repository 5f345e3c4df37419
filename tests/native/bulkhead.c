/* Hold the count of a bulkhead to its promises from many threads at once.
 *
 *     bulkhead [threads [operations [seed]]]
 *
 * `operations` are done by each thread. Ends with 1 and a line that says what was broken.
 */
#define _POSIX_C_SOURCE 200809L
#define CQRS_PTHREADS
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "cqrs_fast/policies/core/bulkhead.h"
#include "cqrs_fast/policies/core/random.h"

enum { MOST_THREADS = 64, LEAST_LIMIT = 2, MOST_LIMIT = 4, MAX_QUEUE = 3 };

static struct {
    cqrs_bulkhead bulkhead;
    _Atomic int64_t inside;
    _Atomic int64_t queued;
    _Atomic int64_t handed_over;    /* and not yet taken up by one who waits */
    _Atomic int64_t admitted;
    _Atomic int64_t full;
    int64_t operations;
    uint64_t seed;
} shared;

static void fail(const char *what) {
    fprintf(stderr, "bulkhead: %s (seed %llu)\n", what, (unsigned long long)shared.seed);
    exit(1);
}

static void take_up(void) {
    int64_t there = atomic_load(&shared.handed_over);
    for (;;) {
        if (there == 0) {
            sched_yield();
            there = atomic_load(&shared.handed_over);
        } else if (atomic_compare_exchange_weak(&shared.handed_over, &there, there - 1)) {
            return;
        }
    }
}

static void *hammer(void *argument) {
    cqrs_random random = {shared.seed + (uint64_t)(uintptr_t)argument * 7919};
    int answer;
    for (int64_t done = 0; done < shared.operations; done++) {
        if (cqrs_random_bits(&random) % 64 == 0) {
            int64_t spread = MOST_LIMIT - LEAST_LIMIT + 1;
            cqrs_bulkhead_resize(
                &shared.bulkhead,
                LEAST_LIMIT + (int64_t)(cqrs_random_bits(&random) % (uint64_t)spread)
            );
            while (cqrs_bulkhead_admit_next(&shared.bulkhead)) {
                atomic_fetch_add(&shared.handed_over, 1);
            }
        }
        answer = cqrs_bulkhead_enter(
            &shared.bulkhead, (int64_t)(cqrs_random_bits(&random) % (MAX_QUEUE + 1))
        );
        if (answer == CQRS_BULKHEAD_FULL) {
            atomic_fetch_add(&shared.full, 1);
            continue;
        }
        if (answer == CQRS_BULKHEAD_QUEUED) {
            atomic_fetch_add(&shared.queued, 1);
            take_up();
        }
        atomic_fetch_add(&shared.admitted, 1);
        if (atomic_fetch_add(&shared.inside, 1) >= MOST_LIMIT) {
            fail("more are inside than may be");
        }
        cqrs_acquire(&shared.bulkhead.lock);
        if (shared.bulkhead.in_flight > MOST_LIMIT || shared.bulkhead.waiting < 0) {
            fail("it counts more than may be inside");
        }
        cqrs_release(&shared.bulkhead.lock);
        for (uint64_t stay = cqrs_random_bits(&random) % 8; stay > 0; stay--) {
            sched_yield();
        }
        atomic_fetch_sub(&shared.inside, 1);
        if (cqrs_bulkhead_leave(&shared.bulkhead)) {
            atomic_fetch_add(&shared.handed_over, 1);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t ids[MOST_THREADS];
    int64_t threads = argc > 1 ? atoll(argv[1]) : 8;
    shared.operations = argc > 2 ? atoll(argv[2]) : 200000;
    shared.seed = argc > 3 ? (uint64_t)atoll(argv[3]) : 1;
    if (threads < 1 || threads > MOST_THREADS || shared.operations < 1) {
        fprintf(stderr, "bulkhead [threads <= 64 [operations >= 1 [seed]]]\n");
        return 2;
    }
    cqrs_bulkhead_init(&shared.bulkhead, MOST_LIMIT);
    for (int64_t index = 0; index < threads; index++) {
        if (pthread_create(&ids[index], NULL, hammer, (void *)(uintptr_t)(index + 1))) {
            fail("no thread");
        }
    }
    for (int64_t index = 0; index < threads; index++) {
        pthread_join(ids[index], NULL);
    }
    if (shared.bulkhead.in_flight != 0 || shared.bulkhead.waiting != 0) {
        fail("a permit was lost or came back twice");
    }
    if (atomic_load(&shared.handed_over) != 0) {
        fail("a hand-over found nobody");
    }
    if (atomic_load(&shared.admitted) + atomic_load(&shared.full)
            != threads * shared.operations) {
        fail("an entry had no answer");
    }
    printf(
        "bulkhead: %lld entries by %lld threads (%lld admitted, %lld of them queued)\n",
        (long long)(threads * shared.operations), (long long)threads,
        (long long)atomic_load(&shared.admitted), (long long)atomic_load(&shared.queued)
    );
    return 0;
}
