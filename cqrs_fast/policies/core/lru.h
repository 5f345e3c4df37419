/* A bounded table of Python objects in strict order of use, with expiry.
 *
 * Entries are nodes of one array, found through an index of open addressing (linear
 * probing, backward-shift deletion) and linked by their ids, which stay the same until
 * the entry goes. Node 0 is the head of the list: its next is the coldest, its prev the
 * one used last; as an id it stands for none.
 *
 * Python code runs only in cqrs_lru_find, which calls `eq`, and in cqrs_lru_release and
 * cqrs_lru_free, which drop references. A removed entry is dead until cqrs_lru_release: a
 * table is consistent whenever Python code runs.
 * Ids must not be kept over any of these. The GIL is what makes the functions atomic.
 */
#ifndef CQRS_FAST_LRU_H
#define CQRS_FAST_LRU_H

#include "lru_table.h"

/* Return the id of the entry of `key` and `scope`, 0 if there is none, -1 with an
   exception. Where `eq` changed the table it starts again, and gives up with a
   RuntimeError if that does not end. */
CQRS_LRU_INLINE int64_t cqrs_lru_find(
    cqrs_lru *t, uint32_t hash, PyObject *key, PyObject *scope, cqrs_lru_eq eq
) {
    int restarts = 0;
    for (;;) {
        uint32_t bits = t->bits, mask = t->mask, at = hash >> t->shift, slot;
        for (;; at = (at + 1) & mask) {
            slot = t->index[at];
            if (((slot ^ (hash << bits)) >> bits) != 0) {
                if (slot == CQRS_LRU_EMPTY) {
                    return 0;
                }
                continue;
            }
            if (__builtin_expect(slot == CQRS_LRU_EMPTY, 0)) {
                return 0;
            }
            uint32_t id = slot & mask;
            const cqrs_lru_node *n = &t->nodes[id];
            PyObject *its_key = n->key, *its_scope = n->scope;
            if (its_key == key && its_scope == scope) {
                return id;
            }
            if (n->hash != hash) {
                continue;
            }
            uint64_t version = t->version;
            Py_INCREF(its_key);
            Py_XINCREF(its_scope);
            int equal = eq(n, key, scope);
            Py_DECREF(its_key);
            Py_XDECREF(its_scope);
            if (equal < 0) {
                return -1;
            }
            if (version != t->version) {
                break;
            }
            if (equal) {
                return id;
            }
        }
        if (++restarts == CQRS_LRU_RESTARTS) {
            PyErr_SetString(
                PyExc_RuntimeError, "the comparison of keys keeps changing the cache"
            );
            return -1;
        }
    }
}

/* -------------------------------------------------------------- order of use ---- */

CQRS_LRU_INLINE void cqrs_lru_link(cqrs_lru *t, uint32_t id) {
    cqrs_lru_node *head = t->nodes, *n = &t->nodes[id];
    uint32_t last = head->prev;
    n->prev = last;
    n->next = 0;
    t->nodes[last].next = id;
    head->prev = id;
}

CQRS_LRU_INLINE void cqrs_lru_unlink(cqrs_lru *t, uint32_t id) {
    const cqrs_lru_node *n = &t->nodes[id];
    t->nodes[n->prev].next = n->next;
    t->nodes[n->next].prev = n->prev;
}

/* Make an entry the one used last. */
CQRS_LRU_INLINE void cqrs_lru_touch(cqrs_lru *t, uint32_t id) {
    if (t->nodes[id].next != 0) {
        cqrs_lru_unlink(t, id);
        cqrs_lru_link(t, id);
    }
}

/* The coldest entry, then what was used after another; 0 at the end. */
CQRS_LRU_INLINE uint32_t cqrs_lru_first(const cqrs_lru *t) {
    return t->size ? t->nodes[0].next : 0;
}

CQRS_LRU_INLINE uint32_t cqrs_lru_next(const cqrs_lru *t, uint32_t id) {
    return t->nodes[id].next;
}

/* The same from the other end. */
CQRS_LRU_INLINE uint32_t cqrs_lru_last(const cqrs_lru *t) {
    return t->size ? t->nodes[0].prev : 0;
}

CQRS_LRU_INLINE uint32_t cqrs_lru_prev(const cqrs_lru *t, uint32_t id) {
    return t->nodes[id].prev;
}

/* The entries of one group hash, the newest first. Only with groups. */
CQRS_LRU_INLINE uint32_t cqrs_lru_group_first(const cqrs_lru *t, uint32_t group_hash) {
    uint32_t id = t->size ? t->groups[group_hash >> t->shift] : 0;
    while (id && t->nodes[id].group_hash != group_hash) {
        id = t->nodes[id].group_next;
    }
    return id;
}

CQRS_LRU_INLINE uint32_t cqrs_lru_group_next(const cqrs_lru *t, uint32_t id) {
    uint32_t group_hash = t->nodes[id].group_hash;
    do {
        id = t->nodes[id].group_next;
    } while (id && t->nodes[id].group_hash != group_hash);
    return id;
}

/* --------------------------------------------------------------- what goes ------- */

/* Remove an entry; its references are kept until cqrs_lru_release. */
CQRS_LRU_INLINE void cqrs_lru_remove(cqrs_lru *t, uint32_t id) {
    cqrs_lru_node *n = &t->nodes[id];
    cqrs_lru_index_remove(t, id);
    if (t->with_groups) {
        cqrs_lru_group_remove(t, id);
    }
    cqrs_lru_unlink(t, id);
    t->expiring -= n->expires_ns != CQRS_LRU_NEVER;
    t->size--;
    n->next = t->dead;
    t->dead = id;
}

