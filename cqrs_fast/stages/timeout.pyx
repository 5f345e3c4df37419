"""Timeout: how long what lies inside may take."""

cimport cython
from cpython.ref cimport Py_XINCREF, PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock, as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.pipeline.frame cimport LATE, PROCEED, Frame, Slot
from cqrs_fast.pipeline.frame_ops cimport (
    caller_context, stage_now, system_now, timeout_left_ns,
)
from cqrs_fast.pipeline.route cimport frame_name
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage

from cqrs_fast.base.arguments import choice, seconds_or_zero
from cqrs_fast.errors import DeadlineExceededError
from cqrs_fast.stats import TimeoutStats


cdef enum:
    CLOSE_NS = 10_000       # larger than the error of a frame's clock reading


@cython.final
cdef class LateCount:
    """The number of late handlers; a timeout shares it with its replacements."""

    cdef int64_t late


@cython.final
cdef class TimeoutMiddleware(Stage):
    """Give what lies inside `seconds`, counted from the entry into this middleware.

    Outside of a retry it covers all attempts and the waits between them, inside of one
    each attempt anew. Where deadlines nest, the nearest counts; none is ever extended.

    Async handlers are interrupted at the deadline: they see `CancelledError`, the
    stages and hooks inside and the caller see `DeadlineExceededError`. A caller who
    cancels at the same time wins. The timer is set when the handler first suspends; a
    handler that suppresses its cancellation and returns keeps its result, late.

    Sync handlers are never interrupted. A thread cannot be, safely: an exception raised
    into it could land in a `finally`, or in another caller's work. What the pipeline
    waits for ends at the deadline with `DeadlineExceededError(stage="queue")`, nothing
    starts after it, and a handler asks `ctx.remaining()` or `ctx.check()` itself.

    Parameters:
        seconds: the time allowed; None or 0 is no limit, and leaves the stage out.
        on_late: what becomes of a handler that ends after its deadline all the same.
            "return": its result is delivered and counted as late: raising after a
            command has taken effect invites duplicates. "raise": its result is dropped
            and DeadlineExceededError raised.
        clock: where it reads the time; that of the bus by default. A timer on an event
            loop follows real time, or a ManualClock.

    `update` changes `on_late` and `seconds`, which never grow once a bus has this; what
    is inside keeps its deadline.

    Raises TypeError or ValueError for an argument that makes no sense. One object may
    serve many buses, threads and event loops at once.
    """

    cdef object seconds             # as given …
    cdef int64_t timeout_ns         # … and in nanoseconds, 0 for no limit
    cdef bint raises                # on_late="raise"
    cdef Clock clock
    cdef LateCount count
    cdef bint built                 # pipelines have it, or were built without it

    def __cinit__(self):
        self.reads_clock = self.reads_end = self.judges_end = self.has_slot = True

    def __init__(self, seconds, *, on_late="return", clock=None):
        """Check and keep the parameters: the class describes them."""
        if seconds is not None:
            self.timeout_ns = seconds_or_zero("seconds", seconds)
        self.seconds = seconds
        self.raises = choice("on_late", on_late, ("return", "raise")) == "raise"
        self.clock = as_clock(clock)
        self.count = LateCount.__new__(LateCount)
        # Its clock is not the pipeline's: it is read before the handler runs.
        self.calls_user_code = self.clock is not None

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {
            "seconds": self.seconds,
            "on_late": "raise" if self.raises else "return",
        }

    cdef object observed(self):
        return TimeoutStats(self.count.late)

    cdef dict changeable(self):
        return self.settings()

    cdef int succeed(self, Stage old) except -1:
        cdef TimeoutMiddleware timeout = <TimeoutMiddleware>old
        self.clock = timeout.clock
        self.calls_user_code = timeout.calls_user_code
        self.count = timeout.count
        return 0

    cdef bint is_replaced(self) noexcept:
        return True

    cdef Stage serve(self, RouteSpec spec, Stage new):
        return new.for_route(spec)

    cdef int check_built(self, Stage new) except -1:
        cdef TimeoutMiddleware timeout = <TimeoutMiddleware>new
        if self.built and (self.timeout_ns == 0) != (timeout.timeout_ns == 0):
            raise ValueError(
                f"seconds must stay {'0' if self.timeout_ns == 0 else 'more than 0'}, "
                f"got {timeout.seconds!r}: pipelines were built with or without it, so "
                "make another TimeoutMiddleware"
            )
        if self.built and timeout.timeout_ns > self.timeout_ns:
            raise ValueError(
                f"seconds must be at most {self.seconds!r}, got {timeout.seconds!r}: "
                "breakers of pipelines that were built with it count on that, so make "
                "another TimeoutMiddleware"
            )
        return 0

    cdef int exchange(self, Stage new) noexcept:
        cdef TimeoutMiddleware timeout = <TimeoutMiddleware>new
        self.seconds, timeout.seconds = timeout.seconds, self.seconds
        self.timeout_ns = timeout.timeout_ns
        self.raises = timeout.raises
        return 0

    cdef Stage for_route(self, RouteSpec spec):
        self.built = True
        if self.timeout_ns == 0:
            return None
        if spec.timeout_ns == 0 or self.timeout_ns < spec.timeout_ns:
            spec.timeout_ns = self.timeout_ns
        return self

    cdef int enter(self, Frame *f) except -1:
        # hot
        cdef Slot *slot = f.slot
        slot.a = f.deadline_ns
        slot.b = f.timeout_ns
        if f.limited or f.deadline_ns != NO_DEADLINE:
            if self.inherit(f):
                return PROCEED
        if self.clock is None:
            # Without a call, and so without a reference: this is the usual case.
            f.deadline_ns = f.now_ns + self.timeout_ns
            f.deadline_clock = f.bus_clock
        else:
            f.deadline_ns = stage_now(f, self.clock) + self.timeout_ns
            f.deadline_clock = <PyObject *>self.clock
        f.timeout_ns = self.timeout_ns
        return PROCEED

    cdef bint inherit(self, Frame *f) except -1:
        """Keep a deadline that is nearer than this one; return whether there is one."""
        cdef int64_t left_ns = NO_DEADLINE
        cdef int64_t caller_ns = NO_DEADLINE
        Py_XINCREF(f.deadline_clock)
        f.slot.object = f.deadline_clock
        if f.deadline_ns != NO_DEADLINE:
            left_ns = timeout_left_ns(f)
        if f.limited:
            caller_ns = caller_left_ns(f)
        if min(left_ns, caller_ns) > self.timeout_ns:
            return False
        if caller_ns < left_ns:
            # The caller's own deadline: from here on it interrupts a handler too.
            clock = caller_context(f).state.clock
            f.deadline_ns = caller_context(f).state.deadline_ns
            f.deadline_clock = NULL if clock is None else <PyObject *>clock
            f.timeout_ns = 0
        return True

    cdef int leave(self, Frame *f) except -1:
        # hot
        cdef Slot *slot = f.slot
        cdef bint late = False
        # A deadline set further outside is checked by the stage that set it.
        if f.deadline_ns != slot.a:
            if (
                f.deadline_clock != f.bus_clock
                or f.deadline_ns - f.now_ns < CLOSE_NS
            ):
                late = is_over(f)
        f.deadline_ns = slot.a
        f.timeout_ns = slot.b
        f.deadline_clock = slot.object
        return self.judge(f) if late else PROCEED

    cdef int judge(self, Frame *f) except -1:
        """Count a late end; a handler that the deadline interrupted is not late."""
        if f.error != NULL:
            if is_transparent(f.error):
                return PROCEED
            if isinstance(<object>f.error, DeadlineExceededError):
                return PROCEED
        self.count.late += 1
        f.notes |= LATE
        if self.raises and f.error == NULL:
            raise DeadlineExceededError(
                self.timeout_ns / 1e9, "handler", frame_name(f)
            )
        return PROCEED


cdef int64_t caller_left_ns(Frame *f) except? -1:
    """What is left until the caller's own deadline; NO_DEADLINE where there is none."""
    cdef int64_t left_ns = caller_context(f).remaining_ns()
    cdef int64_t deadline_ns = caller_context(f).state.deadline_ns
    if deadline_ns != NO_DEADLINE and caller_context(f).state.clock is None:
        left_ns = min(left_ns, deadline_ns - system_now(f))
    return left_ns


cdef bint is_over(Frame *f) except -1:
    """Whether the deadline has passed, though the frame's reading may lag behind it."""
    if f.deadline_clock == f.bus_clock:
        if f.now_ns >= f.deadline_ns:
            return True
        if f.bus_clock != NULL:
            return False
    return timeout_left_ns(f) <= 0


signed(TimeoutMiddleware)
constructed(TimeoutMiddleware)
internal(LateCount)
