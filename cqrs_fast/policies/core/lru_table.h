/* What the table of lru.h is made of: nodes, index and their growth. Only for lru.h. */
#ifndef CQRS_FAST_LRU_TABLE_H
#define CQRS_FAST_LRU_TABLE_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#define CQRS_LRU_NEVER INT64_MAX
#define CQRS_LRU_EMPTY UINT32_MAX   /* in the index; no id has all bits set */
#define CQRS_LRU_MOST (1 << 30)     /* entries */
#define CQRS_LRU_RESTARTS 100
#define CQRS_LRU_EXPIRED_PER_INSERT 4

#define CQRS_LRU_INLINE static inline __attribute__((always_inline))
#define CQRS_LRU_COLD static __attribute__((noinline, unused))

typedef struct {
    uint32_t hash, group_hash;
    PyObject *key;              /* NULL: a free node, linked by next */
    PyObject *scope;            /* or NULL */
    PyObject *value;
    PyObject *extra;            /* or NULL */
    int64_t expires_ns;
    uint32_t prev, next;        /* in order of use */
    uint32_t group_prev, group_next;
} cqrs_lru_node;                /* one cache line */

typedef struct {
    cqrs_lru_node *nodes;       /* aligned to cache lines; NULL before the first */
    uint32_t *index;            /* (hash << bits) | id, from hash >> shift on */
    uint32_t *groups;           /* first ids by group_hash >> shift, or NULL */
    uint32_t bits, shift, mask;
    uint32_t size, max;
    uint32_t expiring;          /* entries that expire at all */
    uint32_t dead;              /* removed entries, linked by next */
    uint32_t unused;            /* free nodes, linked by next */
    uint32_t used, capacity;    /* nodes: ever used, allocated */
    uint32_t with_groups;
    uint64_t version;           /* counts what moves entries in the index */
    char *memory;               /* what `nodes` is in */
} cqrs_lru;

/* Whether a node, a candidate of the right hash, is what is looked for: 1, 0 or -1 with
   an exception. It may run Python code; the node is only to be read before that. */
typedef int (*cqrs_lru_eq)(const cqrs_lru_node *node, PyObject *key, PyObject *scope);

/* The index before the first entry. Each module that includes this has its own, so a
   table is told to be on it by its bits. */
static uint32_t cqrs_lru_no_index[2] = {CQRS_LRU_EMPTY, CQRS_LRU_EMPTY};

static inline void cqrs_lru_init(cqrs_lru *t, uint32_t max, int with_groups) {
    memset(t, 0, sizeof(*t));
    t->index = cqrs_lru_no_index;
    t->bits = t->mask = 1;
    t->shift = 31;
    t->max = max;
    t->with_groups = with_groups != 0;
}

/* ------------------------------------------------------------------ the index ---- */

CQRS_LRU_INLINE uint32_t cqrs_lru_slot_of(const cqrs_lru *t, uint32_t id) {
    return (t->nodes[id].hash << t->bits) | id;
}

CQRS_LRU_INLINE void cqrs_lru_index_add(cqrs_lru *t, uint32_t id) {
    uint32_t at = t->nodes[id].hash >> t->shift;
    while (t->index[at] != CQRS_LRU_EMPTY) {
        at = (at + 1) & t->mask;
    }
    t->index[at] = cqrs_lru_slot_of(t, id);
}

/* Close the gap, so that no search ever meets the mark of a removed entry. */
CQRS_LRU_INLINE void cqrs_lru_index_remove(cqrs_lru *t, uint32_t id) {
    uint32_t wanted = cqrs_lru_slot_of(t, id), mask = t->mask, *index = t->index;
    uint32_t hole = t->nodes[id].hash >> t->shift, at, slot, home;
    while (index[hole] != wanted) {
        hole = (hole + 1) & mask;
    }
    for (at = (hole + 1) & mask; (slot = index[at]) != CQRS_LRU_EMPTY;
         at = (at + 1) & mask) {
        home = t->nodes[slot & mask].hash >> t->shift;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            index[hole] = slot;
            hole = at;
        }
    }
    index[hole] = CQRS_LRU_EMPTY;
    t->version++;
}

