"""What does a middleware cost that does more: reject, hit, miss, retry, probe?"""

from __future__ import annotations

import contextlib
import functools
from types import SimpleNamespace
from typing import Any

from benchmarks import workload
from benchmarks.operations import HAND_WRITTEN, RAISED, hand_written, raising, rejected
from benchmarks.suite import run
from benchmarks.table import AnyRow, Operation, Pair, Table
from benchmarks.workload import (
    COMMAND,
    CONTEXT,
    QUERY,
    Create,
    Find,
    Place,
    Refused,
    Rename,
    bus_with,
    query_bus_with,
)
from cqrs_fast import (
    AuthenticationMiddleware,
    BulkheadFullError,
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    DeadlineExceededError,
    FallbackMiddleware,
    IdempotencyMiddleware,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
    ValidationError,
    ValidationMiddleware,
)

DAY = 24 * 3_600.0
AT_ONCE = 1e-9
"""A time so short that it is over at the next dispatch."""
FEW = 1_000
ROWS = Table()


# Hit and miss


@ROWS.row("cached query", against="`functools.lru_cache` hit, same key", ceiling=1.15)
def _() -> Pair:
    bus = query_bus_with(CachingMiddleware())
    cached = functools.lru_cache(workload.create)
    # From now on both answer without their function.
    bus.execute(QUERY)
    cached(QUERY)
    case = Operation(
        "result = bus.execute(query)",
        calls=[],
        stages=["CachingMiddleware"],
        bus=bus,
        query=QUERY,
    )
    baseline = Operation("result = cached(query)", calls=[], cached=cached, query=QUERY)
    return Pair(case, baseline)


@ROWS.row(
    "a query that is not cached, evicting one", against="`functools.lru_cache` miss"
)
def _() -> Pair:
    # The oldest goes first: when one of these comes again it is gone.
    queries = [Find(f"bolt {number}") for number in range(2 * FEW)]
    names = {"calls": ["create"] * len(queries), "per": len(queries)}
    case = Operation(
        "for query in queries: result = bus.execute(query)",
        stages=["CachingMiddleware"],
        bus=query_bus_with(CachingMiddleware(max_size=FEW)),
        queries=queries,
        **names,
    )
    baseline = Operation(
        "for query in queries: result = cached(query)",
        cached=functools.lru_cache(FEW)(workload.create),
        queries=queries,
        **names,
    )
    return Pair(case, baseline)


def placing(ttl: float, *calls: str) -> Operation:
    """Return a command that is sent again, its key kept for so many seconds."""
    command = Place("an order")
    bus = bus_with(IdempotencyMiddleware(ttl=ttl), message=Place)
    bus.execute(command)
    return Operation(
        "result = bus.execute(command)",
        calls=calls,
        stages=["IdempotencyMiddleware"],
        bus=bus,
        command=command,
    )


@ROWS.row("idempotency, sent again", against="a dict of results, by the same key")
def _() -> Pair:
    command = Place("an order")
    baseline = Operation(
        "result = done[type(command), command.idempotency_key]",
        calls=[],
        done={(Place, command.idempotency_key): 1},
        command=command,
    )
    return Pair(placing(DAY), baseline)


@ROWS.row("idempotency, sent for the first time", against=HAND_WRITTEN)
def _() -> Pair:
    return Pair(placing(AT_ONCE, "create"), hand_written())


# Retry, fallback and probe


