"""The node of a record, which is what a message is."""

cimport cython
from cpython.object cimport PyObject

from cqrs_fast.validation.checks cimport Node, Report, Simple, Step


cdef extern from "cqrs_fast/validation/simple.h":
    enum:
        SLOT "CQRS_SLOT"
        ATTRIBUTE "CQRS_ATTRIBUTE"
        INDEX "CQRS_INDEX"
        ITEM "CQRS_ITEM"

    ctypedef struct Place "cqrs_place":
        int access, required, may_be_unset
        Py_ssize_t offset, position
        Simple rule
        PyObject* name
        PyObject* wire_name
        PyObject* node

    bint is_simple "cqrs_is_simple"(
        const Place* place, Py_ssize_t count, PyObject* record
    ) noexcept


@cython.final
cdef class Field:
    cdef readonly str name                      # the attribute
    cdef readonly str wire_name                 # as in a path; None: `position` is
    cdef readonly Py_ssize_t position           # in an array-like record
    cdef readonly Node node                     # None: any value is valid
    cdef int access
    cdef Py_ssize_t offset                      # of the slot, or the index in a tuple
    cdef object owner                           # the class that has this layout
    cdef readonly bint required                 # absence is an error
    cdef readonly bint may_be_unset             # UNSET is a valid value


@cython.final
cdef class RecordNode(Node):
    """A Struct, dataclass, attrs class, NamedTuple or TypedDict.

    `fields` is filled after construction: a record may contain itself.
    """

    cdef readonly tuple fields                  # of Field; owns what `places` borrows
    cdef Place* places                          # the fields as the hot loop reads them
    cdef Py_ssize_t count

    cdef int check_fields(self, object value, const Step* at, Report* report) except -1
    cdef int check_place(
        self, Place* place, PyObject* found, Step* inside, Report* report
    ) except -1
