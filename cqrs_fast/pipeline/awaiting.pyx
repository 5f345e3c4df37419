"""Await: what the async driver awaits on behalf of a stage."""

cimport cython
from cpython.ref cimport Py_INCREF, PyObject

from cqrs_fast.base.calling cimport is_awaitable
from cqrs_fast.base.calling cimport awaitable_iterator
from cqrs_fast.base.errstate cimport steal, take_raised
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.pipeline.frame cimport AWAIT, Frame
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.walk cimport time_of

from cqrs_fast.base.promises import put_to_rest
from cqrs_fast.errors import AsyncHandlerError


@cython.final
cdef class Await:
    """What the async driver awaits on behalf of a stage, and what that came to."""

    cdef int answer(self, PyObject *result, object error) noexcept:
        self.error = error
        if result != NULL:
            self.result = steal(result)
        return 0


cdef int say_await(Frame *f, object awaitable) except -1:
    cdef Await asked = Await.__new__(Await)
    asked.awaitable = awaitable
    Py_INCREF(asked)
    f.waiter = <PyObject *>asked
    return AWAIT


cdef Await take_answer(Frame *f):
    cdef PyObject *answered = f.waiter
    if answered == NULL:
        return None
    f.waiter = NULL
    return steal(answered)


cdef bint says_await(Frame *f) noexcept:
    return f.waiter != NULL and type(<object>f.waiter) is Await


cdef PyObject *begin_await(Frame *f) noexcept:
    cdef Await asked = <Await>f.waiter
    awaitable, asked.awaitable = asked.awaitable, None
    cdef PyObject *iterator = NULL
    try:
        if not is_awaitable(<PyObject *>awaitable):
            raise TypeError(
                f"a stage of {frame_name(f)} said AWAIT with {awaitable!r}, which "
                "cannot be awaited"
            )
        Py_INCREF(awaitable)
        iterator = awaitable_iterator(<PyObject *>awaitable)
        if iterator == NULL:
            asked.answer(NULL, steal(take_raised()))
    except BaseException as error:
        asked.answer(NULL, error)
    return iterator


cdef int end_await(Frame *f, Await asked, PyObject *result, object error) noexcept:
    try:
        if (<Route>f.route).reads_clock:
            f.now_ns = time_of(<Route>f.route)
    except BaseException as failure:
        error = failure if error is None else error
    return asked.answer(result, error)


cdef int refuse_await(Frame *f) noexcept:
    cdef Await asked = <Await>f.waiter
    awaitable, asked.awaitable = asked.awaitable, None
    try:
        put_to_rest(awaitable, (<Route>f.route).name)
        asked.answer(NULL, AsyncHandlerError(frame_name(f), "a stage of it awaits"))
    except BaseException as error:
        asked.answer(NULL, error)
    return 0


internal(Await)
