"""What a wait watches beside its delay: drain, cancellation and the deadline."""

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.context cimport NO_DEADLINE, CancelScope, Context
from cqrs_fast.pipeline.deadline cimport timeout_error
from cqrs_fast.pipeline.frame cimport WAIT, Frame
from cqrs_fast.pipeline.frame_ops cimport caller_context, delay_by, timeout_left_ns
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.walk cimport begin_pass, end_wait, time_of
from cqrs_fast.waits.line cimport Ticket, new_ticket
from cqrs_fast.waits.loops cimport running_loop
from cqrs_fast.waits.waiter cimport Waiter

from cqrs_fast.errors import ContextCancelledError, DeadlineExceededError


cdef bint blocks_loop(Frame *f) except -1:
    return not f.on_loop and running_loop() is not None


cdef Ticket join_line(Frame *f):
    cdef Ticket ticket = new_ticket()
    Py_INCREF(ticket)
    f.slot.object = <PyObject *>ticket
    return ticket


cdef int wait_in_line(
    Frame *f, Ticket ticket, Clock clock, int64_t delay_ns
) except -1:
    delay_by(f, clock, delay_ns)
    Py_INCREF(ticket.waiter)
    f.waiter = <PyObject *>ticket.waiter
    return WAIT


cdef Waiter begin_wait(Frame *f, int64_t *timeout_ns):
    cdef Route route = <Route>f.route
    cdef Waiter waiter = Waiter() if f.waiter == NULL else <Waiter>f.waiter
    cdef Context context = caller_context(f)
    # Watched before it is looked at: what ends it meanwhile wakes the waiter.
    watch(route, context, waiter)
    try:
        if ended_from_outside(f, route, context):
            stop_watching(f, route, context, waiter)
            return None
        set_alarms(f, context, waiter, timeout_ns)
    except BaseException:
        stop_watching(f, route, context, waiter)
        raise
    return waiter


cdef int set_alarms(Frame *f, Context context, Waiter waiter,
                    int64_t *timeout_ns) except -1:
    cdef Alarm alarms[3]
    # A deadline may have passed since it was looked at; below 0 would mean none.
    alarms[0].ns = NO_DEADLINE if f.delay_ns < 0 else f.delay_ns
    alarms[0].clock = f.clock
    alarms[1] = deadline_alarm(context)
    alarms[2].ns = NO_DEADLINE
    alarms[2].clock = f.deadline_clock
    if f.deadline_ns != NO_DEADLINE:
        alarms[2].ns = max(timeout_left_ns(f), 0)
    timeout_ns[0] = arm(alarms, 3, waiter)
    return 0


cdef Alarm deadline_alarm(Context context) except *:
    cdef Alarm alarm
    alarm.ns = max(context.remaining_ns(), 0)
    alarm.clock = clock_or_null(context.state.clock)
    return alarm


cdef int64_t arm(Alarm *alarms, int count, Waiter waiter) except -2:
    # An automatic clock moves at once by what it is asked for: the later end of a wait
    # that is over already must not move it. So the nearest comes first.
    cdef Alarm nearer
    cdef int64_t real = NO_DEADLINE
    cdef int index, other
    for index in range(count - 1):
        for other in range(index + 1, count):
            if alarms[other].ns < alarms[index].ns:
                nearer = alarms[other]
                alarms[other] = alarms[index]
                alarms[index] = nearer
    for index in range(count):
        real = min(real, real_ns(alarms[index], waiter))
    return -1 if real == NO_DEADLINE else real


cdef PyObject *clock_or_null(Clock clock) noexcept:
    return NULL if clock is None else <PyObject *>clock


cdef int64_t real_ns(Alarm alarm, Waiter waiter) except? -1:
    """Return what of it passes in real time; NO_DEADLINE where a clock wakes."""
    if alarm.ns == NO_DEADLINE or alarm.clock == NULL or waiter.woken:
        return alarm.ns
    if (<Clock>alarm.clock).waits_really(alarm.ns, waiter):
        return alarm.ns
    return NO_DEADLINE


cdef int finish_wait(Frame *f, Waiter waiter, object error) except -1:
    cdef Route route = <Route>f.route
    cdef Context context = caller_context(f)
    stop_watching(f, route, context, waiter)
    if error is not None:
        end_wait(f, error)
    elif not ended_from_outside(f, route, context):
        resume(f, route)
    return 0


cdef int abandon_wait(Frame *f, Waiter waiter, object error) noexcept:
    if waiter is not None:
        stop_watching(f, <Route>f.route, caller_context(f), waiter)
    end_wait(f, error)
    return 0


cdef int stop_watching(Frame *f, Route route, Context context, Waiter waiter) except -1:
    """Stop to watch, and forget what this one wait was made of."""
    unwatch(f, route, context, waiter)
    waiter.rearm()
    cdef PyObject *granted = f.waiter
    f.waiter = f.clock = NULL
    f.delay_ns = 0
    Py_XDECREF(granted)
    return 0


cdef int resume(Frame *f, Route route) except -1:
    if f.again:
        begin_pass(f)
    elif route.reads_clock:
        f.now_ns = time_of(route)
    return 0


cdef bint ended_from_outside(Frame *f, Route route, Context context) except -1:
    """End the wait if its context is done or the bus drains."""
    cdef CancelScope scope = context.state.scope
    if scope is not None:
        scope = scope.cancelled_one()
        if scope is not None:
            end_wait(f, ContextCancelledError(reason=scope.reason))
            return True
    if context.remaining_ns() <= 0:
        end_wait(f, DeadlineExceededError(None, "queue", frame_name(f)))
        return True
    if f.deadline_ns != NO_DEADLINE and timeout_left_ns(f) <= 0:
        end_wait(f, timeout_error(f, "queue"))
        return True
    if route.gate.draining:
        # Between two attempts the last real error says more than the drain.
        keep = f.again and f.error != NULL
        end_wait(f, None if keep else route.gate.refusal(frame_name(f)))
        return True
    return False


cdef int watch(Route route, Context context, Waiter waiter) except -1:
    route.gate.parked.add(waiter)
    return watch_scopes(context, waiter)


cdef int watch_scopes(Context context, Waiter waiter) except -1:
    cdef CancelScope scope = context.state.scope
    while scope is not None:
        if scope.waiters is None:
            scope.waiters = set()
        scope.waiters.add(waiter)
        scope = scope.parent
    return 0


cdef int unwatch(Frame *f, Route route, Context context, Waiter waiter) except -1:
    route.gate.parked.discard(waiter)
    unwatch_scopes(context, waiter)
    if f.clock != NULL:
        (<Clock>f.clock).forget(waiter)
    if context.state.clock is not None:
        context.state.clock.forget(waiter)
    if f.deadline_clock != NULL:
        (<Clock>f.deadline_clock).forget(waiter)
    return 0


cdef int unwatch_scopes(Context context, Waiter waiter) except -1:
    cdef CancelScope scope = context.state.scope
    while scope is not None:
        if scope.waiters is not None:
            scope.waiters.discard(waiter)
        scope = scope.parent
    return 0
