"""The records that `stats()` returns, for a bus and each part that counts, and events.

All are frozen and made in one step, so their numbers are consistent.
"""

from __future__ import annotations

from typing import Any

import msgspec


class MessageStats(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes and times of the dispatches of one registered name.

    Attributes:
        count: dispatches that have ended; the sum of the outcomes.
        outcomes: number of dispatches by outcome, a fixed set of names.
        errors: dispatches that ended in `error` or `timeout`.
        rejected: dispatches that ended in one of the `rejected_…` outcomes.
        cache_hits: dispatches answered from a cache.
        retries: attempts after the first.
        in_flight: dispatches that have not ended.
        timed: dispatches that the times below are of: all that reached their pipeline,
            or one of every `latency_sample` of the bus.
        mean, min, max: exact, in seconds; 0.0 before the first.
        p50, p90, p99, p999: percentiles in seconds, within 1/64.
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
        stats: a frozen struct, as its own `stats()` returns it.
    """

    kind: str
    stats: Any


class BusStats(msgspec.Struct, frozen=True):
    """One consistent snapshot of a bus.

    Attributes:
        total: all messages together.
        messages: by registered name; `_unknown` counts all names without a handler.
        middleware: caches, breakers, limiters and all others with statistics: those of
            the bus, outermost first, then those of its handlers; each object once.
    """

    total: MessageStats
    messages: dict[str, MessageStats]
    middleware: list[MiddlewareStats] = []


class TimeoutStats(msgspec.Struct, frozen=True):
    """Statistics of a TimeoutMiddleware.

    Attributes:
        late_completions: handlers that completed after their deadline.
    """

    late_completions: int


class RateLimitStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics and state of a rate limiter.

    Attributes:
        limit: tokens added in each window.
        window: in seconds.
        burst: the most tokens at once, for each key.
        remaining: whole tokens left now for dispatches without a key.
        admitted, rejected: dispatches so far.
        waiting: dispatches that wait now.
        keys: number of keys with a separate bucket.
        overflowed: how often a new key found no free bucket and used a shared one.
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
    """Statistics and state of a bulkhead.

    Attributes:
        limit: dispatches that may run at once.
        in_flight: dispatches that run now; may exceed a limit that was lowered.
        max_queue: dispatches that may wait at once.
        waiting: dispatches that wait now.
        admitted, rejected: dispatches so far.
    """

    limit: int
    in_flight: int
    max_queue: int
    waiting: int
    admitted: int
    rejected: int


class LoadSheddingStats(msgspec.Struct, frozen=True):
    """Statistics of a LoadSheddingMiddleware.

    Attributes:
        admitted, rejected: dispatches so far, all names together.
        service_time: the longest mean service time of any name, in seconds; None before
            the first measurement.
    """

    admitted: int
    rejected: int
    service_time: float | None


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a CachingMiddleware; lookups are hits + misses + bypasses.

    Attributes:
        size: stored entries, including expired ones that are not removed yet.
        max_size: the most entries.
        hits: answered from the cache, including stored errors.
        misses: not found; the dispatch ran, or shared the outcome of another.
        bypasses: not looked up, or the stored entry was not used.
        evictions: entries removed to make room before they expired.
        uncacheable: bypasses whose fields or scope make no key, and misses whose result
            can be used only once, or whose error cannot be copied.
        shared: misses that shared the outcome of another dispatch.
        expired: entries that a lookup found expired and removed.
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
    """Statistics of an IdempotencyMiddleware.

    Attributes:
        size: stored records, including expired ones that are not removed yet.
        max_records: the most records.
        in_progress: records whose command has not ended.
        replayed: commands answered with a recorded outcome.
        conflicts: commands rejected because their key was used with other fields.
        refused: commands rejected because the store was full.
    """

    size: int
    max_records: int
    in_progress: int
    replayed: int
    conflicts: int
    refused: int


class LRUCacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of an LRUCache.

    Attributes:
        size: stored entries, including expired ones that are not removed yet.
        max_size: the most entries.
        hits: lookups that found a value.
        misses: lookups that found none.
        evictions: entries removed to make room before they expired.
    """

    size: int
    max_size: int
    hits: int
    misses: int
    evictions: int


class RetryStats(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes of the attempts that failed with an error to retry.

    Attributes:
        failed: all of them; the sum of the next four.
        retries: another attempt followed.
        exhausted: it was the last of `max_attempts`.
        too_late: the delay would have exceeded the deadline or `max_elapsed`.
        budget_refused: the retry budget was empty.
        budget_left: retries that the budget would allow now, None without one.
    """

    failed: int
    retries: int
    exhausted: int
    too_late: int
    budget_refused: int
    budget_left: int | None


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics and state of an ObjectPool.

    Attributes:
        size: the most objects.
        in_use: objects that are acquired, or being made, reset or disposed of.
        idle: objects that can be acquired at once.
        waiting: callers that wait for one now.
        waits: how often a caller had to wait.
        created: objects that the factory has made.
        exhausted: how often a caller was rejected, at once or after a wait.
        reset_failures: objects dropped because `reset` raised.
        leaked: leases that were collected before they released their object.
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
    """One consistent snapshot of a circuit breaker.

    Attributes:
        state: "closed", "open", "half-open" (also while it is open and its timeout has
            passed), "forced-open" or "disabled".
        failures: consecutive failures.
        successes: successful probes since it became half-open.
        probes: probes in flight whose lease has not expired.
        retry_after: seconds until a call is admitted, without other calls; 0.0 if one
            is admitted now, None if unknown.
        opened: how often failures have opened it.
        rejected: calls that were not admitted.
        late_results: results of calls admitted before the latest transition or reset;
            they count only here.
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
        principal: the principal of its context, or None.
        timestamp: its start, in seconds of the wall clock (see time.time).
        duration: in seconds of the monotonic clock.
        success: whether it returned a result.
        error: the exception that it raised, or None.
        correlation_id: that of its context; a dispatch without one makes one.
    """

    name: str
    principal: Any
    timestamp: float
    duration: float
    success: bool
    error: BaseException | None
    correlation_id: Any = None
