"""The async driver: one awaitable that steps the handler's coroutine itself.

Nothing happens before the first step, and no Task is made. A handler that never
suspends costs no hop through the event loop. Whatever ends the awaitable (a result, an
error, a cancellation, `close`, garbage collection), every stage that was entered is
left once and the gate gets its count back.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_CLEAR, Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.calling cimport awaitable_iterator, is_awaitable, is_promise, send
from cqrs_fast.base.errstate cimport raise_again, steal, take_raised
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.pipeline.awaiting cimport Await, begin_await, end_await, says_await
from cqrs_fast.pipeline.coroutine cimport (
    CREATED,
    FAILED,
    FINISHED,
    RETURNED,
    RUNNING,
    SUSPENDED,
    YIELDED,
    Coroutine,
    Sent,
    State,
    coroutine_error,
    exit_error,
    raise_misuse,
    throw_into,
)
from cqrs_fast.pipeline.deadline cimport refusal, refuse_done
from cqrs_fast.pipeline.frame cimport Frame, Slot
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.interruption cimport (
    begin_interruption,
    end_interruption,
    explain_outer_timeout,
    hand_on_cancellation,
)
from cqrs_fast.pipeline.loop_watch cimport take_plain
from cqrs_fast.pipeline.refused_results cimport async_refusal, refuse_result
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.timers cimport Timeout
from cqrs_fast.pipeline.waiting cimport abandon_wait, begin_wait, finish_wait
from cqrs_fast.pipeline.walk cimport (
    CALL,
    DONE,
    PARK,
    Action,
    capture_error,
    count_out,
    end_wait,
    invoke,
    may_be_over,
    release,
    start,
    turn,
    walk_in,
    walk_out,
)
from cqrs_fast.waits.waiter cimport Waiter

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.pipeline.unawaited import call_origin


cdef extern from "cqrs_fast/pipeline/async_driver.h":
    void set_step_slots "cqrs_set_step_slots"(type, void *, void *) noexcept
    PyObject *stop_with "cqrs_stop_with"(PyObject *value) noexcept
    # A step's -1 as a value, where a Cython call would jump to an error label.
    int begun "cqrs_begun"(Dispatch dispatch) noexcept
    # What sys.get_coroutine_origin_tracking_depth() returns.
    int origin_depth "cqrs_origin_depth"() noexcept


@cython.final
cdef class Dispatch(Coroutine):
    """The awaitable that `execute_async` returns; it behaves as a coroutine does.

    It is awaited once. Dropped without an await, nothing has happened, and a
    RuntimeWarning says so; `close()` tells that this is meant. Not safe to step from
    two threads at once, as no coroutine is.
    """

    def __init__(self):
        raise TypeError("call bus.execute_async(message)")

    def __await__(self):
        """Return itself: the iterator that an event loop steps."""
        return self

    def __next__(self):
        return self.send(None)

    # Stepping

    cdef Sent resume(self, PyObject *sent, PyObject **out) noexcept:
        # hot: nothing may be allocated or looked up here
        cdef State state = self.state
        if state == SUSPENDED:
            self.state = RUNNING
            if self.step_inner(sent, out):
                return YIELDED
        elif state == CREATED and sent == <PyObject *>None:
            self.state = RUNNING
            if begun(self) < 0:
                self.end()
                return FAILED
        else:
            raise_misuse(state)
            return FAILED
        return self.drive(out)

    cdef Sent raise_in(self, object error, PyObject **out) noexcept:
        cdef PyObject *value = NULL
        cdef State state = self.state
        if state != SUSPENDED:
            if state == CREATED:
                self.end()
                Py_INCREF(error)
                raise_again(<PyObject *>error)
            else:
                raise_misuse(state)
            return FAILED
        self.state = RUNNING
        cdef Sent sent = throw_into(&self.frame, self.inner, error, &value)
        if self.settle(sent, value, out):
            return YIELDED
        return self.drive(out)

    cdef int note_origin(self) except -1:
        self.origin = call_origin(origin_depth())
        return 0

    cdef int begin(self) except -1:
        if self.route is None:
            self.route = self.router.route_for(self.message)
        cdef Route route = self.route
        cdef PyObject *parent = NULL
        cdef Slot *slots = self.slots
        if self.context is not None:
            parent = <PyObject *>self.context
        if route.why_not_async is not None:
            raise async_refusal(route, self.message)
        if route.slot_count > INLINE_SLOTS:
            self.many = slots = <Slot *>PyMem_Malloc(route.slot_count * sizeof(Slot))
            if slots == NULL:
                raise MemoryError
        start(&self.frame, route, <PyObject *>self.message, parent, slots)
        self.frame.on_loop = True
        # From here on nothing raises: what the frame holds is let go of by `finish`.
        if parent != NULL or route.gate.draining:
            self.refuse(parent)
        if self.refused is not None:
            # Only who looks on sees a dispatch that may not start.
            self.frame.depth = route.observers
        else:
            self.counted = True
            route.in_flight[0] += 1
        return 0

    cdef int refuse(self, PyObject *parent) noexcept:
        """Find out why it may not start, if so."""
        try:
            self.refused = refusal(self.route, self.message, parent)
        except BaseException as error:
            self.refused = error
        return 0

    cdef Sent drive(self, PyObject **out) noexcept:
        # hot: nothing may be allocated or looked up here
        cdef Frame *f = &self.frame
        cdef Action action
        while True:
            if not f.upward:
                action = walk_in(f)
                if action == PARK:
                    if self.park(out):
                        return YIELDED
                    continue
                if action == CALL:
                    if self.refused is not None:
                        set_error(f, self.refused)
                        turn(f)
                    elif not (may_be_over(f) and refuse_done(f)):
                        if self.call_handler(out):
                            return YIELDED
            action = walk_out(f)
            if action == DONE:
                return self.finish(out)
            if action == PARK and self.park(out):
                return YIELDED

    cdef bint call_handler(self, PyObject **out) noexcept:
        # hot: nothing may be allocated or looked up here
        cdef Frame *f = &self.frame
        cdef PyObject *value = NULL
        cdef PyObject *iterator
        cdef PyObject *returned = invoke(f, <PyObject *>self.route.call_async)
        cdef Sent status
        if returned == NULL or not is_awaitable(returned):
            take_plain(f, returned)
            return False
        iterator = awaitable_iterator(returned)
        if iterator == NULL:
            capture_error(f)
        else:
            # Most handlers end here: `inner` is only for those that suspend.
            status = <Sent>send(iterator, <PyObject *>None, &value)
            if status == YIELDED:
                self.inner = <object>iterator
                self.state = SUSPENDED
                out[0] = value
                Py_DECREF(<object>iterator)
                if f.deadline_ns != NO_DEADLINE:
                    self.begin_timeout()
                return True
            Py_DECREF(<object>iterator)
            if status != RETURNED:
                capture_error(f)
            elif not is_promise(value):
                f.result = value
            elif self.awaits_next(value):
                if not self.step_inner(<PyObject *>None, out):
                    return False
                if f.deadline_ns != NO_DEADLINE:
                    self.begin_timeout()
                return True
        turn(f)
        return False

    cdef bint awaits_next(self, PyObject *promise) noexcept:
        """Whether to await it: what an around's `next` gave. Else it is refused."""
        if self.route.around is not None and type(<object>promise) is Dispatch:
            self.inner = <object>promise
            Py_DECREF(<object>promise)
            return True
        self.frame.result = promise
        refuse_result(&self.frame, True)
        return False

    cdef bint await_for_stage(self, PyObject **out) noexcept:
        cdef Frame *f = &self.frame
        cdef PyObject *value = NULL
        cdef PyObject *iterator = begin_await(f)
        cdef Sent sent
        if iterator == NULL:
            return False
        self.inner = <object>iterator
        Py_DECREF(<object>iterator)
        self.waiter = <object>f.waiter
        if not self.step_inner(<PyObject *>None, out):
            return False
        if not f.closing:
            return True
        # Nothing is suspended again: what it awaits now is closed as well.
        Py_CLEAR(out[0])
        self.state = RUNNING
        sent = throw_into(f, self.inner, exit_error(), &value)
        return self.settle(sent, value, out)

    cdef bint park(self, PyObject **out) noexcept:
        cdef int64_t timeout_ns = -1
        cdef Frame *f = &self.frame
        cdef Waiter waiter = None
        if says_await(f):
            return self.await_for_stage(out)
        try:
            if f.closing:
                end_wait(f, exit_error())
                return False
            waiter = begin_wait(f, &timeout_ns)
            if waiter is None:
                return False
            self.inner = waiter.arm(timeout_ns).__await__()
        except BaseException as error:
            abandon_wait(f, waiter, error)
            waiter = None
        self.waiter = waiter
        if waiter is None:
            return False
        return self.step_inner(<PyObject *>None, out)

    cdef bint step_inner(self, PyObject *sent, PyObject **out) noexcept:
        cdef PyObject *value = NULL
        cdef Sent status = <Sent>send(<PyObject *>self.inner, sent, &value)
        return self.settle(status, value, out)

    cdef bint settle(self, Sent sent, PyObject *value, PyObject **out) noexcept:
        """Take in how a step of what it awaits ended."""
        cdef Frame *f = &self.frame
        if sent == YIELDED:
            self.state = SUSPENDED
            out[0] = value
            return True
        self.inner = None
        if self.waiter is None:
            if sent != RETURNED:
                capture_error(f)
            elif not is_promise(value):
                f.result = value
            elif self.awaits_next(value):
                return self.step_inner(<PyObject *>None, out)
            if self.timed:
                self.timed = False
                end_interruption(f, self.timeout)
            if f.error != NULL and f.limited and f.parent != NULL:
                self.explain_cancellation()
            turn(f)
            return False
        error = None if sent == RETURNED else steal(take_raised())
        waiter, self.waiter = self.waiter, None
        if type(waiter) is Await:
            end_await(f, <Await>waiter, value, error)
            return False
        Py_XDECREF(value)
        try:
            finish_wait(f, <Waiter>waiter, error)
        except BaseException as failure:
            end_wait(f, failure)
        if f.error != NULL and f.limited and f.parent != NULL:
            self.explain_cancellation()
        return False

    cdef int begin_timeout(self) noexcept:
        """Let the deadline interrupt the handler, now that it is suspended."""
        try:
            if self.timeout is None:
                self.timeout = Timeout.__new__(Timeout)
            self.timed = begin_interruption(&self.frame, self.timeout)
        except BaseException as error:
            # A user's clock or event loop: the handler runs on, without a limit.
            report_callback_error("timer", self.route.name, error)
        return 0

    cdef int explain_cancellation(self) noexcept:
        """Show the stages in here the deadline that an outer timeout's expiry is."""
        try:
            cancellation = explain_outer_timeout(&self.frame)
            if cancellation is not None:
                self.cancellation = cancellation
        except BaseException as error:
            report_callback_error("timer", self.route.name, error)
        return 0

    cdef Sent finish(self, PyObject **out) noexcept:
        # hot: nothing may be allocated or looked up here
        cdef Frame *f = &self.frame
        cdef Route route = self.route
        if self.cancellation is not None:
            hand_on_cancellation(f, self.cancellation)
            self.cancellation = None
        release(f)
        self.end()
        if self.counted:
            count_out(route.in_flight, <PyObject *>route.gate, f.forks)
        else:
            self.refused = None
        if f.error == NULL:
            out[0] = f.result
            f.result = NULL
            return RETURNED
        raise_again(coroutine_error(route.name, f.error))
        f.error = NULL
        return FAILED

    cdef int end(self) noexcept:
        """Every way to FINISHED: nothing of the caller's is kept."""
        # hot
        self.state = FINISHED
        self.frame.slots_used = 0
        if self.many != NULL:
            PyMem_Free(self.many)
            self.many = NULL
        self.message = self.context = None
        return 0


# The slots that step it; `frame_pool` sets those of its life.

cdef Sent slot_send(PyObject *self, PyObject *sent, PyObject **out) noexcept:
    out[0] = NULL
    return (<Dispatch>self).resume(sent, out)


cdef PyObject *slot_next(PyObject *self) noexcept:
    cdef PyObject *out = NULL
    cdef Sent sent = (<Dispatch>self).resume(<PyObject *>None, &out)
    return stop_with(out) if sent == RETURNED else out


set_step_slots(Dispatch, <void *>slot_send, <void *>slot_next)

constructed(Dispatch)
