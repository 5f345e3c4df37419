"""QueryCache: what a caching middleware remembers, by typed keys and in every scope."""

cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport Py_TYPE, PyObject, PyTypeObject, visitproc
from cpython.ref cimport Py_XDECREF
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.policies.core.lru cimport (
    lru_check, lru_first, lru_free, lru_group_first, lru_group_next, lru_init,
    lru_insert, lru_next, lru_release, lru_remove, lru_replace, lru_resize, lru_sweep,
    lru_traverse,
)
from cqrs_fast.validation.key_plan cimport KeyPlan
from cqrs_fast.validation.key_values cimport same_value
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
    bint PyType_IsSubtype(PyTypeObject *cls, PyTypeObject *base) noexcept


@cython.final
cdef class QueryCache:
    """Entries by class, fields and scope; the least used goes first."""

    def __cinit__(self):
        lru_init(&self.table, 1, True)

    def __dealloc__(self):
        lru_free(&self.table)

    cdef int put(
        self, TypedKey key, object value, tuple tags, int64_t expires_ns, int64_t now_ns
    ) except -1:
        cdef Lru *table = &self.table
        cdef PyObject *old_value = NULL
        cdef PyObject *old_tags = NULL
        cdef PyObject *extra = NULL if tags is None else <PyObject *>tags
        cdef uint32_t id = find(
            table, key.plan, <PyObject *>key.key, <PyObject *>key.scope, key.hash
        )
        if id:
            lru_replace(
                table, id, <PyObject *>value, extra, expires_ns, &old_value, &old_tags
            )
            Py_XDECREF(old_value)
            Py_XDECREF(old_tags)
            return 0
        # Without memory it is not stored: the caller has its value all the same.
        lru_insert(
            table, <uint32_t>(key.hash >> 32), <uint32_t>(key.group >> 32),
            <PyObject *>key.key, <PyObject *>key.scope, <PyObject *>value, extra,
            expires_ns, now_ns, &self.evictions,
        )
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

    cdef int64_t drop_class(self, object cls) except -1:
        cdef Lru *table = &self.table
        cdef uint32_t before = table.size
        cdef uint32_t id = lru_first(table)
        cdef uint32_t after
        cdef PyObject *its_class
        while id:
            after = lru_next(table, id)
            its_class = class_of(table.nodes[id].key)
            if PyType_IsSubtype(<PyTypeObject *>its_class, <PyTypeObject *>cls):
                lru_remove(table, id)
            id = after
        return self.released(before)

    cdef int64_t drop_tags(self, list tags) except -1:
        cdef Lru *table = &self.table
        cdef uint32_t before = table.size
        cdef uint32_t id = lru_first(table)
        cdef uint32_t after
        while id:
            after = lru_next(table, id)
            if table.nodes[id].extra != NULL:
                if shares_tag(<tuple>table.nodes[id].extra, tags):
                    lru_remove(table, id)
            id = after
        return self.released(before)

    cdef int64_t drop_all(self) except -1:
        cdef uint32_t before = self.table.size
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


cdef bint shares_tag(tuple tags, list wanted) noexcept:
    cdef Py_ssize_t index, other
    if tags is None:
        return False
    for index in range(PyTuple_GET_SIZE(tags)):
        for other in range(PyList_GET_SIZE(wanted)):
            if same_value(
                PyTuple_GET_ITEM(tags, index), PyList_GET_ITEM(wanted, other)
            ):
                return True
    return False


cdef PyObject *class_of(PyObject *key) noexcept:
    if PyTuple_CheckExact(<object>key):
        return PyTuple_GET_ITEM(<object>key, 0)
    return <PyObject *>Py_TYPE(<object>key)


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
