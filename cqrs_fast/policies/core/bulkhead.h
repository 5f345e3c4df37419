/* The count of a bulkhead: who holds a permit, who waits for one.
 *
 * The owner keeps those who wait in order and takes the first of them out in the same step
 * in which it is told of a hand-over: a permit that is passed on is never free in between,
 * so nobody who arrives then can overtake.
 */
#ifndef CQRS_FAST_BULKHEAD_H
#define CQRS_FAST_BULKHEAD_H

#include <stdint.h>

#include "lock.h"

typedef struct {
    cqrs_lock lock;
    int64_t limit;
    int64_t in_flight;  /* above the limit for a while after that was lowered */
    int64_t waiting;
} cqrs_bulkhead;

enum { CQRS_BULKHEAD_FULL = -1, CQRS_BULKHEAD_ADMITTED = 0, CQRS_BULKHEAD_QUEUED = 1 };

static inline void cqrs_bulkhead_init(cqrs_bulkhead *bulkhead, int64_t limit) {
    cqrs_lock_init(&bulkhead->lock);
    bulkhead->limit = limit;
    bulkhead->in_flight = bulkhead->waiting = 0;
}

/* Take a permit, or a place among at most `max_queue` who wait. */
static inline int cqrs_bulkhead_enter(cqrs_bulkhead *bulkhead, int64_t max_queue) {
    int answer = CQRS_BULKHEAD_FULL;
    cqrs_acquire(&bulkhead->lock);
    if (bulkhead->in_flight < bulkhead->limit && bulkhead->waiting == 0) {
        bulkhead->in_flight++;
        answer = CQRS_BULKHEAD_ADMITTED;
    } else if (bulkhead->waiting < max_queue) {
        bulkhead->waiting++;
        answer = CQRS_BULKHEAD_QUEUED;
    }
    cqrs_release(&bulkhead->lock);
    return answer;
}

/* Under the lock. Whether the first who waits has a permit now. */
static inline int cqrs_bulkhead_pass(cqrs_bulkhead *bulkhead) {
    if (bulkhead->waiting == 0 || bulkhead->in_flight >= bulkhead->limit) {
        return 0;
    }
    bulkhead->waiting--;
    bulkhead->in_flight++;
    return 1;
}

/* Give a permit back. 1: it was handed over to the first who waits. */
static inline int cqrs_bulkhead_leave(cqrs_bulkhead *bulkhead) {
    int passed;
    cqrs_acquire(&bulkhead->lock);
    bulkhead->in_flight--;
    passed = cqrs_bulkhead_pass(bulkhead);
    cqrs_release(&bulkhead->lock);
    return passed;
}

/* One who waits does so no more. */
static inline void cqrs_bulkhead_give_up(cqrs_bulkhead *bulkhead) {
    cqrs_acquire(&bulkhead->lock);
    bulkhead->waiting--;
    cqrs_release(&bulkhead->lock);
}

/* Nobody holds a permit or waits any more: their threads are not in this process. */
static inline void cqrs_bulkhead_forget(cqrs_bulkhead *bulkhead) {
    cqrs_lock_init(&bulkhead->lock);
    bulkhead->in_flight = bulkhead->waiting = 0;
}

static inline void cqrs_bulkhead_resize(cqrs_bulkhead *bulkhead, int64_t limit) {
    cqrs_acquire(&bulkhead->lock);
    bulkhead->limit = limit;
    cqrs_release(&bulkhead->lock);
}

/* After a higher limit, until it says 0. 1: the first who waits was handed a permit. */
static inline int cqrs_bulkhead_admit_next(cqrs_bulkhead *bulkhead) {
    int passed;
    cqrs_acquire(&bulkhead->lock);
    passed = cqrs_bulkhead_pass(bulkhead);
    cqrs_release(&bulkhead->lock);
    return passed;
}

#endif
