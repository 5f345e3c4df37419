"""What does LRUCache cost against a dict, which forgets nothing?"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from benchmarks.suite import run
from benchmarks.table import AnyRow, Difference, Operation, Pair, Table, printed
from cqrs_fast import LRUCache

FEW = 1_000
MANY = 1_000_000
LOOKUPS = 100_000
ROWS = Table()


def reading(mapping: Any, keys: list[str]) -> Operation:
    """Return lookups of keys that are all there."""
    return Operation(
        "for key in keys: result = get(key)",
        calls=[],
        per=len(keys),
        get=mapping.get,
        keys=keys,
    )


def one_hit(**settings: Any) -> Pair:
    # Two keys in turn: each lookup changes the order of use.
    entries = {"one": 1, "other": 1}
    cached: LRUCache[str, int] = LRUCache(**settings)
    cached.update(entries)
    statement = "result = table.get('one'); result = table.get('other')"
    case = Operation(statement, calls=[], per=2, table=cached)
    return Pair(case, Operation(statement, calls=[], per=2, table=entries))


@ROWS.row("LRUCache.get hit", against="dict.get", ceiling=1.6)
def _() -> Pair:
    return one_hit()


@ROWS.row("LRUCache.get hit with ttl", against="dict.get", ceiling=2.8)
def _() -> Pair:
    return one_hit(ttl=3600.0)


@ROWS.row(
    f"LRUCache: {FEW} fresh keys, each evicting one",
    against="a new dict that gets them",
    ceiling=1.8,
)
def _() -> Pair:
    keys = [f"key {number}" for number in range(2 * FEW)]
    random.Random(0).shuffle(keys)
    cached: LRUCache[str, int] = LRUCache(FEW)
    cached.update(dict.fromkeys(keys[FEW:], 1))
    # Two halves in turn: what one of them stores has evicted the other.
    statement = """
        table = make()
        keys.reverse()
        for key in keys[0]: table[key] = 1
        result = len(table)
    """
    halves = [keys[FEW:], keys[:FEW]]
    return Pair(
        Operation(
            statement, calls=[], per=FEW, make=lambda: cached, keys=halves[:]
        ),
        Operation(statement, calls=[], per=FEW, make=dict, keys=halves[:]),
    )


def excess() -> float:
    """Return by how many percent a cache of many loses more speed than a dict does."""
    entries = {f"key {number}": 1 for number in range(MANY)}
    some = random.Random(0).sample(list(entries), LOOKUPS)
    operations = []
    for keys in (some, some[:FEW] * (LOOKUPS // FEW)):
        count = len(entries) if keys is some else FEW
        table = entries if keys is some else dict.fromkeys(keys, 1)
        cached: LRUCache[str, int] = LRUCache(count)
        cached.update(table)
        operations += [reading(cached, keys), reading(table, keys)]
    best = [float("inf")] * len(operations)
    for _ in range(10):
        for index, operation in enumerate(operations):
            best[index] = min(best[index], operation.time(1))
    of_cache, of_dict = best[0] / best[2], best[1] / best[3]
    return max((of_cache / of_dict - 1) * 100, 0.0)


# In an interpreter of its own, where nothing freed before is used again.
FILL = f"""
from benchmarks.environment import resident_bytes
from cqrs_fast import LRUCache
keys = [str(number) for number in range({MANY})]
table = LRUCache({MANY})
before = resident_bytes()
for key in keys:
    KEEP
print((resident_bytes() - before) / {MANY})
"""


def bytes_per_entry(statement: str) -> float:
    """Return the growth of resident memory for each key a statement is run for."""
    (measured,) = printed(FILL.replace("KEEP", statement))
    return max(float(measured), 0.0)


ROWS += [
    Difference(
        f"LRUCache.get hit among {MANY} against among {FEW}",
        against="what a dict loses",
        unit="percent",
        case=excess,
        baseline=lambda: 0.0,
        ceiling=20.0,
        rounds=1,
    ),
    Difference(
        f"LRUCache: an entry of {MANY} beyond key and value",
        against="nothing stored",
        unit="bytes",
        case=partial(bytes_per_entry, "table[key] = key"),
        baseline=partial(bytes_per_entry, "pass"),
        ceiling=128.0,
        rounds=1,
    ),
]


def test_lru_cache(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
