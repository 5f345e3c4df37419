/* The objects of a pool: which ones it has, which of them are idle.
 *
 * A slot is a number from 1 on; 0 is none. An object is found by its identity in a table
 * with open addressing, which is at most half full. Idle slots are a stack through `next`,
 * and so are those that hold nothing. The slots own what is in them. Nothing here runs
 * Python code, allocates after init or fails.
 */
#ifndef CQRS_FAST_POOL_SLOTS_H
#define CQRS_FAST_POOL_SLOTS_H

#include <stdint.h>
#include <stdlib.h>

typedef struct {
    void *object;
    uint32_t next;
    uint32_t round;     /* odd while it is lent; another one each time */
} cqrs_pool_slot;

typedef struct {
    cqrs_pool_slot *slots;
    uint32_t *table;
    uint64_t mask;
    uint32_t size;
    uint32_t used;      /* slots that ever held something */
    uint32_t vacant;    /* of them, the first that holds nothing now */
    uint32_t idle;      /* the one that is lent next */
    uint32_t idle_count;
} cqrs_pool_slots;

static uint32_t cqrs_pool_no_table[1];

static inline void cqrs_pool_empty(cqrs_pool_slots *pool) {
    *pool = (cqrs_pool_slots){.table = cqrs_pool_no_table};
}

/* Make room for `size` objects, at most 2**30; 0 where there is no memory. */
static int cqrs_pool_init(cqrs_pool_slots *pool, uint32_t size) {
    uint64_t entries = 2;
    while (entries < 2 * (uint64_t)size) {
        entries *= 2;
    }
    cqrs_pool_empty(pool);
    /* Large ones are zero pages, which cost nothing until they are used. */
    pool->slots = calloc((size_t)size + 1, sizeof(cqrs_pool_slot));
    uint32_t *table = calloc(entries, sizeof(uint32_t));
    if (pool->slots == NULL || table == NULL) {
        free(pool->slots);
        free(table);
        pool->slots = NULL;
        return 0;
    }
    pool->table = table;
    pool->mask = entries - 1;
    pool->size = size;
    return 1;
}

/* Free the arrays; what the slots own was taken out before. */
static void cqrs_pool_free(cqrs_pool_slots *pool) {
    free(pool->slots);
    if (pool->table != cqrs_pool_no_table) {
        free(pool->table);
    }
    cqrs_pool_empty(pool);
}

static inline uint64_t cqrs_pool_home(const cqrs_pool_slots *pool, const void *object) {
    /* Addresses are multiples of 16. */
    uint64_t hash = ((uint64_t)(uintptr_t)object >> 4) * UINT64_C(0x9E3779B97F4A7C15);
    return (hash >> 32) & pool->mask;
}

static inline uint32_t cqrs_pool_find(const cqrs_pool_slots *pool, const void *object) {
    uint64_t place = cqrs_pool_home(pool, object);
    uint32_t slot;
    while ((slot = pool->table[place]) != 0) {
        if (pool->slots[slot].object == object) {
            return slot;
        }
        place = (place + 1) & pool->mask;
    }
    return 0;
}

static inline int cqrs_pool_is_lent(const cqrs_pool_slots *pool, uint32_t slot) {
    return pool->slots[slot].round & 1;
}

/* Lend the object that came back last; 0 where none is idle. */
static inline uint32_t cqrs_pool_lend(cqrs_pool_slots *pool) {
    uint32_t slot = pool->idle;
    if (slot != 0) {
        pool->idle = pool->slots[slot].next;
        pool->idle_count--;
        pool->slots[slot].round++;
    }
    return slot;
}

/* It is not lent any more, and not idle yet. */
static inline void cqrs_pool_take_back(cqrs_pool_slots *pool, uint32_t slot) {
    pool->slots[slot].round++;
}

static inline void cqrs_pool_shelve(cqrs_pool_slots *pool, uint32_t slot) {
    pool->slots[slot].next = pool->idle;
    pool->idle = slot;
    pool->idle_count++;
}

/* Own a new object, lent; 0 where every slot holds one. */
static uint32_t cqrs_pool_add(cqrs_pool_slots *pool, void *object) {
    uint32_t slot = pool->vacant;
    uint64_t place = cqrs_pool_home(pool, object);
    if (slot != 0) {
        pool->vacant = pool->slots[slot].next;
    } else if (pool->used < pool->size) {
        slot = ++pool->used;
    } else {
        return 0;
    }
    while (pool->table[place] != 0) {
        place = (place + 1) & pool->mask;
    }
    pool->table[place] = slot;
    pool->slots[slot].object = object;
    pool->slots[slot].round++;
    return slot;
}

/* Give up an object that is neither lent nor idle: the caller owns it now. */
static void *cqrs_pool_remove(cqrs_pool_slots *pool, uint32_t slot) {
    void *object = pool->slots[slot].object;
    uint64_t hole = cqrs_pool_home(pool, object);
    while (pool->table[hole] != slot) {
        hole = (hole + 1) & pool->mask;
    }
    /* Entries behind it that were put there only because it was taken move up. */
    for (uint64_t place = (hole + 1) & pool->mask; pool->table[place] != 0;
         place = (place + 1) & pool->mask) {
        uint64_t home = cqrs_pool_home(pool, pool->slots[pool->table[place]].object);
        if (((place - home) & pool->mask) >= ((place - hole) & pool->mask)) {
            pool->table[hole] = pool->table[place];
            hole = place;
        }
    }
    pool->table[hole] = 0;
    pool->slots[slot].object = NULL;
    pool->slots[slot].next = pool->vacant;
    pool->vacant = slot;
    return object;
}

#endif
