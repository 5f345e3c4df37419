/* The circuit breaker: closed, open, half-open with leased probes, forced open, disabled.
 *
 * Every function takes the lock itself, touches no Python object, allocates nothing and
 * cannot fail. Time is what the caller passes. A lease that has run out is noticed by the
 * next call that is told the time, with the same result as if a timer had noticed it.
 */
#ifndef CQRS_FAST_CIRCUIT_BREAKER_H
#define CQRS_FAST_CIRCUIT_BREAKER_H

#include <stdatomic.h>
#include <stdint.h>

#include "lock.h"
#include "random.h"

enum {
    CQRS_BREAKER_CLOSED = 0,
    CQRS_BREAKER_OPEN = 1,
    CQRS_BREAKER_HALF_OPEN = 2,
    CQRS_BREAKER_FORCED_OPEN = 3,
    CQRS_BREAKER_DISABLED = 4
};

enum {
    CQRS_BREAKER_SUCCESS = 0,
    CQRS_BREAKER_FAILURE = 1,
    CQRS_BREAKER_IGNORED = 2,       /* cancelled, or rejected inside: permit back */
    CQRS_BREAKER_ANSWERED = 3       /* an ignored error of a handler that ran */
};

enum { CQRS_BREAKER_MOST_PROBES = 64, CQRS_BREAKER_MOST_CHANGES = 2 };

typedef struct {
    int64_t failure_threshold;      /* all three at least 1 */
    int64_t success_threshold;
    int64_t half_open_max_calls;    /* at most 64 */
    int64_t timeout_ns;
    int64_t probe_timeout_ns;       /* how long a lease lasts */
    int64_t max_timeout_ns;
    double timeout_multiplier;      /* at least 1 */
    double timeout_jitter;          /* from 0 to 1, of the timeout */
} cqrs_breaker_limits;

/* What a call holds from its admission to its completion; all zero is none. */
typedef struct {
    uint64_t token;                 /* the word at the admission */
    int64_t probe;                  /* 0: it is no probe; else its number, from 1 */
} cqrs_breaker_permit;

typedef struct {
    uint64_t number;                /* of the transition, from 1, without a gap */
    int64_t failures;               /* consecutive ones that were counted by then */
    int before, after;
} cqrs_breaker_change;

/* The transitions that one decision made, in order. */
typedef struct {
    cqrs_breaker_change made[CQRS_BREAKER_MOST_CHANGES];
    int count;
} cqrs_breaker_changes;

/* What can be seen at one time. */
typedef struct {
    int64_t failures, successes, probes;
    int64_t retry_after_ns;         /* 0: a call is admitted now; -1: unknown */
    uint64_t opened, rejected, late_results, generation;
    int state;                      /* half-open as soon as a call would be a probe */
} cqrs_breaker_picture;

typedef struct {
    cqrs_lock lock;
    /* generation * 4 + closed * 2 + without failures: all that the healthy path reads */
    _Atomic uint64_t word;
    uint64_t generation;            /* one more with every transition and reset */
    int64_t failures;               /* consecutive */
    int64_t successes;              /* of probes since it is half-open */
    uint64_t probes;                /* a bit for each probe in flight … */
    int64_t leases[CQRS_BREAKER_MOST_PROBES];   /* … and when its lease ends */
    int64_t opened_at_ns;
    int64_t open_for_ns;            /* with jitter */
    int64_t plain_ns;               /* the same without: what the multiplier works on */
    uint64_t transitions, opened, rejected, late_results;
    cqrs_breaker_limits limits;
    cqrs_random random;
    int state;
} cqrs_breaker;

/* The functions down to the next heading run under the lock. */

static inline int64_t cqrs_breaker_sum(int64_t one, int64_t other) {
    int64_t sum;
    return __builtin_add_overflow(one, other, &sum) ? INT64_MAX : sum;
}

static inline void cqrs_breaker_publish(cqrs_breaker *b) {
    uint64_t word = b->generation << 2;
    if (b->state == CQRS_BREAKER_CLOSED) {
        word |= b->failures == 0 ? 3 : 2;
    }
    atomic_store_explicit(&b->word, word, memory_order_release);
}

/* Begin a new generation in `state`: what is in flight no longer counts. */
static inline void cqrs_breaker_turn(
    cqrs_breaker *b, int state, cqrs_breaker_changes *changes
) {
    if (state != b->state) {
        cqrs_breaker_change *change = &changes->made[changes->count++];
        change->number = ++b->transitions;
        change->failures = b->failures;
        change->before = b->state;
        change->after = state;
    }
    b->state = state;
    b->generation++;
    b->successes = 0;
    b->probes = 0;
    cqrs_breaker_publish(b);
}

