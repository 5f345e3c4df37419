"""The statistics of a bus, as `bus.stats()` returns them."""

from __future__ import annotations

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
    mean: float
    min: float
    max: float
    p50: float
    p90: float
    p99: float
    p999: float


class BusStats(msgspec.Struct, frozen=True):
    """One consistent picture of a bus.

    Attributes:
        total: all messages together.
        messages: by registered name; `_unknown` stands for all names without a handler.
    """

    total: MessageStats
    messages: dict[str, MessageStats]
