"""Hooks: a user's `Middleware` object as a compiled stage."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport Stage


cdef class Call:
    """What hooks see of one dispatch."""

    cdef readonly object message
    cdef Route route
    cdef Frame *frame           # NULL unless a hook runs: the context is made then
    cdef object kept_context    # the context, for reads after that
    cdef object outcome         # the result or the error, as hooks see it
    cdef bint failed            # it is the error
    cdef bint changed           # a hook has set it
    cdef dict notes             # behind `.state`
    cdef int64_t measured_ns    # -1 unless the middleware is `timed`

    cdef int change(self, str what, object outcome, bint failed) except -1
    cdef int forget(self) noexcept


cdef class HookStage(Stage):
    cdef object middleware
    cdef object before, after, on_error     # bound methods, None where not overridden
    cdef bint timed
    cdef Call spare             # for the next dispatch, unless it is held; or None

    cdef PyObject *new_call(self) except NULL
    cdef int put_back(self, PyObject *call) noexcept
    # 1: the outcome is changed, -1: an exception is raised.
    cdef int run(self, PyObject *hook, PyObject *call, Frame *f) noexcept
