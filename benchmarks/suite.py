"""The rows as pytest-benchmark runs them: a group of two for each row."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import pytest

from benchmarks.table import AnyRow, Difference, Operation, Row

OPERATIONS = 1_000  # at least so many in a round, where that is not too long
ROUND_NS = 10_000_000
ROUNDS = 50
PROBE_ROUNDS = 5


def parameters(rows: Iterable[AnyRow]) -> list[Any]:
    """Return what a test runs: each row, its case and then its baseline."""
    return [
        pytest.param(row, part, id=f"{row.name}-{part}", marks=_marks(row, part))
        for row in rows
        for part in row.parts
    ]


def _marks(row: AnyRow, part: str) -> list[pytest.MarkDecorator]:
    group = f"{row.name} / {row.against}"
    if row.missing is not None:
        return [pytest.mark.skip(reason=row.missing)]
    if isinstance(row, Difference):
        return [pytest.mark.benchmark(group=group)]
    return [pytest.mark.benchmark(group=group, timer=clock_of(row, part))]


class Clock:
    """What a benchmark reads before and after it runs one part of a row."""

    def __init__(self, row: Row, part: str) -> None:
        self.row = row
        self.part = part
        self.told = 0.0

    @property
    def operation(self) -> Operation:
        operation: Operation = getattr(self.row.pair, self.part)
        return operation

    def __call__(self) -> float:
        """Return the seconds reported by operations that time themselves.

        For the others it is slow by the number of operations in a round. One call of a
        benchmarked function would cost more than the operation. So a round runs many in
        a loop, and what is shown is the time of one.
        """
        if self.operation.times_itself:
            return self.told
        return perf_counter() / (times_of(self.operation) * self.operation.per)

    def run(self) -> Any:
        """Run a round; return its result, or the time that it reported."""
        if not self.operation.times_itself:
            return self.operation.run(times_of(self.operation))
        nanoseconds = self.operation.time(1)
        self.told += nanoseconds / 1e9
        return nanoseconds


@functools.cache
def clock_of(row: Row, part: str) -> Clock:
    """Return the one clock of a part: who runs it must move the one that is read."""
    return Clock(row, part)


@functools.cache
def times_of(operation: Operation) -> int:
    """Return how often a round runs an operation."""
    times = -(-OPERATIONS // operation.per)
    operation.time(1)  # as table.times_of does
    return max(1, min(times, round(ROUND_NS / (operation.time(1) * operation.per))))


def run(benchmark: Any, row: AnyRow, part: str) -> None:
    """Measure one part of a row."""
    if isinstance(row, Difference):
        _run_probe(benchmark, row, part)
        return
    clock = clock_of(row, part)
    if clock.operation.times_itself:
        benchmark.pedantic(clock.run, rounds=row.rounds or PROBE_ROUNDS)
        return
    benchmark.extra_info["statement"] = clock.operation.statement
    benchmark.pedantic(
        clock.run,
        rounds=row.rounds or ROUNDS,
        warmup_rounds=2 if row.rounds is None else 0,
    )


def _run_probe(benchmark: Any, row: Difference, part: str) -> None:
    probe: Callable[[], float] = getattr(row, part)
    rounds = row.rounds or PROBE_ROUNDS
    benchmark.extra_info[row.unit] = benchmark.pedantic(probe, rounds=rounds)
