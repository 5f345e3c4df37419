"""The statistics of a bus, as `bus.stats()` returns them."""

from __future__ import annotations

from typing import Any

import msgspec


class MessageStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the dispatches of one registered name came to.

    Attributes:
        count: dispatches that have ended; the outcomes sum to it.
        outcomes: how many ended in each of the closed set of outcomes.
        errors: those that ended in `error` or `timeout`.
        rejected: those that ended in one of the `rejected_…` outcomes.
        cache_hits: answered from a cache.
        retries: further attempts that were made.
        in_flight: dispatches that have not ended.
        timed: how many the times below are of: all that reached their pipeline, or
            one of every `latency_sample` of the bus.
        mean, min, max: exact, in seconds; 0.0 before the first.
        p50, p90, p99, p999: percentiles in seconds, at most 1/64 off.
    """

    count: int
    outcomes: dict[str, int]
    errors: int
    rejected: int
    cache_hits: int
    retries: int
    in_flight: int
    timed: int
    mean: float
    min: float
    max: float
    p50: float
    p90: float
    p99: float
    p999: float


class MiddlewareStats(msgspec.Struct, frozen=True):
    """The state of one middleware object of a bus or of one of its handlers.

    Attributes:
        kind: its class, such as "CachingMiddleware".
        stats: a frozen struct, the same as from the object itself.
    """

    kind: str
    stats: Any


class BusStats(msgspec.Struct, frozen=True):
    """One consistent picture of a bus.

    Attributes:
        total: all messages together.
        messages: by registered name; `_unknown` stands for all names without a handler.
        middleware: caches, breakers, limiters and what else keeps a state: those of the
            bus, outermost first, then those of its handlers; each object once.
    """

    total: MessageStats
    messages: dict[str, MessageStats]
    middleware: list[MiddlewareStats] = []
