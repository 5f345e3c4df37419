"""Route: one handler with its stages as a flat program, immutable once built.

The walk
    Both drivers compile `walk_in` and `walk_out` into themselves: these ask one stage
    after the other and come back only when somebody has to call the handler or to wait.
    They hold no references of their own: the route keeps its stages alive and the
    driver the route and the message.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject

from cqrs_fast.base.calling cimport call
from cqrs_fast.base.counter_clock cimport counter_is_steady
from cqrs_fast.base.errstate cimport (
    PyErr_GetHandledException,
    PyErr_SetHandledException,
    is_transparent,
    take_raised,
)
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.context cimport NO_DEADLINE, Context
from cqrs_fast.pipeline.frame cimport (
    AGAIN,
    ENDED,
    PROCEED,
    WAIT,
    Frame,
    caller_context,
    clear_outcome,
    frame_context,
    set_error,
    timeout_left_ns,
)
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.callbacks import report
from cqrs_fast.errors import DeadlineExceededError
from cqrs_fast.messages import message_name


cdef extern from *:
    """
    /* A stage's methods as plain functions, whose -1 is a value: the walk turns errors
       into outcomes, and a Cython call would jump to an error label instead. */
    #define cqrs_enter_of(stage) ((void *)(stage)->__pyx_vtab->enter)
    #define cqrs_leave_of(stage) ((void *)(stage)->__pyx_vtab->leave)
    #define cqrs_overrides_enter(stage, plain) \
        ((stage)->__pyx_vtab->enter != (plain)->__pyx_vtab->enter)
    #define cqrs_overrides_leave(stage, plain) \
        ((stage)->__pyx_vtab->leave != (plain)->__pyx_vtab->leave)
    """
    void *enter_of "cqrs_enter_of"(Stage stage) noexcept
    void *leave_of "cqrs_leave_of"(Stage stage) noexcept
    bint overrides_enter "cqrs_overrides_enter"(Stage stage, Stage plain) noexcept
    bint overrides_leave "cqrs_overrides_leave"(Stage stage, Stage plain) noexcept


@cython.final
@cython.auto_pickle(False)
cdef class Route:
    """One handler with its stages as a flat program, immutable once built."""

    def __dealloc__(self):
        PyMem_Free(self.program)

    cdef int lay_out(self) except -1:
        cdef Stage stage
        cdef Stage plain = Stage()
        cdef Step *step
        cdef int index
        self.depth = self.first_timed = self.first_measured = len(self.stages)
        self.program = <Step *>PyMem_Calloc(self.depth + 1, sizeof(Step))
        if self.program == NULL:
            raise MemoryError
        for index, stage in enumerate(self.stages):
            step = &self.program[index]
            step.stage = <PyObject *>stage
            step.slot = -1
            step.errors_only = stage.errors_only
            if overrides_enter(stage, plain):
                step.enter = <Question>enter_of(stage)
            # What it keeps in its slot is dropped when it is left.
            if stage.has_slot or overrides_leave(stage, plain):
                step.leave = <Question>leave_of(stage)
            if stage.has_slot:
                step.slot = self.slot_count
                self.slot_count += 1
            self.reads_clock |= stage.reads_clock or stage.reads_end
            self.may_wait |= stage.may_wait
            self.takes_time |= stage.takes_time
            if stage.observes and self.observers == index:
                self.observers += 1
            if stage.reads_end and self.first_timed == self.depth:
                self.first_timed = index
            if stage.reads_end and not stage.judges_end:
                self.first_measured = min(self.first_measured, index)
        self.link()
        self.reading = self.reading_of()
        self.quick = self.depth == 0 and self.form == MESSAGE and not self.is_async
        return 0

    cdef int link(self) noexcept:
        """Let each step know the next one that has something to say, either way."""
        cdef Step *step
        cdef Step *outward = NULL
        cdef Step *inward = &self.program[self.depth]
        cdef int index
        for index in range(self.depth + 1):
            step = &self.program[index]
            step.outward = outward
            # What it keeps in its slot is dropped there, too.
            if step.leave != NULL and (step.slot >= 0 or not step.errors_only):
                outward = step
        for index in reversed(range(self.depth + 1)):
            step = &self.program[index]
            if step.enter != NULL:
                inward = step
            step.inward = inward
        return 0

    cdef Reading reading_of(self) noexcept:
        cdef Reading system = COUNTED if counter_is_steady else EXACT
        if self.clock is None:
            return system
        if not self.clock.coarse:
            return OTHER
        # Of the same time: what is measured is not measured in ticks.
        return COARSE if self.first_measured == self.depth else system


@cython.auto_pickle(False)
cdef class Router:
    """What finds the route of a message: a bus."""

    cdef Route route_for(self, object message):
        raise LookupError("this router has no routes")


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
    return verdict == WAIT or (verdict == AGAIN and not f.closing)


cdef Action pause(Frame *f, int verdict) noexcept:
    if verdict == WAIT:
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
            elif not step.errors_only:
                verdict = step.leave(step.stage, f)
                if verdict < 0:
                    capture_error(f)
            if f.ending == NOT_ENDED and pauses(f, verdict):
                f.position = <int>(step - program) + 1
                return pause(f, verdict)
            if f.slot != NULL and f.slot.object != NULL:
                drop_object(f.slot)
            verdict = PROCEED
        f.ending = NOT_ENDED
    f.position = 0
    return DONE


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
        report("stage", (<Route>f.route).name, raised)
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
    args[3] = next_of(f)
    return call(callee, &args[1], 3)


cdef inline PyObject *next_of(Frame *f) noexcept:
    if f.on_loop:
        return <PyObject *>(<Route>f.route).next_async
    return <PyObject *>(<Route>f.route).next


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


cdef object refusal(Route route, object message, PyObject *parent):
    # hot: on the way of every dispatch but the quick ones
    cdef Context context = None if parent == NULL else <Context>parent
    if route.gate.draining and not (context is not None and context.nested()):
        # Behind an around the dispatch itself was admitted, whatever context it passes.
        if not (route.is_inner and route.flights.count > 0):
            return route.gate.refusal(own_name(route, message))
    if context is not None and context.state.limited:
        return why_done(context, route, message)
    return None


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


cdef str frame_name(Frame *f):
    return own_name(<Route>f.route, <object>f.message)


cdef object why_over(Frame *f):
    """Why the handler may not start under its timeout, or None."""
    try:
        failure = timeout_error(f, "queue") if timeout_left_ns(f) <= 0 else None
    except BaseException as error:
        failure = error
    return failure


cdef str own_name(Route route, object message):
    if route.names_all and type(message) is route.message_class:
        return route.name
    try:
        name = message_name(message)
    except Exception:
        # Users' code: what is being told must not be lost for its name.
        name = route.name
    return name


internal(Route)
