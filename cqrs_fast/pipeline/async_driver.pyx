"""The async driver: one awaitable that steps the handler's coroutine itself.

Nothing happens before the first step, and no Task is made. A handler that never
suspends costs no hop through the event loop. Whatever ends the awaitable (a result, an
error, a cancellation, `close`, garbage collection), every stage that was entered is
left once and the gate gets its count back.
"""

cimport cython
from cpython.exc cimport PyErr_Occurred, PyErr_WriteUnraisable
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_RawRealloc
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.calling cimport (
    awaitable_iterator,
    is_async_generator,
    is_awaitable,
    is_promise,
    send,
)
from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.errstate cimport raise_again, steal, take_raised
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport NO_DEADLINE, Context, Limit
from cqrs_fast.pipeline.deadline cimport refusal, refuse_done, timeout_error
from cqrs_fast.pipeline.frame cimport Frame, Slot
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.refused_results cimport refuse_result
from cqrs_fast.pipeline.route cimport Route, Router, frame_name, own_name
from cqrs_fast.pipeline.timers cimport Timeout, is_cancellation
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

from cqrs_fast.base.arguments import flag, whole_number
from cqrs_fast.base.callbacks import report
from cqrs_fast.errors import AsyncHandlerError, DeadlineExceededError
from cqrs_fast.pipeline.unawaited import call_origin, warn_never_awaited


cdef extern from *:
    """
    typedef int (*cqrs_visit)(PyObject *, void *);

    static traverseproc cqrs_generated_traverse;
    static destructor cqrs_generated_dealloc;

    /* Cython has no syntax for am_send, and its tp_iternext raises StopIteration the
       slow way. */
    static void cqrs_set_slots(
        PyTypeObject *type, sendfunc send, iternextfunc next, traverseproc traverse,
        destructor finalize, destructor dealloc
    ) {
        type->tp_as_async->am_send = send;
        type->tp_iternext = next;
        cqrs_generated_traverse = type->tp_traverse;
        type->tp_traverse = traverse;
        type->tp_finalize = finalize;
        cqrs_generated_dealloc = type->tp_dealloc;
        type->tp_dealloc = dealloc;
        PyType_Modified(type);
    }

    /* Return `value` (stolen) from a tp_iternext: None needs no exception at all, and
       tp_new leaves out the argument tuple and the __init__ of a constructor call. */
    static PyObject *cqrs_stop_with(PyObject *value) {
        if (value == Py_None) {
            Py_DECREF(value);
            return NULL;
        }
        PyTypeObject *type = (PyTypeObject *)PyExc_StopIteration;
        PyObject *none = PyTuple_New(0);
        PyObject *stop = none == NULL ? NULL : type->tp_new(type, none, NULL);
        Py_XDECREF(none);
        if (stop == NULL) {
            Py_DECREF(value);
            return NULL;
        }
        Py_XSETREF(((PyStopIterationObject *)stop)->value, value);
        cqrs_raise_again(stop);
        return NULL;
    }
    /* A pooled object as a new one. */
    static inline PyObject *cqrs_revived(PyObject *dead) {
        PyObject_Init(dead, Py_TYPE(dead));
        PyObject_GC_Track(dead);
        return dead;
    }

    #define cqrs_begun(dispatch) ((dispatch)->__pyx_vtab->begin(dispatch))
    /* Out of line: what is rare must not cost registers where it is not done. */
    #define cqrs_note_origin(dispatch) ((dispatch)->__pyx_vtab->note_origin(dispatch))

    /* Finalize an object that is being freed; 0 if somebody holds it since. Other than
       PyObject_CallFinalizerFromDealloc, also one that a collection has finalized. */
    static int cqrs_finalized(PyObject *dying) {
        Py_ssize_t held;
        Py_SET_REFCNT(dying, 1);
        Py_TYPE(dying)->tp_finalize(dying);
        held = Py_REFCNT(dying) - 1;
        if (held == 0) {
            Py_SET_REFCNT(dying, 0);
            return 1;
        }
        _Py_NewReference(dying);
        Py_SET_REFCNT(dying, held);
        return 0;
    }

    #if PY_VERSION_HEX >= 0x030d0000
    #define cqrs_thread_state() PyThreadState_GetUnchecked()
    #else
    #define cqrs_thread_state() _PyThreadState_UncheckedGet()
    #endif
    #define cqrs_origin_depth() (cqrs_thread_state()->coroutine_origin_tracking_depth)
    """
    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    void set_slots "cqrs_set_slots"(
        type, void *, void *, void *, void *, void *
    ) noexcept
    void generated_dealloc "cqrs_generated_dealloc"(PyObject *) noexcept
    int generated_traverse "cqrs_generated_traverse"(
        PyObject *, visitproc, void *
    ) noexcept
    PyObject *stop_with "cqrs_stop_with"(PyObject *value) noexcept
    # A step's -1 as a value, where a Cython call would jump to an error label.
    int begun "cqrs_begun"(Dispatch dispatch) noexcept
    int note_origin "cqrs_note_origin"(Dispatch dispatch) except -1

    void PyObject_GC_Track(PyObject *) noexcept
    void PyObject_GC_UnTrack(PyObject *) noexcept
    object revived "cqrs_revived"(PyObject *dead)
    bint PyObject_GC_IsFinalized(PyObject *) noexcept
    bint finalized "cqrs_finalized"(PyObject *dying) noexcept
    # What sys.get_coroutine_origin_tracking_depth() returns.
    int origin_depth "cqrs_origin_depth"() noexcept


