"""The walk along a route, where it is not compiled into the drivers.

Both drivers compile `walk_in` and `walk_out` into themselves: these ask one stage after
the other and come back only when somebody has to call the handler or to wait.
"""

from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint32_t

from cqrs_fast.base.calling cimport call
from cqrs_fast.base.errstate cimport (
    PyErr_GetHandledException, PyErr_SetHandledException, is_transparent, take_raised,
)
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame cimport (
    AGAIN, AWAIT, ENDED, NOT_ENDED, PROCEED, WAIT, Frame,
)
from cqrs_fast.pipeline.frame_ops cimport (
    clear_outcome, frame_context, seen_context, set_error,
)
from cqrs_fast.pipeline.program cimport Step
from cqrs_fast.pipeline.route cimport CONTEXT_MESSAGE, Route

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.errors import CQRSError


cdef int stop(Frame *f, Step *step, int verdict) noexcept:
    """Head outwards where a stage said STOP, or raised."""
    if verdict < 0:
        capture_error(f)
    elif verdict == AGAIN or f.result == f.error:
        set_error(f, contract_error(step.stage))
    if f.slot != NULL and f.slot.object != NULL:
        drop_object(f.slot)
    if f.error != NULL or f.position > (<Route>f.route).first_measured:
        turn(f)
    else:
        # An answer without a handler, from a cache say: there is nobody to be late.
        f.upward = True
    return 0


cdef inline bint pauses(Frame *f, int verdict) noexcept:
    """Whether a leave's verdict holds the walk up; a closed dispatch runs no more."""
    if verdict == WAIT or verdict == AWAIT:
        return True
    return verdict == AGAIN and not f.closing


cdef Action pause(Frame *f, int verdict) noexcept:
    if verdict != AGAIN:
        return PARK
    f.again = True
    if f.delay_ns > 0:
        return PARK
    begin_pass(f)
    return WALK


cdef object contract_error(PyObject *stage):
    return SystemError(
        f"{type(<object>stage).__name__}.enter said STOP without an outcome, or AGAIN"
    )


cdef Action walk_on(Frame *f, Step *step, int verdict) noexcept:
    if verdict < 0:
        capture_error(f)
    f.position = <int>(step - (<Route>f.route).program)
    if pauses(f, verdict):
        f.position += 1
        return pause(f, verdict)
    if f.slot != NULL and f.slot.object != NULL:
        drop_object(f.slot)
    return walk_back(f)


cdef Action walk_back(Frame *f) noexcept:
    cdef Step *program = (<Route>f.route).program
    cdef Step *step = &program[f.position]
    cdef int verdict = PROCEED
    while step != program:
        step -= 1
        if step.leave != NULL:
            f.slot = slot_of(f, step)
            if f.error != NULL:
                verdict = leave_with_error(step, f)
            elif not step.skips_results:
                verdict = step.leave(step.stage, f)
                if verdict < 0:
                    capture_error(f)
            # Also where its own wait was ended: what it awaits then is not.
            if verdict == AWAIT:
                f.ending = NOT_ENDED
            if f.ending == NOT_ENDED and pauses(f, verdict):
                f.position = <int>(step - program) + 1
                return pause(f, verdict)
            if f.slot != NULL and f.slot.object != NULL:
                drop_object(f.slot)
            verdict = PROCEED
        f.ending = NOT_ENDED
    f.position = 0
    if f.error != NULL and (f.context != NULL or f.parent != NULL):
        identify(f)
    return DONE


cdef int identify(Frame *f) noexcept:
    """Let an error of the library tell whose dispatch it ended, and which one.

    No id is made for it alone: without a context nobody else knows one.
    """
    cdef Context context = seen_context(f)
    error = <object>f.error
    if not isinstance(error, CQRSError):
        return 0
    try:
        if error.correlation_id is None:
            error.correlation_id = context.known_id()
            error.principal = context.state.principal
    except Exception:
        # A class of a user may have other ideas; the error matters more.
        pass
    return 0


cdef int leave_with_error(Step *step, Frame *f) noexcept:
    """Let a stage look at an error; what it raises is chained to that error.

    A BaseException that is no Exception is never replaced by less: a stage may neither
    recover from it nor ask for another attempt, and what it raises is reported.
    """
    cdef PyObject *held = f.error
    cdef PyObject *handled = PyErr_GetHandledException()
    cdef PyObject *raised
    cdef bint transparent = is_transparent(held)
    Py_INCREF(<object>held)
    PyErr_SetHandledException(held)
    cdef int verdict = step.leave(step.stage, f)
    if verdict < 0:
        raised = take_raised()
        if transparent and not is_transparent(raised):
            report_raised(f, <object>raised)
        else:
            set_error(f, <object>raised)
        Py_DECREF(<object>raised)
    if transparent:
        if f.error == NULL or not is_transparent(f.error):
            set_error(f, <object>held)
        if verdict == AGAIN:
            verdict = PROCEED
    PyErr_SetHandledException(handled)
    Py_XDECREF(handled)
    Py_DECREF(<object>held)
    return verdict


cdef int report_raised(Frame *f, object raised) noexcept:
    try:
        report_callback_error("stage", (<Route>f.route).name, raised)
    except BaseException as error:
        set_error(f, error)
    return 0


cdef PyObject *invoke_in_context(Frame *f, PyObject *callee) except NULL:
    # hot
    cdef PyObject *args[4]
    frame_context(f)
    args[1] = f.context
    args[2] = f.message
    if (<Route>f.route).form == CONTEXT_MESSAGE:
        return call(callee, &args[1], 2)
    args[3] = <PyObject *>(<Route>f.route).next
    return call(callee, &args[1], 3)


cdef int capture_error(Frame *f) noexcept:
    cdef PyObject *error = take_raised()
    clear_outcome(f)
    f.error = error
    return 0


cdef int read_end(Frame *f, Route route) noexcept:
    try:
        f.now_ns = time_of(route)
    except BaseException as error:
        set_error(f, error)
    return 0


cdef int begin_pass(Frame *f) noexcept:
    cdef Step *program = (<Route>f.route).program
    cdef int index
    clear_outcome(f)
    f.again = f.upward = False
    f.retries += 1
    # Those inside are entered as if for the first time.
    for index in range(f.position, f.depth):
        if program[index].slot >= 0:
            f.slots[program[index].slot].a = f.slots[program[index].slot].b = 0
    if (<Route>f.route).reads_clock:
        read_now(f, f.route)
        # Nothing to enter if a user's clock raised.
        f.upward = f.error != NULL
    return 0


cdef int end_wait(Frame *f, object error) noexcept:
    if error is not None:
        set_error(f, error)
    if not f.upward:
        f.position += 1
    f.again = False
    f.ending = ENDED
    turn(f)
    return 0


cdef int hand_out(PyObject *parent, uint32_t retries, uint32_t notes) noexcept:
    cdef Context outer = (<Context>parent).own()
    if outer is not None:
        outer.retries += retries
        outer.notes |= notes
    return 0
