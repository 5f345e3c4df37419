"""The immutable context of a dispatch: values, deadline, cancellation, principal."""

cimport cython

from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT, PyObject

from cqrs_fast.base.clock cimport Clock, as_clock, wake_all
from cqrs_fast.base.ids cimport new_id
from cqrs_fast.base.limit cimport Limit, pending
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed, internal

from cqrs_fast.errors import ContextCancelledError, DeadlineExceededError


cdef extern from *:
    """
    static destructor cqrs_generated_dealloc;

    static void cqrs_set_dealloc(PyTypeObject *type, destructor dealloc) {
        cqrs_generated_dealloc = type->tp_dealloc;
        type->tp_dealloc = dealloc;
    }
    """
    void set_dealloc "cqrs_set_dealloc"(type, void *) noexcept
    void generated_dealloc "cqrs_generated_dealloc"(PyObject *) noexcept


@cython.final
@cython.trashcan(True)
cdef class Value:
    """One link of the chain of values, the newest first."""


@cython.final
@cython.trashcan(True)
cdef class CancelScope:
    """The part of a context that one `with_cancel` cancels, with all its children."""

    cdef CancelScope cancelled_one(self):
        cdef CancelScope scope = self
        while scope is not None and not scope.cancelled:
            scope = scope.parent
        return scope


@cython.final
cdef class ContextState:
    """The fields that a context shares with the children that a dispatch makes."""

    cdef ContextState copy(self):
        cdef ContextState state = ContextState.__new__(ContextState)
        state.values = self.values
        state.principal = self.principal
        state.correlation_id = self.correlation_id
        state.scope = self.scope
        state.clock = self.clock
        state.deadline_ns = self.deadline_ns
        state.limited = self.limited
        state.limit = self.limit
        return state