@cython.final
@cython.auto_pickle(False)
cdef class Dispatch:
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

    def send(self, value):
        """Step it, as coroutine.send does."""
        cdef PyObject *out = NULL
        cdef Sent sent = self.resume(<PyObject *>value, &out)
        return answer(sent, out)

    def throw(self, error, value=None, traceback=None):
        """Raise an exception where it is suspended, as coroutine.throw does."""
        cdef PyObject *out = NULL
        cdef Sent sent = self.raise_in(as_instance(error, value, traceback), &out)
        return answer(sent, out)

    def close(self):
        """End it where it is suspended, as coroutine.close does."""
        cdef PyObject *out = NULL
        cdef Sent sent
        if self.state == CREATED:
            self.end()
        if self.state == FINISHED:
            return
        sent = self.raise_in(exit_error(), &out)
        try:
            answer(sent, out)
        except (GeneratorExit, StopIteration):
            pass

    @property
    def __name__(self):
        # No user code may run, or fail, where a task is shown.
        if self.route is not None:
            return f"execute_async({self.route.name})"
        if self.message is None:
            return "execute_async"
        return f"execute_async({type(self.message).__name__})"

    @property
    def __qualname__(self):
        return self.__name__

    @property
    def cr_await(self):
        """What it awaits while it is suspended, or None."""
        return self.inner

    @property
    def cr_origin(self):
        """Where it was made, (file, line, function) of each call, the nearest first.

        None unless sys.set_coroutine_origin_tracking_depth asked for it.
        """
        return self.origin

    @property
    def cr_running(self):
        """Whether it is being stepped right now."""
        return self.state == RUNNING

    def __repr__(self):
        states = ("created", "running", "suspended", "finished")
        return f"<{self.__name__}, {states[<int>self.state]}>"

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
        cdef Sent sent = self.throw_inner(error, &value)
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
        if route.blocks_loop:
            raise AsyncHandlerError(
                own_name(route, self.message),
                "a stage inside a sync around middleware may wait, which would block "
                "the event loop",
                "make that middleware async, or declare it @middleware(blocking=True)",
            )
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
        if returned == NULL:
            capture_error(f)
        elif not is_awaitable(returned):
            f.result = returned
            if is_async_generator(returned):
                refuse_result(f, True)
        else:
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

    cdef bint park(self, PyObject **out) noexcept:
        cdef int64_t timeout_ns = -1
        cdef Frame *f = &self.frame
        try:
            if f.closing:
                end_wait(f, exit_error())
                return False
            self.waiter = begin_wait(f, &timeout_ns)
            if self.waiter is None:
                return False
            self.inner = self.waiter.arm(timeout_ns).__await__()
        except BaseException as error:
            abandon_wait(f, self.waiter, error)
            self.waiter = None
        if self.waiter is None:
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
                self.end_timeout()
            if f.error != NULL and f.limited and f.parent != NULL:
                self.explain_cancellation()
            turn(f)
            return False
        error = None if sent == RETURNED else steal(take_raised())
        Py_XDECREF(value)
        waiter, self.waiter = self.waiter, None
        try:
            finish_wait(f, waiter, error)
        except BaseException as failure:
            end_wait(f, failure)
        if f.error != NULL and f.limited and f.parent != NULL:
            self.explain_cancellation()
        return False

    cdef int begin_timeout(self) noexcept:
        """Let the deadline interrupt the handler, now that it is suspended."""
        cdef Frame *f = &self.frame
        cdef Limit limit = None
        try:
            if f.context != NULL and f.shown_ns == f.deadline_ns:
                limit = (<Context>f.context).state.limit
            if self.timeout is None:
                self.timeout = Timeout.__new__(Timeout)
            self.timed = self.timeout.begin(
                f.deadline_ns,
                None if f.deadline_clock == NULL else <Clock>f.deadline_clock,
                limit,
            )
        except BaseException as error:
            # A user's clock or event loop: the handler runs on, without a limit.
            report("timer", self.route.name, error)
        return 0

    cdef int end_timeout(self) noexcept:
        """The handler has ended: a cancellation by the timeout is its error."""
        cdef Frame *f = &self.frame
        self.timed = False
        try:
            alone = self.timeout.end()
            if alone and f.error != NULL:
                if is_cancellation(f.error):
                    exceeded = timeout_error(f, "handler")
                    exceeded.__cause__ = <object>f.error
                    set_error(f, exceeded)
                else:
                    explain_error(f)
        except BaseException as error:
            report("timer", self.route.name, error)
        return 0

    cdef int explain_cancellation(self) noexcept:
        """Show the stages in here the deadline that an outer timeout's expiry is."""
        cdef Frame *f = &self.frame
        cdef Limit limit = (<Context>f.parent).state.limit
        try:
            if limit is None or not is_cancellation(f.error) or not limit.explains():
                return 0
            self.cancellation = <object>f.error
            exceeded = DeadlineExceededError(None, "handler", frame_name(f))
            exceeded.__cause__ = self.cancellation
            set_error(f, exceeded)
        except BaseException as error:
            report("timer", self.route.name, error)
        return 0

    cdef Sent throw_inner(self, object error, PyObject **value) noexcept:
        """Raise `error` in what it awaits, the way a coroutine delegates a throw."""
        cdef Sent sent = YIELDED
        try:
            if isinstance(error, GeneratorExit):
                # It is not suspended again: nothing begins in a closed dispatch.
                self.frame.closing = True
                close = getattr(self.inner, "close", None)
                if close is not None:
                    close()
                raise error
            throw = getattr(self.inner, "throw", None)
            if throw is None:
                raise error
            came = throw(error)
        except StopIteration as stop:
            came = stop.value
            sent = RETURNED
        except BaseException as failure:
            came = failure
            sent = FAILED
        Py_INCREF(came)
        if sent == FAILED:
            raise_again(<PyObject *>came)
        else:
            value[0] = <PyObject *>came
        return sent

    cdef Sent finish(self, PyObject **out) noexcept:
        # hot: nothing may be allocated or looked up here
        cdef Frame *f = &self.frame
        cdef Route route = self.route
        if self.cancellation is not None:
            self.hand_on_cancellation()
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
        raise_again(coroutine_error(route, f.error))
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

    cdef int hand_on_cancellation(self) noexcept:
        """Let what is outside see the cancellation again, for its own timeout."""
        cdef Frame *f = &self.frame
        cancellation, self.cancellation = self.cancellation, None
        if f.error != NULL and (<object>f.error).__cause__ is cancellation:
            set_error(f, cancellation)
        return 0


