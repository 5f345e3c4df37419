/* The structure of a table of lru.h, checked as a whole; for tests. */
#ifndef CQRS_FAST_LRU_CHECK_H
#define CQRS_FAST_LRU_CHECK_H

#include "lru.h"

/* Walk everything; return NULL, or what is wrong. */
CQRS_LRU_COLD const char *cqrs_lru_check(const cqrs_lru *t) {
    uint64_t seen = 0, expiring = 0, grouped = 0, occupied = 0, idle = 0, last = 0;
    if (t->size > t->max) {
        return "more entries than the maximum";
    }
    if (t->nodes == NULL) {
        return t->size || t->dead || t->unused || t->used
            ? "entries in no array" : NULL;
    }
    for (uint32_t id = t->nodes[0].next; id; last = id, id = t->nodes[id].next) {
        const cqrs_lru_node *n = &t->nodes[id];
        if (id >= t->used || ++seen > t->size) {
            return "the order of use leads astray";
        }
        if (n->key == NULL || n->value == NULL || n->prev != last) {
            return "an entry is not whole";
        }
        expiring += n->expires_ns != CQRS_LRU_NEVER;
        uint32_t at = n->hash >> t->shift;
        while (t->index[at] != cqrs_lru_slot_of(t, id)) {
            if (t->index[at] == CQRS_LRU_EMPTY) {
                return "an entry cannot be found";
            }
            at = (at + 1) & t->mask;
        }
    }
    if (seen != t->size || t->nodes[0].prev != last || expiring != t->expiring) {
        return "entries are counted wrong";
    }
    for (uint64_t at = 0; at <= t->mask; at++) {
        occupied += t->index[at] != CQRS_LRU_EMPTY;
        uint32_t before = 0;
        for (uint32_t id = t->with_groups ? t->groups[at] : 0; id; before = id,
             id = t->nodes[id].group_next) {
            if (t->nodes[id].group_prev != before || ++grouped > t->size
                    || t->nodes[id].group_hash >> t->shift != at) {
                return "a group leads astray";
            }
        }
    }
    if (occupied != t->size || (t->with_groups && grouped != t->size)) {
        return "the index holds what is no entry";
    }
    for (uint32_t id = t->dead; id; id = t->nodes[id].next, idle++) {
        if (id >= t->used || idle > t->used || t->nodes[id].key == NULL) {
            return "a dead entry is not whole";
        }
    }
    for (uint32_t id = t->unused; id; id = t->nodes[id].next, idle++) {
        if (id >= t->used || idle > t->used || t->nodes[id].key != NULL) {
            return "a free node is in use";
        }
    }
    return seen + idle + 1 == t->used && t->used <= t->capacity
        ? NULL : "nodes are lost";
}

/* How many places of the index are looked at, in all, to find each entry once. */
CQRS_LRU_COLD uint64_t cqrs_lru_probes(const cqrs_lru *t) {
    uint64_t probes = 0;
    for (uint32_t id = t->size ? t->nodes[0].next : 0; id; id = t->nodes[id].next) {
        uint32_t at = t->nodes[id].hash >> t->shift;
        for (; t->index[at] != cqrs_lru_slot_of(t, id); at = (at + 1) & t->mask) {
            probes++;
        }
        probes++;
    }
    return probes;
}

#endif
