"""Calling users' code, and what it returns: a value, or something to await first."""

from cpython.ref cimport PyObject

from cqrs_fast.base.awaitables cimport is_async_generator, is_awaitable, is_promise


cdef extern from "cqrs_fast/base/calling.h":
    PyObject *awaitable_iterator "cqrs_awaitable_iterator"(PyObject *value) noexcept

    # A new reference, or NULL with an exception.
    PyObject *call "cqrs_call"(PyObject *callee, PyObject **args, size_t count) noexcept
    PyObject *call_one "cqrs_call_one"(PyObject *callee, PyObject *argument) noexcept
    int send "cqrs_send"(PyObject *iterator, PyObject *sent, PyObject **out) noexcept
    int send_generator "cqrs_send_generator"(
        PyObject *generator, PyObject *sent, PyObject **out
    ) noexcept
