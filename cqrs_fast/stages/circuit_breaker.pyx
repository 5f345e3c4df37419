"""Circuit breaker: spare a handler that keeps failing, and its callers the wait."""

cimport cython
from cpython.dict cimport PyDict_Next
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.base.clock cimport Clock, as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.pipeline.frame cimport PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.policies.circuit_breaker cimport (
    BreakerPlan, CircuitBreaker, new_breaker, plan_of,
)
from cqrs_fast.policies.core.circuit_breaker cimport (
    Permit, Picture, breaker_passes, breaker_unmoved,
)

from operator import attrgetter

from msgspec.structs import asdict

from cqrs_fast.base.arguments import choice
from cqrs_fast.base.naming import label_of
from cqrs_fast.errors import HandlerNotFoundError
from cqrs_fast.policies.circuit_state import CircuitSettings, check, seed_of, worst

cdef object NAME_OF = attrgetter("__name__")


@cython.final
cdef class CircuitBreakerMiddleware(Stage):
    """Reject dispatches of a message whose handler keeps failing, until it recovers.

    Each registered name has a breaker of its own, apart for commands and for queries.
    Those that may not pass raise CircuitOpenError before anything inside runs.

    Parameters:
        per: "handler", or "bus" for one breaker for all commands and one for all
            queries that go through this object.
        The others are those of CircuitBreaker: failure_threshold, timeout,
        half_open_max_calls, success_threshold, probe_timeout, timeout_multiplier,
        max_timeout, timeout_jitter, failure_on, ignore, is_failure, on_event, seed and
        clock (by default that of the bus that registers a name first). `seed` makes a
        sequence for each name. A `probe_timeout` of None is the `timeout`, or that of
        the TimeoutMiddleware inside if it is longer.

    Without `failure_on` and `is_failure`, an error of DETERMINISTIC is no failure
    either: the handler has answered. Excepted are broken answers of others
    (UnicodeError, json.JSONDecodeError) and an OSError other than PermissionError.

    Put it inside of a retry, so that an open circuit ends that at once, and outside of
    the timeout of an attempt, so that those count. A probe that is cancelled gives its
    place back.

    `update` changes all of these but `seed` and `clock`, and `per` only while no bus
    has it. A lower threshold applies from the next failure on, a timeout from the next
    opening.

    Breakers live as long as this object: changes of a bus's middleware and handlers
    keep their state. Raises TypeError or ValueError for an argument that makes no
    sense. One object may serve many buses, threads and event loops at once.
    """

    cdef BreakerPlan plan           # the settings of all, and of those to come
    cdef Clock clock                # None: that of the bus
    cdef object seed
    cdef str per
    cdef dict stages                # (kind of bus, registered name): its BreakerStage
    cdef dict shared                # kind of bus: the BreakerStage of all, per="bus"
    cdef str forced                 # the method last called for all, if in effect
    cdef list covered               # of new settings: a Cover for each built route

    def __init__(self, failure_threshold=5, timeout=30.0, *, half_open_max_calls=1,
                 success_threshold=1, probe_timeout=None, timeout_multiplier=1.0,
                 max_timeout=None, timeout_jitter=0.0, failure_on=None, ignore=(),
                 is_failure=None, on_event=None, per="handler", seed=None, clock=None):
        """Check and keep the parameters: the class describes them."""
        self.per = known_per(per)
        settings = CircuitSettings(
            failure_threshold, timeout, half_open_max_calls, success_threshold,
            probe_timeout, timeout_multiplier, max_timeout, timeout_jitter, failure_on,
            ignore, is_failure, on_event,
        )
        self.plan = plan_of(check(settings, spares=True))
        self.clock = as_clock(clock)
        self.seed = None if seed is None else seed_of(seed)
        self.stages = {}
        self.shared = {}

    cdef object observed(self):
        return self.stats()

    cdef Stage for_route(self, RouteSpec spec):
        cdef BreakerStage stage = self.find(spec, self.per, self.stages, self.shared)
        stage.breaker.cover(spec.timeout_ns)
        if spec.route is not None:
            stage.routes[spec.name] = spec.route
        return stage

    cdef BreakerStage find(
        self, RouteSpec spec, str per, dict stages, dict shared
    ):
        """Return the stage of a route, one and the same each time."""
        cdef BreakerStage stage
        key = (spec.kind, spec.name)
        known = stages.get(key)
        if known is not None:
            return known
        if per == "bus":
            known = shared.get(spec.kind)
            if known is None:
                stage = self.new_stage(spec, None, spec.kind)
                known = shared.setdefault(spec.kind, stage)
        else:
            known = self.new_stage(spec, spec.name, f"{spec.kind} {spec.name}")
        stage = stages.setdefault(key, known)
        # The settings may have changed meanwhile; the old ones are released last.
        made_by = stage.breaker.checked
        if made_by is not self.plan.checked:
            stage.breaker.configure(self.plan)
        return stage

    cdef BreakerStage new_stage(self, RouteSpec spec, str name, str label):
        from zlib import crc32

        cdef BreakerStage stage = BreakerStage.__new__(BreakerStage)
        cdef uint64_t seed
        if self.seed is None:
            seed = seed_of(None)
        else:
            seed = self.seed ^ crc32(label.encode())
        stage.breaker = new_breaker(
            self.plan,
            spec.clock if self.clock is None else self.clock,
            seed,
            name,
        )
        if self.forced is not None:
            getattr(stage.breaker, self.forced)()
        stage.owner = self
        stage.routes = {}
        stage.calls_user_code = self.plan.checked.settings.on_event is not None
        return stage

    cdef list breakers(self, object name):
        """Return the breakers of a name, or all of them; each one once."""
        cdef BreakerStage stage
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a registered name or None, got {name!r}")
        found = {
            id(stage): stage.breaker
            for key, stage in self.stages.copy().items()
            if name is None or key[1] == name
        }
        if not found and name is not None:
            raise HandlerNotFoundError(
                name,
                sorted({key[1] for key in self.stages.copy()}),
                "This middleware has seen no handler of that name.",
            )
        return list(found.values())

    def get_state(self, name=None):
        """Return the state of the breaker of a registered name; without, the worst.

        One of "closed", "open", "half-open", "forced-open" and "disabled"; "closed"
        while there is none. It is "half-open" as soon as a dispatch would be a probe;
        asking takes none. Raises HandlerNotFoundError for a name that no bus with this
        middleware has registered, as the other methods do.
        """
        return self.stats(name).state

    def stats(self, name=None):
        """Return the CircuitSnapshot of a registered name; without, of all together.

        That has the worst state, with its failures, and sums otherwise.
        """
        return worst(list(map(CircuitBreaker.stats, self.breakers(name))))

    def snapshot(self, name=None):
        """Return the same as `stats(name)`."""
        return self.stats(name)

    def reset(self, name=None):
        """Close the breaker of a registered name, or all; nothing stays counted.

        What is in flight no longer counts.
        """
        cdef CircuitBreaker breaker
        if name is None:
            self.forced = None
        for breaker in self.breakers(name):
            breaker.reset()

    def force_open(self, name=None):
        """Reject every dispatch of a registered name, or of all, until `reset`.

        Without a name it also applies to names registered later.
        """
        cdef CircuitBreaker breaker
        if name is None:
            self.forced = "force_open"
        for breaker in self.breakers(name):
            breaker.force_open()

    def disable(self, name=None):
        """Admit every dispatch of a registered name, or of all, until `reset`.

        Without a name it also applies to names registered later.
        """
        cdef CircuitBreaker breaker
        if name is None:
            self.forced = "disable"
        for breaker in self.breakers(name):
            breaker.disable()

    cdef dict changeable(self):
        return {**asdict(self.plan.checked.settings), "per": self.per}

    cdef int succeed(self, Stage old) except -1:
        cdef CircuitBreakerMiddleware owner = <CircuitBreakerMiddleware>old
        # A breaker of another extent has counted something else.
        if self.per == owner.per:
            self.stages, self.shared = owner.stages, owner.shared
        self.covered = []
        return 0

    cdef Stage serve(self, RouteSpec spec, Stage new):
        cdef CircuitBreakerMiddleware other = <CircuitBreakerMiddleware>new
        cdef Cover cover = Cover.__new__(Cover)
        cover.stage = self.find(spec, other.per, other.stages, other.shared)
        cover.attempt_ns = spec.timeout_ns
        other.covered.append(cover)
        return cover.stage

    cdef int check_built(self, Stage new) except -1:
        cdef str per = (<CircuitBreakerMiddleware>new).per
        if per != self.per and self.stages:
            raise ValueError(
                f"per must stay {self.per!r}, got {per!r}: pipelines were built with "
                f"their breakers, so make a CircuitBreakerMiddleware with per={per!r}"
            )
        return 0

    cdef int exchange(self, Stage new) noexcept:
        cdef CircuitBreakerMiddleware other = <CircuitBreakerMiddleware>new
        cdef BreakerPlan plan = other.plan
        cdef Py_ssize_t at = 0
        cdef PyObject *stage = NULL
        cdef Cover cover
        # Leases that follow the timeouts inside are those of the routes built with it.
        for cover in other.covered:
            cover.stage.breaker.attempt_ns = 0
        for cover in other.covered:
            cover.stage.breaker.attempt_ns = max(
                cover.stage.breaker.attempt_ns, cover.attempt_ns
            )
        # All have the settings of the one plan, so nothing is freed here.
        other.plan, self.plan = self.plan, other.plan
        other.stages, self.stages = self.stages, other.stages
        other.shared, self.shared = self.shared, other.shared
        other.per, self.per = self.per, other.per
        while PyDict_Next(self.stages, &at, NULL, &stage):
            (<BreakerStage>stage).breaker.configure(plan)
        return 0

    cdef int settle(self, Stage old) except -1:
        cdef BreakerStage stage
        cdef Route route
        if self.plan.checked.settings.on_event is None:
            return 0
        # Built routes read the clock again after it, from now on.
        for stage in list(self.stages.values()):
            stage.calls_user_code = True
            for route in list(stage.routes.values()):
                route.calls_user_code = True
        return 0

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        checked = self.plan.checked
        settings = checked.settings
        shown = {name: getattr(settings, name) for name in settings.__struct_fields__}
        shown["failure_on"] = list(map(NAME_OF, checked.failure_on))
        shown["ignore"] = list(map(NAME_OF, checked.ignored))
        if checked.spares:
            shown["ignore"].append("DETERMINISTIC")
        for name in ("is_failure", "on_event"):
            if shown[name] is not None:
                shown[name] = label_of(shown[name])
        if shown["probe_timeout"] is None:
            shown["probe_timeout"] = settings.timeout
        shown["per"] = self.per
        return shown


