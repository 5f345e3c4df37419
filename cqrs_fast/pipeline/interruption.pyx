"""How a deadline interrupts a suspended handler, and what its error is then."""

from cpython.ref cimport PyObject

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.limit cimport Limit
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.deadline cimport timeout_error
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.timers cimport Timeout, is_cancellation

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.errors import DeadlineExceededError


cdef bint begin_interruption(Frame *f, Timeout timeout) except -1:
    cdef Limit limit = None
    if f.context != NULL and f.published_ns == f.deadline_ns:
        limit = (<Context>f.context).state.limit
    return timeout.begin(
        f.deadline_ns,
        None if f.deadline_clock == NULL else <Clock>f.deadline_clock,
        limit,
    )


cdef int end_interruption(Frame *f, Timeout timeout) noexcept:
    try:
        alone = timeout.end()
        if alone and f.error != NULL:
            if is_cancellation(f.error):
                exceeded = timeout_error(f, "handler")
                exceeded.__cause__ = <object>f.error
                set_error(f, exceeded)
            else:
                explain_error(f)
    except BaseException as error:
        report_callback_error("timer", (<Route>f.route).name, error)
    return 0


cdef object explain_outer_timeout(Frame *f):
    cdef Limit limit = (<Context>f.parent).state.limit
    cancellation = None
    try:
        if limit is not None and is_cancellation(f.error) and limit.explains():
            exceeded = DeadlineExceededError(None, "handler", frame_name(f))
            exceeded.__cause__ = <object>f.error
            cancellation = <object>f.error
            set_error(f, exceeded)
    except BaseException as error:
        report_callback_error("timer", (<Route>f.route).name, error)
    return cancellation


cdef int hand_on_cancellation(Frame *f, object cancellation) noexcept:
    if f.error != NULL and (<object>f.error).__cause__ is cancellation:
        set_error(f, cancellation)
    return 0


cdef int explain_error(Frame *f) except -1:
    """Let an error that answers the interruption tell of the deadline.

    As asyncio.timeout does from 3.13 on: the cancellation in its context, and in that
    of each error of a group, is that of a DeadlineExceededError.
    """
    error = <object>f.error
    insert_deadline(f, error)
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            insert_deadline(f, member)
    return 0


cdef int insert_deadline(Frame *f, object error) except -1:
    seen = set()
    while id(error) not in seen:
        seen.add(id(error))
        context = error.__context__
        if context is None or isinstance(context, DeadlineExceededError):
            return 0
        if is_cancellation(<PyObject *>context):
            exceeded = timeout_error(f, "handler")
            exceeded.__context__ = exceeded.__cause__ = context
            error.__context__ = exceeded
            return 0
        error = context
    return 0