# Finished dispatches, for the next ones: their fields are as __new__ would set them,
# the frame excepted, which `start` makes ready. The pool is on the heap and only grows;
# who looks at it reads all three anew wherever Python code may have run.
cdef enum:
    USUAL_CAPACITY = 256
    MOST_CAPACITY = 1_000_000

cdef PyObject **pool = NULL
cdef int pooled = 0
cdef int capacity = 0


cdef int grow_pool(int size) except -1:
    """Make room for so many; no Python code can run in here."""
    global pool, capacity
    cdef PyObject **grown
    if size > capacity:
        grown = <PyObject **>PyMem_RawRealloc(pool, size * sizeof(PyObject *))
        if grown == NULL:
            raise MemoryError
        pool = grown
        capacity = size
    return 0


grow_pool(USUAL_CAPACITY)


def reserve_frames(size, preallocate=False):
    """Keep up to `size` frames of async dispatches for reuse; return how many it keeps.

    A frame is what one `execute_async` needs from its call to its end, about 700 bytes.
    The pool is one for the whole process and only ever grows; 256 without being asked.
    As many dispatches as it holds frames run at a time without a new one.

    Parameters:
        size: how many, from 0 to 1000000.
        preallocate: make those that are missing now, not when they are needed.

    Raises TypeError or ValueError for an argument that makes no sense, MemoryError
    where there is no room; the pool is as good as before then. Safe to call from any
    thread and at any time.
    """
    cdef Dispatch dispatch
    cdef int wanted = whole_number("size", size, 0, MOST_CAPACITY)
    cdef bint now = flag("preallocate", preallocate)
    grow_pool(wanted)
    if now:
        made = []
        while len(made) + pooled < wanted:
            dispatch = Dispatch.__new__(Dispatch)
            dispatch.timeout = Timeout.__new__(Timeout)
            made.append(dispatch)
        # They go to the pool as finished ones do.
        dispatch = None
        made.clear()
    return capacity


