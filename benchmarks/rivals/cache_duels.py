"""Caches alone, as mappings: a hit, a hit that reads the time, an insert."""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import Any

from benchmarks.rivals.duel import Duels, Match
from benchmarks.rivals.isolation import STANDARD_LIBRARY
from benchmarks.table import Operation
from cqrs_fast import LRUCache

HIT = "a hit"
HIT_TTL = "a hit, with a time to live"
EVICTING = "an insert that evicts"
MISS = "a miss: load, insert, evict"
KEYS = ("one", "other")
VALUE = 7
SIZE = 1_000
TTL = 3_600
INDEXED = "result = cache['one']; result = cache['other']"
DUELS = Duels("cache")


def reading(cache: Any, statement: str = INDEXED) -> Operation:
    """Return lookups of two keys in turn, each of which changes the order of use."""
    return Operation(statement, calls=[], per=len(KEYS), cache=cache)


def filled(cache: Any) -> Any:
    for key in KEYS:
        cache[key] = VALUE
    return cache


def hit(theirs: Operation, **settings: Any) -> Match:
    ours: LRUCache[str, int] = LRUCache(SIZE, **settings)
    return Match(reading(filled(ours)), theirs, VALUE, handled=0)


def inserting(cache: Any, store: str = "cache[key] = value") -> Operation:
    """Return inserts into a full cache, each of a key that is not in it."""
    keys = [f"key {number}" for number in range(2 * SIZE)]
    statement = f"""
        halves.reverse()
        for key in halves[0]: {store}
        result = value
    """
    halves = [keys[:SIZE], keys[SIZE:]]
    operation = Operation(
        statement, calls=[], per=SIZE, cache=cache, halves=halves, value=VALUE
    )
    operation.run(2)
    # It forgets, and it keeps: else this is no cache of that size.
    if not SIZE / 2 <= len(cache) <= 1.5 * SIZE:
        raise RuntimeError(f"{len(cache)} entries in a cache of {SIZE}")
    return operation


def evicting(theirs: Operation) -> Match:
    return Match(inserting(LRUCache(SIZE)), theirs, VALUE, handled=0)


@DUELS.against(STANDARD_LIBRARY, "lru_cache", feature=HIT)
def _() -> Match:
    cached = lru_cache(SIZE)(lambda key: VALUE)
    return hit(reading(cached, "result = cache('one'); result = cache('other')"))


@DUELS.against("cachetools", "LRUCache, no lock", feature=HIT)
def _() -> Match:
    import cachetools

    return hit(reading(filled(cachetools.LRUCache(SIZE))))


@DUELS.against("cachebox", "LRUCache", feature=HIT)
def _() -> Match:
    import cachebox

    return hit(reading(filled(cachebox.LRUCache(SIZE))))


@DUELS.against("lru-dict", "LRU", feature=HIT)
def _() -> Match:
    import lru

    return hit(reading(filled(lru.LRU(SIZE))))


def theine_cache() -> Any:
    import theine

    return theine.Cache(SIZE, nolock=True)


THEINE = """
    result, ok = cache.get('one')
    result, ok = cache.get('other')
"""


@DUELS.against("theine", "Cache, nolock", feature=HIT)
def _() -> Match:
    cache = theine_cache()
    for key in KEYS:
        cache.set(key, VALUE)
    return hit(reading(cache, THEINE))


@DUELS.against("cachetools", "TTLCache, no lock", feature=HIT_TTL)
def _() -> Match:
    import cachetools

    return hit(reading(filled(cachetools.TTLCache(SIZE, TTL))), ttl=TTL)


@DUELS.against("cachebox", "TTLCache", feature=HIT_TTL)
def _() -> Match:
    import cachebox

    return hit(reading(filled(cachebox.TTLCache(SIZE, TTL))), ttl=TTL)


@DUELS.against("theine", "Cache, nolock", feature=HIT_TTL)
def _() -> Match:
    cache = theine_cache()
    for key in KEYS:
        cache.set(key, VALUE, datetime.timedelta(seconds=TTL))
    return hit(reading(cache, THEINE), ttl=TTL)


@DUELS.against("cachetools", "LRUCache, no lock", feature=EVICTING)
def _() -> Match:
    import cachetools

    return evicting(inserting(cachetools.LRUCache(SIZE)))


@DUELS.against("cachebox", "LRUCache", feature=EVICTING)
def _() -> Match:
    import cachebox

    return evicting(inserting(cachebox.LRUCache(SIZE)))


@DUELS.against("lru-dict", "LRU", feature=EVICTING)
def _() -> Match:
    import lru

    return evicting(inserting(lru.LRU(SIZE)))


@DUELS.against("theine", "Cache, nolock", feature=EVICTING)
def _() -> Match:
    return evicting(inserting(theine_cache(), "cache.set(key, value)"))


def load(key: str) -> int:
    return VALUE


class Remembered:
    """The standard library's cache with the interface that `inserting` asks for."""

    def __init__(self) -> None:
        self.call = lru_cache(SIZE)(load)

    def __len__(self) -> int:
        return self.call.cache_info().currsize


@DUELS.against(STANDARD_LIBRARY, "lru_cache", feature=MISS)
def _() -> Match:
    # The name `cache` is that of the function: no attribute is looked up in the loop.
    theirs = Remembered()
    inserting(theirs, "cache.call(key)")
    keys = [f"key {number}" for number in range(2 * SIZE)]
    statement = """
        halves.reverse()
        for key in halves[0]: result = call(key)
    """
    ours = """
        halves.reverse()
        for key in halves[0]:
            result = cache.get(key)
            if result is None:
                result = cache[key] = load(key)
    """

    def halves() -> list[list[str]]:
        return [keys[:SIZE], keys[SIZE:]]

    cache: LRUCache[str, int] = LRUCache(SIZE)
    return Match(
        Operation(
            ours, calls=[], per=SIZE, cache=cache, halves=halves(), load=load
        ),
        Operation(
            statement, calls=[], per=SIZE, call=theirs.call, halves=halves()
        ),
        VALUE,
        handled=0,
    )
