"""What a wait watches beside its delay: drain, cancellation and the deadline."""

from cpython.ref cimport PyObject, Py_XDECREF

from cqrs_fast.clock cimport Clock, read_clock
from cqrs_fast.context cimport NO_DEADLINE, CancelScope, Context
from cqrs_fast.pipeline.frame cimport Frame, seen_context
from cqrs_fast.pipeline.route cimport Route, begin_pass, end_wait
from cqrs_fast.pipeline.waiter cimport Waiter

from cqrs_fast.errors import ContextCancelledError, DeadlineExceededError


cdef Waiter begin_wait(Frame *f, int64_t *timeout_ns):
    cdef Route route = <Route>f.route
    cdef Waiter waiter = Waiter() if f.waiter == NULL else <Waiter>f.waiter
    cdef Context context = seen_context(f)
    if ended_from_outside(f, route, context):
        return None
    cdef int64_t delay_ns = f.delay_ns
    cdef int64_t remaining_ns = context.remaining_ns()
    watch(route, context, waiter)
    if delay_ns >= 0 and f.clock != NULL:
        if not (<Clock>f.clock).waits_really(delay_ns, waiter):
            delay_ns = -1
    if remaining_ns != NO_DEADLINE and context.state.clock is not None:
        if not context.state.clock.waits_really(remaining_ns, waiter):
            remaining_ns = NO_DEADLINE
    if delay_ns < 0 and remaining_ns == NO_DEADLINE:
        timeout_ns[0] = -1
    elif delay_ns < 0:
        timeout_ns[0] = remaining_ns
    else:
        timeout_ns[0] = min(delay_ns, remaining_ns)
    return waiter


cdef int finish_wait(Frame *f, Waiter waiter, object error) except -1:
    cdef Route route = <Route>f.route
    cdef Context context = seen_context(f)
    unwatch(f, route, context, waiter)
    cdef bint woken = waiter.woken
    waiter.rearm()
    cdef PyObject *granted = f.waiter
    f.waiter = NULL
    Py_XDECREF(granted)
    if error is not None:
        end_wait(f, error)
    elif not ended_from_outside(f, route, context):
        resume(f, route)
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
        end_wait(f, None if keep else route.gate.refusal(route.name))
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