cdef Dispatch new_dispatch(Router router, Route route, object message, Context context):
    # hot
    global pooled
    cdef Dispatch dispatch
    if pooled > 0:
        pooled -= 1
        dispatch = revived(pool[pooled])
    else:
        dispatch = Dispatch.__new__(Dispatch)
    dispatch.router = router
    dispatch.route = route
    dispatch.message = message
    dispatch.context = context
    if origin_depth() > 0:
        note_origin(dispatch)
    return dispatch


cdef void slot_dealloc(PyObject *self) noexcept:
    # hot
    global pooled
    if (<Dispatch>self).state != FINISHED and not finalized(self):
        return
    if pooled == capacity or PyObject_GC_IsFinalized(self):
        generated_dealloc(self)
        return
    PyObject_GC_UnTrack(self)
    (<Dispatch>self).router = None
    (<Dispatch>self).route = None
    if (<Dispatch>self).origin is not None:
        (<Dispatch>self).origin = None
    (<Dispatch>self).state = CREATED
    (<Dispatch>self).counted = False
    if pooled == capacity:
        # What was let go of just now may have filled it.
        PyObject_GC_Track(self)
        generated_dealloc(self)
        return
    pool[pooled] = self
    pooled += 1


cdef void slot_finalize(PyObject *self) noexcept:
    """End a dispatch that nobody holds any more, as a coroutine is closed.

    A collection runs all finalizers before it clears anything, so the stages find
    everything whole. The mark that it leaves keeps the object out of the pool. What is
    ended here is finished: it cannot be suspended again, for it is finalized only once.
    """
    cdef PyObject *raised
    if (<Dispatch>self).state == FINISHED:
        return
    raised = take_raised() if PyErr_Occurred() != NULL else NULL
    try:
        if (<Dispatch>self).state == CREATED:
            warn_unawaited(<Dispatch>self)
        (<Dispatch>self).close()
    except BaseException as error:
        report_unclosed(<Dispatch>self, error)
    if raised != NULL:
        raise_again(raised)


cdef int warn_unawaited(Dispatch dispatch) noexcept:
    if dispatch.route is None and dispatch.router is None:
        # Made for the pool, or by a call of its class.
        return 0
    try:
        warn_never_awaited(dispatch)
    except BaseException as error:
        # Where warnings are errors: as for a coroutine.
        write_unraisable(dispatch, error)
    return 0


