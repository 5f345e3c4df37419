"""QueryCache: what a caching middleware remembers, by typed keys and in every scope."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cqrs_fast.policies.core.lru cimport Lru, LruNode, lru_eq
from cqrs_fast.stages.caching.entry_index cimport EntryIndex
from cqrs_fast.validation.key_hash cimport same_key
from cqrs_fast.validation.key_plan cimport KeyPlan
from cqrs_fast.validation.key_values cimport same_value
from cqrs_fast.validation.keys cimport TypedKey


cdef extern from "cqrs_fast/policies/core/random.h":
    ctypedef struct Random "cqrs_random":
        uint64_t state
    double random_unit "cqrs_random_unit"(Random *random) noexcept


cdef extern from *:
    int64_t quick_find "cqrs_lru_find"(
        Lru *, uint32_t hash, PyObject *key, PyObject *scope, lru_eq eq
    ) noexcept


cdef struct Wanted:
    # What a comparison knows beside the key; no scope: in any of them.
    PyObject *plan
    PyObject *scope


cdef class QueryCache:
    cdef Lru table
    cdef EntryIndex index
    cdef uint64_t evictions, expirations
    cdef object collected       # makes it a type that the garbage collector visits

    # Store a value; `tags` is a tuple of frozen values, or None.
    cdef int put(
        self, TypedKey key, object value, tuple tags, int64_t expires_ns, int64_t now_ns
    ) except -1
    # Each of these returns how many entries went; a key in every scope unless in one.
    cdef int64_t drop_key(
        self, KeyPlan plan, object key, PyObject *scope, uint64_t group
    ) except -1
    cdef int drop_class(self, object cls) except -1
    cdef int drop_tags(self, list tags) except -1
    cdef int64_t drop_all(self) except -1
    cdef int64_t sweep(self, int64_t now_ns) except -1
    cdef int resize(self, uint32_t max_size) except -1
    # Exchange all entries, and the bound of their number; runs no Python code.
    cdef int exchange(self, QueryCache other) noexcept
    # An entry of which it was seen that its time is over.
    cdef int expire(self, uint32_t id) except -1
    cdef int64_t released(self, uint32_t before) except -1


cdef inline int is_wanted(
    const LruNode *node, PyObject *key, PyObject *wanted
) noexcept:
    # hot
    cdef Wanted *more = <Wanted *>wanted
    if more.scope != NULL and not same_value(node.scope, more.scope):
        return 0
    return same_key(<KeyPlan>more.plan, node.key, key)


# The id of an entry, expired or not; 0: there is none. Good until Python code runs.
cdef inline uint32_t find(
    Lru *table, KeyPlan plan, PyObject *key, PyObject *scope, uint64_t hash
) noexcept:
    # hot
    cdef Wanted wanted
    wanted.plan = <PyObject *>plan
    wanted.scope = scope
    # A wanted scope is no object: the table hands it on to the comparison alone.
    return <uint32_t>quick_find(
        table, <uint32_t>(hash >> 32), key, <PyObject *>&wanted, is_wanted
    )
