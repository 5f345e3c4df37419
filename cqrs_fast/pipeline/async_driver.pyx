"""The async driver: one awaitable that steps the handler's coroutine itself.

Nothing happens before the first step, and no Task is made. Whatever ends the awaitable
(a result, an error, a cancellation, `close`, garbage collection), each stage that was
entered is left once and the gate gets its count back.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_CLEAR, Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.calling cimport call_one, first_step, is_promise, send
from cqrs_fast.base.errstate cimport raise_again, steal, take_raised
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.pipeline.awaiting cimport Await, begin_await, end_await, says_await
from cqrs_fast.pipeline.coroutine cimport (
    CREATED, FAILED, FINISHED, RETURNED, RUNNING, SUSPENDED, YIELDED, Coroutine, Sent,
    State, coroutine_error, exit_error, raise_misuse, throw_into,
)
from cqrs_fast.pipeline.deadline cimport refusal, refuse_done
from cqrs_fast.pipeline.frame cimport Frame, Slot
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.interruption cimport (
    begin_interruption, end_interruption, explain_outer_timeout, hand_on_cancellation,
)
from cqrs_fast.pipeline.loop_watch cimport report_held_loop
from cqrs_fast.pipeline.refused_results cimport async_refusal, refuse_result
from cqrs_fast.pipeline.route cimport MESSAGE
from cqrs_fast.pipeline.timers cimport Timeout
from cqrs_fast.pipeline.waiting cimport abandon_wait, begin_wait, finish_wait
from cqrs_fast.pipeline.walk cimport (
    CALL, DONE, PARK, Action, capture_error, count_out, end_wait, invoke, may_be_over,
    release, start, turn, walk_in, walk_out,
)
from cqrs_fast.waits.waiter cimport Waiter

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.pipeline.unawaited import call_origin


cdef extern from "cqrs_fast/pipeline/async_driver.h":
    void set_step_slots "cqrs_set_step_slots"(type, void *, void *) noexcept
    PyObject *stop_with "cqrs_stop_with"(PyObject *value) noexcept
    # A step's -1 as a value, where a Cython call would jump to an error label.
    int begin "cqrs_begin"(Dispatch dispatch) noexcept
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
        cdef int begun
        if state == SUSPENDED:
            self.state = RUNNING
            if self.step_inner(sent, out):
                return YIELDED
        elif state == CREATED and sent == <PyObject *>None:
            self.state = RUNNING
            begun = begin(self)
            if begun < 0:
                self.end()
                return FAILED
            if begun == FRAMELESS:
                return self.run_frameless(out)
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

    cdef Sent run_frameless(self, PyObject **out) noexcept:
        """Without stages only a handler that suspends or fails needs a frame."""
        # hot: nothing may be allocated or looked up here
        cdef uint32_t forks = fork_count
        cdef int64_t *in_flight = self.route.in_flight
        cdef PyObject *gate = <PyObject *>self.route.gate
        cdef PyObject *value = NULL
        cdef PyObject *iterator = NULL
        cdef PyObject *called = <PyObject *>self.route.call_async
        cdef Sent sent
        in_flight[0] += 1
        called = call_one(called, <PyObject *>self.message)
        sent = <Sent>first_step(called, &iterator, &value)
        if sent == RETURNED and not is_promise(value):
            self.end()
            count_out(in_flight, gate, forks)
            out[0] = value
            return RETURNED
        self.start_frame(self.slots)
        self.frame.forks = forks
        self.counted = True
        if sent == YIELDED:
            self.inner = steal(iterator)
        if self.settle(sent, value, out):
            return YIELDED
        return self.drive(out)

    cdef int begin(self) except -1:
        # hot: by pointers, as Cython takes references of attributes and locals
        cdef PyObject *message = <PyObject *>self.message
        if self.route is None:
            self.route = self.router.route_for(<object>message)
        if self.route.depth == 0 and self.route.form == MESSAGE:
            if self.context is None and not self.route.gate.draining:
                if self.route.why_not_async is None:
                    return FRAMELESS
        cdef int64_t *in_flight = self.route.in_flight
        cdef Slot *slots = self.slots
        if self.route.why_not_async is not None:
            raise async_refusal(self.route, self.message)
        cdef size_t count = self.route.slot_count
        if count > INLINE_SLOTS:
            self.many = slots = <Slot *>PyMem_Malloc(count * sizeof(Slot))
            if slots == NULL:
                raise MemoryError
        self.start_frame(slots)
        # Nothing raises from here on: `finish` drops what the frame holds.
        if self.frame.parent != NULL or self.route.gate.draining:
            self.refuse()
        if self.refused is not None:
            # Only who looks on sees a dispatch that may not start.
            self.frame.depth = self.route.observers
        else:
            self.counted = True
            in_flight[0] += 1
        return 0

    cdef int start_frame(self, Slot *slots) noexcept:
        cdef PyObject *parent = NULL
        if self.context is not None:
            parent = <PyObject *>self.context
        start(&self.frame, self.route, <PyObject *>self.message, parent, slots)
        self.frame.on_loop = True
        return 0

    cdef int refuse(self) noexcept:
        """Find out why it may not start, if so."""
        try:
            self.refused = refusal(self.route, self.message, self.frame.parent)
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
        cdef int64_t began_ns = f.now_ns
        cdef PyObject *value = NULL
        cdef PyObject *iterator = NULL
        cdef PyObject *returned = invoke(f, <PyObject *>self.route.call_async)
        cdef Sent sent = <Sent>first_step(returned, &iterator, &value)
        if sent == FAILED:
            capture_error(f)
        elif sent == RETURNED and not is_promise(value):
            f.result = value
        else:
            if sent == YIELDED:
                self.inner = steal(iterator)
            if not self.settle(sent, value, out):
                return False
            if f.deadline_ns != NO_DEADLINE:
                self.begin_timeout()
            return True
        turn(f)
        if f.now_ns - began_ns > self.route.gate.loop_block_ns:
            report_held_loop(f, f.now_ns - began_ns)
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
        cancellation = explain_outer_timeout(&self.frame)
        if cancellation is not None:
            self.cancellation = cancellation
        return 0

    cdef Sent finish(self, PyObject **out) noexcept:
        # hot: nothing may be allocated or looked up here
        cdef Frame *f = &self.frame
        if self.cancellation is not None:
            hand_on_cancellation(f, self.cancellation)
            self.cancellation = None
        release(f)
        self.end()
        if self.counted:
            count_out(self.route.in_flight, <PyObject *>self.route.gate, f.forks)
        else:
            self.refused = None
        if f.error == NULL:
            out[0] = f.result
            f.result = NULL
            return RETURNED
        raise_again(coroutine_error(self.route.name, f.error))
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