/* Open at `at_ns`, for longer than before if `longer`. */
static inline void cqrs_breaker_open(
    cqrs_breaker *b, int64_t at_ns, int longer, cqrs_breaker_changes *changes
) {
    const cqrs_breaker_limits *limits = &b->limits;
    double wanted_ns = (double)b->plain_ns * limits->timeout_multiplier;
    if (!longer || limits->timeout_multiplier == 1.0) {
        b->plain_ns = limits->timeout_ns;
    } else if (wanted_ns >= (double)limits->max_timeout_ns) {
        b->plain_ns = limits->max_timeout_ns;
    } else {
        b->plain_ns = (int64_t)wanted_ns;
    }
    b->open_for_ns = b->plain_ns;
    if (limits->timeout_jitter > 0) {
        double swing = 2 * cqrs_random_unit(&b->random) - 1;
        b->open_for_ns +=
            (int64_t)((double)b->plain_ns * limits->timeout_jitter * swing);
        if (b->open_for_ns < 1) {
            b->open_for_ns = 1;
        }
    }
    b->opened_at_ns = at_ns;
    b->opened++;
    cqrs_breaker_turn(b, CQRS_BREAKER_OPEN, changes);
}

static inline int64_t cqrs_breaker_due(const cqrs_breaker *b) {
    return cqrs_breaker_sum(b->opened_at_ns, b->open_for_ns);
}

static inline int64_t cqrs_breaker_live(const cqrs_breaker *b) {
    return __builtin_popcountll(b->probes);
}

/* An unfinished probe whose lease has run out has failed when it did. */
static inline void cqrs_breaker_settle(
    cqrs_breaker *b, int64_t now_ns, cqrs_breaker_changes *changes
) {
    int64_t first_ns = INT64_MAX;
    uint64_t left;
    if (b->state != CQRS_BREAKER_HALF_OPEN || b->probes == 0) {
        return;
    }
    for (left = b->probes; left != 0; left &= left - 1) {
        int64_t lease_ns = b->leases[__builtin_ctzll(left)];
        first_ns = lease_ns < first_ns ? lease_ns : first_ns;
    }
    if (now_ns >= first_ns) {
        b->failures++;
        cqrs_breaker_open(b, first_ns, 0, changes);
    }
}

/* How long until a call is admitted: 0 is now, -1 nobody knows. */
static inline int64_t cqrs_breaker_wait(const cqrs_breaker *b, int64_t now_ns) {
    int64_t due_ns = cqrs_breaker_due(b);
    int64_t wait_ns;
    switch (b->state) {
    case CQRS_BREAKER_OPEN:
        if (now_ns >= due_ns) {
            return 0;
        }
        return __builtin_sub_overflow(due_ns, now_ns, &wait_ns) ? INT64_MAX : wait_ns;
    case CQRS_BREAKER_HALF_OPEN:
        return cqrs_breaker_live(b) < b->limits.half_open_max_calls ? 0 : -1;
    case CQRS_BREAKER_FORCED_OPEN:
        return -1;
    default:
        return 0;
    }
}

static inline void cqrs_breaker_picture_of(
    const cqrs_breaker *b, int64_t now_ns, cqrs_breaker_picture *picture
) {
    picture->state = b->state;
    picture->failures = b->failures;
    picture->successes = b->successes;
    picture->probes = cqrs_breaker_live(b);
    picture->retry_after_ns = cqrs_breaker_wait(b, now_ns);
    picture->opened = b->opened;
    picture->rejected = b->rejected;
    picture->late_results = b->late_results;
    picture->generation = b->generation;
    if (b->state == CQRS_BREAKER_OPEN && picture->retry_after_ns == 0) {
        picture->state = CQRS_BREAKER_HALF_OPEN;
    }
}

static inline void cqrs_breaker_count(
    cqrs_breaker *b, int64_t now_ns, int64_t probe, int outcome,
    cqrs_breaker_changes *changes
) {
    if (b->state == CQRS_BREAKER_HALF_OPEN) {
        uint64_t bit = probe == 0 ? 0 : (uint64_t)1 << (probe - 1);
        if ((b->probes & bit) == 0) {
            return;
        }
        b->probes &= ~bit;
        if (outcome == CQRS_BREAKER_FAILURE) {
            b->failures++;
            cqrs_breaker_open(b, now_ns, 1, changes);
        } else if (outcome != CQRS_BREAKER_IGNORED) {
            b->successes++;
            if (b->successes >= b->limits.success_threshold) {
                b->failures = 0;
                cqrs_breaker_turn(b, CQRS_BREAKER_CLOSED, changes);
            }
        }
    } else if (b->state == CQRS_BREAKER_CLOSED) {
        if (outcome == CQRS_BREAKER_FAILURE) {
            b->failures++;
            if (b->failures >= b->limits.failure_threshold) {
                cqrs_breaker_open(b, now_ns, 0, changes);
                return;
            }
        } else if (outcome == CQRS_BREAKER_SUCCESS) {
            b->failures = 0;
        }
        cqrs_breaker_publish(b);
    }
}

