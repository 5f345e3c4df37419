"""EntryIndex: which entries of a cache belong to a class, and which to a tag."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

from cqrs_fast.policies.core.lru cimport Lru


cdef class Ids:
    """Ids of entries; one may have gone, or be there twice."""

    cdef uint32_t *items
    cdef uint32_t count, room

    # Whether there was memory for it. Runs no Python code.
    cdef bint append(self, uint32_t id) noexcept


cdef class EntryIndex:
    """The ids by class and by tag. An id that has gone is dropped later, in bulk."""

    cdef dict classes               # class: Ids
    cdef dict tags                  # frozen tag: Ids
    cdef uint64_t count, most       # ids in all lists, and when to clean them up

    # The lists that a new entry goes to. May run code of a tag.
    cdef list lists_for(self, object cls, tuple tags)
    # Whether the id is in all of them now. Runs no Python code.
    cdef bint enter(self, list lists, uint32_t id) noexcept
    # Remove the entries of a class and its subclasses, or of any of the tags.
    cdef int drop_class(self, Lru *table, object cls) except -1
    cdef int drop_tags(self, Lru *table, list wanted) except -1
    # Keep each id once, and only of entries that belong to their list.
    cdef int clean(self, Lru *table) except -1
    cdef int forget_all(self) except -1
    cdef int keep_live(
        self, Lru *table, Ids ids, PyObject *owner, bytearray seen, bint by_tag
    ) except -1


# Whether a value was stored under one of these tags: a tuple, None or NULL.
cdef bint shares_tag(PyObject *tags, list wanted) noexcept
# The class of the message that a key was made of.
cdef PyObject *class_of(PyObject *key) noexcept