/* Drop the references of what was removed. Runs Python code. */
static inline void cqrs_lru_release(cqrs_lru *t) {
    while (t->dead) {
        uint32_t id = t->dead;
        cqrs_lru_node *n = &t->nodes[id];
        PyObject *key = n->key, *scope = n->scope, *value = n->value, *extra = n->extra;
        t->dead = n->next;
        n->key = NULL;
        n->next = t->unused;
        t->unused = id;
        Py_DECREF(key);
        Py_XDECREF(scope);
        Py_DECREF(value);
        Py_XDECREF(extra);
    }
}

/* Remove all that has expired; return how many. */
static inline uint32_t cqrs_lru_sweep(cqrs_lru *t, int64_t now_ns) {
    uint32_t before = t->size, next;
    for (uint32_t id = t->expiring ? cqrs_lru_first(t) : 0; id; id = next) {
        next = t->nodes[id].next;
        if (t->nodes[id].expires_ns <= now_ns) {
            cqrs_lru_remove(t, id);
        }
    }
    return before - t->size;
}

/* Change how many entries there may be; return how many were evicted. */
static inline uint32_t cqrs_lru_resize(cqrs_lru *t, uint32_t max) {
    uint32_t evicted = 0;
    for (; t->size > max; evicted++) {
        cqrs_lru_remove(t, t->nodes[0].next);
    }
    t->max = max;
    return evicted;
}

/* Remove everything and give the memory back. Runs Python code, on an empty table. */
static inline void cqrs_lru_free(cqrs_lru *t) {
    cqrs_lru gone = *t;
    cqrs_lru_init(t, gone.max, (int)gone.with_groups);
    t->version = gone.version + 1;
    for (uint32_t id = 1; id < gone.used; id++) {
        if (gone.nodes[id].key != NULL) {
            Py_DECREF(gone.nodes[id].key);
            Py_XDECREF(gone.nodes[id].scope);
            Py_DECREF(gone.nodes[id].value);
            Py_XDECREF(gone.nodes[id].extra);
        }
    }
    if (gone.bits > 1) {
        PyMem_RawFree(gone.index);
    }
    PyMem_RawFree(gone.groups);
    PyMem_RawFree(gone.memory);
}

/* For tp_traverse. */
static inline int cqrs_lru_traverse(const cqrs_lru *t, visitproc visit, void *arg) {
    for (uint32_t id = 1; id < t->used; id++) {
        const cqrs_lru_node *n = &t->nodes[id];
        if (n->key != NULL) {
            Py_VISIT(n->key);
            Py_VISIT(n->scope);
            Py_VISIT(n->value);
            Py_VISIT(n->extra);
        }
    }
    return 0;
}

/* Insert what cqrs_lru_find did not find, as used last: first up to four expired
   entries and, where it is full, the coldest are removed from the cold end, to be
   released by the caller. `evicted` is increased by those that had not expired.
   References are taken of all objects. Returns the id, or 0 without memory, with
   nothing changed and no exception set. */
CQRS_LRU_INLINE uint32_t cqrs_lru_insert(
    cqrs_lru *t, uint32_t hash, uint32_t group_hash, PyObject *key, PyObject *scope,
    PyObject *value, PyObject *extra, int64_t expires_ns, int64_t now_ns,
    uint64_t *evicted
) {
    uint32_t id = t->unused;
    if (id) {
        t->unused = t->nodes[id].next;
    } else {
        if (t->used == t->capacity && cqrs_lru_grow(t) < 0) {
            return 0;
        }
        id = t->used++;
    }
    if (t->expiring) {
        for (int i = 0; i < CQRS_LRU_EXPIRED_PER_INSERT && t->size; i++) {
            uint32_t coldest = t->nodes[0].next;
            if (t->nodes[coldest].expires_ns > now_ns) {
                break;
            }
            cqrs_lru_remove(t, coldest);
        }
    }
    if (t->size >= t->max) {
        cqrs_lru_remove(t, t->nodes[0].next);
        ++*evicted;
    }
    cqrs_lru_node *n = &t->nodes[id];
    Py_INCREF(key);
    Py_XINCREF(scope);
    Py_INCREF(value);
    Py_XINCREF(extra);
    n->hash = hash;
    n->group_hash = group_hash;
    n->key = key;
    n->scope = scope;
    n->value = value;
    n->extra = extra;
    n->expires_ns = expires_ns;
    t->expiring += expires_ns != CQRS_LRU_NEVER;
    cqrs_lru_index_add(t, id);
    if (t->with_groups) {
        cqrs_lru_group_add(t, id);
    }
    cqrs_lru_link(t, id);
    t->size++;
    return id;
}

/* Give an entry another value and expiry, and make it the one used last. References
   are taken; what was there is the caller's to drop, after the table is let go of. */
CQRS_LRU_INLINE void cqrs_lru_replace(
    cqrs_lru *t, uint32_t id, PyObject *value, PyObject *extra, int64_t expires_ns,
    PyObject **old_value, PyObject **old_extra
) {
    cqrs_lru_node *n = &t->nodes[id];
    *old_value = n->value;
    *old_extra = n->extra;
    Py_INCREF(value);
    Py_XINCREF(extra);
    n->value = value;
    n->extra = extra;
    t->expiring += (uint32_t)(expires_ns != CQRS_LRU_NEVER)
        - (uint32_t)(n->expires_ns != CQRS_LRU_NEVER);
    n->expires_ns = expires_ns;
    cqrs_lru_touch(t, id);
}

#endif
