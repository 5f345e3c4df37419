"""What is made of repeats, how sure that is, and when a row or a machine is noisy.

Of each part of a row, the case and its baseline, the two lowest repeats count: what
disturbs a repeat only ever adds to it, and two are less a matter of luck than one. The
spread says how the result depends on which repeats there were: it holds the results
that nine tenths of all thirds of the repeats give.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

LIMIT = 0.15
"""Of what was measured: more is noise."""
FEWEST = 3
"""Fewer repeats tell nothing about noise."""
ENOUGH = 5
"""From so many repeats on, the lowest two count."""
LEFT_OUT = 20
"""One of so many thirds, at either end."""
THIRDS = 1_000
"""At most so many are looked at."""


def lowest(values: Iterable[float]) -> float:
    """Return what repeats of a measurement tell."""
    ordered = sorted(values)
    return statistics.fmean(ordered[: 2 if len(ordered) >= ENOUGH else 1])


def spread_of(
    repeats: Sequence[T], result: Callable[[Sequence[T]], float]
) -> tuple[float, float]:
    """Return the range of what thirds of the repeats would have given."""
    found = sorted(map(result, _thirds(repeats)))
    left_out = len(found) // LEFT_OUT
    return found[left_out], found[-1 - left_out]


def _thirds(repeats: Sequence[T]) -> Iterator[Sequence[T]]:
    size = max(1, len(repeats) // 3)
    if math.comb(len(repeats), size) <= THIRDS:
        return combinations(repeats, size)
    source = random.Random(0)
    return (source.sample(repeats, size) for _ in range(THIRDS))


def of_row(row: dict[str, Any]) -> float:
    """Return how wide the spread of a row is, for its number; 0 without one.

    For a percentage, which is a ratio already, it counts in percent of the whole.
    """
    measured = row["ratio"] if "ratio" in row else row["measured"]
    if measured is None or row["spread"] is None:
        return 0.0
    low, high = row["spread"]
    if high == low:
        return 0.0
    scale = 100.0 if row.get("unit") == "percent" else abs(measured)
    return (high - low) / scale if scale else float("inf")


def is_noisy(row: dict[str, Any]) -> bool:
    return of_row(row) > LIMIT


class Noise(NamedTuple):
    """Of the rows that are ratios."""

    rows: int
    repeats: int
    slowdown: float
    """By how much a typical round took longer than the best one, in the median."""
    spread: float
    """How wide a spread is, in the median."""
    noisy: int
    """How many rows are."""

    @property
    def is_known(self) -> bool:
        return self.rows > 0 and self.repeats >= FEWEST

    @property
    def is_over(self) -> bool:
        return self.is_known and max(self.slowdown, self.spread) > LIMIT


def of_machine(results: dict[str, Any]) -> Noise:
    """Return what a run tells about its machine."""
    rows = [
        row
        for row in results["rows"]
        if row["unit"] == "ratio" and row["measured"] is not None
    ]
    return Noise(
        len(rows),
        results.get("repeats", FEWEST),
        _median(row.get("slowdown") or 0.0 for row in rows),
        _median(of_row(row) for row in rows),
        sum(is_noisy(row) for row in rows),
    )


def _median(values: Iterable[float]) -> float:
    listed = list(values)
    return statistics.median(listed) if listed else 0.0
