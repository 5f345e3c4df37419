"""What each kind of middleware tells of its state."""

from __future__ import annotations

import msgspec


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
