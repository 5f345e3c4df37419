"""Whether a value is to be awaited, or used up by its use, for a few loads."""

from cpython.ref cimport PyObject


cdef extern from "cqrs_fast/base/awaitables.h":
    bint is_awaitable "cqrs_is_awaitable"(PyObject *value) noexcept
    bint is_async_generator "cqrs_is_async_generator"(PyObject *value) noexcept
    bint is_promise "cqrs_is_promise"(PyObject *value) noexcept
    bint may_be_promise "cqrs_may_be_promise"(PyObject *value) noexcept
    int is_used_up "cqrs_is_used_up"(PyObject *value) except -1
