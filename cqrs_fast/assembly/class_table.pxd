"""ClassTable: class -> route, by identity; the lookup of every dispatch."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uintptr_t

from cqrs_fast.pipeline.route cimport Route


cdef struct Entry:
    PyObject *cls           # NULL: free
    PyObject *route
    # Of a quick route, so that a dispatch need not look into it; else NULL.
    PyObject *call          # what is called with the message …
    int64_t *in_flight      # … and where that is counted


cdef class ClassTable:
    # Open addressing with linear probing, at most half full. Unlike in a dict no user
    # code can run in a lookup: classes are compared by address.
    cdef Entry *entries
    cdef size_t mask
    cdef int shift
    cdef dict kept          # address -> (class or a weak reference to it, route)
    cdef object __weakref__

    cdef int put(self, object cls, Route route) except -1
    # The same for a class that may die: its entry goes with it.
    cdef int put_weak(self, object cls, Route route) except -1
    cdef int keep(self, object cls, object reference, Route route) except -1
    cdef int drop(self, object cls) except -1
    cdef ClassTable copy(self)

    cdef int reserve(self, size_t count) except -1
    cdef int insert(self, Entry entry) noexcept
    cdef int remove(self, uintptr_t address) noexcept


cdef inline size_t home_of(PyObject *cls, int shift) noexcept:
    # Fibonacci hashing (Knuth): the high bits of the product are the well-mixed ones.
    return (<uintptr_t>cls * <uintptr_t>0x9E3779B97F4A7C15) >> shift


# The entry of exactly this class, or NULL; good until the table changes.
cdef inline Entry *find(PyObject *table, PyObject *cls) noexcept:
    # hot: without a reference to the table
    cdef Entry *entries = (<ClassTable>table).entries
    cdef size_t mask = (<ClassTable>table).mask
    cdef size_t index = home_of(cls, (<ClassTable>table).shift)
    cdef Entry *entry = &entries[index]
    while entry.cls != cls:
        if entry.cls == NULL:
            return NULL
        index = (index + 1) & mask
        entry = &entries[index]
    return entry
