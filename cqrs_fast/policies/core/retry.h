/* Retry: whether a failed attempt is followed by another one, and after which delay.
 *
 * Exponential backoff with jitter, as in "Exponential Backoff And Jitter" (Marc Brooker,
 * AWS Architecture Blog, 2015). The budget follows Finagle's RetryBudget: retries may be
 * a share of the first attempts plus a floor, over a sliding window of buckets.
 *
 * The budget is exact. A deposit lives for the present bucket and the 9 before it, which
 * is never more than its time to live; a withdrawal lives for one bucket longer, which is
 * never less. So over the time to live up to any retry, itself included, retries * 100
 * are at most first attempts * percent + reserve.
 *
 * Times are nanoseconds of one clock; one that goes backwards stands still here.
 *
 * Several settings may share one state: its budget and counters are those of all.
 */
#ifndef CQRS_FAST_RETRY_H
#define CQRS_FAST_RETRY_H

#include <stdint.h>

#include "lock.h"
#include "random.h"

enum {
    CQRS_RETRY_BUCKETS = 10,        /* that a deposit lives for */
    CQRS_RETRY_RING = 11,           /* that a withdrawal lives for */
    CQRS_RETRY_PRICE = 100          /* credits for one retry */
};

enum { CQRS_JITTER_FULL, CQRS_JITTER_EQUAL, CQRS_JITTER_NONE };

enum {
    CQRS_RETRY_AGAIN,
    CQRS_RETRY_EXHAUSTED,           /* all attempts are made */
    CQRS_RETRY_TOO_LATE,            /* the delay would not end before the time is over */
    CQRS_RETRY_REFUSED              /* by the budget */
};

typedef struct {
    int64_t max_attempts;           /* the first one included */
    int64_t base_ns;                /* 0 to 1e18, as is the next */
    int64_t max_ns;
    double multiplier;              /* at least 1 */
    int32_t jitter;
    int32_t percent;                /* credits for a first attempt; 0: no budget */
    int64_t reserve;                /* credits that are there without any */
    int64_t bucket_ns;              /* at least 1 */
} cqrs_retry_settings;

typedef struct {
    uint64_t failed;                /* attempts that a decision was asked for */
    uint64_t retries;               /* each counts as failed once, as do the others */
    uint64_t exhausted;
    uint64_t too_late;
    uint64_t refused;
} cqrs_retry_counters;

typedef struct {
    cqrs_lock lock;
    cqrs_random random;
    cqrs_retry_counters counters;
    int64_t bucket_ns;                          /* what `newest` counts in */
    int64_t newest;                             /* the bucket of the present */
    int64_t deposits[CQRS_RETRY_RING];          /* by bucket, modulo the ring */
    int64_t withdrawn[CQRS_RETRY_RING];
} cqrs_retry;

/* The longest delay before the attempt that follows `attempt`, which counts from 1. */
static inline int64_t cqrs_retry_ceiling(
    const cqrs_retry_settings *settings, int64_t attempt
) {
    double most = (double)settings->max_ns;
    double delay = (double)settings->base_ns;
    double factor = settings->multiplier;
    int64_t exponent = attempt - 1;
    if (delay == 0) {
        return 0;
    }
    /* By squaring: a dozen steps for any attempt; infinity exceeds the maximum too. */
    while (exponent > 0 && delay < most) {
        if (exponent & 1) {
            delay *= factor;
        }
        factor *= factor;
        exponent >>= 1;
    }
    return delay < most ? (int64_t)delay : settings->max_ns;
}

static inline int64_t cqrs_retry_jittered(
    cqrs_retry *retry, int32_t jitter, int64_t ceiling
) {
    int64_t least = 0;
    int64_t delay;
    if (jitter == CQRS_JITTER_NONE) {
        return ceiling;
    }
    if (jitter == CQRS_JITTER_EQUAL) {
        least = ceiling / 2;
    }
    delay = least
        + (int64_t)(cqrs_random_unit(&retry->random) * (double)(ceiling - least + 1));
    return delay < ceiling ? delay : ceiling;
}

static inline int cqrs_retry_slot(int64_t bucket) {
    int slot = (int)(bucket % CQRS_RETRY_RING);
    return slot < 0 ? slot + CQRS_RETRY_RING : slot;
}

/* Make the bucket of `now_ns` the present one, emptied of what it held a turn ago. */
static inline void cqrs_retry_turn(cqrs_retry *retry, int64_t now_ns) {
    int64_t length = retry->bucket_ns;
    int64_t bucket = now_ns / length - (now_ns % length < 0);
    int64_t cleared = bucket - retry->newest;
    int slot;
    if (cleared <= 0) {
        return;
    }
    if (cleared > CQRS_RETRY_RING) {
        cleared = CQRS_RETRY_RING;
    }
    for (retry->newest = bucket; cleared > 0; cleared--) {
        slot = cqrs_retry_slot(bucket - cleared + 1);
        retry->deposits[slot] = retry->withdrawn[slot] = 0;
    }
}

