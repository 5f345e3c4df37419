/* The breaker's functions as a shared library, for a test that explores their states. */
#include <stddef.h>

#include "cqrs_fast/policies/core/circuit_breaker.h"

size_t breaker_size(void) {
    return sizeof(cqrs_breaker);
}

void breaker_init(cqrs_breaker *b, const cqrs_breaker_limits *limits) {
    cqrs_breaker_init(b, limits, 1);
}

/* As a caller does: the quick way first. */
int breaker_admit(
    cqrs_breaker *b, int64_t now_ns, cqrs_breaker_permit *permit,
    cqrs_breaker_picture *seen, cqrs_breaker_changes *changes
) {
    permit->probe = 0;
    changes->count = 0;
    if (cqrs_breaker_passes(b, permit)) {
        return 1;
    }
    return cqrs_breaker_admit(b, now_ns, permit, seen, changes);
}

void breaker_record(
    cqrs_breaker *b, int64_t now_ns, cqrs_breaker_permit *permit, int outcome,
    cqrs_breaker_changes *changes
) {
    changes->count = 0;
    if (outcome == CQRS_BREAKER_SUCCESS && cqrs_breaker_unmoved(b, permit)) {
        return;
    }
    cqrs_breaker_record(b, now_ns, permit, outcome, changes);
}

void breaker_force(cqrs_breaker *b, int state, cqrs_breaker_changes *changes) {
    cqrs_breaker_force(b, state, changes);
}

void breaker_look(
    cqrs_breaker *b, int64_t now_ns, cqrs_breaker_picture *seen,
    cqrs_breaker_changes *changes
) {
    cqrs_breaker_look(b, now_ns, seen, changes);
}
