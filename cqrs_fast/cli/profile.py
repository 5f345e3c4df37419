"""`cqrs-fast profile`: keep a user's bus busy under py-spy or tracemalloc.

py-spy samples a process, which is this module: `python -m cqrs_fast.cli.profile SECONDS
TARGET FILE HANDLERS`, with a file of messages or "", and "run" or "".
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import linecache
import os
import shutil
import subprocess
import sys
import sysconfig
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from cqrs_fast.cli import measuring
from cqrs_fast.cli.arguments import (
    MEASURED_STATUS,
    REAL_MIDDLEWARE,
    TARGET,
    add_traffic,
    some_seconds,
)
from cqrs_fast.cli.bench_pipeline import load_subject, whole
from cqrs_fast.cli.console import Style, pairs, table
from cqrs_fast.cli.machine import require_build
from cqrs_fast.cli.measuring import Stepper
from cqrs_fast.cli.problem import Problem
from cqrs_fast.measuring import LOOP

OUTPUTS = {"flamegraph": "profile.svg", "speedscope": "profile.speedscope.json"}
MARK = "cqrs-fast: "  # begins the line of the sampled process
LINES = 10
NO_PY_SPY = (
    "py-spy is not installed: pip install 'cqrs-fast[profile]', or pip install py-spy; "
    "--memory does without"
)
NO_RIGHTS = (
    "py-spy may not inspect the process it started: run the command as root "
    "(sudo -E), allow it (Linux: sysctl kernel.yama.ptrace_scope=0; in a container: "
    "--cap-add SYS_PTRACE), or use --memory, which needs no rights"
)
DENIED = ("permission denied", "operation not permitted", "requires root", "eperm")

Rows = list[tuple[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = (
        f"{REAL_MIDDLEWARE}\n\n{MEASURED_STATUS}\n\n"
        "examples:\n"
        "  cqrs-fast profile myapp.buses:commands --messages orders.jsonl\n"
        "  cqrs-fast profile myapp.buses:commands --format speedscope -o run.json\n"
        "  cqrs-fast profile myapp.buses:commands --memory --seconds 2"
    )
    parser.set_defaults(memory=False)
    parser.add_argument("target", metavar="MODULE:BUS", help=TARGET)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--cpu",
        dest="memory",
        action="store_false",
        default=argparse.SUPPRESS,
        help="let py-spy sample where the time goes (default); needs py-spy: "
        "pip install 'cqrs-fast[profile]'",
    )
    what.add_argument(
        "--memory",
        action="store_true",
        help="let tracemalloc find the lines whose memory grows, once the bus is warm",
    )
    add_traffic(parser)
    parser.add_argument(
        "--seconds",
        type=some_seconds,
        default=5.0,
        metavar="N",
        help="how long the bus is kept busy (default: 5)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="--cpu: what py-spy writes (default: profile.svg, or "
        "profile.speedscope.json)",
    )
    parser.add_argument(
        "--format",
        choices=("flamegraph", "speedscope"),
        default="flamegraph",
        help="--cpu: an SVG for a browser, or a file for https://www.speedscope.app",
    )
    parser.add_argument(
        "--native",
        action="store_true",
        help="--cpu: show compiled functions too, in a profile build with their lines",
    )

def run(arguments: argparse.Namespace) -> int:
    """Profile, and print where the result is."""
    require_build("profile", "release", "profile")
    lines, notes = (memory if arguments.memory else cpu)(arguments)
    print("\n".join([*lines, "", *pairs(notes, Style(sys.stdout))]))
    return 0


def busy(
    seconds: float,
    target: str,
    file: str,
    handlers: str,
    warm: Callable[[int], object] = lambda dispatches: None,
) -> tuple[Rows, int]:
    """Dispatch for about so many seconds; return what to know, and the dispatches.

    Parameters:
        warm: is called with the dispatches so far after a third of the time.
    """
    with (
        contextlib.closing(Stepper()) as stepper,
        contextlib.redirect_stdout(sys.stderr),
    ):
        subject = load_subject(target, file or None, handlers == "run")
        case = whole(subject, stepper)
        for share in (1 / 3, 2 / 3):
            case.warm_up()
            until = perf_counter() + seconds * share
            while perf_counter() < until:
                case.round()
            if share < 1 / 2:
                warm(case.timed)
    errors = [f"{count:,} {name}" for name, count in case.errors.items()]
    notes = subject.notes("; ".join([f"{case.timed:,}", *errors]))
    return notes, case.timed


def traffic(arguments: argparse.Namespace) -> tuple[str, str, str]:
    handlers = "run" if arguments.run_handlers else ""
    return arguments.target, arguments.messages or "", handlers


def writable(name: str) -> Path:
    """Return the path of a result that is to be written. Raises Problem."""
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        reason = "it is" if path.is_dir() else "its parent is not"
        raise Problem(f"cannot write {path}: {reason} a folder")
    return path


def cpu(arguments: argparse.Namespace) -> tuple[list[str], Rows]:
    """Let py-spy draw where the time goes."""
    installed = shutil.which("py-spy", path=sysconfig.get_path("scripts"))
    py_spy = installed or shutil.which("py-spy")
    if py_spy is None:
        raise Problem(NO_PY_SPY)
    output = writable(arguments.output or OUTPUTS[arguments.format])
    command = [
        *(py_spy, "record", "--output", str(output), "--rate", "250"),
        *("--format", arguments.format, *(["--native"] if arguments.native else [])),
        *("--", sys.executable, "-m", "cqrs_fast.cli.profile"),
        *(str(arguments.seconds), *traffic(arguments)),
    ]
    # The process imports the bus as this one would: from here, and from our path.
    path = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": path},
    )
    marked = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    found = json.loads(marked[0].removeprefix(MARK)) if marked else {}
    if "problem" in found:
        raise Problem(found["problem"])
    if done.returncode or not found:
        denied = any(word in done.stdout.lower() for word in DENIED)
        what = NO_RIGHTS if denied else "py-spy gave no result"
        raise Problem(f"{what}. It said:\n{done.stdout.rstrip() or 'nothing'}")
    viewer = "https://www.speedscope.app"
    how = f"at {viewer}" if arguments.format == "speedscope" else "in a browser"
    line = f"wrote {output}: open it {how}; the wider a box, the more of the time"
    return [line], found["notes"]


def memory(arguments: argparse.Namespace) -> tuple[list[str], Rows]:
    """Let tracemalloc find the lines whose memory grows."""
    if arguments.output is not None:
        raise Problem("--output goes with --cpu: --memory only prints")
    snapshots = []
    counts = []

    def snapshot(dispatches: int) -> None:
        gc.collect()
        snapshots.append(tracemalloc.take_snapshot())
        counts.append(dispatches)

    tracemalloc.start()
    try:
        notes, dispatches = busy(arguments.seconds, *traffic(arguments), warm=snapshot)
        snapshot(dispatches)
    finally:
        tracemalloc.stop()
    files = (tracemalloc.__file__, __file__, measuring.__file__)
    others = [tracemalloc.Filter(False, file) for file in files]
    before, after = (one.filter_traces(others) for one in snapshots)
    grown = [one for one in after.compare_to(before, "lineno") if one.size_diff > 0]
    dispatches -= counts[0]
    notes.append(("between the snapshots", f"{dispatches:,} dispatches"))
    if not grown:
        return ["no line's memory has grown"], notes
    rows = [
        [place(one.traceback[0]), f"{one.size_diff:,} B", f"{one.size:,} B"]
        for one in grown[:LINES]
    ]
    header = ("line", "grew by", "to")
    return table(header, rows, Style(sys.stdout), align="<>>"), notes


def place(frame: tracemalloc.Frame) -> str:
    """Return where a line is, and its text."""
    if frame.filename == LOOP:
        return "compiled code: the bus and its stages"
    name = Path(frame.filename)
    text = linecache.getline(frame.filename, frame.lineno).strip()[:40]
    return f"{name.parent.name}/{name.name}:{frame.lineno}  {text}".rstrip()


def main(seconds: str, target: str, file: str, handlers: str) -> None:
    """Be the process that py-spy samples; print one marked line for the command."""
    try:
        notes, _ = busy(float(seconds), target, file, handlers)
        found: dict[str, Any] = {"notes": notes}
    except Problem as problem:
        found = {"problem": str(problem)}
    print(f"\n{MARK}{json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
