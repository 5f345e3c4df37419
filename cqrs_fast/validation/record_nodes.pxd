"""The node of a record, which is what a message is."""

cimport cython
from cpython.object cimport PyObject

from cqrs_fast.validation.checks cimport Node, Report, Step
from cqrs_fast.validation.simple cimport Simple


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

    cdef int check_fields(self, object value, const Step* at, Report* report) except -1
    cdef int check_place(
        self, Place* place, PyObject* found, Step* inside, Report* report
    ) except -1
