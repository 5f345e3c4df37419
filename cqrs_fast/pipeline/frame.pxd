"""The frame: everything one dispatch knows, on the C stack or inside an awaitable."""

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.clock cimport Clock, read_clock
from cqrs_fast.context cimport (
    NO_DEADLINE,
    Context,
    Limit,
    background,
    dispatch_context,
)


cdef enum Verdict:
    PROCEED = 0     # go on: inwards from enter, outwards from leave
    STOP = 1        # from enter: the outcome is in the frame, nothing inside runs
    WAIT = 2        # ask me again after delay_ns, or when the waiter is woken
    AGAIN = 3       # from leave: run the inner part again after delay_ns


cdef enum Ending:
    NOT_ENDED = 0
    ENDED = 1       # the wait was ended from outside, the error in the frame says why


cdef enum Note:
    CACHE_HIT = 1   # a stage answered from a cache
    LATE = 2        # the handler finished after its deadline


cdef struct Slot:
    # What a stage remembers of one dispatch, zero when it is entered first.
    int64_t a
    int64_t b
    PyObject *object            # owned; the driver drops it at the end


cdef struct Frame:
    PyObject *route             # the program; borrowed, as are the next two
    PyObject *message
    PyObject *parent            # the context that the caller passed, or NULL
    PyObject *context           # this dispatch's own, owned; NULL until asked for
    PyObject *result            # owned; NULL until there is one
    PyObject *error             # owned exception instance; at most one of these two
    PyObject *waiter            # owned; what a WAIT waits for beside its delay, or NULL
    PyObject *bus_clock         # the route's, borrowed, NULL for the system clock
    PyObject *clock             # that measures a delay: borrowed, NULL for real time
    Slot *slot                  # of the stage that is asked, NULL if it wants none
    Slot *slots
    int64_t started_ns          # the reading on the way in …
    int64_t now_ns              # … and the newest; both 0 if no stage reads the clock
    int64_t sampled_ns          # the start, where metrics sample it, or NO_DEADLINE
    int64_t delay_ns            # of a WAIT (-1: until woken) or an AGAIN
    int64_t deadline_ns         # the nearest that a timeout set, or NO_DEADLINE …
    int64_t timeout_ns          # … the time it allows, 0 if it is the caller's own …
    PyObject *deadline_clock    # … and what measures it: borrowed, NULL for real time
    int64_t shown_ns            # the deadline that the context has of a timeout
    int depth                   # how many stages this dispatch goes through
    int slots_used              # how many slots there are
    uint32_t forks              # the fork_count it began under
    bint limited                # the caller's context may be done some time
    # Zero at the start, side by side: a few wide stores clear them all.
    int position                # how many stages are entered
    bint upward
    bint on_loop                # the async driver runs it
    bint again                  # the wait is an AGAIN's
    bint closing                # it is closed: nothing may begin any more
    Ending ending
    uint32_t retries            # further attempts that were begun
    uint32_t notes              # Note flags for the stages outside


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
    if f.shown_ns != f.deadline_ns:
        show_deadline(f)
    return <Context>f.context

cdef inline int show_deadline(Frame *f) except -1:
    cdef Context context = <Context>f.context
    end_limit(context)
    if f.deadline_ns == NO_DEADLINE:
        put_in_place(f, context.bounded_like(context.own().state))
    else:
        put_in_place(f, context.bounded(
            f.deadline_ns,
            None if f.deadline_clock == NULL else <Clock>f.deadline_clock,
            f.on_loop,
        ))
    f.shown_ns = f.deadline_ns
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