cdef int report_unclosed(Dispatch dispatch, object error) noexcept:
    try:
        report("closing a dispatch", dispatch.__name__, error)
    except BaseException as raised:
        write_unraisable(dispatch, raised)
    return 0


cdef int write_unraisable(Dispatch dispatch, object error) noexcept:
    Py_INCREF(error)
    raise_again(<PyObject *>error)
    PyErr_WriteUnraisable(dispatch)
    return 0


cdef PyObject *coroutine_error(Route route, PyObject *error) noexcept:
    """Steal an error and return what a coroutine would raise (PEP 479)."""
    if not isinstance(<object>error, StopIteration):
        return error
    stopped = RuntimeError(f"the handler of {route.name} raised StopIteration")
    stopped.__cause__ = steal(error)
    Py_INCREF(stopped)
    return <PyObject *>stopped


# For a close without any memory: then many may be answered with the same one.
cdef object spare_exit = GeneratorExit()


cdef object exit_error():
    try:
        error = GeneratorExit()
    except MemoryError:
        error = spare_exit
    return error


cdef int explain_error(Frame *f) except -1:
    """Let an error that answers the interruption tell of the deadline.

    As asyncio.timeout does from 3.13 on: the cancellation in its context, and in that
    of each error of a group, is that of a DeadlineExceededError.
    """
    error = <object>f.error
    insert_deadline(f, error)
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            insert_deadline(f, member)
    return 0


cdef int insert_deadline(Frame *f, object error) except -1:
    seen = set()
    while id(error) not in seen:
        seen.add(id(error))
        context = error.__context__
        if context is None or isinstance(context, DeadlineExceededError):
            return 0
        if is_cancellation(<PyObject *>context):
            exceeded = timeout_error(f, "handler")
            exceeded.__context__ = exceeded.__cause__ = context
            error.__context__ = exceeded
            return 0
        error = context
    return 0


cdef int raise_misuse(State state) noexcept:
    if state == RUNNING:
        error = ValueError("this dispatch is already executing")
    elif state == FINISHED:
        error = RuntimeError("cannot reuse an already awaited dispatch")
    else:
        error = TypeError("cannot send a value to a dispatch that was not started")
    Py_INCREF(error)
    raise_again(<PyObject *>error)
    return 0


cdef object answer(Sent sent, PyObject *out):
    """Turn the outcome of a step into what a coroutine's method does."""
    if sent == RETURNED:
        raise StopIteration(steal(out))
    return steal(out)


cdef object as_instance(object error, object value, object traceback):
    if isinstance(error, type):
        if not isinstance(value, error):
            value = error() if value is None else error(value)
        error = value
    if not isinstance(error, BaseException):
        raise TypeError(f"exceptions must derive from BaseException, got {error!r}")
    if traceback is not None:
        error.__traceback__ = traceback
    return error


# The slots of the type

cdef Sent slot_send(PyObject *self, PyObject *sent, PyObject **out) noexcept:
    out[0] = NULL
    return (<Dispatch>self).resume(sent, out)


cdef PyObject *slot_next(PyObject *self) noexcept:
    cdef PyObject *out = NULL
    cdef Sent sent = (<Dispatch>self).resume(<PyObject *>None, &out)
    return stop_with(out) if sent == RETURNED else out


cdef int slot_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    # The frame's references are plain pointers, which Cython's own traverse leaves out.
    # No reference may be taken in here.
    cdef Frame *f = &(<Dispatch>self).frame
    cdef PyObject *seen[4]
    cdef PyObject *item
    cdef int index
    cdef int status = generated_traverse(self, visit, arg)
    seen[0] = f.context
    seen[1] = f.result
    seen[2] = f.error
    seen[3] = f.waiter
    for index in range(4):
        if status == 0 and seen[index] != NULL:
            status = visit(seen[index], arg)
    for index in range(f.slots_used):
        item = f.slots[index].object
        if status == 0 and item != NULL:
            status = visit(item, arg)
    return status


set_slots(
    Dispatch,
    <void *>slot_send,
    <void *>slot_next,
    <void *>slot_traverse,
    <void *>slot_finalize,
    <void *>slot_dealloc,
)

constructed(Dispatch)
