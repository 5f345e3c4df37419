"""The sync driver: calls the handler in this thread and waits by blocking it."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_DECREF, PyObject
from libc.stdint cimport uint32_t

from cqrs_fast.base.calling cimport call_one, is_promise
from cqrs_fast.base.errstate cimport raise_again
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.pipeline.blocking cimport park
from cqrs_fast.pipeline.deadline cimport refuse_done, why_refused
from cqrs_fast.pipeline.frame cimport Frame, Slot
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.frameless cimport run_in_context
from cqrs_fast.pipeline.refused_results cimport fail, raise_promise, refuse_result
from cqrs_fast.pipeline.route cimport Route, own_name
from cqrs_fast.pipeline.walk cimport (
    CALL, DONE, PARK, Action, capture_error, count_out, invoke, may_be_over, needs_look,
    release, start, turn, walk_in, walk_out,
)

from cqrs_fast.errors import AsyncHandlerError

cdef str IS_ASYNC = "its handler or a middleware is async"


cdef enum:
    INLINE_SLOTS = 16   # on the C stack; a program that needs more has them on the heap


cdef PyObject *run_sync(Route route, object message, Context context) noexcept:
    # hot: nothing may be allocated or looked up here
    cdef PyObject *result
    cdef uint32_t forks = fork_count
    if not route.bypasses_driver or needs_look(route, context):
        return run_program(route, message, context)
    route.in_flight[0] += 1
    result = call_one(<PyObject *>route.call, <PyObject *>message)
    count_out(route.in_flight, <PyObject *>route.gate, forks)
    if result != NULL and is_promise(result):
        return raise_promise(route, message, result)
    return result


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
        return fail(AsyncHandlerError(own_name(route, message), IS_ASYNC))
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
