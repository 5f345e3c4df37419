"""Retry: run what lies inside again while it fails."""

cimport cython
from libc.stdint cimport int64_t

from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.pipeline.deadline cimport ends_attempts, remaining_ns
from cqrs_fast.pipeline.frame cimport AGAIN, NOT_ENDED, PROCEED, Frame
from cqrs_fast.pipeline.frame_ops cimport delay_by
from cqrs_fast.pipeline.repeating cimport is_repeatable, may_be_repeatable, way_in_ns
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.policies.retry_policy cimport RetryPolicy

from warnings import warn

from cqrs_fast.base.arguments import flag


@cython.final
cdef class RetryMiddleware(Stage):
    """Run what lies inside again while it fails, after a growing, random delay.

    Queries are retried. A command is if its class says `idempotent = True`, if it has
    an `idempotency_key` that is not None, or with `retry_commands=True`; where none of
    these can be, this is left out of the command's pipeline with a RuntimeWarning, once
    for each class. It is left out everywhere if `max_attempts` is 1.

    Parameters:
        retry_commands: whether every command may run more than once.

    All others, and the rules, are those of RetryPolicy, with one more: without
    `retry_on` no error of DETERMINISTIC is retried, but a broken answer (UnicodeError,
    json.JSONDecodeError) and an OSError other than PermissionError. No delay begins
    that would reach the deadline outside of this; a cancellation, a signal or a drain
    ends one, and after a drain the last error is raised. `clock` is that of the bus.

    `update` changes all of these but `seed` and `clock`; the budget keeps its credits.
    A pipeline that was built without this stays without it. Raises TypeError or
    ValueError for an invalid argument. One object may serve many buses, threads and
    event loops at once, which share its budget.
    """

    cdef RetryPolicy policy
    cdef bint timed                     # as the policy is
    cdef bint retry_commands
    cdef bint quiet                     # made by a configuration: warns about nothing
    cdef set warned                     # names of the commands it warned about

    def __cinit__(self):
        self.has_slot = self.may_wait = self.skips_results = True

    def __init__(self, max_attempts=3, base_delay=0.1, *, retry_commands=False,
                 max_delay=5.0, multiplier=2.0, jitter="full", max_elapsed=None,
                 retry_on=None, never_on=(), budget=None, budget_min_per_sec=10,
                 budget_ttl=10.0, on_retry=None, seed=None, clock=None):
        """Check and keep the parameters: the class describes them."""
        self.policy = RetryPolicy(
            max_attempts, base_delay, max_delay=max_delay, multiplier=multiplier,
            jitter=jitter, max_elapsed=max_elapsed, retry_on=retry_on,
            never_on=never_on, budget=budget, budget_min_per_sec=budget_min_per_sec,
            budget_ttl=budget_ttl, on_retry=on_retry, seed=seed, clock=clock,
        )
        self.policy.spares = retry_on is None
        self.timed = self.policy.timed
        self.retry_commands = flag("retry_commands", retry_commands)
        self.warned = set()

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {**self.policy.settings(), "retry_commands": self.retry_commands}

    cdef object observed(self):
        return self.policy.stats()

    cdef dict changeable(self):
        given = {**self.policy.given, "retry_commands": self.retry_commands}
        if self.policy.spares:
            given["retry_on"] = None
        return given

    cdef int succeed(self, Stage old) except -1:
        cdef RetryMiddleware retry = <RetryMiddleware>old
        self.policy.state = retry.policy.state
        self.policy.clock = retry.policy.clock
        self.quiet = retry.quiet
        self.warned = retry.warned
        return 0

    cdef bint is_replaced(self) noexcept:
        return True

    cdef Stage serve(self, RouteSpec spec, Stage new):
        return new.for_route(spec)

    cdef int check_built(self, Stage new) except -1:
        # Before anything has changed: a user's clock may raise.
        return (<RetryMiddleware>new).policy.settle()

    cdef int exchange(self, Stage new) noexcept:
        cdef RetryMiddleware retry = <RetryMiddleware>new
        self.policy.take(retry.policy)
        self.timed = self.policy.timed
        self.retry_commands = retry.retry_commands
        return 0

    cdef Stage for_route(self, RouteSpec spec):
        if self.policy.rules.max_attempts == 1:
            return None
        if self.policy.clock is None and spec.clock is not None:
            self.policy.tell_time_by(spec.clock)
        cls = spec.message_class
        # A message registered by name is checked when it fails.
        if spec.kind != "command" or self.retry_commands or cls is None:
            return self
        if may_be_repeatable(cls):
            return self
        if not self.quiet and spec.name not in self.warned:
            warn(
                f"RetryMiddleware will not retry the command {spec.name!r}: set "
                "`idempotent = True` on its class, give it an `idempotency_key`, or "
                "pass retry_commands=True",
                RuntimeWarning,
                stacklevel=1,
            )
            self.warned.add(spec.name)
        return None

    cdef int enter(self, Frame *f) except -1:
        # hot: one comparison without a budget or a longest time
        if self.timed:
            # 0 is what the slot holds where there is no limit.
            f.slot.b = self.policy.begin(way_in_ns(f, self.policy.clock)) or 1
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        cdef int64_t delay_ns
        # The dispatch was ended from outside between two attempts.
        if f.ending != NOT_ENDED or is_transparent(f.error):
            return PROCEED
        error = <object>f.error
        if ends_attempts(f) or not (self.retry_commands or is_repeatable(f)):
            return PROCEED
        if not self.policy.covers(error, (<Route>f.route).gate.domain_errors):
            return PROCEED
        f.slot.a += 1
        delay_ns = self.policy.decide(
            error, f.slot.a, f.slot.b or NO_DEADLINE, remaining_ns(f),
            (<Route>f.route).name,
        )
        if delay_ns < 0:
            return PROCEED
        delay_by(f, self.policy.clock, delay_ns)
        return AGAIN


def quiet_retry(**settings):
    """Return a RetryMiddleware that does not warn about commands it cannot retry."""
    cdef RetryMiddleware retry = RetryMiddleware(**settings)
    retry.quiet = True
    return retry


signed(RetryMiddleware)
constructed(RetryMiddleware)
