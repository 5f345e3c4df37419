"""What a wait watches beside its delay: drain, cancellation and the deadline."""

from cpython.ref cimport PyObject, Py_XDECREF

from cqrs_fast.clock cimport Clock, read_clock
from cqrs_fast.context cimport NO_DEADLINE, CancelScope, Context
from cqrs_fast.pipeline.frame cimport Frame, seen_context
from cqrs_fast.pipeline.route cimport Route, begin_pass, end_wait, own_name
from cqrs_fast.pipeline.waiter cimport Waiter

from cqrs_fast.errors import ContextCancelledError, DeadlineExceededError


cdef Waiter begin_wait(Frame *f, int64_t *timeout_ns):
    cdef Route route = <Route>f.route
    cdef Waiter waiter = Waiter() if f.waiter == NULL else <Waiter>f.waiter
    cdef Context context = seen_context(f)
    # Watched before it is looked at: what ends it meanwhile wakes the waiter.
    watch(route, context, waiter)
    try:
        if ended_from_outside(f, route, context):
            let_go(f, route, context, waiter)
            return None
        set_alarms(f, context, waiter, timeout_ns)
    except BaseException:
        let_go(f, route, context, waiter)
        raise
    return waiter


cdef int set_alarms(Frame *f, Context context, Waiter waiter,
                    int64_t *timeout_ns) except -1:
    """Let the clocks of the delay and of the deadline wake `waiter`, the nearer first.

    An automatic clock moves at once by what it is asked for: the later end of a wait
    that is over already must not move it.
    """
    cdef int64_t delay_ns = NO_DEADLINE if f.delay_ns < 0 else f.delay_ns
    # It may have passed since it was looked at; a negative time would mean no end.
    cdef int64_t remaining_ns = max(context.remaining_ns(), 0)
    cdef bint delay_first = delay_ns <= remaining_ns
    if delay_first:
        delay_ns = real_ns(
            <Clock>f.clock if f.clock != NULL else None, delay_ns, waiter
        )
    remaining_ns = real_ns(context.state.clock, remaining_ns, waiter)
    if not delay_first:
        delay_ns = real_ns(
            <Clock>f.clock if f.clock != NULL else None, delay_ns, waiter
        )
    timeout_ns[0] = min(delay_ns, remaining_ns)
    if timeout_ns[0] == NO_DEADLINE:
        timeout_ns[0] = -1
    return 0


cdef int64_t real_ns(Clock clock, int64_t ns, Waiter waiter) except? -1:
    """Return what of `ns` passes in real time; NO_DEADLINE where a clock wakes."""
    if ns == NO_DEADLINE or clock is None or waiter.woken:
        return ns
    return ns if clock.waits_really(ns, waiter) else NO_DEADLINE


cdef int finish_wait(Frame *f, Waiter waiter, object error) except -1:
    cdef Route route = <Route>f.route
    cdef Context context = seen_context(f)
    let_go(f, route, context, waiter)
    if error is not None:
        end_wait(f, error)
    elif not ended_from_outside(f, route, context):
        resume(f, route)
    return 0


cdef int abandon_wait(Frame *f, Waiter waiter, object error) noexcept:
    if waiter is not None:
        let_go(f, <Route>f.route, seen_context(f), waiter)
    end_wait(f, error)
    return 0


cdef int let_go(Frame *f, Route route, Context context, Waiter waiter) except -1:
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
        f.now_ns = read_clock(route.clock)
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
        end_wait(f, DeadlineExceededError(stage="queue"))
        return True
    if route.gate.draining:
        # Between two attempts the last real error says more than the drain.
        keep = f.again and f.error != NULL
        name = own_name(route, <object>f.message)
        end_wait(f, None if keep else route.gate.refusal(name))
        return True
    return False


cdef int watch(Route route, Context context, Waiter waiter) except -1:
    route.gate.parked.add(waiter)
    cdef CancelScope scope = context.state.scope
    while scope is not None:
        if scope.waiters is None:
            scope.waiters = set()
        scope.waiters.add(waiter)
        scope = scope.parent
    return 0


cdef int unwatch(Frame *f, Route route, Context context, Waiter waiter) except -1:
    route.gate.parked.discard(waiter)
    cdef CancelScope scope = context.state.scope
    while scope is not None:
        if scope.waiters is not None:
            scope.waiters.discard(waiter)
        scope = scope.parent
    if f.clock != NULL:
        (<Clock>f.clock).forget(waiter)
    if context.state.clock is not None:
        context.state.clock.forget(waiter)
    return 0
