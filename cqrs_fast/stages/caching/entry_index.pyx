"""EntryIndex: which entries of a cache belong to a class, and which to a tag.

To forget a class or a tag costs what goes, not what stays. An id stays in its lists
when its entry goes, so each use checks the entry; the lists are cleaned up once they
have twice as many ids as after the last time.
"""

cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport Py_TYPE, PyObject, PyTypeObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport INT64_MIN, uint32_t

from cqrs_fast.base.sealing cimport internal
from cqrs_fast.policies.core.lru cimport Lru, lru_remove
from cqrs_fast.validation.key_values cimport same_value

cdef enum:
    LEAST = 1024            # ids, below which nothing is cleaned up


cdef extern from "Python.h":
    bint PyType_IsSubtype(PyTypeObject *cls, PyTypeObject *base) noexcept


@cython.final
cdef class Ids:
    """Ids of entries; one may have gone, or be there twice."""

    def __dealloc__(self):
        PyMem_Free(self.items)

    cdef bint append(self, uint32_t id) noexcept:
        cdef uint32_t room = max(2 * self.room, 4)
        cdef uint32_t *items
        if self.count == self.room:
            items = <uint32_t *>PyMem_Realloc(self.items, room * sizeof(uint32_t))
            if items == NULL:
                return False
            self.items, self.room = items, room
        self.items[self.count] = id
        self.count += 1
        return True


@cython.final
cdef class EntryIndex:
    """The ids by class and by tag. An id that has gone is dropped later, in bulk."""

    def __cinit__(self):
        self.forget_all()

    cdef int forget_all(self) except -1:
        self.classes, self.tags = {}, {}
        self.count, self.most = 0, LEAST
        return 0

    cdef list lists_for(self, object cls, tuple tags):
        found = [list_of(self.classes, cls)]
        if tags is not None:
            for tag in tags:
                found.append(list_of(self.tags, tag))
        return found

    cdef bint enter(self, list lists, uint32_t id) noexcept:
        cdef Py_ssize_t index
        for index in range(PyList_GET_SIZE(lists)):
            if not (<Ids>PyList_GET_ITEM(lists, index)).append(id):
                return False
            self.count += 1
        return True

    cdef int drop_class(self, Lru *table, object cls) except -1:
        cdef Ids ids
        for known, ids in list(self.classes.items()):
            if PyType_IsSubtype(<PyTypeObject *>known, <PyTypeObject *>cls):
                remove_of_class(table, ids, <PyObject *>known)
        return 0

    cdef int drop_tags(self, Lru *table, list wanted) except -1:
        cdef Ids ids
        for tag in wanted:
            ids = self.tags.get(tag)
            if ids is not None:
                remove_tagged(table, ids, wanted)
        return 0

    cdef int clean(self, Lru *table) except -1:
        cdef Ids ids
        if self.count < self.most:
            return 0
        self.count = 0
        seen = bytearray(table.used)
        for known, ids in list(self.classes.items()):
            self.keep_live(table, ids, <PyObject *>known, seen, False)
            if ids.count == 0:
                del self.classes[known]
        for tag, ids in list(self.tags.items()):
            self.keep_live(table, ids, <PyObject *>tag, seen, True)
            if ids.count == 0:
                del self.tags[tag]
        self.most = max(2 * self.count, LEAST)
        return 0

    cdef int keep_live(
        self, Lru *table, Ids ids, PyObject *owner, bytearray seen, bint by_tag
    ) except -1:
        cdef uint32_t kept = 0
        cdef uint32_t index, id
        cdef bint belongs
        cdef char *marks = seen
        for index in range(ids.count):
            id = ids.items[index]
            if not is_live(table, id) or marks[id]:
                continue
            if by_tag:
                belongs = has_tag(table.nodes[id].extra, owner)
            else:
                belongs = class_of(table.nodes[id].key) == owner
            if belongs:
                marks[id] = 1
                ids.items[kept] = id
                kept += 1
        for index in range(kept):
            marks[ids.items[index]] = 0
        ids.count = kept
        self.count += kept
        return 0


cdef Ids list_of(dict lists, object owner):
    known = lists.get(owner)
    return lists.setdefault(owner, Ids.__new__(Ids)) if known is None else known


cdef int remove_of_class(Lru *table, Ids ids, PyObject *cls) noexcept:
    cdef uint32_t index, id
    for index in range(ids.count):
        id = ids.items[index]
        if is_live(table, id) and class_of(table.nodes[id].key) == cls:
            remove(table, id)
    ids.count = 0
    return 0


cdef int remove_tagged(Lru *table, Ids ids, list wanted) noexcept:
    """Remove what has one of the tags; tags of another type stay, 1 beside True."""
    cdef uint32_t kept = 0
    cdef uint32_t index, id
    for index in range(ids.count):
        id = ids.items[index]
        if not is_live(table, id):
            continue
        if shares_tag(table.nodes[id].extra, wanted):
            remove(table, id)
        else:
            ids.items[kept] = id
            kept += 1
    ids.count = kept
    return 0


cdef bint is_live(Lru *table, uint32_t id) noexcept:
    if id >= table.used or table.nodes[id].key == NULL:
        return False
    return table.nodes[id].expires_ns != INT64_MIN


cdef int remove(Lru *table, uint32_t id) noexcept:
    lru_remove(table, id)
    # Until it is released it has its key, so this tells that it is gone.
    table.nodes[id].expires_ns = INT64_MIN
    return 0


cdef bint shares_tag(PyObject *tags, list wanted) noexcept:
    cdef Py_ssize_t index
    for index in range(PyList_GET_SIZE(wanted)):
        if has_tag(tags, PyList_GET_ITEM(wanted, index)):
            return True
    return False


cdef bint has_tag(PyObject *tags, PyObject *wanted) noexcept:
    cdef Py_ssize_t index
    if tags == NULL or tags == <PyObject *>None:
        return False
    for index in range(PyTuple_GET_SIZE(<object>tags)):
        if same_value(PyTuple_GET_ITEM(<object>tags, index), wanted):
            return True
    return False


cdef PyObject *class_of(PyObject *key) noexcept:
    if PyTuple_CheckExact(<object>key):
        return PyTuple_GET_ITEM(<object>key, 0)
    return <PyObject *>Py_TYPE(<object>key)


internal(Ids)
internal(EntryIndex)
