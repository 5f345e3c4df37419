"""Measure every row against its baseline and write benchmarks/results.json.

    python -m benchmarks.ratios [--only TEXT] [--repeats N] [--no-write]

Times drift on a machine that others use. So case and baseline take turns in short
rounds, and the best round of each counts. The whole table is repeated, so that the
repeats of a row lie apart: a result is the median of their ratios, its spread the
lowest and the highest. A row over its ceiling is marked and does not fail the run.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import gc
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cqrs_fast
from benchmarks import (
    bench_async,
    bench_batch,
    bench_dispatch,
    bench_io,
    bench_lru_cache,
    bench_memory,
    bench_middleware,
    bench_payloads,
    bench_pipeline,
    bench_pools,
    bench_presets,
    bench_production,
    bench_reload,
    bench_scaling,
    bench_start,
)
from benchmarks.environment import commit, environment, refusal
from benchmarks.readme import render
from benchmarks.table import (
    AnyRow,
    Difference,
    Operation,
    ProcessOperation,
    Row,
    ceiling_of,
)

RESULTS = Path(__file__).with_name("results.json")
FILES = (
    bench_dispatch,
    bench_pipeline,
    bench_middleware,
    bench_async,
    bench_batch,
    bench_payloads,
    bench_pools,
    bench_presets,
    bench_reload,
    bench_lru_cache,
    bench_memory,
    bench_start,
    bench_production,
    bench_io,
    bench_scaling,
)
ROWS: list[AnyRow] = [row for file in FILES for row in file.ROWS]

REPEATS = 7
ROUNDS = 300
ROUND_NS = 250_000  # short, so that many rounds see no interruption
PROBE_ROUNDS = 5


class Measurement:
    """One row and its repeats so far."""

    def __init__(self, row: AnyRow) -> None:
        self.row = row
        self.rounds = _rounds_of(row)
        self.probes = _probes(row)
        self.bests: list[dict[str, float]] = []

    def repeat(self) -> None:
        """Take turns for some rounds; keep the lowest of each."""
        best = dict.fromkeys(self.probes, float("inf"))
        with _no_collections():
            for _ in range(self.rounds):
                for name, probe in self.probes.items():
                    best[name] = min(best[name], probe())
        self.bests.append(best)

    def result(self) -> dict[str, Any]:
        """Return what results.json has of the row."""
        row = self.row
        values = [_value(row, best) for best in self.bests]
        measured = statistics.median(values)
        ceiling = ceiling_of(row)
        verdict = None
        if ceiling is not None:
            verdict = "met" if measured <= ceiling else "over"
        unit = "ns" if isinstance(row, Row) else row.unit
        lowest = {
            name: min(best[name] for best in self.bests) for name in self.probes
        }
        return {
            "name": row.name,
            "against": row.against,
            "unit": row.unit,
            "ceiling": ceiling,
            "measured": round(measured, 3),
            "spread": [round(min(values), 3), round(max(values), 3)],
            "verdict": verdict,
            f"case_{unit}": round(_cost(row, lowest), 2),
            f"baseline_{unit}": round(_baseline(lowest), 2),
        }


def _rounds_of(row: AnyRow) -> int:
    if isinstance(row, Difference):
        return row.rounds or PROBE_ROUNDS
    return row.rounds or ROUNDS


def _probes(row: AnyRow) -> dict[str, Callable[[], float]]:
    if isinstance(row, Difference):
        return {"case": row.case, "baseline": row.baseline}
    operations = {part: getattr(row.pair, part) for part in row.parts}
    times = {part: _times_of(operation) for part, operation in operations.items()}
    if "without" in times:
        # What a run costs beside its operations must be the same in both.
        times = dict.fromkeys(times, max(times.values()))
    return {
        part: functools.partial(operation.time, times[part])
        for part, operation in operations.items()
    }


def _cost(row: AnyRow, best: dict[str, float]) -> float:
    if isinstance(row, Difference):
        return best["case"]
    return (best["case"] - best.get("without", 0.0)) / row.pair.several


def _baseline(best: dict[str, float]) -> float:
    return best["baseline"] - best.get("baseline_without", 0.0)


def _value(row: AnyRow, best: dict[str, float]) -> float:
    if isinstance(row, Difference):
        return best["case"] - best["baseline"]
    return _cost(row, best) / _baseline(best)


def _times_of(operation: Operation) -> int:
    """Return how often an operation runs in about the time of a round."""
    times = 1
    if isinstance(operation, ProcessOperation):
        return times
    operation.run(1)
    while True:
        took = min(operation.time(times) for _ in range(3)) * operation.per
        if took * times >= ROUND_NS / 4:
            break
        times *= 4
    return max(1, round(ROUND_NS / took))


@contextmanager
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def progress(step: str, row: AnyRow) -> None:
    print(f"[{step}] {row.name}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--no-write", action="store_true", help="leave results.json")
    options = parser.parse_args()
    reason = refusal(cqrs_fast.build_info())
    if reason is not None:
        sys.exit(f"no benchmarks: {reason}")

    measurements = []
    for row in ROWS:
        if options.only in row.name:
            progress("prepare", row)
            measurements.append(Measurement(row))
    for number in range(1, options.repeats + 1):
        for measurement in measurements:
            progress(f"{number}/{options.repeats}", measurement.row)
            measurement.repeat()
    results = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        **environment(),
        "rows": [measurement.result() for measurement in measurements],
    }
    print(render(results))
    if options.only or options.no_write:
        return
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
