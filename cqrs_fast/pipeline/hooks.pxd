"""Hooks: a user's `Middleware` object as a compiled stage."""

from libc.stdint cimport int64_t

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.stage cimport Stage


cdef class Call:
    """What hooks see of one dispatch."""

    cdef readonly object message
    cdef readonly object elapsed_ns     # None unless the middleware is `timed`
    cdef Frame *frame                   # NULL once the stage has been left
    cdef object kept_context            # the context, for reads after that
    cdef str registered_name
    cdef object message_class           # that the registered name is the name of
    cdef object answer, failure         # the outcome as hooks see it
    cdef bint answered                  # `answer` is the result
    cdef dict notes                     # behind `.state`

    cdef int may_change(self, str what) except -1


cdef class HookStage(Stage):
    cdef object middleware
    cdef object before, after, on_error     # bound methods, None where not overridden
    cdef bint timed
