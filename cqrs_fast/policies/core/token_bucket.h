/* An exact token bucket in 64-bit integers.
 *
 * Credit is counted in units of token * window: with limit and window (in ns) divided by
 * their greatest common divisor, every nanosecond earns `limit` units and a token costs
 * `cost` = window of them. No fraction is ever lost, so the rate does not drift. The
 * owner sees to 1 <= limit, 1 <= cost, 1 <= burst and burst * cost < 2^62.
 *
 * In any interval of t ns at most burst + t * limit / cost tokens are taken, by the
 * readings of the clock that are passed in. Time that goes back is no time at all.
 */
#ifndef CQRS_FAST_TOKEN_BUCKET_H
#define CQRS_FAST_TOKEN_BUCKET_H

#include <stdint.h>

#include "lock.h"

typedef struct {
    cqrs_lock lock;
    int64_t last_ns;    /* credit is as of then; never goes back */
    int64_t credit;
    int64_t cap;        /* burst * cost */
    int64_t limit;
    int64_t cost;
    uint64_t fill_ns;   /* long enough to fill it from nothing */
} cqrs_bucket;

static inline void cqrs_bucket_shape(
    cqrs_bucket *bucket, int64_t limit, int64_t cost, int64_t burst
) {
    bucket->limit = limit;
    bucket->cost = cost;
    bucket->cap = burst * cost;
    bucket->fill_ns = (uint64_t)(bucket->cap / limit) + 1;
}

/* A bucket starts full. */
static inline void cqrs_bucket_init(
    cqrs_bucket *bucket, int64_t limit, int64_t cost, int64_t burst
) {
    cqrs_lock_init(&bucket->lock);
    cqrs_bucket_shape(bucket, limit, cost, burst);
    bucket->last_ns = INT64_MIN;
    bucket->credit = bucket->cap;
}

/* Under the lock. The sum stays below 2^63: no term of it exceeds the cap. */
static inline void cqrs_bucket_refill(cqrs_bucket *bucket, int64_t now_ns) {
    uint64_t elapsed_ns;
    if (now_ns <= bucket->last_ns) {
        return;
    }
    elapsed_ns = (uint64_t)now_ns - (uint64_t)bucket->last_ns;
    bucket->last_ns = now_ns;
    if (elapsed_ns >= bucket->fill_ns) {
        bucket->credit = bucket->cap;
        return;
    }
    bucket->credit += (int64_t)elapsed_ns * bucket->limit;
    if (bucket->credit > bucket->cap) {
        bucket->credit = bucket->cap;
    }
}

/* Under the lock, refilled: how long from now until there are `need` units. */
static inline int64_t cqrs_bucket_until(
    const cqrs_bucket *bucket, int64_t now_ns, int64_t need
) {
    uint64_t wait_ns = 0;
    if (need > bucket->credit) {
        wait_ns = ((uint64_t)(need - bucket->credit) - 1) / (uint64_t)bucket->limit + 1;
    }
    if (bucket->last_ns > now_ns && wait_ns > 0) {
        /* The clock went back: nothing is earned before it has caught up. */
        wait_ns += (uint64_t)bucket->last_ns - (uint64_t)now_ns;
    }
    return wait_ns > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)wait_ns;
}

/* Take `n` >= 1 tokens. 0: taken; more: in how many ns they will be there; -1: never, for
   they are more than the burst. */
static inline int64_t cqrs_bucket_take(cqrs_bucket *bucket, int64_t now_ns, int64_t n) {
    int64_t need, wait_ns = 0;
    cqrs_acquire(&bucket->lock);
    cqrs_bucket_refill(bucket, now_ns);
    if (__builtin_mul_overflow(n, bucket->cost, &need) || need > bucket->cap) {
        wait_ns = -1;
    } else if (need <= bucket->credit) {
        bucket->credit -= need;
    } else {
        wait_ns = cqrs_bucket_until(bucket, now_ns, need);
    }
    cqrs_release(&bucket->lock);
    return wait_ns;
}

/* In how many ns `n` tokens will have come, for those who take them one by one: they may
   be more than the burst. Takes none. */
static inline int64_t cqrs_bucket_wait(cqrs_bucket *bucket, int64_t now_ns, int64_t n) {
    int64_t need, wait_ns;
    cqrs_acquire(&bucket->lock);
    cqrs_bucket_refill(bucket, now_ns);
    if (__builtin_mul_overflow(n, bucket->cost, &need)) {
        wait_ns = INT64_MAX;
    } else {
        wait_ns = cqrs_bucket_until(bucket, now_ns, need);
    }
    cqrs_release(&bucket->lock);
    return wait_ns;
}

static inline int64_t cqrs_bucket_remaining(cqrs_bucket *bucket, int64_t now_ns) {
    int64_t tokens;
    cqrs_acquire(&bucket->lock);
    cqrs_bucket_refill(bucket, now_ns);
    tokens = bucket->credit / bucket->cost;
    cqrs_release(&bucket->lock);
    return tokens;
}

/* The reading from which on it is full if nobody takes; INT64_MIN if it is by now. */
static inline int64_t cqrs_bucket_full_at(cqrs_bucket *bucket) {
    int64_t wait_ns, full_ns = INT64_MIN;
    cqrs_acquire(&bucket->lock);
    if (bucket->credit < bucket->cap) {
        wait_ns = (bucket->cap - bucket->credit - 1) / bucket->limit + 1;
        if (__builtin_add_overflow(bucket->last_ns, wait_ns, &full_ns)) {
            full_ns = INT64_MAX;
        }
    }
    cqrs_release(&bucket->lock);
    return full_ns;
}

static inline void cqrs_bucket_reset(cqrs_bucket *bucket) {
    cqrs_acquire(&bucket->lock);
    bucket->credit = bucket->cap;
    cqrs_release(&bucket->lock);
}

/* Go on in the time of another clock with the credit there is by now. */
static inline void cqrs_bucket_retime(
    cqrs_bucket *bucket, int64_t now_ns, int64_t other_now_ns
) {
    cqrs_acquire(&bucket->lock);
    cqrs_bucket_refill(bucket, now_ns);
    bucket->last_ns = other_now_ns;
    cqrs_release(&bucket->lock);
}

/* Another rate: the credit keeps its share of the cap, rounded down. */
static inline void cqrs_bucket_reshape(
    cqrs_bucket *bucket, int64_t now_ns, int64_t limit, int64_t cost, int64_t burst
) {
    int64_t old_cap;
    cqrs_acquire(&bucket->lock);
    cqrs_bucket_refill(bucket, now_ns);
    old_cap = bucket->cap;
    cqrs_bucket_shape(bucket, limit, cost, burst);
    bucket->credit = (int64_t)(
        (unsigned __int128)bucket->credit * (uint64_t)bucket->cap / (uint64_t)old_cap
    );
    cqrs_release(&bucket->lock);
}

/* Make `bucket`, which nobody else knows yet, what `other` is at `now_ns`. */
static inline void cqrs_bucket_copy(
    cqrs_bucket *bucket, cqrs_bucket *other, int64_t now_ns
) {
    cqrs_lock_init(&bucket->lock);
    cqrs_acquire(&other->lock);
    cqrs_bucket_refill(other, now_ns);
    bucket->last_ns = other->last_ns;
    bucket->credit = other->credit;
    bucket->cap = other->cap;
    bucket->limit = other->limit;
    bucket->cost = other->cost;
    bucket->fill_ns = other->fill_ns;
    cqrs_release(&other->lock);
}

#endif
