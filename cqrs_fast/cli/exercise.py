"""Keep a bus busy: what `cqrs-fast profile` lets py-spy watch, as a process.

    python -m cqrs_fast.cli.exercise SECONDS REPORT TARGET FILE HANDLERS

REPORT is a file for what came of it, FILE one of messages or "", HANDLERS "run" or "".
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from cqrs_fast.cli import INTERRUPTED
from cqrs_fast.cli.bench_pipeline import Subject, load_subject, whole
from cqrs_fast.cli.measuring import Case
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.stepper import Stepper


def main(arguments: list[str]) -> int:
    """Do what the module says; what goes wrong is in the report as well."""
    seconds, report, target, file, handlers = arguments
    told: dict[str, Any]
    status = 0
    try:
        with (
            contextlib.closing(Stepper()) as stepper,
            contextlib.redirect_stdout(sys.stderr),
        ):
            subject = load_subject(target, file or None, handlers == "run")
            case = whole(subject, stepper)
            exercise(case, float(seconds))
            told = {"notes": notes_of(case, subject)}
    except Problem as problem:
        told, status = {"problem": str(problem)}, 2
    except KeyboardInterrupt:
        return INTERRUPTED
    Path(report).write_text(json.dumps(told))
    return status


def exercise(
    case: Case, seconds: float, progress: Callable[[float], None] = lambda share: None
) -> None:
    """Dispatch the messages for about so many seconds."""
    case.warm_up()
    started = perf_counter()
    while (elapsed := perf_counter() - started) < seconds:
        progress(elapsed / seconds)
        case.round()


def writable(name: str) -> Path:
    """Return where a result is to be written, before it is made. Raises Problem."""
    path = Path(name)
    if path.is_dir():
        raise Problem(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise Problem(f"cannot write {path}: there is no folder {path.parent}")
    return path


def notes_of(case: Case, subject: Subject) -> list[tuple[str, str]]:
    """Return what to know about a run, as names and values."""
    ours = "the user's own" if subject.run_handlers else "replaced by idle ones"
    errors = [f"{count:,} {name}" for name, count in case.errors.items()]
    raised = f"; {', '.join(errors)}" if errors else ""
    return [
        ("messages", f"{len(subject.messages):,}, in turn"),
        ("handlers", ours),
        ("dispatches", f"{case.timed:,}{raised}"),
        *(("left out", text) for text in subject.missing),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