/* What retries may still take; below 0 while deposits ran out before withdrawals. */
static inline int64_t cqrs_retry_credit(const cqrs_retry *retry, int64_t reserve) {
    int64_t credit = reserve;
    int index;
    for (index = 0; index < CQRS_RETRY_RING; index++) {
        credit += retry->deposits[index] - retry->withdrawn[index];
    }
    /* The one after the present is the oldest. */
    return credit - retry->deposits[cqrs_retry_slot(retry->newest + 1)];
}

static inline void cqrs_retry_init(
    cqrs_retry *retry, int64_t length, uint64_t seed, int64_t now_ns
) {
    *retry = (cqrs_retry){.bucket_ns = length};
    cqrs_lock_init(&retry->lock);
    retry->random.state = seed;
    retry->newest = now_ns / length - (now_ns % length < 0);
}

/* Let buckets be so long; credits go on to count, for one more life if that changes. */
static inline void cqrs_retry_rebucket(
    cqrs_retry *retry, int64_t length, int64_t now_ns
) {
    int64_t deposits = 0;
    int64_t withdrawn = 0;
    int index;
    cqrs_acquire(&retry->lock);
    cqrs_retry_turn(retry, now_ns);
    if (length != retry->bucket_ns) {
        retry->deposits[cqrs_retry_slot(retry->newest + 1)] = 0;
        for (index = 0; index < CQRS_RETRY_RING; index++) {
            deposits += retry->deposits[index];
            withdrawn += retry->withdrawn[index];
            retry->deposits[index] = retry->withdrawn[index] = 0;
        }
        retry->newest = now_ns / length - (now_ns % length < 0);
        index = cqrs_retry_slot(retry->newest);
        retry->deposits[index] = deposits;
        retry->withdrawn[index] = withdrawn;
        retry->bucket_ns = length;
    }
    cqrs_release(&retry->lock);
}

/* Begin anew in the time of another clock, with nothing deposited. */
static inline void cqrs_retry_restart(cqrs_retry *retry, int64_t now_ns) {
    int64_t length = retry->bucket_ns;
    int index;
    cqrs_acquire(&retry->lock);
    for (index = 0; index < CQRS_RETRY_RING; index++) {
        retry->deposits[index] = retry->withdrawn[index] = 0;
    }
    retry->newest = now_ns / length - (now_ns % length < 0);
    cqrs_release(&retry->lock);
}

/* A first attempt begins. */
static inline void cqrs_retry_first(
    cqrs_retry *retry, const cqrs_retry_settings *settings, int64_t now_ns
) {
    cqrs_acquire(&retry->lock);
    if (settings->percent > 0) {
        cqrs_retry_turn(retry, now_ns);
        retry->deposits[cqrs_retry_slot(retry->newest)] += settings->percent;
    }
    cqrs_release(&retry->lock);
}

/* Attempt number `attempt` has failed: what now. Sets the delay for AGAIN.
 *
 * `after_ns` is the delay that the error asks for, 0 if none; `left_ns` the time in which
 * the next attempt may begin. Nothing is taken from the budget for any other answer.
 */
static inline int cqrs_retry_decide(
    cqrs_retry *retry, const cqrs_retry_settings *settings, int64_t attempt,
    int64_t after_ns, int64_t left_ns, int64_t now_ns, int64_t *delay_ns
) {
    int64_t delay;
    int answer = CQRS_RETRY_AGAIN;
    cqrs_acquire(&retry->lock);
    retry->counters.failed++;
    if (attempt >= settings->max_attempts) {
        retry->counters.exhausted++;
        cqrs_release(&retry->lock);
        return CQRS_RETRY_EXHAUSTED;
    }
    delay = cqrs_retry_jittered(
        retry, settings->jitter, cqrs_retry_ceiling(settings, attempt)
    );
    if (after_ns > settings->max_ns) {
        after_ns = settings->max_ns;
    }
    if (delay < after_ns) {
        delay = after_ns;
    }
    if (delay >= left_ns) {
        retry->counters.too_late++;
        answer = CQRS_RETRY_TOO_LATE;
    } else {
        if (settings->percent > 0) {
            cqrs_retry_turn(retry, now_ns);
            if (cqrs_retry_credit(retry, settings->reserve) < CQRS_RETRY_PRICE) {
                answer = CQRS_RETRY_REFUSED;
            } else {
                retry->withdrawn[cqrs_retry_slot(retry->newest)] += CQRS_RETRY_PRICE;
            }
        }
        if (answer == CQRS_RETRY_AGAIN) {
            retry->counters.retries++;
        } else {
            retry->counters.refused++;
        }
    }
    cqrs_release(&retry->lock);
    *delay_ns = delay;
    return answer;
}

/* One consistent picture; `credit` is meaningless without a budget. */
static inline void cqrs_retry_observe(
    cqrs_retry *retry, const cqrs_retry_settings *settings, int64_t now_ns,
    cqrs_retry_counters *counters, int64_t *credit
) {
    cqrs_acquire(&retry->lock);
    cqrs_retry_turn(retry, now_ns);
    *counters = retry->counters;
    *credit = cqrs_retry_credit(retry, settings->reserve);
    cqrs_release(&retry->lock);
}

#endif
