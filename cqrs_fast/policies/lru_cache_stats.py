"""The statistics of an LRUCache."""

from __future__ import annotations

import msgspec


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
