"""Hooks: a user's `Middleware` object as a compiled stage."""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from cqrs_fast.base.calling cimport call_one
from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport background
from cqrs_fast.pipeline.frame cimport PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport frame_context, set_error, set_result
from cqrs_fast.pipeline.route cimport Route, own_name
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.pipeline.middleware import overridden, used_hooks


cdef extern from *:
    Py_ssize_t refcount "Py_REFCNT"(PyObject *) noexcept


@cython.final
@cython.freelist(64)
cdef class Call:
    """What hooks see of one dispatch: each middleware has its own.

    `message`, `context`, `name` and `elapsed_ns` are read-only; `result` and `error`
    are the outcome as it stands at this middleware; `state` is a dict of its own.
    """

    def __init__(self):
        raise TypeError("a Call is made by the pipeline, for hooks to look at")

    @property
    def name(self):
        """The message's own name."""
        return own_name(self.route, self.message)

    @property
    def context(self):
        """The context of this dispatch; nested dispatches are made with it."""
        if self.frame != NULL:
            self.kept_context = frame_context(self.frame)
        return background if self.kept_context is None else self.kept_context

    @property
    def elapsed_ns(self):
        """Nanoseconds since `before`; None unless the middleware is `timed`."""
        return None if self.measured_ns < 0 else self.measured_ns

    @property
    def state(self):
        """A dict that lives as long as this call, made when it is first used."""
        if self.notes is None:
            self.notes = {}
        return self.notes

    @property
    def result(self):
        """The result, None while there is none. Setting it answers the call.

        In `before` that stops the call: nothing inside runs, and neither does this
        middleware's `after`. In `on_error` it recovers from an Exception.
        """
        return None if self.failed else self.outcome

    @result.setter
    def result(self, value):
        self.change("result", value, False)

    @property
    def error(self):
        """The exception on its way out, or None; `on_error` may replace it."""
        return self.outcome if self.failed else None

    @error.setter
    def error(self, error):
        if not isinstance(error, BaseException):
            raise TypeError(f"call.error must be an exception, got {error!r}")
        self.change("error", error, True)

    cdef int change(self, str what, object outcome, bint failed) except -1:
        if self.failed and is_transparent(<PyObject *>self.outcome):
            raise TypeError(
                f"call.{what} cannot be set: {type(self.outcome).__name__} is no "
                "Exception and passes every middleware unchanged"
            )
        self.outcome = outcome
        self.failed = failed
        self.changed = True
        return 0

    cdef int forget(self) noexcept:
        """Be as good as new."""
        # hot
        self.message = self.route = self.outcome = None
        if self.kept_context is not None:
            self.kept_context = None
        if self.notes is not None:
            self.notes = None
        self.failed = self.changed = False
        return 0

    def __repr__(self):
        return f"<Call {self.name}>"


@cython.final
cdef class HookStage(Stage):
    """The stage of one Middleware object."""

    def __init__(self, middleware):
        self.middleware = middleware
        self.before = overridden(middleware, "before")
        self.after = overridden(middleware, "after")
        self.on_error = overridden(middleware, "on_error")
        self.timed = self.reads_clock = self.reads_end = bool(middleware.timed)
        self.has_slot = True
        self.calls_user_code = self.before is not None

    cdef tuple described(self):
        hooks = used_hooks(self.middleware)
        return type(self.middleware).__name__, {"hooks": hooks}

    cdef int enter(self, Frame *f) except -1:
        # hot: no new object unless the spare one is in use, and no reference but those
        # that are kept
        cdef PyObject *call = <PyObject *>self.spare
        cdef int changed
        if call != <PyObject *>None and refcount(call) == 1:
            Py_INCREF(<object>call)
        else:
            call = self.new_call()
        (<Call>call).message = <object>f.message
        (<Call>call).route = <Route>f.route
        (<Call>call).measured_ns = -1
        f.slot.a = f.now_ns
        if self.before is not None:
            changed = self.run(<PyObject *>self.before, call, f)
            if changed:
                self.put_back(call)
                Py_DECREF(<object>call)
                return STOP if changed > 0 else -1
        f.slot.object = call
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        # hot: nothing but the user's own hook
        cdef PyObject *call = f.slot.object
        cdef PyObject *hook = <PyObject *>self.after
        cdef int changed = False
        if f.error != NULL:
            hook = <PyObject *>self.on_error
        if hook != <PyObject *>None:
            if self.timed:
                (<Call>call).measured_ns = f.now_ns - f.slot.a
            (<Call>call).failed = f.error != NULL
            (<Call>call).outcome = <object>(f.result if f.error == NULL else f.error)
            changed = self.run(hook, call, f)
        self.put_back(call)
        return PROCEED if changed >= 0 else -1

    cdef PyObject *new_call(self) except NULL:
        cdef Call call = Call.__new__(Call)
        if self.spare is None:
            self.spare = call
        Py_INCREF(call)
        return <PyObject *>call

    cdef int put_back(self, PyObject *call) noexcept:
        """Clear it after its dispatch, unless a hook has kept it."""
        # hot: the slot holds it, and this stage its spare one; any other was kept
        cdef bint is_spare = call == <PyObject *>self.spare
        if refcount(call) == 1 + is_spare:
            (<Call>call).forget()
        elif is_spare:
            self.spare = None
        return 0

    cdef int run(self, PyObject *hook, PyObject *call, Frame *f) noexcept:
        """Run a hook; return whether it changed the outcome, -1 if it raised."""
        # hot
        cdef PyObject *returned
        (<Call>call).frame = f
        returned = call_one(hook, call)
        (<Call>call).frame = NULL
        if returned == NULL:
            return -1
        Py_DECREF(<object>returned)
        return (<Call>call).changed and give_outcome(<Call>call, f)


cdef int give_outcome(Call call, Frame *f) noexcept:
    """Make what a hook has set the outcome of the frame."""
    call.changed = False
    if call.failed:
        set_error(f, call.outcome)
    else:
        set_result(f, call.outcome)
    return True


constructed(Call)
constructed(HookStage)
