"""Await: what the async driver awaits on behalf of a stage.

A stage never awaits. It says AWAIT, and the same method is asked again once the driver
has awaited what it was given. Neither a drain nor a deadline ends that; a cancellation
is raised in it, as it is in a handler.
"""

from cpython.ref cimport PyObject

from cqrs_fast.pipeline.frame cimport Frame


cdef class Await:
    cdef object awaitable       # what is awaited
    cdef object result          # what it returned …
    cdef object error           # … or the BaseException that it raised, or None

    # Steals the result, which may be NULL.
    cdef int answer(self, PyObject *result, object error) noexcept


# For a stage that `awaits`, in enter or leave: let the driver await; says AWAIT.
cdef int say_await(Frame *f, object awaitable) except -1
# What its last AWAIT came to, taken out of the frame; None where it is asked first. The
# error is for the stage to raise: the driver leaves it at that.
cdef Await take_answer(Frame *f)

# For the drivers: whether a stage that says to wait has said AWAIT.
cdef bint says_await(Frame *f) noexcept
# The iterator to step, a new reference; NULL: there is none, and the answer says so.
cdef PyObject *begin_await(Frame *f) noexcept
# It has ended: the answer, and a new reading of the clock. Steals the result.
cdef int end_await(Frame *f, Await asked, PyObject *result, object error) noexcept
# `execute` awaits nothing: the answer is an AsyncHandlerError.
cdef int refuse_await(Frame *f) noexcept
