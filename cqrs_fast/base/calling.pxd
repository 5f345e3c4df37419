"""Calling users' code, and what it returns: a value, or something to await first."""

from cpython.ref cimport PyObject

from cqrs_fast.base.awaitables cimport is_async_generator, is_awaitable, is_promise


cdef extern from "cqrs_fast/base/calling.h":
    # A new reference, or NULL with an exception.
    PyObject *call "cqrs_call"(PyObject *callee, PyObject **args, size_t count) noexcept
    PyObject *call_one "cqrs_call_one"(PyObject *callee, PyObject *argument) noexcept
    # PySendResult: 1 suspended, 0 with a result, -1 with an exception.
    int send "cqrs_send"(PyObject *iterator, PyObject *sent, PyObject **out) noexcept
    # What a handler returned, stolen, and stepped once if it is to be awaited; where
    # that suspends, `iterator` is what does.
    int first_step "cqrs_first_step"(
        PyObject *returned, PyObject **iterator, PyObject **out
    ) noexcept
