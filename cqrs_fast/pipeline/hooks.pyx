"""Hooks: a user's `Middleware` object as a compiled stage."""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT, PyObject

from cqrs_fast.base.calling cimport call_one
from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport background
from cqrs_fast.pipeline.frame cimport PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport frame_context, set_error, set_result
from cqrs_fast.pipeline.route cimport Route, own_name
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.pipeline.middleware import overridden, used_hooks


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

    cdef int forget(self) except -1:
        """Be as good as new."""
        self.message = self.route = self.outcome = None
        self.kept_context = self.notes = None
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
        # hot: no new object, unless a hook kept the last one, and the user's own hook
        cdef Call call = self.spare
        if call is None:
            call = Call.__new__(Call)
        else:
            self.spare = None
        call.message = <object>f.message
        call.route = <Route>f.route
        call.measured_ns = -1
        f.slot.a = f.now_ns
        if self.before is not None and self.run(self.before, call, f):
            return STOP
        Py_INCREF(call)
        f.slot.object = <PyObject *>call
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        # hot: nothing but the user's own hook
        cdef Call call = <Call>f.slot.object
        hook = self.after if f.error == NULL else self.on_error
        if hook is not None:
            if self.timed:
                call.measured_ns = f.now_ns - f.slot.a
            call.failed = f.error != NULL
            call.outcome = <object>(f.error if call.failed else f.result)
            self.run(hook, call, f)
        # One reference is the slot's and one is ours; with no other nobody has kept it.
        if Py_REFCNT(call) == 2:
            call.forget()
            self.spare = call
        return PROCEED

    cdef int run(self, object hook, Call call, Frame *f) except -1:
        """Run a hook; return whether it changed the outcome, now in the frame."""
        # hot
        cdef PyObject *returned
        call.frame = f
        returned = call_one(<PyObject *>hook, <PyObject *>call)
        call.frame = NULL
        if returned == NULL:
            return -1
        Py_DECREF(<object>returned)
        if not call.changed:
            return False
        call.changed = False
        if call.failed:
            set_error(f, call.outcome)
        else:
            set_result(f, call.outcome)
        return True


constructed(Call)
constructed(HookStage)
