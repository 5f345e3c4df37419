"""A table of entries in the order of their use: see lru.h."""

from cpython.object cimport PyObject, visitproc
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "cqrs_fast/policies/core/lru.h":
    const int64_t LRU_NEVER "CQRS_LRU_NEVER"
    enum:
        LRU_MOST "CQRS_LRU_MOST"

    ctypedef struct LruNode "cqrs_lru_node":
        uint32_t hash, group_hash
        PyObject *key
        PyObject *scope             # or NULL
        PyObject *value
        PyObject *extra             # or NULL
        int64_t expires_ns
        uint32_t prev, next, group_prev, group_next

    ctypedef struct Lru "cqrs_lru":
        LruNode *nodes
        uint32_t size, max
        uint32_t used               # nodes that were ever used, the head among them
        uint32_t expiring           # entries that expire at all
        uint64_t version

    # 1 equal, 0 different, -1 an exception.
    ctypedef int (*lru_eq)(const LruNode *, PyObject *, PyObject *) noexcept

    void lru_init "cqrs_lru_init"(Lru *, uint32_t max, bint with_groups) noexcept
    # Ids are 1 or more; 0 stands for none.
    int64_t lru_find "cqrs_lru_find"(
        Lru *, uint32_t hash, PyObject *key, PyObject *scope, lru_eq eq
    ) except -1
    void lru_touch "cqrs_lru_touch"(Lru *, uint32_t id) noexcept
    uint32_t lru_first "cqrs_lru_first"(const Lru *) noexcept
    uint32_t lru_next "cqrs_lru_next"(const Lru *, uint32_t id) noexcept
    uint32_t lru_last "cqrs_lru_last"(const Lru *) noexcept
    uint32_t lru_prev "cqrs_lru_prev"(const Lru *, uint32_t id) noexcept
    uint32_t lru_group_first "cqrs_lru_group_first"(
        const Lru *, uint32_t group_hash
    ) noexcept
    uint32_t lru_group_next "cqrs_lru_group_next"(const Lru *, uint32_t id) noexcept
    # 0: no memory, nothing changed, no exception is set. Else lru_release comes next.
    uint32_t lru_insert "cqrs_lru_insert"(
        Lru *, uint32_t hash, uint32_t group_hash, PyObject *key, PyObject *scope,
        PyObject *value, PyObject *extra, int64_t expires_ns, int64_t now_ns,
        uint64_t *evicted
    ) noexcept
    void lru_replace "cqrs_lru_replace"(
        Lru *, uint32_t id, PyObject *value, PyObject *extra, int64_t expires_ns,
        PyObject **old_value, PyObject **old_extra
    ) noexcept
    # What these remove keeps its references until lru_release, which runs Python code.
    void lru_remove "cqrs_lru_remove"(Lru *, uint32_t id) noexcept
    uint32_t lru_sweep "cqrs_lru_sweep"(Lru *, int64_t now_ns) noexcept
    uint32_t lru_resize "cqrs_lru_resize"(Lru *, uint32_t max) noexcept
    void lru_release "cqrs_lru_release"(Lru *) noexcept
    # Empty it; it can be used again.
    void lru_free "cqrs_lru_free"(Lru *) noexcept
    int lru_traverse "cqrs_lru_traverse"(const Lru *, visitproc, void *) noexcept

cdef extern from "cqrs_fast/policies/core/lru_check.h":
    # NULL, or what is wrong; for tests.
    const char *lru_check "cqrs_lru_check"(const Lru *) noexcept
    uint64_t lru_probes "cqrs_lru_probes"(const Lru *) noexcept
