"""ClassTable: class -> route, by identity; the lookup of every dispatch."""

from cpython.ref cimport PyObject
from libc.stdint cimport uintptr_t


cdef struct Entry:
    PyObject *cls           # NULL: free
    PyObject *route


cdef class ClassTable:
    # Open addressing with linear probing, at most half full. Unlike in a dict no user
    # code can run in a lookup: classes are compared by address.
    cdef Entry *entries
    cdef size_t mask
    cdef int shift
    cdef dict kept          # address -> (class or a weak reference to it, route)
    cdef object __weakref__

    cdef int put(self, object cls, object route) except -1
    # The same for a class that may die: its entry goes with it.
    cdef int put_weak(self, object cls, object route) except -1
    cdef int keep(self, object cls, object reference, object route) except -1
    cdef int drop(self, object cls) except -1
    cdef ClassTable copy(self)

    cdef int reserve(self, size_t count) except -1
    cdef int insert(self, PyObject *cls, PyObject *route) noexcept
    cdef int remove(self, uintptr_t address) noexcept


cdef inline size_t home_of(ClassTable table, PyObject *cls) noexcept:
    # Fibonacci hashing (Knuth): the high bits of the product are the well-mixed ones.
    return (<uintptr_t>cls * <uintptr_t>0x9E3779B97F4A7C15) >> table.shift


# The route of exactly this class, borrowed, or NULL.
cdef inline PyObject *find(ClassTable table, PyObject *cls) noexcept:
    # hot
    cdef size_t index = home_of(table, cls)
    cdef Entry *entry = &table.entries[index]
    while entry.cls != cls:
        if entry.cls == NULL:
            return NULL
        index = (index + 1) & table.mask
        entry = &table.entries[index]
    return entry.route
