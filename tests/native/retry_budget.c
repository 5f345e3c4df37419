/* The budget of a retry under threads that share a clock: exact, to the last credit.
 *
 * Usage: retry_budget [threads [operations [seed]]]
 *
 * In each round the clock stands still. First attempts and retries are mixed at random,
 * and the bound must hold at the end; then all threads take retries until the budget refuses,
 * and exactly as many must have been admitted as a model of it allows.
 */
#define _POSIX_C_SOURCE 200809L
#define CQRS_PTHREADS

#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cqrs_fast/policies/core/retry.h"

enum { PERCENT = 20, PER_SECOND = 10, ROUNDS = 400, PHASES = 2 };

static const int64_t TTL = 10000000000;

static cqrs_retry retry;
static cqrs_retry_settings settings;
static pthread_barrier_t barrier;
static int64_t now_ns;
static int64_t each;            /* operations of one thread in one phase */
static int finished;

typedef struct {
    pthread_t thread;
    cqrs_random random;
    int64_t firsts, retries, wrong;
} worker;

static void attempt_again(worker *self) {
    int64_t delay = -1;
    int answer = cqrs_retry_decide(&retry, &settings, 1, 0, INT64_MAX, now_ns, &delay);
    if (answer == CQRS_RETRY_AGAIN) {
        self->retries++;
    }
    if (delay < 0 || delay > settings.max_ns) {
        self->wrong++;
    }
}

static void *work(void *argument) {
    worker *self = argument;
    int64_t index;
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (finished) {
            return NULL;
        }
        for (index = 0; index < each; index++) {
            if (cqrs_random_bits(&self->random) & 1) {
                cqrs_retry_first(&retry, &settings, now_ns);
                self->firsts++;
            } else {
                attempt_again(self);
            }
        }
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        for (index = 0; index < each; index++) {
            attempt_again(self);
        }
        pthread_barrier_wait(&barrier);
    }
}

typedef struct { int64_t at, firsts, retries; } moment;

/* What the model admits at `now_ns`, beyond what the rounds so far have taken. */
static int64_t credit(const moment *rounds, int count, int64_t length) {
    int64_t present = now_ns / length;
    int64_t left = (int64_t)PER_SECOND * (TTL / 1000000000) * CQRS_RETRY_PRICE;
    int index;
    for (index = 0; index < count; index++) {
        int64_t age = present - rounds[index].at / length;
        if (age < CQRS_RETRY_BUCKETS) {
            left += rounds[index].firsts * PERCENT;
        }
        if (age <= CQRS_RETRY_BUCKETS) {
            left -= rounds[index].retries * CQRS_RETRY_PRICE;
        }
    }
    return left;
}

/* Whether the interval of TTL up to the last round keeps the bound. It is one up to a
   retry: what retries took from must be there at their time, not forever. */
static int bound_holds(const moment *rounds, int count) {
    int64_t firsts = 0;
    int64_t retries = 0;
    int index;
    if (rounds[count - 1].retries == 0) {
        return 1;
    }
    for (index = count - 1; index >= 0 && rounds[index].at > now_ns - TTL; index--) {
        firsts += rounds[index].firsts;
        retries += rounds[index].retries;
    }
    return retries * CQRS_RETRY_PRICE
        <= firsts * PERCENT + PER_SECOND * (TTL / 1000000000) * CQRS_RETRY_PRICE;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 8;
    int64_t operations = count > 2 ? atoll(arguments[2]) : 4000000;
    uint64_t seed = count > 3 ? strtoull(arguments[3], NULL, 10) : 1;
    settings = (cqrs_retry_settings){
        .max_attempts = 3, .base_ns = 1000, .max_ns = 5000, .multiplier = 2.0,
        .jitter = CQRS_JITTER_FULL, .percent = PERCENT,
        .reserve = PER_SECOND * (TTL / 1000000000) * CQRS_RETRY_PRICE,
        .bucket_ns = TTL / CQRS_RETRY_BUCKETS,
    };
    static moment rounds[ROUNDS];
    cqrs_random steps = {seed};
    worker *workers = calloc((size_t)threads, sizeof(worker));
    int64_t total = 0;
    int failures = 0;
    int round, index;
    if (workers == NULL || threads < 1 || operations < 1) {
        return 2;
    }
    each = operations / ROUNDS / PHASES / threads + 1;
    cqrs_retry_init(&retry, settings.bucket_ns, seed, 0);
    pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
    for (index = 0; index < threads; index++) {
        workers[index].random.state = seed + (uint64_t)index + 1;
        pthread_create(&workers[index].thread, NULL, work, &workers[index]);
    }
    for (round = 0; round < ROUNDS; round++) {
        moment *present = &rounds[round];
        int64_t demand, allowed, admitted;
        /* Mostly within a bucket, at times past the life of all. */
        now_ns += (int64_t)(cqrs_random_bits(&steps)
            % (uint64_t)(round % 50 ? TTL / 15 : 2 * TTL));
        present->at = now_ns;
        for (index = 0; index < threads; index++) {
            workers[index].firsts = workers[index].retries = 0;
        }
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        for (index = 0; index < threads; index++) {
            present->firsts += workers[index].firsts;
            present->retries += workers[index].retries;
            workers[index].retries = 0;
        }
        allowed = credit(rounds, round + 1, settings.bucket_ns);
        allowed = allowed > 0 ? allowed / CQRS_RETRY_PRICE : 0;
        if (!bound_holds(rounds, round + 1)) {
            failures++;
            printf("round %d: the bound is broken\n", round);
        }
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        admitted = 0;
        for (index = 0; index < threads; index++) {
            admitted += workers[index].retries;
            failures += workers[index].wrong > 0;
        }
        present->retries += admitted;
        total += present->retries;
        demand = each * threads;
        if (admitted != (allowed < demand ? allowed : demand)) {
            failures++;
            printf("round %d: admitted %" PRId64 " of %" PRId64 "\n", round, admitted,
                   allowed);
        }
        if (!bound_holds(rounds, round + 1)) {
            failures++;
            printf("round %d: the bound is broken\n", round);
        }
    }
    finished = 1;
    pthread_barrier_wait(&barrier);
    for (index = 0; index < threads; index++) {
        pthread_join(workers[index].thread, NULL);
    }
    if (retry.counters.retries != (uint64_t)total
        || retry.counters.retries + retry.counters.refused != retry.counters.failed) {
        failures++;
        printf("the counters do not sum up\n");
    }
    printf("%d threads, %" PRIu64 " decisions, %" PRId64 " retries, %d failures\n",
           threads, retry.counters.failed, total, failures);
    free(workers);
    return failures > 0;
}
