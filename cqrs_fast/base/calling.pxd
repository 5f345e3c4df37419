"""Call user code, and find out whether its result must be awaited."""

from cpython.ref cimport PyObject


cdef extern from "cqrs_fast/base/calling.h":
    # A few loads for a plain value; `is_used_up` may run users' `__iter__`.
    bint is_awaitable "cqrs_is_awaitable"(PyObject *value) noexcept
    bint is_async_generator "cqrs_is_async_generator"(PyObject *value) noexcept
    bint is_promise "cqrs_is_promise"(PyObject *value) noexcept
    bint may_be_promise "cqrs_may_be_promise"(PyObject *value) noexcept
    int is_used_up "cqrs_is_used_up"(PyObject *value) except -1

    # What `await` steps, in exchange for the reference; NULL with an exception.
    PyObject *awaitable_iterator "cqrs_awaitable_iterator"(PyObject *value) noexcept

    # A new reference, or NULL with an exception.
    PyObject *call "cqrs_call"(PyObject *callee, PyObject **args, size_t count) noexcept
    PyObject *call_one "cqrs_call_one"(PyObject *callee, PyObject *argument) noexcept
    # PySendResult: 1 suspended, 0 with a result, -1 with an exception.
    int send "cqrs_send"(PyObject *iterator, PyObject *sent, PyObject **out) noexcept
    int send_generator "cqrs_send_generator"(
        PyObject *generator, PyObject *sent, PyObject **out
    ) noexcept
    # What a handler returned, stolen, and stepped once if it is to be awaited; where
    # that suspends, `iterator` is what does.
    int first_step "cqrs_first_step"(
        PyObject *returned, PyObject **iterator, PyObject **out
    ) noexcept
