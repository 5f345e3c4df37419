"""Let tracemalloc tell which lines' memory grows while a warm bus is kept busy."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import linecache
import sys
import tracemalloc
from pathlib import Path
from typing import Any

from cqrs_fast.cli import exercise as exercise_module
from cqrs_fast.cli import measuring
from cqrs_fast.cli.bench_pipeline import load_subject, whole
from cqrs_fast.cli.console import Meter, Style, table
from cqrs_fast.cli.exercise import exercise, notes_of, writable
from cqrs_fast.cli.measuring import LOOP, Case
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.stepper import Stepper

SHOWN = 10  # lines
OWN = (
    tracemalloc.__file__,
    linecache.__file__,
    measuring.__file__,
    exercise_module.__file__,
)
HEADER = ("line", "grew by", "to", "blocks", "bytes a dispatch")

Told = tuple[list[str], list[tuple[str, str]]]


def profile_memory(arguments: argparse.Namespace) -> Told:
    """Return the lines that grew most, and what to know. Raises Problem."""
    output = None if arguments.output is None else writable(arguments.output)
    with (
        contextlib.closing(Stepper()) as stepper,
        contextlib.redirect_stdout(sys.stderr),
        Meter(sys.stderr) as meter,
    ):
        subject = load_subject(
            arguments.target, arguments.messages, arguments.run_handlers
        )
        case = whole(subject, stepper)
        grown, dispatches = growth_of(case, arguments.seconds, meter)
    if output is not None:
        write(output, grown, dispatches)
    notes = [
        *notes_of(case, subject),
        ("between the snapshots", f"{dispatches:,} dispatches"),
    ]
    return report(grown, dispatches, Style(sys.stdout)), notes


def growth_of(case: Case, seconds: float, meter: Meter) -> tuple[list[Any], int]:
    """Return what differs between two snapshots, and the dispatches between them."""
    tracemalloc.start()
    try:
        exercise(
            case, seconds / 3, lambda share: meter.update(share / 3, "warming up")
        )
        snapshot()  # what filters remember is nothing that grew
        before, dispatched = snapshot(), case.timed
        exercise(
            case,
            seconds * 2 / 3,
            lambda share: meter.update(1 / 3 + share * 2 / 3, "dispatching"),
        )
        after = snapshot()
        return after.compare_to(before, "lineno"), case.timed - dispatched
    finally:
        tracemalloc.stop()


def snapshot() -> tracemalloc.Snapshot:
    gc.collect()
    own = [tracemalloc.Filter(False, name) for name in OWN]
    return tracemalloc.take_snapshot().filter_traces(own)


def report(grown: list[Any], dispatches: int, style: Style) -> list[str]:
    """Return a table of the lines that grew most."""
    rising = [one for one in grown if one.size_diff > 0]
    if not rising:
        return ["no line's memory has grown"]
    rows = [
        [
            place(one),
            f"{one.size_diff:,} B",
            f"{one.size:,} B",
            f"{one.count_diff:+,}",
            f"{one.size_diff / dispatches:,.3f}",
        ]
        for one in rising[:SHOWN]
    ]
    lines = table(HEADER, rows, style, align="<>>>>")
    if len(rising) > SHOWN:
        lines.append(f"and {len(rising) - SHOWN} lines that grew less")
    return lines


def place(one: Any) -> str:
    """Return where a line is, and what it says."""
    frame = one.traceback[0]
    if frame.filename == LOOP:
        return "compiled code: the bus and its stages"
    name = Path(frame.filename)
    text = linecache.getline(frame.filename, frame.lineno).strip()[:40]
    where = f"{name.parent.name}/{name.name}:{frame.lineno}"
    return f"{where}  {text}".rstrip()


def write(path: Path, grown: list[Any], dispatches: int) -> None:
    """Write everything that differs as JSON. Raises Problem."""
    lines = [
        {
            "file": one.traceback[0].filename,
            "line": one.traceback[0].lineno,
            "size": one.size,
            "size_diff": one.size_diff,
            "count": one.count,
            "count_diff": one.count_diff,
        }
        for one in grown
        if one.size_diff
    ]
    try:
        path.write_text(
            json.dumps({"dispatches": dispatches, "lines": lines}, indent=2) + "\n"
        )
    except OSError as error:
        raise Problem(f"cannot write {path}: {error.strerror}") from None
