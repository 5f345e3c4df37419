"""What does each middleware cost that lets a dispatch pass?"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

from benchmarks import workload
from benchmarks.operations import (
    DIRECT,
    HAND_WRITTEN,
    SUSPENDING,
    awaited_on,
    direct,
    dispatched_on,
    hand_written,
    through,
)
from benchmarks.suite import run
from benchmarks.table import AnyRow, LoopOperation, Operation, Pair, Table
from benchmarks.workload import COMMAND, CONTEXT, DISPATCHER
from cqrs_fast import (
    BulkheadMiddleware,
    CircuitBreakerMiddleware,
    DebugMiddleware,
    FallbackMiddleware,
    LoggingMiddleware,
    RateLimitingMiddleware,
    RetryMiddleware,
    SlowCallMiddleware,
    TimeoutMiddleware,
    ValidationMiddleware,
)
from cqrs_fast.stages.catalog import middleware_rows

NO_TIME = 1e-9
"""So short that every call takes longer."""
SEVERAL = 5
"""One stage alone is next to nothing: the mean of several. No more than a route has: in
a much longer one each costs more, the first as the last."""
ROWS = Table()


# Pass


@ROWS.row("metrics", against=HAND_WRITTEN)
def _() -> Pair:
    return Pair(through(stages=["Metrics"], metrics=True), hand_written())


def passing(make: Callable[[], Any], kind: str) -> Pair:
    return Pair(through(make(), stages=[kind]), hand_written())


def silent_debug() -> DebugMiddleware:
    return DebugMiddleware(workload.silent_logger(), logging.DEBUG)


def silent_slow_call() -> SlowCallMiddleware:
    """Find every call slow; log it to a logger that drops it."""
    return SlowCallMiddleware(
        NO_TIME, logger=workload.silent_logger(), level=logging.INFO
    )


PASSING: tuple[tuple[str, str, Callable[[], Any]], ...] = (
    ("validation of two fields", "ValidationMiddleware", ValidationMiddleware),
    ("logging, level disabled", "LoggingMiddleware", workload.silent_logging),
    ("debug, level disabled", "DebugMiddleware", silent_debug),
    ("slow call, none is slow", "SlowCallMiddleware", workload.slow_call),
    ("slow call, all are slow, level disabled", "SlowCallMiddleware", silent_slow_call),
    ("limiter, lets in", "RateLimitingMiddleware", workload.limiter),
    ("breaker, closed", "CircuitBreakerMiddleware", CircuitBreakerMiddleware),
    ("retry, nothing fails", "RetryMiddleware", RetryMiddleware),
    ("bulkhead, lets in", "BulkheadMiddleware", lambda: BulkheadMiddleware(8)),
    ("timeout, in time", "TimeoutMiddleware", lambda: TimeoutMiddleware(30.0)),
    (
        "fallback, nothing fails",
        "FallbackMiddleware",
        lambda: FallbackMiddleware(workload.substitute),
    ),
)
KINDS = {kind for _, kind, _ in PASSING}
for name, kind, make in PASSING:
    ROWS.row(name, against=HAND_WRITTEN)(functools.partial(passing, make, kind))

# What is in the catalog and in no other row, here or in another file.
ELSEWHERE = {"AuditMiddleware", "AuthenticationMiddleware", "IdempotencyMiddleware"}
for entry in middleware_rows():
    if "command" in entry.kinds and entry.name not in {*ELSEWHERE, *KINDS}:
        ROWS.row(f"{entry.label}, lets in", against=HAND_WRITTEN)(
            functools.partial(
                passing, functools.partial(entry.make, **entry.passing), entry.name
            )
        )


@ROWS.row("authentication", against=f"{HAND_WRITTEN} + the callback called directly")
def _() -> Pair:
    case = through(
        workload.authentication(),
        stages=["AuthenticationMiddleware"],
        before=("authenticate",),
    )
    baseline = Operation(
        """
        authenticate(ctx, command)
        result = dispatcher.execute(command)
        """,
        calls=["authenticate", "execute", "create"],
        authenticate=workload.authenticate,
        ctx=CONTEXT,
        dispatcher=DISPATCHER,
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row("audit", against=f"{HAND_WRITTEN} + the sink called directly")
def _() -> Pair:
    case = through(workload.audit(), stages=["AuditMiddleware"], after=("sink",))
    baseline = Operation(
        """
        result = dispatcher.execute(command)
        sink(command)
        """,
        calls=["execute", "create", "sink"],
        sink=workload.sink,
        dispatcher=DISPATCHER,
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row(
    "logging, level enabled", against=f"{HAND_WRITTEN} + `logger.info` of one line"
)
def _() -> Pair:
    logger = workload.ignored_logger()
    case = through(
        LoggingMiddleware(logger=logger, level=logging.INFO),
        stages=["LoggingMiddleware"],
        after=("handle",),
    )
    baseline = Operation(
        """
        result = dispatcher.execute(command)
        info("%s done", "Create")
        """,
        calls=["execute", "create", "handle"],
        info=logger.info,
        dispatcher=DISPATCHER,
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row(
    "limiter with a key, lets in", against=f"{HAND_WRITTEN} + the key made directly"
)
def _() -> Pair:
    limiter = RateLimitingMiddleware(
        1_000_000, 1.0, burst=1_000_000_000, key=workload.name_of
    )
    case = through(limiter, stages=["RateLimitingMiddleware"], before=("name_of",))
    baseline = Operation(
        """
        name_of(ctx, command)
        result = dispatcher.execute(command)
        """,
        calls=["name_of", "execute", "create"],
        name_of=workload.name_of,
        ctx=CONTEXT,
        dispatcher=DISPATCHER,
        command=COMMAND,
    )
    return Pair(case, baseline)


def one_more(make: Callable[[], Any], kind: str, several: int) -> Pair:
    """Return what one stage adds to a pipeline that reads the clock anyway."""

    def with_stages(count: int) -> Operation:
        return through(
            *[make() for _ in range(count)],
            stages=["Metrics", *[kind] * count],
            metrics=True,
        )

    return Pair(with_stages(several), direct(), with_stages(0), several)


for name, kind, make, several in (
    ("limiter", "RateLimitingMiddleware", workload.limiter, SEVERAL),
    ("breaker", "CircuitBreakerMiddleware", CircuitBreakerMiddleware, SEVERAL),
    ("retry", "RetryMiddleware", RetryMiddleware, SEVERAL),
    # Of timeouts no several: one inside another has far more to do than the first.
    ("timeout", "TimeoutMiddleware", lambda: TimeoutMiddleware(30.0), 1),
):
    ROWS.row(
        f"one more {name} where the clock is read",
        against=DIRECT,
        ceiling=0.15,
        ceiling_312=0.18,
        parts=("case", "baseline", "without"),
    )(functools.partial(one_more, make, kind, several))


@ROWS.row(
    "what a timeout adds, async, handler suspends once",
    against="what `asyncio.timeout` adds",
    ceiling=0.5,
    parts=("case", "baseline", "without", "baseline_without"),
)
def _() -> Pair:
    handler = workload.create_after_suspending
    calls = SUSPENDING * 2
    on = functools.partial(dispatched_on, "asyncio", handler, *calls)
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
    return Pair(
        on(middleware=[TimeoutMiddleware(30.0)], stages=("TimeoutMiddleware",)),
        by_asyncio,
        without=on(),
        baseline_without=awaited_on("asyncio", handler, *calls),
    )


def test_middleware(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
