"""The raised exception as a value, for CPython 3.11 to 3.13."""

from cpython.ref cimport PyObject


cdef extern from "cqrs_fast/base/errstate.h":
    # A new reference as an object; NULL raises the exception that is set.
    object steal "cqrs_steal"(PyObject *result)
    PyObject *take_raised "cqrs_take_raised"() noexcept
    void raise_again "cqrs_raise_again"(PyObject *error) noexcept
    bint is_transparent "cqrs_is_transparent"(PyObject *error) noexcept

    PyObject *PyErr_GetHandledException() noexcept
    void PyErr_SetHandledException(PyObject *error) noexcept
