"""The settings of a circuit breaker, its events and snapshots: data alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cqrs_fast.base.arguments import (
    exception_classes,
    real_number,
    seconds_to_ns,
    whole_number,
)
from cqrs_fast.base.naming import check_settings
from cqrs_fast.base.promises import check_plain
from cqrs_fast.errors import (
    ContextCancelledError,
    HandlerNotFoundError,
    IdempotencyConflictError,
    RejectedError,
    ValidationError,
)
from cqrs_fast.stats import CircuitSnapshot

# As the states are numbered in core/circuit_breaker.h.
STATES = ("closed", "open", "half-open", "forced-open", "disabled")

# These errors say nothing about the health of what is called.
NO_FAILURES = (
    ContextCancelledError,
    ValidationError,
    HandlerNotFoundError,
    RejectedError,
    IdempotencyConflictError,
)

_MOST_CALLS = 1_000_000_000
_MOST_PROBES = 64
_LARGEST_MULTIPLIER = 1000.0
_LONGEST_NS = 10**18


class CircuitEvent(msgspec.Struct, frozen=True):
    """One transition of a circuit breaker.

    Attributes:
        name: of the message, or None where the breaker is used alone.
        before, after: "closed", "open", "half-open", "forced-open" or "disabled".
        failures: consecutive failures counted by then.
        number: counts the transitions of one breaker, from 1.
    """

    name: str | None
    before: str
    after: str
    failures: int
    number: int


class CircuitSettings(msgspec.Struct, frozen=True):
    """The parameters of a breaker as they were given."""

    failure_threshold: int = 5
    timeout: float = 30.0
    half_open_max_calls: int = 1
    success_threshold: int = 1
    probe_timeout: float | None = None
    timeout_multiplier: float = 1.0
    max_timeout: float | None = None
    timeout_jitter: float = 0.0
    failure_on: Any = None
    ignore: Any = ()
    is_failure: Callable[[Any, Exception | None], object] | None = None
    on_event: Callable[[CircuitEvent], object] | None = None


class Checked(msgspec.Struct, frozen=True):
    """Settings that make sense, in the units that the decisions work with."""

    settings: CircuitSettings
    timeout_ns: int
    probe_timeout_ns: int
    max_timeout_ns: int
    failure_on: tuple[type[Exception], ...]
    ignored: tuple[type[Exception], ...]
    spares: bool


def _callback(argument: str, function: Any) -> None:
    if function is None:
        return
    if not callable(function):
        raise TypeError(f"{argument} must be callable or None, got {function!r}")
    check_plain(argument, function, f", got {function!r}")


def check(settings: CircuitSettings, *, spares: bool = False) -> Checked:
    """Check every setting; raise TypeError or ValueError for one that is wrong.

    With `spares`, deterministic errors are no failures unless `failure_on` says which
    ones are.
    """
    whole_number("failure_threshold", settings.failure_threshold, 1, _MOST_CALLS)
    timeout_ns = seconds_to_ns("timeout", settings.timeout)
    whole_number("half_open_max_calls", settings.half_open_max_calls, 1, _MOST_PROBES)
    whole_number("success_threshold", settings.success_threshold, 1, _MOST_CALLS)
    probe_timeout_ns = timeout_ns
    if settings.probe_timeout is not None:
        probe_timeout_ns = seconds_to_ns("probe_timeout", settings.probe_timeout)
    real_number(
        "timeout_multiplier", settings.timeout_multiplier, 1.0, _LARGEST_MULTIPLIER
    )
    max_timeout_ns = _LONGEST_NS
    if settings.max_timeout is not None:
        max_timeout_ns = seconds_to_ns("max_timeout", settings.max_timeout)
        if max_timeout_ns < timeout_ns:
            raise ValueError(
                f"max_timeout must be at least timeout, {settings.timeout!r}, "
                f"got {settings.max_timeout!r}"
            )
    real_number("timeout_jitter", settings.timeout_jitter, 0.0, 1.0)
    ignored = exception_classes("ignore", settings.ignore)
    if settings.failure_on is None:
        failure_on: tuple[type[Exception], ...] = (Exception,)
        ignored += NO_FAILURES
    else:
        failure_on = exception_classes("failure_on", settings.failure_on)
        if not failure_on:
            raise ValueError("failure_on must name an exception, got none")
    _callback("is_failure", settings.is_failure)
    _callback("on_event", settings.on_event)
    return Checked(
        settings,
        timeout_ns,
        probe_timeout_ns,
        max_timeout_ns,
        failure_on,
        ignored,
        spares and settings.failure_on is None,
    )


def changed(settings: CircuitSettings, changes: dict[str, Any]) -> Checked:
    """Return `settings` with some of them replaced, all checked again.

    Raises TypeError for a name that is no setting or cannot be changed.
    """
    check_settings("CircuitBreaker", changes, CircuitSettings.__struct_fields__)
    return check(msgspec.structs.replace(settings, **changes))


def seed_of(seed: object) -> int:
    """Return the seed that was given, or a random one for None."""
    if seed is None:
        from os import urandom

        return int.from_bytes(urandom(8), "little")
    return whole_number("seed", seed, 0, 2**64 - 1)


def worst(snapshots: list[CircuitSnapshot]) -> CircuitSnapshot:
    """Return one picture of several breakers: the worst state, and the sums.

    `failures` and `retry_after` are those of the breaker in the worst state that is
    furthest from admitting a call.
    """
    if not snapshots:
        return CircuitSnapshot("closed", 0, 0, 0, 0.0, 0, 0, 0)
    first = max(snapshots, key=_badness)
    return CircuitSnapshot(
        state=first.state,
        failures=first.failures,
        successes=first.successes,
        probes=sum(one.probes for one in snapshots),
        retry_after=first.retry_after,
        opened=sum(one.opened for one in snapshots),
        rejected=sum(one.rejected for one in snapshots),
        late_results=sum(one.late_results for one in snapshots),
    )


_WORST_LAST = ("disabled", "closed", "half-open", "open", "forced-open")


def _badness(snapshot: CircuitSnapshot) -> tuple[int, float, int]:
    wait = snapshot.retry_after
    return (
        _WORST_LAST.index(snapshot.state),
        float("inf") if wait is None else wait,
        snapshot.failures,
    )
