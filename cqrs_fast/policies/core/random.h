/* Random numbers for jitter: SplitMix64 (Guy Steele and others), seeded by its owner.
 *
 * Not for secrets. The state belongs to a policy's state and is changed under its lock.
 */
#ifndef CQRS_FAST_RANDOM_H
#define CQRS_FAST_RANDOM_H

#include <stdint.h>

typedef struct { uint64_t state; } cqrs_random;

static inline uint64_t cqrs_random_bits(cqrs_random *random) {
    uint64_t z = (random->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* At least 0 and less than 1. */
static inline double cqrs_random_unit(cqrs_random *random) {
    return (double)(cqrs_random_bits(random) >> 11) * 0x1.0p-53;
}

#endif