@cython.final
@cython.freelist(64)
cdef class Context:
    """Carry values, a deadline, cancellation and a principal into a dispatch.

    Immutable: every `with_…` method returns a child and does not change its parent.
    Start from `Context.background()`. Safe to share between threads and event loops.
    """

    def __init__(self):
        raise TypeError("start from Context.background(); a Context is not constructed")

    @staticmethod
    def background(*, clock=None):
        """Return the empty root: no values, no deadline, never done.

        `clock` measures the deadlines of its children: time.monotonic_ns by default, a
        ManualClock in tests.
        """
        if clock is None:
            return background
        cdef Context root = Context.__new__(Context)
        root.state = background.state
        root.tell_time_by(as_clock(clock))
        return root

    # Deriving

    cdef Context derive(self, ContextState state):
        cdef Context child = Context.__new__(Context)
        child.state = state
        child.origin = live_origin(self)
        return child

    def with_value(self, key, value):
        """Return a child in which `value(key)` is `value`."""
        cdef Value link = Value.__new__(Value)
        link.key = key
        link.value = value
        link.older = self.state.values
        cdef ContextState state = self.state.copy()
        state.values = link
        return self.derive(state)

    def with_timeout(self, seconds):
        """Return a child that is done after `seconds`, or with its parent if sooner."""
        check_seconds("seconds", seconds)
        if seconds < 0:
            raise ValueError(f"seconds must be 0 or more, got {seconds!r}")
        return with_deadline_ns(self, read_clock(self.state.clock) + to_ns(seconds))

    def with_deadline(self, monotonic_seconds):
        """Return a child that is done at `monotonic_seconds` (see time.monotonic)."""
        check_seconds("monotonic_seconds", monotonic_seconds)
        return with_deadline_ns(self, to_ns(monotonic_seconds))

    def with_cancel(self):
        """Return a child whose `cancel()` cancels it and all its children."""
        cdef CancelScope scope = CancelScope.__new__(CancelScope)
        scope.parent = self.state.scope
        cdef ContextState state = self.state.copy()
        state.scope = scope
        state.limited = True
        cdef Context child = self.derive(state)
        child.owns_scope = True
        return child

    def with_principal(self, principal):
        """Return a child that acts for `principal`, an authenticated identity."""
        cdef ContextState state = self.state.copy()
        state.principal = principal
        return self.derive(state)

    def with_correlation_id(self, correlation_id):
        """Return a child that carries `correlation_id` through nested dispatches."""
        cdef ContextState state = self.state.copy()
        state.correlation_id = correlation_id
        return self.derive(state)

    # Reading

    def value(self, key, default=None):
        """Return the newest value under `key`, or `default`."""
        cdef Value link = self.state.values
        while link is not None:
            if link.key is key or link.key == key:
                return link.value
            link = link.older
        return default

    @property
    def principal(self):
        """The authenticated identity this acts for, or None."""
        return self.state.principal

    @property
    def correlation_id(self):
        """The id that ties nested dispatches together.

        A dispatch that was given none makes one when it is first asked for. None
        outside of a dispatch.
        """
        return self.known_id()

    cdef object known_id(self):
        if self.state.correlation_id is not None:
            return self.state.correlation_id
        cdef Context root = None
        cdef Context own = self if self.is_dispatch else self.origin
        while own is not None:
            root, own = own, own.origin
        if root is None:
            return None
        if root.made_id is None:
            root.made_id = new_id()
        return root.made_id

    @property
    def deadline(self):
        """The deadline in seconds of time.monotonic, or None."""
        if self.state.deadline_ns == NO_DEADLINE:
            return None
        return self.state.deadline_ns / 1e9

    def remaining(self):
        """Return the seconds until the deadline, 0 once it passed, None without one."""
        if self.state.deadline_ns == NO_DEADLINE:
            return None
        return max(self.remaining_ns(), 0) / 1e9

    cdef int64_t remaining_ns(self) except? -1:
        if self.state.deadline_ns == NO_DEADLINE:
            return NO_DEADLINE
        return self.state.deadline_ns - read_clock(self.state.clock)

    # Ending

    def cancel(self, reason=None):
        """Cancel this context and all its children; the first `reason` is kept.

        Raises RuntimeError unless `with_cancel` returned this context. Safe to call
        from any thread. Waits of the library for this context end at once.
        """
        if not self.owns_scope:
            raise RuntimeError("only a context from with_cancel() can be cancelled")
        cdef CancelScope scope = self.state.scope
        if scope.cancelled:
            return
        scope.reason = reason
        scope.cancelled = True
        waiters, scope.waiters = scope.waiters, None
        wake_all(waiters or ())

    @property
    def done(self):
        """Whether it was cancelled or its deadline has passed."""
        return self.state.limited and self.failure() is not None

    @property
    def error(self):
        """The exception that `check` would raise, or None."""
        return self.failure() if self.state.limited else None

    def check(self):
        """Raise ContextCancelledError or DeadlineExceededError once this is done."""
        if self.state.limited:
            failure = self.failure()
            if failure is not None:
                raise failure

    cdef int tell_time_by(self, Clock clock) except -1:
        cdef ContextState state
        if self.state.clock is None and self.state.deadline_ns == NO_DEADLINE:
            state = self.state.copy()
            state.clock = clock
            self.state = state
        return 0

    cdef Context bounded(self, int64_t deadline_ns, Clock clock, bint interrupts):
        cdef ContextState state = self.state.copy()
        cdef Limit limit
        state.deadline_ns = deadline_ns
        state.clock = clock
        state.limited = True
        if interrupts:
            limit = Limit.__new__(Limit)
            limit.outer = pending(state.limit)
            state.limit = limit
        return self.derive(state)

    cdef Context copy_bound(self, ContextState like):
        cdef ContextState state = self.state.copy()
        state.deadline_ns = like.deadline_ns
        state.clock = like.clock
        state.limit = like.limit
        state.limited = like.deadline_ns != NO_DEADLINE or state.scope is not None
        return self.derive(state)

    cdef Context own(self):
        return self if self.is_dispatch else self.origin

    cdef int cut_origin(self) noexcept:
        self.origin = nearest_live(self.origin)
        return 0

    cdef object failure(self):
        cdef CancelScope scope = self.state.scope
        if scope is not None:
            scope = scope.cancelled_one()
            if scope is not None:
                return ContextCancelledError(reason=scope.reason)
        if self.remaining_ns() <= 0:
            return DeadlineExceededError(stage="context")
        return None

    cdef bint nested(self) noexcept:
        cdef Context context = self.own()
        while context is not None:
            if context.live:
                return True
            context = context.origin
        return False

    def __repr__(self):
        keys = []
        cdef Value link = self.state.values
        while link is not None:
            keys.append(repr(link.key))
            link = link.older
        parts = [f"keys=[{', '.join(reversed(keys))}]"]
        # Presence only: the values may be secret.
        if self.state.principal is not None:
            parts.append("principal")
        if self.state.correlation_id is not None:
            parts.append("correlation_id")
        if self.state.deadline_ns != NO_DEADLINE:
            parts.append(f"remaining={self.remaining():.3f}")
        return f"<Context {' '.join(parts)}>"


