"""Measure every row against its baseline.

    python -m benchmarks.ratios [--only TEXT] [--repeats N]

Times drift on a machine that others use. So case and baseline take turns in short
rounds, and one of the best rounds of each counts. They also depend on where a process
happens to put its code, its objects and its hashes, for as long as it lives. So each
repeat of a file is a process of its own, and the whole table is repeated, so that the
repeats of a row lie apart. noise.py says what is made of them.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import statistics
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import cqrs_fast
from benchmarks import noise
from benchmarks.document import table
from benchmarks.environment import ROOT, tell
from benchmarks.table import (
    PARTS,
    AnyRow,
    Difference,
    Row,
    ceiling_of,
    times_of,
)
from cqrs_fast.cli.machine import refusal
from cqrs_fast.measuring import best_of, take_turns

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
ORDER = (
    *("dispatch", "pipeline", "middleware", "outcomes", "async", "batch", "payloads"),
    *("pools", "presets", "reload", "lru_cache", "memory", "start", "production"),
    *("io", "scaling"),
)
"""Of the files in tables; any other follows by name."""

REPEATS = 11
ROUNDS = 150
REPEAT_SECONDS = 0.3
"""After which a repeat of a row begins no further round, if it has a few."""
FEW_ROUNDS = 3
ROW_SECONDS = 15.0
"""After which a row is not repeated any more, if it has the fewest repeats."""
COUNTED = {"bytes"}
"""Units of what is counted: so much the same each time that the fewest suffice."""
ROWS_SECONDS = 8.5 * 60
"""After which nothing is, for the same."""
PATIENCE = 300.0
"""Seconds after which a process is taken to hang."""
PROBE_ROUNDS = 5
FAILED = "failed:"
"""How the reason of a row begins that ought to have run."""
CASES = {"case", "without"}


def _files() -> dict[str, Any]:
    """Return the modules that hold rows, by name, in the order of the tables."""
    first = [f"bench_{name}" for name in ORDER]
    names = {path.stem for path in FOLDER.glob("bench_*.py")}
    ordered = [name for name in first if name in names]
    ordered += sorted(names.difference(first))
    return {name: importlib.import_module(f"benchmarks.{name}") for name in ordered}


FILES = _files()
ROWS: list[AnyRow] = [row for file in FILES.values() for row in file.ROWS]


def question(file: Any) -> str:
    """Return what a file of rows asks, the first words of its docstring."""
    return " ".join((file.__doc__ or "").split("\n\n")[0].split())


class Sample(NamedTuple):
    """What one repeat of a row found: of each part, how long one operation took."""

    parts: dict[str, float]
    slowdown: float
    """By how much a typical round of the baseline took longer than the best."""


class Costs(NamedTuple):
    case: float
    baseline: float


class Measurement:
    """One row, made ready to be measured."""

    def __init__(self, row: AnyRow) -> None:
        self.row = row
        self.rounds = _rounds_of(row)
        self.probes = _probes(row)

    def repeat(self) -> Sample:
        """Take turns for some rounds; keep one of the best of each."""
        turns = take_turns(
            list(self.probes.values()),
            rounds=self.rounds,
            seconds=REPEAT_SECONDS,
            fewest=FEW_ROUNDS,
        )
        found = dict(zip(self.probes, turns, strict=True))
        parts = {name: best_of(took) for name, took in found.items()}
        if isinstance(self.row, Row):
            for name in CASES & parts.keys():
                parts[name] /= self.row.pair.several
        took = found["baseline"]
        best = min(took)
        slowdown = statistics.median(took) / best - 1 if best else 0.0
        return Sample(parts, slowdown)


def result_of(
    row: AnyRow, samples: list[Sample], reason: str | None = None
) -> dict[str, Any]:
    """Return what results.json has of a row; a reason says why there are no samples."""
    ceiling = ceiling_of(row)
    unit = "ns" if isinstance(row, Row) else row.unit
    result: dict[str, Any] = {
        "name": row.name,
        "against": row.against,
        "unit": row.unit,
        "ceiling": ceiling,
        "measured": None,
        "spread": None,
        "verdict": None,
        f"case_{unit}": None,
        f"baseline_{unit}": None,
        "series": getattr(row, "series", None),
        "x": getattr(row, "x", None),
        "slowdown": None,
        "repeats": len(samples),
        "reason": reason,
    }
    if not samples:
        return result
    value = functools.partial(_value, row)
    measured = value(samples)
    if ceiling is not None:
        result["verdict"] = "met" if measured <= ceiling else "over"
    costs = _costs(samples)
    return result | {
        "measured": round(measured, 4),
        "spread": [round(bound, 4) for bound in noise.spread_of(samples, value)],
        f"case_{unit}": round(costs.case, 2),
        f"baseline_{unit}": round(costs.baseline, 2),
        "slowdown": round(statistics.median(s.slowdown for s in samples), 3),
    }


def _costs(samples: Sequence[Sample]) -> Costs:
    """Return what the case and the baseline cost, without what both sides have.

    What is subtracted is measured in the same process: another has another layout,
    whose effect can be larger than the difference.
    """
    both = [sample.parts for sample in samples]
    if "without" not in both[0]:
        return Costs(*(noise.lowest(parts[name] for parts in both) for name in PARTS))
    return Costs(
        statistics.median(parts["case"] - parts["without"] for parts in both),
        statistics.median(
            parts["baseline"] - parts.get("baseline_without", 0.0) for parts in both
        ),
    )


def _value(row: AnyRow, samples: Sequence[Sample]) -> float:
    case, baseline = _costs(samples)
    if isinstance(row, Difference):
        return case - baseline
    if baseline <= 0:
        raise ArithmeticError(f"its baseline took {baseline:g} ns")
    return case / baseline


def _rounds_of(row: AnyRow) -> int:
    usual = PROBE_ROUNDS if isinstance(row, Difference) else ROUNDS
    return getattr(row, "rounds", None) or usual


def _probes(row: AnyRow) -> dict[str, Callable[[], float]]:
    if isinstance(row, Difference):
        return {"case": row.case, "baseline": row.baseline}
    operations = {part: getattr(row.pair, part) for part in row.parts}
    times = {
        part: 1 if operation.times_itself else times_of(operation)
        for part, operation in operations.items()
    }
    if "without" in times:
        # What a run costs beside its operations must be the same in both.
        times = dict.fromkeys(times, max(times.values()))
    return {
        part: functools.partial(operation.time, times[part])
        for part, operation in operations.items()
    }


# A process for one repeat of one file


def work(file: str, names: Iterable[str]) -> None:
    """Measure rows of a file once; print a line of JSON for each, and before it."""
    rows = {row.name: row for row in FILES[file].ROWS}
    for name in names:
        _tell({"name": name, "begins": True})
        began = perf_counter()
        found: dict[str, Any] = {"name": name}
        try:
            found["sample"] = Measurement(rows[name]).repeat()
        except Exception as error:
            traceback.print_exc()
            found["reason"] = f"{FAILED} {type(error).__name__}: {error}"
        found["seconds"] = perf_counter() - began
        _tell(found)


def _tell(found: dict[str, Any]) -> None:
    # On a line of its own, whatever a row has printed.
    print(f"\n{json.dumps(found)}", flush=True)


def _in_process(file: str, names: list[str]) -> tuple[str, str]:
    """Let a process work; return what it printed, and how it ended."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.ratios", "--work", file],
            input=json.dumps(names).encode(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired as error:
        return _text(error.stdout or b""), f"took over {PATIENCE:g} s"
    return _text(done.stdout), f"ended with {done.returncode}"


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _told(line: str) -> dict[str, Any]:
    """Return the results of a process; ignore other output and incomplete lines."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "name" in found else {}


class Run:
    """The rows of all files that are wanted, and what their repeats found.

    Parameters:
        progress: is told what comes next.
        only: a part of the names that are wanted.
    """

    def __init__(self, progress: Callable[[str], None], only: str = "") -> None:
        self.progress = progress
        self.rows = {
            file: [row for row in module.ROWS if only in row.name]
            for file, module in FILES.items()
        }
        self.samples: dict[str, list[Sample]] = {}
        self.seconds: dict[str, float] = {}
        self.reasons: dict[str, str] = {
            row.name: row.missing
            for rows in self.rows.values()
            for row in rows
            if getattr(row, "missing", None)
        }

    def measure(self, repeats: int) -> list[dict[str, Any]]:
        """Repeat the table, as long as there is time; return the results."""
        began = perf_counter()
        for number in range(1, repeats + 1):
            if number > noise.FEWEST and perf_counter() - began > ROWS_SECONDS:
                self.progress(f"out of time after {number - 1} repeats")
                break
            for file in self.rows:
                self._repeat(file, f"{number}/{repeats}")
        return [
            {"file": file} | self._result(row)
            for file, rows in self.rows.items()
            for row in rows
        ]

    def _repeat(self, file: str, step: str) -> None:
        names = [row.name for row in self.rows[file] if self._is_open(row)]
        if not names:
            return
        self.progress(f"[{step}] {file}: {len(names)} rows")
        output, ending = _in_process(file, names)
        begun = False
        for found in map(_told, output.splitlines()):
            if found.get("name") in names:
                begun = True
                if "begins" not in found:
                    self._note(found)
                    names.remove(found["name"])
        # If one was begun, those after the first of them were not: one repeat less.
        for name in names[:1] if begun else names:
            self.reasons[name] = f"{FAILED} its process {ending}"

    def _is_open(self, row: AnyRow) -> bool:
        """Return whether a row is to be measured once more."""
        if row.name in self.reasons:
            return False
        if len(self.samples.get(row.name, ())) < noise.FEWEST:
            return True
        return row.unit not in COUNTED and self.seconds[row.name] < ROW_SECONDS

    def _note(self, found: dict[str, Any]) -> None:
        name = found["name"]
        self.seconds[name] = self.seconds.get(name, 0.0) + found["seconds"]
        if "reason" in found:
            self.reasons[name] = found["reason"]
        else:
            self.samples.setdefault(name, []).append(Sample(*found["sample"]))

    def _result(self, row: AnyRow) -> dict[str, Any]:
        reason = self.reasons.get(row.name)
        samples = self.samples.get(row.name, [])
        if reason is None and not samples:
            reason = f"{FAILED} the processes ended before it was begun"
        if reason is None:
            try:
                return result_of(row, samples)
            except ArithmeticError as error:
                reason = f"{FAILED} {error}"
        return result_of(row, [], reason)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--work", choices=FILES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats: must be at least 1")
    reason = refusal(cqrs_fast.build_info())
    if reason is not None:
        sys.exit(f"no benchmarks: {reason}")
    if options.work is not None:
        work(options.work, json.load(sys.stdin))
        return
    run = Run(tell, options.only)
    print(table(run.measure(options.repeats)))


if __name__ == "__main__":
    main()
