"""What is made of repeats, how sure that is, and when a row or a machine is noisy.

Of the rounds of a repeat one of the best counts. Of each part of a row, the case and
its baseline, the two lowest repeats count: what disturbs a repeat only ever adds to it,
and two are less a matter of luck than one. What is left of a subtraction can be
disturbed either way: there the median counts. The spread says how the result depends on
which repeats there were: it holds the result, and those that nine tenths of all halves
of the repeats give when they are computed in the same way. Halves lie about as far from
the whole as one whole run from another.
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
"""With fewer repeats the noise is unknown."""
SHARE = 0.25
"""Of all ratios: if more of them are noisy, the machine is."""
ENOUGH = 3
"""From so many repeats on, the lowest two count."""
LEFT_OUT = 20
"""One of so many halves, at either end."""
HALVES = 1_000
"""The most repeats that are used."""


def lowest(values: Iterable[float]) -> float:
    """Return the statistics of the repeats of a measurement."""
    ordered = sorted(values)
    return statistics.fmean(ordered[: 2 if len(ordered) >= ENOUGH else 1])


def spread_of(
    repeats: Sequence[T], result: Callable[[Sequence[T]], float]
) -> tuple[float, float]:
    """Return the range of the result and of what halves of the repeats give."""
    found = sorted(map(result, _halves(repeats)))
    left_out = len(found) // LEFT_OUT
    whole = result(repeats)
    return min(whole, found[left_out]), max(whole, found[-1 - left_out])


def _halves(repeats: Sequence[T]) -> Iterator[Sequence[T]]:
    size = (len(repeats) + 1) // 2
    if math.comb(len(repeats), size) <= HALVES:
        return combinations(repeats, size)
    source = random.Random(0)
    return (source.sample(repeats, size) for _ in range(HALVES))


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
    """Of the rows that are ratios, those against rivals and Go among them."""

    rows: int
    repeats: int
    baselines: int
    """The number of rows with data about their rounds."""
    slowdown: float
    """By how much a typical round took longer than the best one, in the median."""
    noisy: int
    """How many rows are."""

    @property
    def is_known(self) -> bool:
        return self.rows > 0 and self.repeats >= FEWEST

    @property
    def is_over(self) -> bool:
        return self.is_known and (
            self.slowdown > LIMIT or self.noisy > SHARE * self.rows
        )


def of_machine(results: dict[str, Any]) -> Noise:
    """Return the noise of the machine of a run."""
    own = [
        row
        for row in results["rows"]
        if row["unit"] == "ratio" and row["measured"] is not None
    ]
    others = [
        row
        for section in ("rivals", "go")
        for row in results.get(section, ())
        if row["ratio"] is not None
    ]
    return Noise(
        len(own) + len(others),
        results.get("repeats", FEWEST),
        len(own),
        _median(row.get("slowdown") or 0.0 for row in own),
        sum(map(is_noisy, own + others)),
    )


def _median(values: Iterable[float]) -> float:
    listed = list(values)
    return statistics.median(listed) if listed else 0.0
