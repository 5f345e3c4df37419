"""Nodes with parts. A record is what a message is; the others are private."""

cimport cython
from cpython.object cimport PyObject

from cqrs_fast.validation.checks cimport Node, Report, Simple, Step, keeps

cdef enum Access:         # how a field is read from its record
    SLOT                  # a pointer at `offset`: Structs and classes with __slots__
    ATTRIBUTE             # getattr: dataclasses, attrs
    INDEX                 # an item of a tuple: NamedTuple
    ITEM                  # a key of a dict: TypedDict


cdef struct Place:        # a Field in C: walking it touches no reference count
    Access access
    bint required
    bint may_be_unset
    Py_ssize_t offset
    Simple rule           # of `node`
    Py_ssize_t position
    PyObject* name
    PyObject* wire_name   # NULL: `position`
    PyObject* node        # NULL: anything goes


@cython.final
cdef class LinkNode(Node):
    cdef readonly Node target                   # None: anything goes
    cdef bint is_set


@cython.final
cdef class Field:
    cdef readonly str name                      # the attribute
    cdef readonly str wire_name                 # as in a path; None: `position` is
    cdef readonly Py_ssize_t position           # in an array-like record
    cdef readonly Node node                     # None: anything goes
    cdef Access access
    cdef Py_ssize_t offset                      # of the slot, or the index in a tuple
    cdef object owner                           # what must be laid out so
    cdef readonly bint required                 # absence is an error
    cdef readonly bint may_be_unset             # UNSET is a value of its own


@cython.final
cdef class RecordNode(Node):
    """A Struct, dataclass, attrs class, NamedTuple or TypedDict.

    `fields` is filled after construction: a record may contain itself.
    """

    cdef readonly object cls
    cdef readonly tuple fields                  # of Field; owns what `places` borrows
    cdef Place* places                          # the fields as the hot loop reads them
    cdef Py_ssize_t count

    # Whether every field of a record of this very class surely is valid; False: check.
    cdef inline bint is_simple(self, PyObject* record) noexcept:
        # hot: a few comparisons for each field
        cdef Place* place = self.places
        cdef Place* end = place + self.count
        cdef PyObject* found
        while place != end:
            if place.access != SLOT:
                return False
            found = (<PyObject**>(<char*>record + place.offset))[0]
            if found == NULL or (place.node != NULL and not keeps(&place.rule, found)):
                return False
            place += 1
        return True

    cdef int check_fields(self, object value, const Step* at, Report* report) except -1
    cdef int check_place(
        self, Place* place, PyObject* found, Step* inside, Report* report
    ) except -1
