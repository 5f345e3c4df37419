"""What does protection cost: limiter, cache, breaker, retry and timeout?"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any

from benchmarks import workload
from benchmarks.bench_async import AWAITED, awaited
from benchmarks.bench_pipeline import HAND_WRITTEN, hand_written, through
from benchmarks.suite import run
from benchmarks.table import (
    LoopOperation,
    Operation,
    Pair,
    Row,
    Table,
    ThreadsOperation,
)
from benchmarks.workload import (
    COMMAND,
    PROTECTED,
    QUERY,
    bus_with,
    protecting_stages,
    query_bus_with,
)
from cqrs_fast import (
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
)

DIRECT = "direct call"
RAISED = "raising and catching one Python exception"
HOUR = 3_600.0
SEVERAL = 5
"""One stage alone is next to nothing: the mean of several."""
THREADS = 8
CALLS = 160_000
"""So many last for several switch intervals, in 8 threads and in one."""
ROUNDS = 8

ROWS = Table()
SIX = "metrics, validation, limiter, retry, breaker, timeout"


@ROWS.row(SIX, against=HAND_WRITTEN, ceiling=2.0)
def _() -> Pair:
    case = through(*protecting_stages(), stages=list(PROTECTED), metrics=True)
    return Pair(case, hand_written())


@ROWS.row(f"{SIX}, async", against=AWAITED, ceiling=2.7, ceiling_312=4.0)
def _() -> Pair:
    handler = workload.create_async
    case = Operation(
        "result = await bus.execute_async(command)",
        calls=["create_async"],
        stages=PROTECTED,
        bus=bus_with(*protecting_stages(), handler=handler, metrics=True),
        command=COMMAND,
    )
    return Pair(case, awaited(handler, "create_async"))


@ROWS.row(
    "what a timeout adds, async, handler suspends once",
    against="what `asyncio.timeout` adds",
    ceiling=0.5,
    parts=("case", "baseline", "without", "baseline_without"),
)
def _() -> Pair:
    handler = workload.create_after_suspending
    calls = ("create_after_suspending", "suspend") * 2

    def dispatched(*middleware: Any, stages: tuple[str, ...] = ()) -> Operation:
        return LoopOperation(
            "result = await bus.execute_async(command)",
            calls=calls,
            stages=stages,
            bus=bus_with(*middleware, handler=handler),
            command=COMMAND,
        )

    by_asyncio = LoopOperation(
        """
        async with timeout(30.0):
            result = await handler(command)
        """,
        calls=calls,
        timeout=asyncio.timeout,
        handler=handler,
        command=COMMAND,
    )
    alone = LoopOperation(
        "result = await handler(command)", calls=calls, handler=handler, command=COMMAND
    )
    return Pair(
        dispatched(TimeoutMiddleware(30.0), stages=("TimeoutMiddleware",)),
        by_asyncio,
        without=dispatched(),
        baseline_without=alone,
    )


def one_more(make: Callable[[], Any], kind: str, several: int) -> Pair:
    """Return what one stage adds to a pipeline that reads the clock anyway."""

    def with_stages(count: int) -> Operation:
        return through(
            *[make() for _ in range(count)],
            stages=["Metrics", *[kind] * count],
            metrics=True,
        )

    direct = Operation(
        "result = create(command)",
        calls=["create"],
        create=workload.create,
        command=COMMAND,
    )
    return Pair(with_stages(several), direct, with_stages(0), several)


for name, kind, make, several in (
    ("limiter", "RateLimitingMiddleware", workload.limiter, SEVERAL),
    ("breaker", "CircuitBreakerMiddleware", CircuitBreakerMiddleware, SEVERAL),
    ("retry", "RetryMiddleware", RetryMiddleware, SEVERAL),
    # A timeout inside another also compares the two.
    ("timeout", "TimeoutMiddleware", functools.partial(TimeoutMiddleware, 30.0), 1),
):
    ROWS.row(
        f"one more {name} where the clock is read",
        against=DIRECT,
        ceiling=0.15,
        parts=("case", "baseline", "without"),
    )(functools.partial(one_more, make, kind, several))


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
    f"limiter, breaker, cache and metrics, {THREADS} threads",
    against="1 thread",
    # Nine tenths of the throughput.
    ceiling=1.11,
    rounds=ROUNDS,
)
def _() -> Pair:
    bus = query_bus_with(
        workload.limiter(),
        CircuitBreakerMiddleware(),
        CachingMiddleware(HOUR),
        metrics=True,
    )
    bus.execute(QUERY)

    def in_threads(threads: int) -> Operation:
        return ThreadsOperation(
            "result = bus.execute(query)",
            threads=threads,
            times=CALLS,
            calls=[],
            stages=[
                "Metrics",
                "RateLimitingMiddleware",
                "CircuitBreakerMiddleware",
                "CachingMiddleware",
            ],
            bus=bus,
            query=QUERY,
        )

    return Pair(in_threads(THREADS), in_threads(1))


def rejected(middleware: Any, error: type[Exception], handler: Any) -> Pair:
    """Return what a call costs that is refused because of the one before it."""
    bus = bus_with(middleware, handler=handler)
    with contextlib.suppress(workload.Refused):
        bus.execute(COMMAND)
    case = Operation(
        """
        try:
            bus.execute(command)
        except error:
            result = "rejected"
        """,
        calls=[],
        stages=[type(middleware).__name__],
        bus=bus,
        command=COMMAND,
        error=error,
    )
    baseline = Operation(
        """
        try:
            raise Refused("not now")
        except Refused:
            result = "rejected"
        """,
        calls=[],
        Refused=workload.Refused,
    )
    return Pair(case, baseline)


@ROWS.row("a rejected call, limiter", against=RAISED, ceiling=2.5)
def _() -> Pair:
    limiter = RateLimitingMiddleware(1, 24 * HOUR)
    return rejected(limiter, RateLimitExceededError, workload.create)


@ROWS.row("a rejected call, open breaker", against=RAISED, ceiling=2.5)
def _() -> Pair:
    breaker = CircuitBreakerMiddleware(1, 24 * HOUR)
    return rejected(breaker, CircuitOpenError, workload.unavailable)


def test_resilience(benchmark: Any, row: Row, part: str) -> None:
    run(benchmark, row, part)