cdef str known_per(object per):
    if per == "principal":
        raise ValueError(
            "per must be 'handler' or 'bus', got 'principal': a breaker tells how a "
            "handler is doing, not a caller, who could fill memory with breakers"
        )
    return choice("per", per, ("handler", "bus"))


@cython.final
cdef class BreakerStage(Stage):
    """The breaker of one registered name, or of one kind of bus, in its routes."""

    cdef CircuitBreaker breaker
    cdef CircuitBreakerMiddleware owner
    cdef dict routes                # registered name: the newest Route

    def __cinit__(self):
        self.has_slot = True

    cdef int enter(self, Frame *f) except -1:
        # hot: one load while the circuit is closed. Slot.a and .b are the permit.
        if breaker_passes(&self.breaker.core, <Permit *>f.slot):
            return PROCEED
        return self.ask(f)

    cdef int ask(self, Frame *f) except -1:
        cdef Picture seen
        cdef CircuitBreaker breaker = self.breaker
        if breaker.ask(<Permit *>f.slot, &seen):
            return PROCEED
        set_error(f, breaker.refusal(&seen, "CircuitBreakerMiddleware", frame_name(f)))
        return STOP

    cdef int leave(self, Frame *f) except -1:
        # hot: one load for a result while nothing has failed
        if (
            f.error == NULL
            and not self.breaker.asks
            and breaker_unmoved(&self.breaker.core, <Permit *>f.slot)
        ):
            return PROCEED
        self.breaker.complete(
            <Permit *>f.slot, f.result, f.error, f.position == f.depth,
            (<Route>f.route).gate.domain_errors,
        )
        return PROCEED

    cdef tuple described(self):
        return "CircuitBreakerMiddleware", self.settings()

    cdef object observed(self):
        return self.breaker.stats()

    def settings(self):
        """Return the effective settings of the middleware, for this route."""
        shown = self.owner.settings()
        lease = shown["probe_timeout"]
        if self.breaker.checked.settings.probe_timeout is None:
            shown["probe_timeout"] = max(lease, self.breaker.attempt_ns / 1e9)
        return shown


@cython.final
cdef class Cover:
    """How long an attempt of a route may take."""

    cdef BreakerStage stage
    cdef int64_t attempt_ns


signed(CircuitBreakerMiddleware)
constructed(CircuitBreakerMiddleware)
internal(BreakerStage)
internal(Cover)
