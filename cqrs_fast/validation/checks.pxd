"""The nodes of a compiled check: one small object per annotation, no Python on success.

A check walks a value that was built in Python and compares it with its annotation,
without coercion. It collects errors in a Report. Steps on the C stack record where a
value is; they become a path (`$.items[0].x`) only for an error.

Every `check` returns 0 (valid) or 1 (invalid, already reported) and raises only what
user code raises (an `__instancecheck__`, a descriptor). A node that is None checks
nothing.
"""

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t


cdef extern from "cqrs_fast/validation/simple.h":
    ctypedef struct Simple "cqrs_simple":
        PyTypeObject* type
        int64_t low, high

cdef enum:
    MAX_DEPTH = 64        # containers inside each other, the message itself included

    STEP_ROOT = -3        # Step.index of the message itself
    STEP_KEY = -2         # a key of a mapping: msgspec writes "key in $.map"
    STEP_VALUE = -1       # a value of a mapping: "$.map[...]"; 0 and up: "[index]"

cdef struct Step:
    const Step* up        # NULL at the message
    PyObject* name        # borrowed field name, or NULL: see `index`
    Py_ssize_t index      # position, or one of STEP_*
    int depth             # containers entered so far

cdef struct Report:
    PyObject* errors      # owned list of (path, code, message), or NULL: none yet
    int count
    int limit             # stop after so many; 0: only the verdict is needed

cdef struct Lengths:
    Py_ssize_t low
    Py_ssize_t high       # -1: unbounded


cdef class Node:
    cdef readonly str label                     # "int", "list", "int | None"
    cdef readonly object cls                    # the class of valid values, or None

    # Set the class and the label; TypeError if it is not a class.
    cdef int set_class(self, object cls) except -1
    # The rule that most valid values keep; its type is NULL if there is none.
    cdef Simple simple(self) noexcept

    cdef bint accepts(self, object value) except -1    # the type alone, not its parts
    cdef int check(self, object value, const Step* at, Report* report) except -1


cdef Lengths lengths_of(min_length, max_length)

# The rule of a node that has none.
cdef Simple no_rule() noexcept

# Check a whole value: None, or its errors as (path, code, message), at most `limit`.
cdef list find_errors(Node node, object value, int limit)

# Reporting: always 1, so that a check can return it.
cdef int report_error(Report* report, const Step* at, str code, message) except -1
cdef int wrong_type(Node node, object value, const Step* at, Report* report) except -1