cdef Context dispatch_context(Context parent):
    cdef Context child = Context.__new__(Context)
    child.state = parent.state
    child.origin = live_origin(parent)
    child.is_dispatch = True
    child.live = True
    return child


cdef Context with_deadline_ns(Context parent, object deadline_ns):
    cdef ContextState state = parent.state.copy()
    if deadline_ns < state.deadline_ns:
        state.deadline_ns = deadline_ns
        state.limited = True
    return parent.derive(state)


cdef object to_ns(object seconds):
    """Whole nanoseconds, limited so that differences fit in an int64 too."""
    return round(max(-2e9, min(seconds, 2e9)) * 1_000_000_000)


cdef inline Context live_origin(Context context):
    """The nearest dispatch in flight; skips ended ones, so that no chain grows."""
    # hot: must not allocate or look up a Python attribute
    cdef Context own = context if context.is_dispatch else context.origin
    if own is None or own.live:
        return own
    own.cut_origin()
    return own.origin


cdef Context nearest_live(Context context):
    while context is not None and not context.live:
        context = context.origin
    return context


cdef int check_seconds(str argument, object seconds) except -1:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{argument} must be a number, got {seconds!r}")
    if seconds != seconds or seconds in (float("inf"), float("-inf")):
        raise ValueError(f"{argument} must be finite, got {seconds!r}")
    return 0


cdef Context make_background():
    cdef ContextState state = ContextState.__new__(ContextState)
    state.deadline_ns = NO_DEADLINE
    cdef Context root = Context.__new__(Context)
    root.state = state
    return root


background = make_background()


cdef void slot_dealloc(PyObject *self) noexcept:
    # hot: a context usually has no origin
    if (<Context>self).origin is None:
        generated_dealloc(self)
    else:
        free_chain(self)


cdef void free_chain(PyObject *self) noexcept:
    """Free origins in a loop: recursion would overflow the stack on a long chain.

    CPython's trashcan does that too, but costs more than the rest of this function.
    """
    cdef PyObject *origin = take_origin(self)
    cdef PyObject *freed
    generated_dealloc(self)
    while origin != NULL:
        freed = origin
        origin = take_origin(freed) if Py_REFCNT(<object>freed) == 1 else NULL
        Py_DECREF(<object>freed)


cdef inline PyObject *take_origin(PyObject *context) noexcept:
    """Its origin as a new reference, or NULL."""
    cdef PyObject *origin = <PyObject *>(<Context>context).origin
    if origin == <PyObject *>None:
        return NULL
    Py_INCREF(<object>origin)
    (<Context>context).origin = None
    return origin


set_dealloc(Context, <void *>slot_dealloc)

constructed(Context)
internal(Value)
internal(CancelScope)
internal(ContextState)
