"""CircuitBreaker: stop calling what keeps failing, and probe whether it has recovered.

The idea is that of Michael Nygard's "Release It!". Every decision is a pure function of
core/circuit_breaker.h, announcer.pyx reports transitions, and outcomes are judged here.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MIN, int64_t, uint64_t

from cqrs_fast.base.calling cimport is_awaitable, may_be_promise
from cqrs_fast.base.clock cimport Clock, as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.rejection cimport Rejection
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.policies.announcer cimport Announcer
from cqrs_fast.policies.core.circuit_breaker cimport (
    CQRS_BREAKER_ANSWERED, CQRS_BREAKER_CLOSED, CQRS_BREAKER_DISABLED,
    CQRS_BREAKER_FAILURE, CQRS_BREAKER_FORCED_OPEN, CQRS_BREAKER_IGNORED, Changes,
    Limits, Permit, Picture, breaker_admit, breaker_configure, breaker_force,
    breaker_init, breaker_look, breaker_passes, breaker_record, breaker_unmoved,
)
from cqrs_fast.policies.judging cimport judge

from cqrs_fast.base.promises import unfinished
from cqrs_fast.domain_errors import DomainError
from cqrs_fast.errors import CircuitOpenError
from cqrs_fast.policies.circuit_state import (
    STATES, CircuitSettings, changed, check, seed_of,
)
from cqrs_fast.stats import CircuitSnapshot

cdef tuple DOMAIN = (DomainError,)
cdef Rejection is_open = Rejection(CircuitOpenError, "state", "failures")


@cython.final
cdef class BreakerPlan:
    """Settings as the decisions take them; shared by breakers, never changed."""


cdef BreakerPlan plan_of(object checked):
    cdef BreakerPlan plan = BreakerPlan.__new__(BreakerPlan)
    settings = checked.settings
    plan.checked = checked
    plan.asks = settings.is_failure is not None
    plan.listener = settings.on_event
    plan.limits.failure_threshold = settings.failure_threshold
    plan.limits.success_threshold = settings.success_threshold
    plan.limits.half_open_max_calls = settings.half_open_max_calls
    plan.limits.timeout_ns = checked.timeout_ns
    plan.limits.probe_timeout_ns = (
        0 if settings.probe_timeout is None else checked.probe_timeout_ns
    )
    plan.limits.max_timeout_ns = checked.max_timeout_ns
    plan.limits.timeout_multiplier = settings.timeout_multiplier
    plan.limits.timeout_jitter = settings.timeout_jitter
    return plan


cdef Limits limits_for(BreakerPlan plan, int64_t attempt_ns) noexcept:
    cdef Limits limits = plan.limits
    if limits.probe_timeout_ns == 0:
        limits.probe_timeout_ns = max(limits.timeout_ns, attempt_ns)
    return limits


cdef CircuitBreaker new_breaker(BreakerPlan plan, Clock clock, uint64_t seed, str name):
    cdef CircuitBreaker breaker = CircuitBreaker.__new__(CircuitBreaker)
    begin(breaker, plan, clock, seed, name)
    return breaker


cdef int begin(
    CircuitBreaker breaker, BreakerPlan plan, Clock clock, uint64_t seed, str name
) except -1:
    cdef Limits limits = limits_for(plan, 0)
    breaker.checked = plan.checked
    breaker.asks = plan.asks
    breaker.clock = clock
    breaker.name = name
    breaker.announcer.listener = plan.listener
    breaker.announcer.name = name
    breaker_init(&breaker.core, &limits, seed)
    return 0


@cython.final
cdef class CircuitBreaker:
    """Reject calls to what keeps failing; after a while, probe whether it recovered.

    Closed, it counts consecutive failures, and at `failure_threshold` it opens: calls
    raise CircuitOpenError. The first call after `timeout` makes it half-open and is a
    probe. `success_threshold` probes that succeed close it, one that fails opens it
    again. A probe that is not finished within its lease has failed, so that one that
    hangs never blocks the circuit. What was admitted before a transition or a reset no
    longer counts.

    Parameters:
        failure_threshold: consecutive failures.
        timeout: seconds it stays open.
        half_open_max_calls: probes in flight at once, at most 64.
        success_threshold: successful probes.
        probe_timeout: the lease of a probe in seconds; None is `timeout`.
        timeout_multiplier: after each failed probe the timeout is so many times longer,
            1.0 to 1000.0, until the circuit has closed or a lease has run out.
        max_timeout: seconds that it then grows to at most.
        timeout_jitter: share of the timeout, 0.0 to 1.0, that it is longer or shorter
            by at random.
        failure_on: the exception class or classes that are failures. By default that is
            every Exception but ContextCancelledError, ValidationError,
            HandlerNotFoundError, RejectedError and IdempotencyConflictError.
        ignore: exception classes that are none, in any case.
        is_failure: `is_failure(result, error)` decides in the place of `failure_on`;
            the other argument is None. What it raises counts as a failure.
        on_event: `on_event(CircuitEvent)` is called for every transition, once and in
            order, by a thread that makes one. What it raises is reported, no more.
        seed: of the jitter, 0 to 2**64 - 1; by default another one each time.
        clock: a callable that returns monotonic nanoseconds; time.monotonic_ns by
            default.

    A DomainError is a success, whatever `is_failure` says. Another exception that is no
    failure leaves the streak as it is, and closes a half-open circuit as a success
    does, since the call was answered. A RejectedError or ContextCancelledError from
    inside is no answer and only gives the probe back, as does a BaseException that is
    no Exception. An exception group is a failure if any of its members is.
    Raises TypeError or ValueError for an argument that makes no sense. Safe to use from
    any thread and event loop.
    """

    def __cinit__(self):
        self.announcer = Announcer.__new__(Announcer)

    def __init__(self, failure_threshold=5, timeout=30.0, *, half_open_max_calls=1,
                 success_threshold=1, probe_timeout=None, timeout_multiplier=1.0,
                 max_timeout=None, timeout_jitter=0.0, failure_on=None, ignore=(),
                 is_failure=None, on_event=None, seed=None, clock=None):
        """Check and keep the parameters: the class describes them."""
        settings = CircuitSettings(
            failure_threshold, timeout, half_open_max_calls, success_threshold,
            probe_timeout, timeout_multiplier, max_timeout, timeout_jitter, failure_on,
            ignore, is_failure, on_event,
        )
        plan = plan_of(check(settings))
        begin(self, plan, as_clock(clock), seed_of(seed), None)

    def call(self, fn, /, *args, **kwargs):
        """Call `fn` and return what it returns; count the outcome.

        Raises CircuitOpenError without calling it where the circuit is not closed and
        there is no probe to spare. What `fn` raises passes unchanged. A TypeError
        rejects a promise of work, which is closed and counts as nothing: an awaitable,
        for which there is `call_async`, an async generator, and what a generator
        function returns.
        """
        cdef Permit permit = self.admit()
        refused = None
        try:
            result = fn(*args, **kwargs)
            if may_be_promise(<PyObject *>result):
                refused = unfinished(fn, result, awaits=False)
        except BaseException as error:
            self.complete(&permit, NULL, <PyObject *>error, True, DOMAIN)
            raise
        if refused is not None:
            self.give_back(&permit)
            raise refused
        self.complete(&permit, <PyObject *>result, NULL, True, DOMAIN)
        return result

    async def call_async(self, fn, /, *args, **kwargs):
        """Call `fn`, await what it returns, and do as `call` does.

        A call that is cancelled, closed or collected gives its permit back.
        """
        cdef Permit permit = self.admit()
        refused = None
        try:
            result = fn(*args, **kwargs)
            if is_awaitable(<PyObject *>result):
                result = await result
            if may_be_promise(<PyObject *>result):
                refused = unfinished(fn, result, awaits=True)
        except BaseException as error:
            self.complete(&permit, NULL, <PyObject *>error, True, DOMAIN)
            raise
        if refused is not None:
            self.give_back(&permit)
            raise refused
        self.complete(&permit, <PyObject *>result, NULL, True, DOMAIN)
        return result

    @property
    def state(self):
        """The current state, as `get_state` returns it."""
        return STATES[self.look().state]

    def get_state(self):
        """Return "closed", "open", "half-open", "forced-open" or "disabled".

        It is "half-open" as soon as a call would be a probe; asking takes none.
        """
        return STATES[self.look().state]

    def stats(self):
        """Return a CircuitSnapshot: state and counts at one moment."""
        cdef Picture seen = self.look()
        return CircuitSnapshot(
            STATES[seen.state], seen.failures, seen.successes, seen.probes,
            seconds_of(seen.retry_after_ns), seen.opened, seen.rejected,
            seen.late_results,
        )

    def snapshot(self):
        """Return the same as `stats()`."""
        return self.stats()

    def reset(self):
        """Close it, with nothing counted; what is in flight no longer counts."""
        self.force(CQRS_BREAKER_CLOSED)

    def force_open(self):
        """Reject every call until `reset`."""
        self.force(CQRS_BREAKER_FORCED_OPEN)

    def disable(self):
        """Admit every call and count nothing until `reset`."""
        self.force(CQRS_BREAKER_DISABLED)

    def update(self, **settings):
        """Change settings by the names of the parameters, all of them or none.

        State and counts are kept: a lower threshold applies from the next failure on, a
        timeout from the next opening. `seed` and `clock` cannot be changed. Raises
        TypeError and ValueError as the constructor does.
        """
        cdef BreakerPlan plan = plan_of(changed(self.checked.settings, settings))
        # Released last: that may run any code.
        replaced = self.checked
        self.configure(plan)
        del replaced

    def __repr__(self):
        # Neither the clock nor a callback may run where a breaker is only shown.
        settings = self.checked.settings
        return (
            f"CircuitBreaker(failure_threshold={settings.failure_threshold!r}, "
            f"timeout={settings.timeout!r})"
        )

    # What stages and `call` share

    cdef Permit admit(self) except *:
        cdef Permit permit
        cdef Picture seen
        permit.probe = 0
        if not breaker_passes(&self.core, &permit) and not self.ask(&permit, &seen):
            raise self.refusal(&seen, "CircuitBreaker", self.name)
        return permit

    cdef bint ask(self, Permit *permit, Picture *seen) except -1:
        cdef Changes changes
        cdef bint admitted = breaker_admit(
            &self.core, read_clock(self.clock), permit, seen, &changes
        )
        try:
            self.announce(&changes)
        except BaseException:
            self.give_back(permit)
            raise
        return admitted

    cdef int complete(
        self, Permit *permit, PyObject *result, PyObject *error, bint ran,
        tuple domain_errors,
    ) except -1:
        # hot: one load for what is well
        cdef Changes changes
        cdef int outcome
        cdef int64_t now_ns = 0
        if error == NULL and not self.asks and breaker_unmoved(&self.core, permit):
            return 0
        try:
            outcome = judge(
                self.checked, self.name, result, error, domain_errors
            )
            if outcome == CQRS_BREAKER_ANSWERED and not ran:
                outcome = CQRS_BREAKER_IGNORED
            if outcome == CQRS_BREAKER_FAILURE or permit.probe != 0:
                now_ns = read_clock(self.clock)
        except BaseException:
            self.give_back(permit)
            raise
        breaker_record(&self.core, now_ns, permit, outcome, &changes)
        return self.announce(&changes)

    cdef int give_back(self, Permit *permit) noexcept:
        # At the beginning of time no lease has run out, so nothing changes.
        cdef Changes changes
        breaker_record(
            &self.core, INT64_MIN, permit, CQRS_BREAKER_IGNORED, &changes
        )
        return 0

    cdef int announce(self, const Changes *changes) except -1:
        if changes.count == 0 or self.announcer.listener is None:
            return 0
        self.announcer.put(changes)
        return self.announcer.deliver()

    cdef int force(self, int state) except -1:
        cdef Changes changes
        breaker_force(&self.core, state, &changes)
        return self.announce(&changes)

    cdef Picture look(self) except *:
        cdef Picture seen
        cdef Changes changes
        breaker_look(&self.core, read_clock(self.clock), &seen, &changes)
        self.announce(&changes)
        return seen

    cdef int cover(self, int64_t attempt_ns) except -1:
        if attempt_ns > self.attempt_ns:
            self.attempt_ns = attempt_ns
            self.configure(plan_of(self.checked))
        return 0

    cdef int configure(self, BreakerPlan plan) noexcept:
        cdef Limits limits = limits_for(plan, self.attempt_ns)
        breaker_configure(&self.core, &limits)
        self.asks = plan.asks
        self.announcer.listener = plan.listener
        self.checked = plan.checked
        return 0

    cdef object refusal(self, const Picture *seen, str middleware, str name):
        error = is_open.fresh(seconds_of(seen.retry_after_ns), middleware, name)
        is_open.put(error, 0, STATES[seen.state])
        is_open.put(error, 1, seen.failures)
        return error


cdef object seconds_of(int64_t wait_ns):
    return None if wait_ns < 0 else wait_ns / 1e9


signed(CircuitBreaker)
constructed(CircuitBreaker)
internal(BreakerPlan)