CQRS_LRU_INLINE void cqrs_lru_group_add(cqrs_lru *t, uint32_t id) {
    cqrs_lru_node *n = &t->nodes[id];
    uint32_t *first = &t->groups[n->group_hash >> t->shift];
    n->group_prev = 0;
    n->group_next = *first;
    if (*first) {
        t->nodes[*first].group_prev = id;
    }
    *first = id;
}

CQRS_LRU_INLINE void cqrs_lru_group_remove(cqrs_lru *t, uint32_t id) {
    cqrs_lru_node *n = &t->nodes[id];
    if (n->group_prev) {
        t->nodes[n->group_prev].group_next = n->group_next;
    } else {
        t->groups[n->group_hash >> t->shift] = n->group_next;
    }
    if (n->group_next) {
        t->nodes[n->group_next].group_prev = n->group_prev;
    }
}

/* ------------------------------------------------------------------ growth ------- */

CQRS_LRU_COLD int cqrs_lru_grow_nodes(cqrs_lru *t, uint32_t capacity) {
    const size_t line = sizeof(cqrs_lru_node);
    size_t before = t->memory == NULL ? 0 : (size_t)((char *)t->nodes - t->memory);
    char *memory = PyMem_RawRealloc(t->memory, ((size_t)capacity + 1) * line);
    if (memory == NULL) {
        return -1;
    }
    size_t after = (line - (uintptr_t)memory % line) % line;
    if (t->used && after != before) {
        memmove(memory + after, memory + before, t->used * line);
    }
    t->memory = memory;
    t->nodes = (cqrs_lru_node *)(void *)(memory + after);
    t->capacity = capacity;
    if (t->used == 0) {
        memset(t->nodes, 0, line);
        t->used = 1;
    }
    return 0;
}

CQRS_LRU_COLD int cqrs_lru_grow_index(cqrs_lru *t, uint32_t bits) {
    size_t slots = (size_t)1 << bits;
    uint32_t *index = PyMem_RawMalloc(slots * sizeof(*index));
    uint32_t *groups = NULL;
    if (index == NULL) {
        return -1;
    }
    if (t->with_groups) {
        groups = PyMem_RawCalloc(slots, sizeof(*groups));
        if (groups == NULL) {
            PyMem_RawFree(index);
            return -1;
        }
        PyMem_RawFree(t->groups);
        t->groups = groups;
    }
    if (t->bits > 1) {
        PyMem_RawFree(t->index);
    }
    memset(index, 0xff, slots * sizeof(*index));
    t->index = index;
    t->bits = bits;
    t->shift = 32 - bits;
    t->mask = (uint32_t)(slots - 1);
    t->version++;
    for (uint32_t id = t->size ? t->nodes[0].next : 0; id; id = t->nodes[id].next) {
        cqrs_lru_index_add(t, id);
        if (t->with_groups) {
            cqrs_lru_group_add(t, id);
        }
    }
    return 0;
}

/* Make room for one more node. The index is at most three fifths full, as is every
   table that a failure leaves behind. */
CQRS_LRU_COLD int cqrs_lru_grow(cqrs_lru *t) {
    uint64_t wanted = (uint64_t)t->capacity + t->capacity / 2 + 7;
    uint64_t enough = (uint64_t)t->max + 1 + CQRS_LRU_EXPIRED_PER_INSERT + 1;
    uint32_t bits = t->bits;
    if (wanted > enough && enough > t->capacity) {
        wanted = enough;
    }
    while (wanted * 5 > ((uint64_t)3 << bits)) {
        bits++;
    }
    if (bits > 31 || (bits != t->bits && cqrs_lru_grow_index(t, bits) < 0)) {
        return -1;
    }
    return cqrs_lru_grow_nodes(t, (uint32_t)wanted);
}

#endif
