"""`cqrs-fast profile`: keep a user's bus busy, while a profiler looks on.

py-spy watches a process, which is this module: `python -m cqrs_fast.cli.profile SECONDS
TARGET FILE HANDLERS`, where FILE is one of messages or "", and HANDLERS "run" or "".
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import linecache
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tracemalloc
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
from cqrs_fast.cli.bench_pipeline import Subject, load_subject, whole
from cqrs_fast.cli.console import Progress, Style, pairs, table
from cqrs_fast.cli.machine import require_build
from cqrs_fast.cli.measuring import Case
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.stepper import Stepper
from cqrs_fast.measuring import LOOP

OUTPUTS = {"flamegraph": "profile.svg", "speedscope": "profile.speedscope.json"}
TOLD = "cqrs-fast: "  # begins the line of the process that is watched
PATIENCE = 10.0  # seconds for py-spy to end in, once it is asked to
LINES = 10
NO_PY_SPY = (
    "py-spy is not installed: pip install 'cqrs-fast[profile]', or pip install py-spy; "
    "--memory does without"
)
NO_RIGHTS = (
    "py-spy may not look into the process it started: run the command as root "
    "(sudo -E), allow it (Linux: sysctl kernel.yama.ptrace_scope=0; in a container: "
    "--cap-add SYS_PTRACE), or use --memory, which needs no rights"
)
DENIED = ("permission denied", "operation not permitted", "requires root", "eperm")


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
        help="let py-spy watch where the time goes (default); needs py-spy: "
        "pip install 'cqrs-fast[profile]'",
    )
    what.add_argument(
        "--memory",
        action="store_true",
        help="let tracemalloc tell which lines' memory has grown, once it is warm",
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
        help="--cpu: what py-spy writes (default: parser.svg, or "
        "parser.speedscope.json); --memory: all lines that grew, as JSON",
    )
    parser.add_argument(
        "--format",
        choices=("flamegraph", "speedscope"),
        default="flamegraph",
        help="--cpu: an SVG to look at, or a file for https://www.speedscope.app",
    )
    parser.add_argument(
        "--native",
        action="store_true",
        help="--cpu: show compiled functions too, in a profile build with their lines",
    )


def run(arguments: argparse.Namespace) -> int:
    """Profile, and tell where the result is."""
    require_build("profile", "release", "profile")
    lines, notes = (memory if arguments.memory else cpu)(arguments)
    print("\n".join([*lines, "", *pairs(notes, Style(sys.stdout))]))
    return 0


def busy(
    seconds: float, target: str, file: str, handlers: str, *, traced: bool = False
) -> tuple[list[list[str]], Any]:
    """Dispatch for about so many seconds; return what to know, and two snapshots.

    Where it is traced: one when it is warm, one at the end, with the dispatches so far.
    """
    snapshots: list[tuple[tracemalloc.Snapshot, int]] = []
    with (
        contextlib.closing(Stepper()) as stepper,
        contextlib.redirect_stdout(sys.stderr),
    ):
        subject = load_subject(target, file or None, handlers == "run")
        case = whole(subject, stepper)
        for share in (1 / 3, 2 / 3) if traced else (1.0,):
            case.warm_up()
            until = perf_counter() + seconds * share
            while perf_counter() < until:
                case.round()
            if traced:
                gc.collect()
                snapshots.append((tracemalloc.take_snapshot(), case.timed))
    return notes_of(case, subject), snapshots


def notes_of(case: Case, subject: Subject) -> list[list[str]]:
    errors = [f"{count:,} {name}" for name, count in case.errors.items()]
    return [
        ["messages", f"{len(subject.messages):,}, in turn"],
        ["handlers", subject.handlers],
        ["dispatches", "; ".join([f"{case.timed:,}", *errors])],
        *(["left out", text] for text in subject.missing),
    ]


def writable(name: str) -> Path:
    """Return where a result is to be written, before it is made. Raises Problem."""
    path = Path(name)
    if path.is_dir():
        raise Problem(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise Problem(f"cannot write {path}: there is no folder {path.parent}")
    return path


def cpu(arguments: argparse.Namespace) -> tuple[list[str], Any]:
    """Let py-spy draw where the time goes."""
    own = shutil.which("py-spy", path=sysconfig.get_path("scripts"))
    py_spy = own or shutil.which("py-spy")
    if py_spy is None:
        raise Problem(NO_PY_SPY)
    output = writable(arguments.output or OUTPUTS[arguments.format])
    command = [
        *(py_spy, "record", "--output", str(output), "--rate", "250"),
        *("--format", arguments.format, *(["--native"] if arguments.native else [])),
        *("--", sys.executable, "-m", "cqrs_fast.cli.profile"),
        *(str(arguments.seconds), arguments.target),
        *(arguments.messages or "", "run" if arguments.run_handlers else ""),
    ]
    with Progress(sys.stderr) as progress:
        progress.update(None, lambda _: f"py-spy looks for {arguments.seconds:g} s")
        status, said = outcome_of(command)
    told = told_in(said)
    if "problem" in told:
        raise Problem(told["problem"])
    if status or not told:
        denied = any(word in said.lower() for word in DENIED)
        what = NO_RIGHTS if denied else "py-spy gave no result"
        raise Problem(f"{what}. It said:\n{said.rstrip() or 'nothing'}")
    how = "open it in a browser"
    if arguments.format == "speedscope":
        how = "open it at https://www.speedscope.app"
    line = f"wrote {output}: {how}; the wider a box, the more of the time it took"
    return [line], told["notes"]


def told_in(said: str) -> dict[str, Any]:
    """Return what the watched process has told, among all else that was printed."""
    for line in said.splitlines():
        if line.startswith(TOLD):
            found: dict[str, Any] = json.loads(line.removeprefix(TOLD))
            return found
    return {}


def outcome_of(command: list[str]) -> tuple[int, str]:
    """Run a command; return its status and what it printed.

    It ends before this function, and so does what it has started, whatever happens.
    """
    # The process imports the bus as this one would: from here, and from our own path.
    path = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    ) as process:
        try:
            said = process.communicate()[0]
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said


def memory(arguments: argparse.Namespace) -> tuple[list[str], Any]:
    """Let tracemalloc tell which lines' memory grows."""
    output = None if arguments.output is None else writable(arguments.output)
    tracemalloc.start()
    try:
        with Progress(sys.stderr) as progress:
            progress.update(None, lambda _: f"dispatching for {arguments.seconds:g} s")
            handlers = "run" if arguments.run_handlers else ""
            notes, ((before, first), (after, last)) = busy(
                arguments.seconds,
                arguments.target,
                arguments.messages or "",
                handlers,
                traced=True,
            )
    finally:
        tracemalloc.stop()
    names = (tracemalloc.__file__, __file__, measuring.__file__)
    own = [tracemalloc.Filter(False, name) for name in names]
    grown = after.filter_traces(own).compare_to(before.filter_traces(own), "lineno")
    rising = [one for one in grown if one.size_diff > 0]
    if output is not None:
        lines = [
            {
                "file": one.traceback[0].filename,
                "line": one.traceback[0].lineno,
                "size": one.size,
                "size_diff": one.size_diff,
                "count": one.count,
                "count_diff": one.count_diff,
            }
            for one in rising
        ]
        told = {"dispatches": last - first, "lines": lines}
        output.write_text(json.dumps(told, indent=2) + "\n")
    notes.append(["between the snapshots", f"{last - first:,} dispatches"])
    rows = [
        [place(one.traceback[0]), f"{one.size_diff:,} B", f"{one.size:,} B"]
        for one in rising[:LINES]
    ]
    if not rows:
        return ["no line's memory has grown"], notes
    header = ("line", "grew by", "to")
    return table(header, rows, Style(sys.stdout), align="<>>"), notes


def place(frame: tracemalloc.Frame) -> str:
    """Return where a line is, and what it says."""
    if frame.filename == LOOP:
        return "compiled code: the bus and its stages"
    name = Path(frame.filename)
    text = linecache.getline(frame.filename, frame.lineno).strip()[:40]
    return f"{name.parent.name}/{name.name}:{frame.lineno}  {text}".rstrip()


def main(seconds: str, *arguments: str) -> None:
    """Be the process that py-spy watches; a line says what came of it."""
    try:
        told: dict[str, Any] = {"notes": busy(float(seconds), *arguments)[0]}
    except Problem as problem:
        told = {"problem": str(problem)}
    print(f"\n{TOLD}{json.dumps(told)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
