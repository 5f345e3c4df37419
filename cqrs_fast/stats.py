"""Records: what `stats()` returns, of a bus and of each part that counts, and events.

All are frozen; all are made in one step, so their numbers belong together.
"""

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


class TimeoutStats(msgspec.Struct, frozen=True):
    """What a TimeoutMiddleware has seen.

    Attributes:
        late_completions: handlers that ended after their deadline all the same.
    """

    late_completions: int


class RateLimitStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a rate limiter has done and has left.

    Attributes:
        limit: tokens that come back in each window.
        window: in seconds.
        burst: the most tokens there are at once, for each key.
        remaining: whole tokens left now for what has no key.
        admitted, rejected: dispatches so far.
        waiting: dispatches that wait now.
        keys: how many keys have a bucket of their own.
        overflowed: how often a key found no room for one and shared a bucket.
    """

    limit: int
    window: float
    burst: int
    remaining: int
    admitted: int
    rejected: int
    waiting: int
    keys: int
    overflowed: int


class BulkheadStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a bulkhead has done and holds.

    Attributes:
        limit: dispatches that may run at once.
        in_flight: that run now; above the limit for a while after it was lowered.
        max_queue: dispatches that may wait at once.
        waiting: that wait now.
        admitted, rejected: dispatches so far.
    """

    limit: int
    in_flight: int
    max_queue: int
    waiting: int
    admitted: int
    rejected: int


class LoadSheddingStats(msgspec.Struct, frozen=True):
    """What a LoadSheddingMiddleware has done and expects.

    Attributes:
        admitted, rejected: dispatches so far, all names together.
        service_time: the longest of the mean times that the names take, in seconds;
            None before the first was measured.
    """

    admitted: int
    rejected: int
    service_time: float | None


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a CachingMiddleware has seen; hits, misses and bypasses sum to its lookups.

    Attributes:
        size: entries that are stored now, expired ones that nobody met included.
        max_size: how many there may be.
        hits: answered from the cache, a stored error included.
        misses: not found, whether they went on themselves or took what another got.
        bypasses: not looked up, or not answered with what was found.
        evictions: entries that made room for others before their time.
        uncacheable: those of the bypasses whose fields or scope make no key, and misses
            whose result is used up by its use, or whose error has no copy to store.
        shared: those of the misses that took what another dispatch got.
        expired: entries that were met after their time and removed.
        loading: misses that have not ended.
    """

    size: int
    max_size: int
    hits: int
    misses: int
    bypasses: int
    evictions: int
    uncacheable: int
    shared: int
    expired: int
    loading: int


class IdempotencyStats(msgspec.Struct, frozen=True, kw_only=True):
    """What an IdempotencyMiddleware has seen.

    Attributes:
        size: records that are kept now, expired ones that nobody met included.
        max_records: how many there may be.
        in_progress: those of them whose command has not ended.
        replayed: commands that were answered with a recorded outcome.
        conflicts: refused because their key was used with other fields.
        refused: refused because the store was full.
    """

    size: int
    max_records: int
    in_progress: int
    replayed: int
    conflicts: int
    refused: int


class LRUCacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """What an LRUCache has done so far.

    Attributes:
        size: entries it holds, with those that expired and were not removed yet.
        max_size: how many it may hold.
        hits: lookups that were answered.
        misses: lookups that were not.
        evictions: entries that were removed to make room, before they expired.
    """

    size: int
    max_size: int
    hits: int
    misses: int
    evictions: int


class RetryStats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the attempts that failed with an error to retry.

    Attributes:
        failed: how many there were; the next four sum to it.
        retries: another attempt followed.
        exhausted: it was the last of `max_attempts`.
        too_late: the delay would have passed the deadline or `max_elapsed`.
        budget_refused: the budget had no credit left.
        budget_left: how many retries the budget would admit now, None without one.
    """

    failed: int
    retries: int
    exhausted: int
    too_late: int
    budget_refused: int
    budget_left: int | None


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """What an ObjectPool holds, and has done so far.

    Attributes:
        size: objects that it may have at most.
        in_use: of them, those that are lent, or being made, reset or disposed of.
        idle: objects that wait in it to be lent.
        waiting: callers that wait for one now.
        waits: how often a caller had to wait.
        created: objects that the factory has made.
        exhausted: how often a caller was refused, at once or after a wait.
        reset_failures: objects that were dropped because `reset` raised.
        leaked: leases that were collected before they gave their object back.
    """

    size: int
    in_use: int
    idle: int
    waiting: int
    waits: int
    created: int
    exhausted: int
    reset_failures: int
    leaked: int


class CircuitSnapshot(msgspec.Struct, frozen=True):
    """One consistent picture of a circuit breaker.

    Attributes:
        state: "closed", "open", "half-open" (also while it is open and its timeout has
            passed), "forced-open" or "disabled".
        failures: consecutive failures.
        successes: of probes, since it is half-open.
        probes: in flight, their leases not run out.
        retry_after: seconds until a call is admitted if nobody else calls; 0.0 where
            one is admitted now, None where nobody knows.
        opened: how often it has opened by failures.
        rejected: calls that were not admitted.
        late_results: completions of calls that were admitted before the newest
            transition or reset; they only count here.
    """

    state: str
    failures: int
    successes: int
    probes: int
    retry_after: float | None
    opened: int
    rejected: int
    late_results: int


class AuditEvent(msgspec.Struct, frozen=True):
    """One dispatch that has ended.

    Attributes:
        name: the message's own name.
        principal: who it acted for, as far as its context knew, or None.
        timestamp: when it began, in seconds of the wall clock (see time.time).
        duration: how long it took, in seconds of the monotonic clock.
        success: whether it has a result.
        error: the exception that it ended with, or None.
    """

    name: str
    principal: Any
    timestamp: float
    duration: float
    success: bool
    error: BaseException | None
