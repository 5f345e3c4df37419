"""The rule that most fields have: one type, and bounds."""

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t


cdef extern from "cqrs_fast/validation/simple.h":
    ctypedef struct Simple "cqrs_simple":
        PyTypeObject* type
        int64_t low, high
    bint keeps "cqrs_keeps"(const Simple* rule, PyObject* value) noexcept
