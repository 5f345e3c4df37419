"""Load shedding: reject at once what would not be done in time."""

cimport cython
from libc.stdint cimport int64_t

from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.pipeline.deadline cimport remaining_ns
from cqrs_fast.pipeline.frame cimport PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage

from weakref import WeakValueDictionary

from cqrs_fast.base.arguments import whole_number
from cqrs_fast.errors import (
    ContextCancelledError, DeadlineExceededError, OverloadedError, RejectedError,
)
from cqrs_fast.stats import LoadSheddingStats

cdef str KIND = "LoadSheddingMiddleware"

cdef enum:
    SHIFT = 4                       # a new sample weighs 1 / 2**SHIFT in the mean
    LET_THROUGH_NS = 1_000_000_000  # after which one passes, whatever the mean says

# Longer ones count as that long: their sum stays an int64.
cdef int64_t MOST_NS = 1LL << 58


@cython.final
cdef class LoadSheddingMiddleware(Stage):
    """Reject a dispatch that has less time left than what lies inside takes.

    For each registered name of each bus it keeps a moving mean of that service time, in
    which a new dispatch weighs 1/16. One whose deadline is nearer raises
    OverloadedError before anything inside runs, so an overloaded service spends nothing
    on answers that come too late. One without a deadline always passes, and so does a
    message whose class says `priority: ClassVar[str] = "critical"`.

    At least one dispatch of each name passes in a second, whatever time it has, and is
    measured like every other: so the mean finds out that a slow minute is over.
    `retry_after` is the time until the next one passes.

    Successes and errors are measured alike. What was cancelled, rejected or never
    started is not; what was interrupted at its deadline only raises the mean, for
    nobody knows how long it would have taken.

    Put it inside of the bulkhead, so that waiting for a slot has used up its part of
    the time, and inside of a TimeoutMiddleware where callers bring no deadline.

    Parameters:
        min_samples: dispatches of a name that are measured before one is rejected,
            from 1 to 10**9. `update` changes it.

    Raises TypeError or ValueError for an argument that makes no sense. A mean
    lives as long as its handler is registered. One object may serve many buses,
    threads and event loops at once.
    """

    cdef int64_t min_samples
    cdef object stages              # (id of a gate, registered name): its ServiceTime
    cdef int64_t admitted, rejected

    def __init__(self, *, min_samples=100):
        """Check and keep the parameters: the class describes them."""
        self.min_samples = whole_number("min_samples", min_samples, 1, 10**9)
        # As long as a route has it: what is unregistered is forgotten.
        self.stages = WeakValueDictionary()

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {"min_samples": self.min_samples}

    cdef dict changeable(self):
        return self.settings()

    cdef int exchange(self, Stage new) noexcept:
        self.min_samples = (<LoadSheddingMiddleware>new).min_samples
        return 0

    cdef object observed(self):
        cdef ServiceTime stage
        longest = None
        for stage in list(self.stages.values()):
            if stage.samples > 0:
                longest = max(longest or 0.0, stage.mean_ns() / 1e9)
        return LoadSheddingStats(self.admitted, self.rejected, longest)

    cdef Stage for_route(self, RouteSpec spec):
        cdef ServiceTime stage
        if is_critical(spec.message_class):
            return None
        stage = ServiceTime.__new__(ServiceTime)
        stage.owner = self
        # Kept, so that no other one gets its address.
        stage.gate = None if spec.route is None else (<Route>spec.route).gate
        return self.stages.setdefault((id(stage.gate), spec.name), stage)


@cython.final
cdef class ServiceTime(Stage):
    """How long what lies inside takes, for one registered name, in its routes."""

    cdef LoadSheddingMiddleware owner
    cdef int64_t sum_ns             # the mean, times 2**SHIFT
    cdef int64_t samples
    cdef int64_t passed_ns          # when one passed last
    cdef Gate gate                  # of the bus
    cdef object __weakref__

    def __cinit__(self):
        self.reads_clock = self.reads_end = self.has_slot = True

    cdef tuple described(self):
        return KIND, self.owner.settings()

    cdef int64_t mean_ns(self) noexcept:
        return self.sum_ns >> SHIFT

    cdef int enter(self, Frame *f) except -1:
        # hot: one comparison without a deadline. Slot.a is when it came in.
        cdef int64_t now_ns = f.now_ns
        cdef int64_t left_ns
        if (<Route>f.route).calls_user_code:
            # Time spent in users' code outside of this stage is no service time.
            now_ns = read_clock((<Route>f.route).clock)
        if f.deadline_ns != NO_DEADLINE or f.limited:
            left_ns = self.time_left(f, now_ns)
            if left_ns < self.mean_ns() and self.is_late(f, now_ns, left_ns):
                return self.reject(f, now_ns, left_ns)
        f.slot.a = now_ns
        if not 0 < self.passed_ns - now_ns < LET_THROUGH_NS:
            # Otherwise it came in before the one that passed last.
            self.passed_ns = now_ns
        self.owner.admitted += 1
        return PROCEED

    cdef int64_t time_left(self, Frame *f, int64_t now_ns) except? -1:
        if f.limited or f.deadline_clock != f.bus_clock:
            return remaining_ns(f)
        if (<Route>f.route).calls_user_code:
            return remaining_ns(f)
        return f.deadline_ns - now_ns

    cdef bint is_late(self, Frame *f, int64_t now_ns, int64_t left_ns) except -1:
        """Whether a dispatch with less time than the mean is rejected."""
        if self.samples < self.owner.min_samples:
            return False
        if is_critical(type(<object>f.message)):
            return False
        # One that does not even start would not be measured. One that came in before
        # the last that passed has had its chance, too.
        return left_ns <= 0 or (
            -LET_THROUGH_NS < now_ns - self.passed_ns < LET_THROUGH_NS
        )

    cdef int reject(self, Frame *f, int64_t now_ns, int64_t left_ns) except -1:
        cdef int64_t wait_ns = max(self.passed_ns + LET_THROUGH_NS - now_ns, 0)
        self.owner.rejected += 1
        # None if its own deadline has passed.
        retry_after = None if left_ns <= 0 else wait_ns / 1e9
        set_error(f, OverloadedError(retry_after, KIND, frame_name(f)))
        return STOP

    cdef int leave(self, Frame *f) except -1:
        # hot
        cdef int64_t took_ns = min(max(f.now_ns - f.slot.a, 0), MOST_NS)
        if f.error != NULL and not self.is_sample(f, took_ns):
            if self.passed_ns == f.slot.a and is_cancelled(f):
                # It passed to be measured and was not: let another one pass.
                self.passed_ns -= LET_THROUGH_NS
            return PROCEED
        if self.samples == 0:
            self.sum_ns = took_ns << SHIFT
        else:
            self.sum_ns += took_ns - self.mean_ns()
        self.samples += 1
        return PROCEED

    cdef bint is_sample(self, Frame *f, int64_t took_ns) except -1:
        """Whether a dispatch that failed is a measurement of the service time."""
        if is_transparent(f.error):
            return False
        error = <object>f.error
        if isinstance(error, (RejectedError, ContextCancelledError)):
            return False
        if isinstance(error, DeadlineExceededError):
            return error.stage == "handler" and took_ns > self.mean_ns()
        return True


cdef bint is_cancelled(Frame *f) except -1:
    return is_transparent(f.error) or isinstance(<object>f.error, ContextCancelledError)


cdef bint is_critical(object cls) except -1:
    priority = getattr(cls, "priority", None)
    return isinstance(priority, str) and priority == "critical"


signed(LoadSheddingMiddleware)
constructed(LoadSheddingMiddleware)
internal(ServiceTime)
