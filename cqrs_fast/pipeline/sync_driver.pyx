"""The sync driver: calls the handler in this thread and waits by blocking it."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_DECREF, PyObject
from libc.stdint cimport uint32_t

from cqrs_fast.base.calling cimport call, call_one, is_promise
from cqrs_fast.base.errstate cimport raise_again
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.context cimport Context, background, dispatch_context
from cqrs_fast.pipeline.blocking cimport park
from cqrs_fast.pipeline.deadline cimport refuse_done, why_refused
from cqrs_fast.pipeline.frame cimport Frame, Slot
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.refused_results cimport fail, raise_promise, refuse_result
from cqrs_fast.pipeline.route cimport AROUND, Route, own_name
from cqrs_fast.pipeline.walk cimport (
    CALL,
    DONE,
    PARK,
    Action,
    capture_error,
    count_out,
    hand_out,
    invoke,
    may_be_over,
    release,
    start,
    turn,
    walk_in,
    walk_out,
)

from cqrs_fast.errors import AsyncHandlerError


# dispatch_context with its NULL as a value, as walk.pxd has its Invocation.
ctypedef PyObject *(*Derivation)(PyObject *parent) noexcept


cdef enum:
    INLINE_SLOTS = 16   # on the C stack; a program that needs more has them on the heap


cdef PyObject *run_sync(Route route, object message, Context context) noexcept:
    # hot: nothing may be allocated or looked up here
    cdef PyObject *result
    cdef uint32_t forks = fork_count
    if not route.quick or needs_look(route, context):
        return run_program(route, message, context)
    route.in_flight[0] += 1
    result = call_one(<PyObject *>route.call, <PyObject *>message)
    count_out(route.in_flight, <PyObject *>route.gate, forks)
    if result != NULL and is_promise(result):
        return raise_promise(route, message, result)
    return result


# Whether it is to be found out first if the dispatch may begin.
cdef inline bint needs_look(Route route, Context context) noexcept:
    if route.gate.draining:
        return True
    return context is not None and context.state.limited


cdef PyObject *run_in_context(Route route, object message, Context parent) noexcept:
    # hot: of all that a frame has, only the context is needed
    cdef PyObject *args[4]
    cdef PyObject *result
    cdef uint32_t forks = fork_count
    cdef PyObject *origin = <PyObject *>(background if parent is None else parent)
    cdef PyObject *context = (<Derivation>dispatch_context)(origin)
    if context == NULL:
        return NULL
    args[1] = context
    args[2] = <PyObject *>message
    args[3] = <PyObject *>route.next
    route.in_flight[0] += 1
    result = call(<PyObject *>route.call, &args[1], 3 if route.form == AROUND else 2)
    if result != NULL and is_promise(result):
        result = raise_promise(route, message, result)
    count_out(route.in_flight, <PyObject *>route.gate, forks)
    leave_context(route, context, NULL if parent is None else <PyObject *>parent)
    return result


cdef inline int leave_context(
    Route route, PyObject *context, PyObject *parent
) noexcept:
    """End a dispatch's own context, as `release` does that of a frame."""
    cdef Context own = <Context>context
    own.live = False
    if own.origin is not None and not own.origin.live:
        own.cut_origin()
    if (own.retries or own.notes) and route.is_inner and parent != NULL:
        hand_out(parent, own.retries, own.notes)
    Py_DECREF(own)
    return 0


cdef PyObject *run_program(Route route, object message, Context context) noexcept:
    # hot: nothing may be allocated or looked up here
    cdef Slot inline_slots[INLINE_SLOTS]
    cdef Slot *slots = inline_slots
    cdef Frame frame
    cdef PyObject *parent = NULL if context is None else <PyObject *>context
    cdef PyObject *refused = NULL
    if route.context_only and not needs_look(route, context):
        return run_in_context(route, message, context)
    if route.is_async:
        return fail(
            AsyncHandlerError(
                own_name(route, message), "its handler or a middleware is async"
            )
        )
    if route.slot_count > INLINE_SLOTS:
        slots = <Slot *>PyMem_Malloc(route.slot_count * sizeof(Slot))
        if slots == NULL:
            return fail(MemoryError())
    start(&frame, route, <PyObject *>message, parent, slots)
    if frame.limited or route.gate.draining:
        refused = why_refused(&frame)
    route.in_flight[0] += refused == NULL
    drive(&frame, refused)
    if refused == NULL:
        count_out(route.in_flight, <PyObject *>route.gate, frame.forks)
    else:
        Py_DECREF(<object>refused)
    release(&frame)
    if slots != inline_slots:
        PyMem_Free(slots)
    if frame.error != NULL:
        raise_again(frame.error)
        return NULL
    return frame.result


cdef inline int drive(Frame *f, PyObject *refused) noexcept:
    """Take the frame to its outcome; where it is refused nobody calls the handler."""
    cdef Action action
    while True:
        if not f.upward:
            action = walk_in(f)
            if action == PARK:
                park(f)
                continue
            if action == CALL:
                if refused != NULL:
                    set_error(f, <object>refused)
                    turn(f)
                elif not (may_be_over(f) and refuse_done(f)):
                    call_handler(f)
        action = walk_out(f)
        if action == DONE:
            return 0
        if action == PARK:
            park(f)


cdef inline int call_handler(Frame *f) noexcept:
    f.result = invoke(f, <PyObject *>(<Route>f.route).call)
    if f.result == NULL:
        capture_error(f)
    elif is_promise(f.result):
        refuse_result(f, False)
    turn(f)
    return 0
