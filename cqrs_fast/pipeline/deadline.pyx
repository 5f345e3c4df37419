"""Whether there is time: before a dispatch, before its handler, and for more."""

from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.context cimport NO_DEADLINE, CancelScope, Context
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.frame_ops cimport caller_context, set_error, timeout_left_ns
from cqrs_fast.pipeline.route cimport Route, frame_name, own_name
from cqrs_fast.pipeline.walk cimport turn

from cqrs_fast.errors import ContextCancelledError, DeadlineExceededError


cdef object refusal(Route route, object message, PyObject *parent):
    # hot: on the way of every dispatch but the quick ones
    cdef Context context = None if parent == NULL else <Context>parent
    if route.gate.draining and not (context is not None and context.nested()):
        # Behind an around the dispatch itself was admitted, whatever context it passes.
        if not (route.is_inner and route.in_flight[0] > 0):
            return route.gate.refusal(own_name(route, message))
    if context is not None and context.state.limited:
        return why_done(context, route, message)
    return None


cdef PyObject *why_refused(Frame *f) noexcept:
    try:
        error = refusal(<Route>f.route, <object>f.message, f.parent)
    except BaseException as raised:
        error = raised
    if error is None:
        return NULL
    f.depth = (<Route>f.route).observers
    Py_INCREF(error)
    return <PyObject *>error


cdef object why_done(Context context, Route route, object message):
    """Why it is done, or None; what a user's clock raises is a reason too."""
    try:
        failure = context.failure()
        if isinstance(failure, DeadlineExceededError):
            failure.name = own_name(route, message)
    except BaseException as error:
        failure = error
    return failure


cdef bint refuse_done(Frame *f) noexcept:
    failure = None
    if f.limited:
        failure = why_done(
            caller_context(f), <Route>f.route, <object>f.message
        )
    if failure is None and f.deadline_ns != NO_DEADLINE:
        failure = why_over(f)
    if failure is None:
        return False
    set_error(f, failure)
    turn(f)
    return True


cdef object timeout_error(Frame *f, str stage):
    timeout = f.timeout_ns / 1e9 if f.timeout_ns else None
    return DeadlineExceededError(timeout, stage, frame_name(f))


cdef object why_over(Frame *f):
    """Why the handler may not start under its timeout, or None."""
    try:
        failure = timeout_error(f, "queue") if timeout_left_ns(f) <= 0 else None
    except BaseException as error:
        failure = error
    return failure


cdef int64_t remaining_ns(Frame *f) except? -1:
    cdef int64_t left_ns = NO_DEADLINE
    if f.limited:
        left_ns = caller_context(f).remaining_ns()
    if f.deadline_ns != NO_DEADLINE:
        left_ns = min(left_ns, timeout_left_ns(f))
    return left_ns


cdef bint may_begin(Frame *f) except -1:
    return not f.closing and remaining_ns(f) > 0


cdef bint is_own_fate(Frame *f) except -1:
    if is_transparent(f.error):
        return True
    if isinstance(<object>f.error, ContextCancelledError):
        return True
    if isinstance(<object>f.error, DeadlineExceededError):
        return remaining_ns(f) <= 0
    return False


cdef bint ends_attempts(Frame *f) except -1:
    if (<Route>f.route).gate.draining or f.closing:
        return True
    cdef CancelScope scope = caller_context(f).state.scope
    return scope is not None and scope.cancelled_one() is not None
