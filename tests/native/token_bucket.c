/* Hold the token bucket to its promises: alone against plain 128-bit arithmetic, and from
 * many threads at once.
 *
 *     token_bucket [threads [operations [seed]]]
 *
 * `operations` are done by each thread. Ends with 1 and a line that says what was broken.
 */
#define _POSIX_C_SOURCE 200809L
#define CQRS_PTHREADS
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "cqrs_fast/policies/core/random.h"
#include "cqrs_fast/policies/core/token_bucket.h"

typedef __int128 wide;

enum { MOST_THREADS = 64, MOST_PHASES = 4096, TRIES = 1000 };

static void fail(const char *what, uint64_t seed) {
    fprintf(stderr, "token_bucket: %s (seed %llu)\n", what, (unsigned long long)seed);
    exit(1);
}

static int64_t below(cqrs_random *random, int64_t bound) {
    return (int64_t)(cqrs_random_bits(random) % (uint64_t)bound);
}

/* A number of any size below `bound`. */
static int64_t any(cqrs_random *random, int64_t bound) {
    int64_t number = below(random, bound) >> below(random, 40);
    return number < 1 ? 1 : number;
}

static void random_rate(
    cqrs_random *random, int64_t *limit, int64_t *cost, int64_t *burst
) {
    do {
        *limit = any(random, 1000000000);
        *cost = any(random, 1000000000000000);
        *burst = any(random, 1000000);
    } while ((wide)*burst * *cost >= (wide)1 << 62);
}

/* One bucket alone: every answer is that of exact arithmetic, retry times are tight, and
   no interval holds more than the bound. Back to a new rate every TRIES decisions. */
static void alone(int64_t operations, uint64_t seed) {
    cqrs_random random = {seed};
    cqrs_bucket bucket, later;
    int64_t limit = 1, cost = 1, burst = 1, now = 0, newest = 0, start = 0, n, wait, left;
    wide credit = 0, taken = 0, slack, least = 0;
    for (int64_t done = 0; done < operations; done++) {
        if (done % TRIES == 0) {
            random_rate(&random, &limit, &cost, &burst);
            cqrs_bucket_init(&bucket, limit, cost, burst);
            credit = (wide)burst * cost;
            now = below(&random, INT64_C(1) << 40);
            newest = start = now - 2000;
            taken = least = 0;
        }
        now += any(&random, cost / limit + 2) - (below(&random, 8) == 0 ? 1000 : 0);
        if (below(&random, 64) == 0) {
            now += below(&random, INT64_C(1) << 52);
        }
        if (now > newest) {
            credit += (wide)(now - newest) * limit;
            newest = now;
        }
        if (credit > (wide)burst * cost) {
            credit = (wide)burst * cost;
        }
        n = below(&random, 4) ? 1 : any(&random, burst + 1);
        left = cqrs_bucket_remaining(&bucket, now);
        if (left != (int64_t)(credit / cost)) {
            fail("the tokens left differ from exact arithmetic", seed);
        }
        wait = cqrs_bucket_take(&bucket, now, n);
        if (n > burst ? wait != -1 : (wait == 0) != (n * (wide)cost <= credit)) {
            fail("a decision differs from exact arithmetic", seed);
        }
        if (wait > 0) {
            later = bucket;
            if (cqrs_bucket_take(&later, now + wait - 1, n) == 0) {
                fail("it was admitted before its retry time", seed);
            }
            later = bucket;
            if (cqrs_bucket_take(&later, now + wait, n) != 0) {
                fail("it was refused at its retry time", seed);
            }
        } else if (wait == 0) {
            /* Any interval at once: the largest rise above the smallest value so far. */
            slack = taken - (wide)(newest - start) * limit;
            if (slack < least) {
                least = slack;
            }
            credit -= n * (wide)cost;
            taken += n * (wide)cost;
            if (slack + n * (wide)cost - least > (wide)burst * cost) {
                fail("an interval holds more than burst + limit * t / window", seed);
            }
        }
        if (wait == 0 && cqrs_bucket_full_at(&bucket) < now) {
            fail("it says that it is full, right after a take", seed);
        }
    }
}

