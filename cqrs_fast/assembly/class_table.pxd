"""ClassTable: class -> route, by identity; the lookup of every dispatch."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uintptr_t

from cqrs_fast.pipeline.route cimport Route


cdef struct Entry:
    PyObject *cls           # NULL: free
    PyObject *route
    # Copied from a route that bypasses the driver, so that `execute` need not read it
    PyObject *call          # called with the message; NULL for other routes
    int64_t *in_flight      # its counter


cdef class ClassTable:
    # Open addressing with linear probing, at most half full. Unlike a dict it compares
    # classes by address, so no user code runs in a lookup.
    cdef Entry *entries
    cdef size_t mask
    cdef int shift
    cdef dict kept          # address -> (class or a weak reference to it, route)
    cdef object __weakref__

    cdef int put(self, object cls, Route route) except -1
    # The same without keeping the class alive: its entry goes with it.
    cdef int put_weak(self, object cls, Route route) except -1
    cdef int keep(self, object cls, object reference, Route route) except -1
    cdef int drop(self, PyObject *cls) except -1
    cdef ClassTable copy(self)

    cdef int reserve(self, size_t count) except -1
    cdef int insert(self, Entry entry) noexcept
    cdef int remove(self, PyObject *cls) noexcept


cdef inline size_t home_of(PyObject *cls, int shift) noexcept:
    # Fibonacci hashing (Knuth): the high bits of the product are well mixed.
    return (<uintptr_t>cls * <uintptr_t>0x9E3779B97F4A7C15) >> shift


# The entry of exactly this class, or NULL; good until the table changes.
cdef inline Entry *find(PyObject *table, PyObject *cls) noexcept:
    # hot: must not count a reference to the table
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