@ROWS.row("retry, one attempt fails, no delay", against="the same in hand-written code")
def _() -> Pair:
    case = Operation(
        "result = bus.execute(command)",
        calls=["fail_or_answer"] * 2,
        stages=["RetryMiddleware"],
        bus=bus_with(RetryMiddleware(base_delay=0.0), handler=workload.unsteady()),
        command=COMMAND,
    )
    baseline = Operation(
        """
        for attempt in range(3):
            try:
                result = handler(command)
                break
            except Exception:
                if attempt == 2:
                    raise
        """,
        calls=["fail_or_answer"] * 2,
        handler=workload.unsteady(),
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row("fallback, the handler fails", against="the same in hand-written code")
def _() -> Pair:
    bus = bus_with(
        FallbackMiddleware(workload.substitute), handler=workload.unavailable
    )
    calls = ["unavailable", "substitute"]
    case = Operation(
        "result = bus.execute(command)",
        calls=calls,
        stages=["FallbackMiddleware"],
        bus=bus,
        command=COMMAND,
    )
    baseline = Operation(
        """
        try:
            result = handler(command)
        except Exception as error:
            result = substitute(ctx, command, error)
        """,
        calls=calls,
        handler=workload.unavailable,
        substitute=workload.substitute,
        ctx=CONTEXT,
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row("a probe of a half-open breaker", against=HAND_WRITTEN)
def _() -> Pair:
    # It takes more good probes to close than there will ever be.
    breaker = CircuitBreakerMiddleware(1, AT_ONCE, success_threshold=1_000_000_000)
    service = workload.Recovering()
    bus = bus_with(breaker, handler=service)
    with contextlib.suppress(Refused):
        bus.execute(COMMAND)
    service.well = True
    case = Operation(
        "result = bus.execute(command)",
        calls=["handle"],
        stages=["CircuitBreakerMiddleware"],
        holds=lambda: breaker.get_state() == "half-open",
        bus=bus,
        command=COMMAND,
    )
    return Pair(case, hand_written())


# Reject


@ROWS.row("a rejected call, limiter", against=RAISED, ceiling=1.9, ceiling_312=2.0)
def _() -> Pair:
    bus = bus_with(RateLimitingMiddleware(1, DAY))
    bus.execute(COMMAND)
    stages = ["RateLimitingMiddleware"]
    return Pair(rejected(bus, RateLimitExceededError, stages=stages), raising())


@ROWS.row(
    "a rejected call, open breaker", against=RAISED, ceiling=1.9, ceiling_312=2.0
)
def _() -> Pair:
    bus = bus_with(CircuitBreakerMiddleware(1, DAY), handler=workload.unavailable)
    with contextlib.suppress(Refused):
        bus.execute(COMMAND)
    stages = ["CircuitBreakerMiddleware"]
    return Pair(rejected(bus, CircuitOpenError, stages=stages), raising())


@ROWS.row("a rejected call, full bulkhead", against=RAISED)
def _() -> Pair:
    bus = bus_with(BulkheadMiddleware(1))
    bus.register_handler(Rename, workload.create_after_suspending)
    # It holds the only permit for as long as this row is there.
    inside = SimpleNamespace(dispatch=bus.execute_async(Rename("a nut")))
    inside.dispatch.send(None)
    case = rejected(bus, BulkheadFullError, stages=["BulkheadMiddleware"])
    case.names["inside"] = inside
    return Pair(case, raising())


@ROWS.row("a rejected call, two invalid fields", against=RAISED)
def _() -> Pair:
    case = rejected(
        bus_with(ValidationMiddleware()),
        ValidationError,
        stages=["ValidationMiddleware"],
        command=Create("", 0),
    )
    return Pair(case, raising())


@ROWS.row("a rejected call, authentication", against=RAISED)
def _() -> Pair:
    bus = bus_with(AuthenticationMiddleware(workload.reject))
    stages = ["AuthenticationMiddleware"]
    case = rejected(bus, Refused, "reject", stages=stages)
    return Pair(case, raising())


@ROWS.row("a rejected call, the deadline has passed", against=RAISED)
def _() -> Pair:
    case = rejected(
        bus_with(TimeoutMiddleware(30.0)),
        DeadlineExceededError,
        stages=["TimeoutMiddleware"],
        ctx=CONTEXT.with_timeout(0.0),
    )
    return Pair(case, raising())


def test_outcomes(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
