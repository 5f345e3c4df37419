"""The table behind LRUCache, for other caches too: see core/lru.h."""

from cpython.object cimport PyObject, visitproc
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.policies.core.dict_keys cimport HashSecret
from cqrs_fast.policies.core.lru cimport LRU_NEVER, Lru


cdef HashSecret hash_secret     # of this process


cdef class LRUCache:
    cdef Lru table
    cdef int64_t ttl_ns             # LRU_NEVER: entries do not expire
    cdef Clock clock
    cdef uint64_t hits, misses, evictions

    # The id of a live entry, or 0; to be used before any Python code runs.
    cdef int64_t find(self, object key) except -1
    cdef int store(self, object key, object value, int64_t ttl_ns) except -1
    cdef list snapshot(self, int what, bint reverse)
