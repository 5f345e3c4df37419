"""QueryCache: what a caching middleware remembers, by typed keys and in every scope."""

cimport cython
from cpython.object cimport PyObject, visitproc
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.policies.core.lru cimport (
    lru_check, lru_free, lru_group_first, lru_group_next, lru_init, lru_insert,
    lru_release, lru_remove, lru_replace, lru_resize, lru_sweep, lru_traverse,
)
from cqrs_fast.stages.caching.entry_index cimport EntryIndex, class_of
from cqrs_fast.validation.key_plan cimport KeyPlan
from cqrs_fast.validation.keys cimport TypedKey


cdef extern from *:
    """
    static traverseproc cqrs_query_cache_traverse;
    static inquiry cqrs_query_cache_clear;

    static void cqrs_query_cache_slots(
        PyTypeObject *type, traverseproc traverse, inquiry clear
    ) {
        cqrs_query_cache_traverse = type->tp_traverse;
        type->tp_traverse = traverse;
        cqrs_query_cache_clear = type->tp_clear;
        type->tp_clear = clear;
        PyType_Modified(type);
    }
    """
    int generated_traverse "cqrs_query_cache_traverse"(
        PyObject *, visitproc, void *
    ) noexcept
    int generated_clear "cqrs_query_cache_clear"(PyObject *) noexcept
    void set_slots "cqrs_query_cache_slots"(type, void *, void *) noexcept


@cython.final
cdef class QueryCache:
    """Entries by class, fields and scope; the least used goes first."""

    def __cinit__(self):
        lru_init(&self.table, 1, True)
        self.index = EntryIndex.__new__(EntryIndex)

    def __dealloc__(self):
        lru_free(&self.table)

    cdef int put(
        self, TypedKey key, object value, tuple tags, int64_t expires_ns, int64_t now_ns
    ) except -1:
        cdef Lru *table = &self.table
        cdef PyObject *old_value = NULL
        cdef PyObject *old_tags = NULL
        cdef PyObject *extra = NULL if tags is None else <PyObject *>tags
        cdef uint32_t id
        self.index.clean(table)
        # From here on no Python code runs until the entry is in its lists.
        cdef list lists = self.index.lists_for(
            <object>class_of(<PyObject *>key.key), tags
        )
        id = find(table, key.plan, <PyObject *>key.key, <PyObject *>key.scope, key.hash)
        if id:
            lru_replace(
                table, id, <PyObject *>value, extra, expires_ns, &old_value, &old_tags
            )
        else:
            # Without memory it is not stored: the caller has its value all the same.
            id = lru_insert(
                table, <uint32_t>(key.hash >> 32), <uint32_t>(key.group >> 32),
                <PyObject *>key.key, <PyObject *>key.scope, <PyObject *>value, extra,
                expires_ns, now_ns, &self.evictions,
            )
        if id and not self.index.enter(lists, id):
            lru_remove(table, id)
        Py_XDECREF(old_value)
        Py_XDECREF(old_tags)
        lru_release(table)
        return 0

    cdef int64_t drop_key(
        self, KeyPlan plan, object key, PyObject *scope, uint64_t group
    ) except -1:
        cdef Lru *table = &self.table
        cdef uint32_t before = table.size
        cdef uint32_t id = lru_group_first(table, <uint32_t>(group >> 32))
        cdef uint32_t after
        cdef Wanted wanted
        wanted.plan = <PyObject *>plan
        wanted.scope = scope
        while id:
            after = lru_group_next(table, id)
            if is_wanted(&table.nodes[id], <PyObject *>key, <PyObject *>&wanted):
                lru_remove(table, id)
            id = after
        return self.released(before)

    cdef int drop_class(self, object cls) except -1:
        self.index.drop_class(&self.table, cls)
        lru_release(&self.table)
        return 0

    cdef int drop_tags(self, list tags) except -1:
        self.index.drop_tags(&self.table, tags)
        lru_release(&self.table)
        return 0

    cdef int64_t drop_all(self) except -1:
        cdef uint32_t before = self.table.size
        self.index.forget_all()
        lru_free(&self.table)
        return before

    cdef int64_t sweep(self, int64_t now_ns) except -1:
        cdef uint32_t gone = lru_sweep(&self.table, now_ns)
        self.expirations += gone
        lru_release(&self.table)
        return gone

    cdef int resize(self, uint32_t max_size) except -1:
        self.evictions += lru_resize(&self.table, max_size)
        lru_release(&self.table)
        return 0

    cdef int exchange(self, QueryCache other) noexcept:
        cdef Lru table = self.table
        self.table = other.table
        other.table = table
        other.index, self.index = self.index, other.index
        return 0

    cdef int expire(self, uint32_t id) except -1:
        lru_remove(&self.table, id)
        self.expirations += 1
        lru_release(&self.table)
        return 0

    cdef int64_t released(self, uint32_t before) except -1:
        """Let go of what was removed; how many there were before is known."""
        cdef int64_t gone = before - self.table.size
        lru_release(&self.table)
        return gone

    def __len__(self):
        return self.table.size

    def _check(self):
        """Walk the whole table; raise AssertionError if it is not in order."""
        cdef const char *wrong = lru_check(&self.table)
        if wrong != NULL:
            raise AssertionError(wrong.decode())


cdef int slot_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    # No reference may be taken in here.
    cdef int status = generated_traverse(self, visit, arg)
    if status == 0:
        status = lru_traverse(&(<QueryCache>self).table, visit, arg)
    return status


cdef int slot_clear(PyObject *self) noexcept:
    lru_free(&(<QueryCache>self).table)
    return generated_clear(self)


set_slots(QueryCache, <void *>slot_traverse, <void *>slot_clear)


constructed(QueryCache)
