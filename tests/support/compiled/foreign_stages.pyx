# cython: language_level=3, binding=False
"""Stages of a foreign package: tests compile them against the installed .pxd files."""

from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock, as_clock
from cqrs_fast.pipeline cimport (
    AGAIN,
    PROCEED,
    STOP,
    WAIT,
    Await,
    Frame,
    RouteSpec,
    Stage,
    clear_outcome,
    say_await,
    seen_context,
    set_error,
    set_result,
    take_answer,
)


cdef int64_t in_ns(object seconds) except? -2:
    return -1 if seconds is None else round(seconds * 1_000_000_000)


cdef class Script(Stage):
    """Answer what two scripts say, one step for each question; then PROCEED.

    A step is a tuple: ("proceed",) · ("wait", seconds or None[, waiter]) ·
    ("again", seconds) · ("result", value) · ("fail", error), both of which STOP from
    enter and PROCEED from leave · ("raise", error) · ("nothing",), a STOP without any
    outcome.

    `log` holds what it was asked: (name, "enter" or "leave", seconds, outcome).
    """

    cdef readonly object name
    cdef readonly list log
    cdef object entering, leaving       # iterators: for one dispatch
    cdef Clock clock

    def __init__(self, name="stage", *, enter=(), leave=(), log=None, clock=None,
                 reads=True, slot=False, observes=False):
        self.name = name
        self.entering = iter(enter)
        self.leaving = iter(leave)
        self.log = [] if log is None else log
        self.clock = as_clock(clock)
        self.reads_clock = self.reads_end = reads
        self.has_slot = slot
        self.may_wait = True
        self.observes = observes

    cdef int enter(self, Frame *f) except -1:
        self.note(f, "enter")
        return self.play(f, next(self.entering, ("proceed",)))

    cdef int leave(self, Frame *f) except -1:
        self.note(f, "leave")
        verdict = self.play(f, next(self.leaving, ("proceed",)))
        return PROCEED if verdict == STOP else verdict

    cdef int note(self, Frame *f, str question) except -1:
        outcome = None
        if f.error != NULL:
            outcome = <object>f.error
        elif f.result != NULL:
            outcome = <object>f.result
        self.log.append((self.name, question, f.now_ns / 1e9, outcome))
        return 0

    cdef int play(self, Frame *f, tuple step) except -1:
        verb = step[0]
        if verb == "wait":
            f.delay_ns = in_ns(step[1])
            f.clock = <PyObject *>self.clock if self.clock is not None else NULL
            if len(step) > 2:
                Py_INCREF(step[2])
                f.waiter = <PyObject *>step[2]
            return WAIT
        if verb == "again":
            f.delay_ns = in_ns(step[1])
            f.clock = <PyObject *>self.clock if self.clock is not None else NULL
            return AGAIN
        if verb == "result":
            set_result(f, step[1])
            return STOP
        if verb == "fail":
            set_error(f, step[1])
            return STOP
        if verb == "raise":
            raise step[1]
        return STOP if verb == "nothing" else PROCEED

    def settings(self):
        return {"name": self.name}


cdef class Delay(Stage):
    """Wait once for each pass on the way in; remember that in the slot."""

    cdef int64_t delay_ns

    def __init__(self, seconds):
        self.delay_ns = in_ns(seconds)
        self.may_wait = self.has_slot = True

    cdef int enter(self, Frame *f) except -1:
        if f.slot.a == 1:
            return PROCEED
        f.slot.a = 1
        f.delay_ns = self.delay_ns
        f.clock = NULL
        return WAIT


cdef class Lag(Stage):
    """Let the reading on the way out lag: so long before the deadline of a timeout."""

    cdef int64_t before_ns

    def __init__(self, before_ns):
        self.before_ns = before_ns
        self.reads_end = True

    cdef int leave(self, Frame *f) except -1:
        f.now_ns = f.deadline_ns - self.before_ns
        return PROCEED


