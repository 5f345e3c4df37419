/* Hold the slots of a pool to a plain model of them.
 *
 *     pool_slots [threads [operations [seed]]]
 *
 * Each thread has pools of its own, of many sizes, as they have no lock: `operations`
 * are done by each. Objects are addresses; half of the pools put them in a crowd.
 * Ends with 1 and a line that says what was broken.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cqrs_fast/policies/core/pool_slots.h"
#include "cqrs_fast/policies/core/random.h"

enum { MOST_THREADS = 64, MOST_SIZE = 40, OBJECTS = 64, EACH_POOL = 2000 };

typedef enum { ABSENT, LENT, TAKEN_BACK, IDLE } state;

typedef struct {
    cqrs_pool_slots pool;
    uint32_t size;
    uint64_t spread;                /* between the addresses of two objects */
    state states[OBJECTS];
    uint32_t slots[OBJECTS];        /* of those that are not absent */
    uint32_t rounds[MOST_SIZE + 1];  /* of the last loan of each slot */
    int stack[OBJECTS];             /* the idle ones, the next one last */
    uint32_t held, idle;
} model;

static struct {
    int64_t operations;
    uint64_t seed;
} shared;

static void fail(const char *what) {
    fprintf(
        stderr, "pool_slots: %s (seed %llu)\n", what, (unsigned long long)shared.seed
    );
    exit(1);
}

static void *address(const model *it, int object) {
    return (void *)(uintptr_t)((uint64_t)(object + 1) * it->spread);
}

static void begin(model *it, cqrs_random *random) {
    *it = (model){.size = 1 + (uint32_t)(cqrs_random_bits(random) % MOST_SIZE)};
    /* 2**40 apart they share few homes: low bits of the product stay zero. */
    it->spread = UINT64_C(16) << (cqrs_random_bits(random) % 2 ? 36 : 0);
    cqrs_pool_empty(&it->pool);
    if (cqrs_pool_find(&it->pool, address(it, 0)) || cqrs_pool_lend(&it->pool)) {
        fail("an empty pool holds something");
    }
    if (!cqrs_pool_init(&it->pool, it->size)) {
        fail("no memory");
    }
}

static void became_lent(model *it, int object, uint32_t slot) {
    uint32_t round = it->pool.slots[slot].round;
    if (!cqrs_pool_is_lent(&it->pool, slot) || round == it->rounds[slot]) {
        fail("a new loan looks like none, or like an old one");
    }
    it->states[object] = LENT;
    it->slots[object] = slot;
    it->rounds[slot] = round;
}

static void add(model *it, int object) {
    uint32_t slot = cqrs_pool_add(&it->pool, address(it, object));
    if ((slot == 0) != (it->held == it->size) || slot > it->size) {
        fail("it took more than its size, or less");
    }
    if (slot == 0) {
        return;
    }
    for (int other = 0; other < OBJECTS; other++) {
        if (it->states[other] != ABSENT && it->slots[other] == slot) {
            fail("two objects are in one slot");
        }
    }
    it->held++;
    became_lent(it, object, slot);
}

static void lend(model *it) {
    uint32_t slot = cqrs_pool_lend(&it->pool);
    if ((slot == 0) != (it->idle == 0)) {
        fail("an idle object was not lent, or one that is not idle was");
    }
    if (slot != 0) {
        int object = it->stack[--it->idle];
        if (it->slots[object] != slot) {
            fail("what was lent is not what came back last");
        }
        became_lent(it, object, slot);
    }
}

static void step_on(model *it, int object, int keep) {
    uint32_t slot = it->slots[object];
    if (it->states[object] == LENT) {
        cqrs_pool_take_back(&it->pool, slot);
        it->states[object] = TAKEN_BACK;
    } else if (it->states[object] == TAKEN_BACK && keep) {
        cqrs_pool_shelve(&it->pool, slot);
        it->states[object] = IDLE;
        it->stack[it->idle++] = object;
    } else if (it->states[object] == TAKEN_BACK) {
        if (cqrs_pool_remove(&it->pool, slot) != address(it, object)) {
            fail("another object was removed");
        }
        it->states[object] = ABSENT;
        it->held--;
    }
}

static void look(const model *it) {
    if (it->pool.idle_count != it->idle || it->pool.used > it->size) {
        fail("it has lost count");
    }
    for (int object = 0; object < OBJECTS; object++) {
        uint32_t slot = cqrs_pool_find(&it->pool, address(it, object));
        if (slot != (it->states[object] == ABSENT ? 0 : it->slots[object])) {
            fail("an object is not found, or one that is gone is");
        }
        if (slot != 0
                && (cqrs_pool_is_lent(&it->pool, slot) != 0)
                    != (it->states[object] == LENT)) {
            fail("it is not lent, or looks so");
        }
    }
}

static void *hammer(void *argument) {
    cqrs_random random = {shared.seed + (uint64_t)(uintptr_t)argument * 7919};
    model it;
    begin(&it, &random);
    for (int64_t done = 0; done < shared.operations; done++) {
        int object = (int)(cqrs_random_bits(&random) % OBJECTS);
        if (done % EACH_POOL == EACH_POOL - 1) {
            look(&it);
            cqrs_pool_free(&it.pool);
            begin(&it, &random);
        }
        if (cqrs_random_bits(&random) % 4 == 0) {
            lend(&it);
        } else if (it.states[object] == ABSENT) {
            add(&it, object);
        } else {
            step_on(&it, object, cqrs_random_bits(&random) % 2 == 0);
        }
        if (done % 16 == 0) {
            look(&it);
        }
    }
    cqrs_pool_free(&it.pool);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t ids[MOST_THREADS];
    int64_t threads = argc > 1 ? atoll(argv[1]) : 8;
    shared.operations = argc > 2 ? atoll(argv[2]) : 200000;
    shared.seed = argc > 3 ? (uint64_t)atoll(argv[3]) : 1;
    if (threads < 1 || threads > MOST_THREADS || shared.operations < 1) {
        fprintf(stderr, "pool_slots [threads <= 64 [operations >= 1 [seed]]]\n");
        return 2;
    }
    for (int64_t index = 0; index < threads; index++) {
        if (pthread_create(&ids[index], NULL, hammer, (void *)(uintptr_t)(index + 1))) {
            fail("no thread");
        }
    }
    for (int64_t index = 0; index < threads; index++) {
        pthread_join(ids[index], NULL);
    }
    printf(
        "pool_slots: %lld operations by %lld threads\n",
        (long long)(threads * shared.operations), (long long)threads
    );
    return 0;
}
