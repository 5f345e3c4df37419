"""Limiters that let a call in: alone, and around a handler."""

from __future__ import annotations

from typing import Any

from benchmarks.rivals.duel import Duels, Match
from benchmarks.rivals.messages import (
    HOUR,
    ORDER,
    PERMITS,
    answer,
    answer_async,
    ours,
    ours_async,
    sends,
)
from benchmarks.table import LoopOperation, Operation
from benchmarks.workload import limiter
from cqrs_fast import TokenBucket

ADMITS = "the limiter admits"
LIMITED = "a dispatch that the limiter admits"
LIMITED_ASYNC = f"{LIMITED}; awaited"
DUELS = Duels("limiter")


def admits(statement: str, **names: Any) -> Match:
    """Return our bucket, which is never full, against a statement that asks theirs."""
    ours = Operation(
        "result = bucket.try_acquire()",
        calls=[],
        bucket=TokenBucket(1_000_000, 1.0, burst=PERMITS),
    )
    return Match(ours, Operation(statement, calls=[], **names), True, handled=0)


@DUELS.against("limits", "FixedWindowRateLimiter", feature=ADMITS)
def _() -> Match:
    import limits

    storage = limits.storage.MemoryStorage()
    return admits(
        "result = limiter.hit(item)",
        limiter=limits.strategies.FixedWindowRateLimiter(storage),
        item=limits.RateLimitItemPerHour(PERMITS),
    )


@DUELS.against("pyrate-limiter", "Limiter", feature=ADMITS)
def _() -> Match:
    import pyrate_limiter

    rate = pyrate_limiter.Rate(PERMITS, pyrate_limiter.Duration.HOUR)
    return admits(
        "result = limiter.try_acquire('anybody', blocking=False)",
        limiter=pyrate_limiter.Limiter(rate),
    )


def throttled(algorithm: str) -> Match:
    import throttled

    limiter = throttled.Throttled(
        key="anybody",
        using=algorithm,
        quota=throttled.per_hour(PERMITS),
        store=throttled.MemoryStore(),
    )
    return admits("result = not limiter.limit().limited", limiter=limiter)


@DUELS.against("throttled-py", "token_bucket", feature=ADMITS)
def _() -> Match:
    return throttled("token_bucket")


@DUELS.against("throttled-py", "gcra", feature=ADMITS)
def _() -> Match:
    return throttled("gcra")


@DUELS.against("pyresilience", "resilient(rate_limiter=)", feature=LIMITED)
def _() -> Match:
    import pyresilience

    config = pyresilience.RateLimiterConfig(max_calls=PERMITS, period=HOUR)
    limited = pyresilience.resilient(rate_limiter=config)(answer)
    return Match(ours(limiter()), sends(limited, ORDER))


@DUELS.against("aiolimiter", "async with AsyncLimiter", feature=LIMITED_ASYNC)
def _() -> Match:
    import aiolimiter

    theirs = LoopOperation(
        """
        async with limiter:
            result = await handle(order)
        """,
        calls=[],
        limiter=aiolimiter.AsyncLimiter(PERMITS, HOUR),
        handle=answer_async,
        order=ORDER,
    )
    return Match(ours_async(limiter()), theirs)
