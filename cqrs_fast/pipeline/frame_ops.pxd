"""What is done to a frame, compiled into those who do it. Open last."""

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.limit cimport Limit
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.context cimport NO_DEADLINE, Context, background, dispatch_context
from cqrs_fast.pipeline.frame cimport Frame


# The outcome. Each of these takes its own reference and drops what was there before.

cdef inline int clear_outcome(Frame *f) except -1:
    cdef PyObject *result = f.result
    cdef PyObject *error = f.error
    f.result = NULL
    f.error = NULL
    Py_XDECREF(result)
    Py_XDECREF(error)
    return 0

cdef inline int set_result(Frame *f, object result) except -1:
    Py_INCREF(result)
    clear_outcome(f)
    f.result = <PyObject *>result
    return 0

cdef inline int set_error(Frame *f, object error) except -1:
    Py_INCREF(error)
    clear_outcome(f)
    f.error = <PyObject *>error
    return 0

# This dispatch's own context, made at the first call; a child of it where a timeout was
# entered or left since.
cdef inline Context frame_context(Frame *f):
    cdef Context context
    if f.context == NULL:
        context = dispatch_context(
            background if f.parent == NULL else <Context>f.parent
        )
        if f.bus_clock != NULL:
            context.tell_time_by(<Clock>f.bus_clock)
        Py_INCREF(context)
        f.context = <PyObject *>context
    if f.published_ns != f.deadline_ns:
        publish_deadline(f)
    return <Context>f.context

cdef inline int publish_deadline(Frame *f) except -1:
    cdef Context context = <Context>f.context
    end_limit(context)
    if f.deadline_ns == NO_DEADLINE:
        put_in_place(f, context.copy_bound(context.own().state))
    else:
        put_in_place(f, context.bounded(
            f.deadline_ns,
            None if f.deadline_clock == NULL else <Clock>f.deadline_clock,
            f.on_loop,
        ))
    f.published_ns = f.deadline_ns
    return 0

# The limit that a timeout of this dispatch has set interrupts nothing any more.
cdef inline int end_limit(Context context) noexcept:
    cdef Limit limit = context.state.limit
    if limit is not None and limit is not context.own().state.limit:
        limit.end()
    return 0

# Make a child the frame's context; the one that was seen stays as it is.
cdef inline int put_in_place(Frame *f, Context child) except -1:
    cdef PyObject *seen = f.context
    Py_INCREF(child)
    f.context = <PyObject *>child
    Py_XDECREF(seen)
    return 0

# The time for a stage that was constructed with `clock`, None if it has none of its own
# and so reads the pipeline's (it sets reads_clock then).
cdef inline int64_t stage_now(Frame *f, Clock clock) except? -1:
    if clock is None or <PyObject *>clock == f.bus_clock:
        return f.now_ns
    return clock.now()

# The system clock, but not before the frame's reading of it: that may be ahead, see
# counter_clock.h, and what was counted from it is not given more time for that.
cdef inline int64_t system_now(Frame *f) except? -1:
    cdef int64_t now_ns = read_clock(None)
    return f.now_ns if f.bus_clock == NULL and f.now_ns > now_ns else now_ns

# What is left until the deadline that a timeout set; only where there is one.
cdef inline int64_t timeout_left_ns(Frame *f) except? -1:
    if f.deadline_clock == NULL:
        return f.deadline_ns - system_now(f)
    return f.deadline_ns - (<Clock>f.deadline_clock).now()

# Let the delay of a WAIT or AGAIN be measured by the same clock as stage_now.
cdef inline int delay_by(Frame *f, Clock clock, int64_t delay_ns) except -1:
    f.delay_ns = delay_ns
    f.clock = f.bus_clock if clock is None else <PyObject *>clock
    return 0

# The context with the caller's own deadline and cancellation. That of the dispatch may
# still show the deadline of a timeout that was left since.
cdef inline Context caller_context(Frame *f):
    return background if f.parent == NULL else <Context>f.parent

# What a stage sees as the context without making one.
cdef inline Context seen_context(Frame *f):
    if f.context != NULL:
        return <Context>f.context
    return background if f.parent == NULL else <Context>f.parent