/* One bucket for all threads. They meet at the end of each phase; between any two of
   these meetings no more is taken than the bound. */
static struct {
    cqrs_bucket bucket;
    pthread_barrier_t barrier;
    _Atomic int64_t clock;
    _Atomic int64_t taken;
    int64_t limit, cost, burst, phases, per_phase;
    uint64_t seed;
} shared;

static struct { int64_t time, taken; } meetings[MOST_PHASES + 1];

static void *hammer(void *argument) {
    cqrs_random random = {shared.seed + (uint64_t)(uintptr_t)argument * 7919};
    int64_t now, wait;
    for (int64_t phase = 0; phase < shared.phases; phase++) {
        for (int64_t done = 0; done < shared.per_phase; done++) {
            if (below(&random, 4) == 0) {
                atomic_fetch_add(&shared.clock, any(&random, shared.cost / 8 + 2));
            }
            now = atomic_load(&shared.clock);
            wait = cqrs_bucket_take(&shared.bucket, now, 1);
            if (wait == 0) {
                atomic_fetch_add(&shared.taken, 1);
            } else if (wait < 0) {
                fail("one token was more than the burst", shared.seed);
            }
            if (cqrs_bucket_remaining(&shared.bucket, now) > shared.burst) {
                fail("more is left than the burst", shared.seed);
            }
        }
        if (pthread_barrier_wait(&shared.barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            meetings[phase + 1].time = atomic_load(&shared.clock);
            meetings[phase + 1].taken = atomic_load(&shared.taken);
        }
        pthread_barrier_wait(&shared.barrier);
    }
    return NULL;
}

static void together(int64_t threads, int64_t operations, uint64_t seed) {
    pthread_t ids[MOST_THREADS];
    wide slack, least = 0;
    shared.limit = 7;
    shared.cost = 3000;
    shared.burst = 20;
    shared.seed = seed;
    shared.phases = operations < MOST_PHASES ? operations : MOST_PHASES;
    shared.per_phase = operations / shared.phases;
    cqrs_bucket_init(&shared.bucket, shared.limit, shared.cost, shared.burst);
    pthread_barrier_init(&shared.barrier, NULL, (unsigned)threads);
    for (int64_t index = 0; index < threads; index++) {
        if (pthread_create(&ids[index], NULL, hammer, (void *)(uintptr_t)(index + 1))) {
            fail("no thread", seed);
        }
    }
    for (int64_t index = 0; index < threads; index++) {
        pthread_join(ids[index], NULL);
    }
    for (int64_t phase = 0; phase <= shared.phases; phase++) {
        slack = (wide)meetings[phase].taken * shared.cost
            - (wide)meetings[phase].time * shared.limit;
        if (slack - least > (wide)shared.burst * shared.cost) {
            fail("threads took more than burst + limit * t / window", seed);
        }
        if (slack < least) {
            least = slack;
        }
    }
    pthread_barrier_destroy(&shared.barrier);
    printf(
        "token_bucket: %lld decisions alone, %lld by %lld threads (%lld taken in %lld ns)\n",
        (long long)operations, (long long)(shared.phases * shared.per_phase * threads),
        (long long)threads, (long long)atomic_load(&shared.taken),
        (long long)atomic_load(&shared.clock)
    );
}

int main(int argc, char **argv) {
    int64_t threads = argc > 1 ? atoll(argv[1]) : 8;
    int64_t operations = argc > 2 ? atoll(argv[2]) : 1000000;
    uint64_t seed = argc > 3 ? (uint64_t)atoll(argv[3]) : 1;
    if (threads < 1 || threads > MOST_THREADS || operations < 1) {
        fprintf(stderr, "token_bucket [threads <= 64 [operations >= 1 [seed]]]\n");
        return 2;
    }
    alone(operations, seed);
    together(threads, operations, seed);
    return 0;
}