cdef class Repeat(Stage):
    """Ask for `times` further passes, without touching Python."""

    cdef int64_t times

    def __init__(self, times):
        self.times = times
        self.may_wait = self.has_slot = True

    cdef int leave(self, Frame *f) except -1:
        if f.slot.a == self.times:
            return PROCEED
        f.slot.a += 1
        f.delay_ns = 0
        return AGAIN


cdef class Remember(Stage):
    """Check that the slot is its own: zero at the entry of a pass, kept until leave."""

    cdef readonly list faults
    cdef readonly int64_t passes
    cdef object token

    def __init__(self, token):
        self.has_slot = True
        self.faults = []
        self.token = token

    cdef int enter(self, Frame *f) except -1:
        if f.slot.a != 0 or f.slot.b != 0 or f.slot.object != NULL:
            self.faults.append(f"entered with {f.slot.a}, {f.slot.b}")
        f.slot.a = <int64_t><PyObject *>self
        f.slot.b = ~f.slot.a
        kept = [self.token]
        Py_INCREF(kept)
        f.slot.object = <PyObject *>kept
        self.passes += 1
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        if f.slot.a != <int64_t><PyObject *>self or f.slot.b != ~f.slot.a:
            self.faults.append(f"left with {f.slot.a}, {f.slot.b}")
        elif (<list>f.slot.object)[0] is not self.token:
            self.faults.append("left with the object of another stage")
        return PROCEED


cdef class Count(Stage):
    """Count dispatches; skip some routes."""

    cdef readonly int64_t entered, left
    cdef object only

    def __init__(self, only=None):
        self.only = only

    cdef Stage for_route(self, RouteSpec spec):
        return self if self.only in (None, spec.name) else None

    cdef int enter(self, Frame *f) except -1:
        self.entered += 1
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        self.left += 1
        return PROCEED


cdef class Limit(Stage):
    """Give the stages inside a deadline on a separate clock."""

    cdef Clock clock
    cdef int64_t limit_ns

    def __init__(self, seconds, clock=None):
        self.limit_ns = in_ns(seconds)
        self.clock = as_clock(clock)
        self.reads_clock = True

    cdef int enter(self, Frame *f) except -1:
        f.deadline_ns = f.now_ns + self.limit_ns
        f.deadline_clock = NULL if self.clock is None else <PyObject *>self.clock
        return PROCEED


cdef class Principal(Stage):
    """Record the principal without making a context."""

    cdef readonly object seen

    cdef int enter(self, Frame *f) except -1:
        self.seen = seen_context(f).principal
        return PROCEED


cdef class Forget(Stage):
    """Drop an error on the way out and answer with a value."""

    cdef int leave(self, Frame *f) except -1:
        clear_outcome(f)
        set_result(f, "recovered")
        return PROCEED


cdef class Awaiter(Stage):
    """Let the driver await what two functions give, on the way in and on the way out.

    `log` holds what it was told: ("enter" or "leave", result, error), and on the way
    out first ("outcome", the result or the error there was).
    """

    cdef readonly list log
    cdef object entering, leaving
    cdef int64_t delay_ns               # a WAIT comes before, unless it is 0

    def __init__(self, entering=None, leaving=None, *, log=None, seconds=0,
                 declared=True):
        self.entering = entering
        self.leaving = leaving
        self.log = [] if log is None else log
        self.delay_ns = in_ns(seconds)
        self.awaits = declared
        self.may_wait = self.has_slot = True

    cdef int enter(self, Frame *f) except -1:
        if self.delay_ns and f.slot.a == 0:
            f.slot.a = 1
            f.delay_ns = self.delay_ns
            return WAIT
        return self.ask(f, "enter", self.entering)

    cdef int leave(self, Frame *f) except -1:
        return self.ask(f, "leave", self.leaving)

    cdef int ask(self, Frame *f, str question, object function) except -1:
        cdef Await came = take_answer(f)
        if came is not None:
            self.log.append((question, came.result, came.error))
            if came.error is not None:
                raise came.error
            return PROCEED
        if question == "leave":
            seen = <object>(f.result if f.error == NULL else f.error)
            self.log.append(("outcome", seen))
        return PROCEED if function is None else say_await(f, function())
