"""Measure this library against the guide's design hand-written in Go.

    python -m benchmarks.go.measure [--repeats N] [--json]

The program in this folder is built and run where a `go` is found. A ratio is our time
over Go's: below 1 a dispatch from Python is faster. Go and we take turns, and of many
short rounds the best of each repeat counts; benchmarks/noise.py says what is made of
the repeats. The rounds are too short for Go's collector of garbage to run in them,
which is to Go's advantage.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cqrs_fast
from benchmarks import noise
from benchmarks.environment import environment, tell, without_folders
from benchmarks.rivals.duel import Match, Measured, check_side, ratio_of
from benchmarks.rivals.messages import our_query, ours, protections
from benchmarks.table import Operation, times_of
from cqrs_fast import CachingMiddleware
from cqrs_fast.cli.machine import refusal

FOLDER = Path(__file__).parent
ABSENT = "no `go` is found"
REPEATS = 7
TURNS = 3
"""In a repeat, of some rounds each; the best round of all counts."""
ROUNDS = 10
ROUND = 1e-3
"""Seconds."""
BUILD_PATIENCE = 120.0
RUN_PATIENCE = 30.0
STAGES = "metrics, validation, limiter, retry, breaker"


class Case(NamedTuple):
    """One pipeline in both languages.

    Parameters:
        go: what the program calls it.
        make: returns our dispatch through the same.
        handled: how often a dispatch calls the handler.
        ceiling: at most this share of Go's time is promised; None for no promise.
        note: how the two differ in what they do, where they do.
    """

    name: str
    go: str
    make: Callable[[], Operation]
    handled: int = 1
    ceiling: float | None = None
    note: str | None = None

    def operation(self) -> Operation:
        """Return ours, of which it is known that it does the work."""
        operation = self.make()
        match = Match(operation, operation, handled=self.handled)
        check_side(self.name, operation, match)
        return operation


CASES = (
    Case("bare", "bare", ours),
    Case("metrics", "metrics", lambda: ours(metrics=True)),
    Case(
        STAGES,
        "stages",
        lambda: ours(*protections(timeout=False), metrics=True),
        ceiling=0.65,
    ),
    Case(
        f"{STAGES}, timeout",
        "timeout",
        lambda: ours(*protections(), metrics=True),
        ceiling=0.3,
        note=(
            "our synchronous timeout looks at a deadline when the handler has "
            "returned; Go's context.WithTimeout arms a timer, and disarms it"
        ),
    ),
    Case(
        "cached query, Go's key formatted as in the guide",
        "cached",
        lambda: our_query(CachingMiddleware()),
        handled=0,
        ceiling=0.3,
    ),
    Case(
        "cached query, Go's key of the query's own type",
        "cached by value",
        lambda: our_query(CachingMiddleware()),
        handled=0,
    ),
)


class Unavailable(Exception):
    """Why there is nothing to compare with."""


class Program:
    """The program in Go, built into a folder."""

    def __init__(self, folder: Path) -> None:
        go = shutil.which("go")
        if go is None:
            raise Unavailable(ABSENT)
        self.path = folder / "cqrsbench"
        # Whatever the machine has set: nothing is fetched, and no C compiler is needed.
        settings = {"GOFLAGS": "", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        if "HOME" not in os.environ:
            settings["GOCACHE"] = str(folder / "cache")
        _run(
            [go, "build", "-o", str(self.path), "."],
            BUILD_PATIENCE,
            cwd=FOLDER,
            env={**os.environ, **settings},
        )

    def measure(self, case: str) -> tuple[float, str]:
        """Return the nanoseconds of a dispatch, and Go's version."""
        rounds, milliseconds = str(ROUNDS), f"{ROUND * 1e3:g}ms"
        command = [str(self.path), "-case", case]
        printed = _run(
            [*command, "-rounds", rounds, "-benchtime", milliseconds], RUN_PATIENCE
        )
        try:
            (row,) = json.loads(printed)
            return float(row["ns"]), row["version"].removeprefix("go")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable(f"`{self.path.name}` printed no result") from error


def _run(command: list[str], patience: float, **settings: Any) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=patience,
            **settings,
        )
    except subprocess.CalledProcessError as error:
        said = without_folders(" ".join(error.stderr.split()))[:200]
        raise Unavailable(f"`{Path(command[0]).name}` failed: {said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        said = without_folders(f"{type(error).__name__}: {error}")
        raise Unavailable(said[:200]) from error
    return done.stdout


def measured(
    progress: Callable[[str], None], repeats: int = REPEATS
) -> list[dict[str, Any]]:
    """Return a record of each case; without Go they say why there is no number."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            progress("build the program in Go")
            program = Program(Path(folder))
            return _compared(program, progress, repeats)
        except Unavailable as error:
            return [record(case, [], None, str(error)) for case in CASES]


def _compared(
    program: Program, progress: Callable[[str], None], repeats: int
) -> list[dict[str, Any]]:
    operations = [case.operation() for case in CASES]
    times = [times_of(operation, ROUND * 1e9) for operation in operations]
    found: list[list[Measured]] = [[] for _ in CASES]
    version = None
    # The whole table is repeated, so that the repeats of a case lie apart.
    for repeat in range(1, repeats + 1):
        for index, case in enumerate(CASES):
            progress(f"[{repeat}/{repeats}] Go: {case.name}")
            best = [float("inf")] * 2
            for _ in range(TURNS):
                nanoseconds, version = program.measure(case.go)
                best[1] = min(best[1], nanoseconds)
                for _ in range(ROUNDS):
                    best[0] = min(best[0], operations[index].time(times[index]))
            found[index].append(Measured(*best))
    return [record(case, found[index], version) for index, case in enumerate(CASES)]


def record(
    case: Case,
    repeats: Sequence[Measured],
    version: str | None,
    reason: str | None = None,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": case.name,
        "ceiling": case.ceiling,
        "ratio": None,
        "spread": None,
        "ours_ns": None,
        "go_ns": None,
        "reason": reason,
        "version": version,
        "note": case.note,
    }
    if repeats:
        ours_ns, go_ns = map(noise.lowest, zip(*repeats, strict=True))
        spread = noise.spread_of(repeats, lambda some: 1 / ratio_of(some))
        row.update(
            ratio=round(ours_ns / go_ns, 3),
            spread=[round(bound, 3) for bound in spread],
            ours_ns=round(ours_ns, 1),
            go_ns=round(go_ns, 1),
        )
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return what a person reads."""
    lines = [f"ours over that of Go {rows[0]['version'] or ''}".rstrip()]
    for row in rows:
        name = f"    {row['name']:<54}"
        if row["ratio"] is None:
            lines.append(f"{name}{row['reason']}")
            continue
        low, high = row["spread"]
        ceiling, promised = row["ceiling"], ""
        if ceiling is not None:
            verdict = "met" if row["ratio"] <= ceiling else "over"
            promised = f"  at most {ceiling:g}: {verdict}"
        lines.append(
            f"{name}{row['ratio']:.2f}  ({low:.2f} to {high:.2f})  "
            f"{row['ours_ns']:,.0f} ns, Go {row['go_ns']:,.0f} ns{promised}"
        )
        if row["note"] is not None:
            lines.append(f"        {row['note']}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.go.measure",
        description="Measure this library against its design written in Go.",
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats: at least 1")
    reason = refusal(cqrs_fast.build_info())
    if reason is not None:
        parser.exit(2, f"no benchmarks: {reason}\n")
    rows = measured(tell, options.repeats)
    if options.json:
        print(json.dumps({**environment(), "go": rows}, indent=2))
    else:
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