/* What callers use. */

static inline void cqrs_breaker_init(
    cqrs_breaker *b, const cqrs_breaker_limits *limits, uint64_t seed
) {
    *b = (cqrs_breaker){.generation = 1, .limits = *limits, .random = {seed}};
    cqrs_lock_init(&b->lock);
    cqrs_breaker_publish(b);
}

/* Go on with other limits; what is counted and what is open stay as they are. */
static inline void cqrs_breaker_configure(
    cqrs_breaker *b, const cqrs_breaker_limits *limits
) {
    cqrs_acquire(&b->lock);
    b->limits = *limits;
    cqrs_release(&b->lock);
}

/* Admit a call if the breaker is closed, with one load; else ask cqrs_breaker_admit. */
static inline int cqrs_breaker_passes(cqrs_breaker *b, cqrs_breaker_permit *permit) {
    uint64_t word = atomic_load_explicit(&b->word, memory_order_acquire);
    permit->token = word;
    return (word & 2) != 0;
}

/* Whether a success with this permit would write nothing, with one load. */
static inline int cqrs_breaker_unmoved(
    cqrs_breaker *b, const cqrs_breaker_permit *permit
) {
    uint64_t word = atomic_load_explicit(&b->word, memory_order_acquire);
    return permit->token == word && (word & 3) == 3;
}

/* Admit a call or not. `seen` is filled in for one that is not; a `permit` is given to
   one that is, and must come back to cqrs_breaker_record. */
static inline int cqrs_breaker_admit(
    cqrs_breaker *b, int64_t now_ns, cqrs_breaker_permit *permit,
    cqrs_breaker_picture *seen, cqrs_breaker_changes *changes
) {
    int admitted = 1;
    changes->count = 0;
    permit->token = 0;
    permit->probe = 0;
    cqrs_acquire(&b->lock);
    cqrs_breaker_settle(b, now_ns, changes);
    if (b->state == CQRS_BREAKER_OPEN && now_ns >= cqrs_breaker_due(b)) {
        cqrs_breaker_turn(b, CQRS_BREAKER_HALF_OPEN, changes);
    }
    if (cqrs_breaker_wait(b, now_ns) != 0) {
        admitted = 0;
        b->rejected++;
        cqrs_breaker_picture_of(b, now_ns, seen);
    } else {
        permit->token = atomic_load_explicit(&b->word, memory_order_relaxed);
        if (b->state == CQRS_BREAKER_HALF_OPEN) {
            int free = __builtin_ctzll(~b->probes);
            b->probes |= (uint64_t)1 << free;
            b->leases[free] = cqrs_breaker_sum(now_ns, b->limits.probe_timeout_ns);
            permit->probe = free + 1;
        }
    }
    cqrs_release(&b->lock);
    return admitted;
}

/* Take a permit back with the outcome of its call; an empty one counts nothing. The time
   matters for failures and for probes only. */
static inline void cqrs_breaker_record(
    cqrs_breaker *b, int64_t now_ns, cqrs_breaker_permit *permit, int outcome,
    cqrs_breaker_changes *changes
) {
    uint64_t token = permit->token;
    int64_t probe = permit->probe;
    changes->count = 0;
    permit->token = 0;
    permit->probe = 0;
    if (token == 0) {
        return;
    }
    cqrs_acquire(&b->lock);
    if (probe != 0) {
        cqrs_breaker_settle(b, now_ns, changes);
    }
    if (token >> 2 != b->generation) {
        b->late_results++;
    } else {
        cqrs_breaker_count(b, now_ns, probe, outcome, changes);
    }
    cqrs_release(&b->lock);
}

/* Close it with nothing counted, force it open, or disable it. */
static inline void cqrs_breaker_force(
    cqrs_breaker *b, int state, cqrs_breaker_changes *changes
) {
    changes->count = 0;
    cqrs_acquire(&b->lock);
    if (state == CQRS_BREAKER_CLOSED) {
        b->failures = 0;
        cqrs_breaker_turn(b, state, changes);
    } else if (state != b->state) {
        cqrs_breaker_turn(b, state, changes);
    }
    cqrs_release(&b->lock);
}

/* Fill in `seen` as of `now_ns`; takes no permit. */
static inline void cqrs_breaker_look(
    cqrs_breaker *b, int64_t now_ns, cqrs_breaker_picture *seen,
    cqrs_breaker_changes *changes
) {
    changes->count = 0;
    cqrs_acquire(&b->lock);
    cqrs_breaker_settle(b, now_ns, changes);
    cqrs_breaker_picture_of(b, now_ns, seen);
    cqrs_release(&b->lock);
}

#endif
