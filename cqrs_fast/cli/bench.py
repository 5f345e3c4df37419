"""`cqrs-fast bench`: what a dispatch costs here, and what each stage adds to it."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from time import perf_counter
from typing import Any

from cqrs_fast.cli.arguments import (
    MEASURED_STATUS,
    REAL_MIDDLEWARE,
    TARGET,
    add_traffic,
    some_seconds,
)
from cqrs_fast.cli.bench_cases import Group, built_in_groups
from cqrs_fast.cli.bench_pipeline import (
    POINT_TO_MESSAGES,
    Subject,
    load_subject,
    pipeline_group,
)
from cqrs_fast.cli.console import Progress, Style, pairs, rounded, table
from cqrs_fast.cli.machine import machine, require_build
from cqrs_fast.cli.measuring import (
    REPEATS,
    Case,
    is_noisy,
    measure,
    noise_of,
)
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.stepper import Stepper
from cqrs_fast.measuring import Ratio

HEADER = ("", "ns", "x direct", "x hand", "spread", "peak", "kept")
ALIGN = "<>>>>>>"


OWN_ROWS = """\
A function that makes a bus is called for each row, so that no row finds what another
has left in a limiter, a breaker or a cache. The rows of a bus that is a variable share
its middleware."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = (
        f"{REAL_MIDDLEWARE}\n\n{OWN_ROWS}\n\n{MEASURED_STATUS}\n\n"
        "examples:\n"
        "  cqrs-fast bench\n"
        "  cqrs-fast bench --pipeline myapp.buses:commands\n"
        "  cqrs-fast bench --pipeline myapp.buses:commands --messages orders.jsonl "
        "--json"
    )
    parser.add_argument(
        "--pipeline",
        metavar="MODULE:BUS",
        help=f"measure a bus of your own, stage by stage: {TARGET}",
    )
    add_traffic(parser)
    parser.add_argument(
        "--seconds",
        type=some_seconds,
        default=10.0,
        metavar="N",
        help="how long the rounds take, about; more makes it steadier (default: 10)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print a table or JSON."""
    require_build("benchmarks", "release")
    target = arguments.pipeline
    if target is None and (arguments.messages or arguments.run_handlers):
        raise Problem("--messages and --run-handlers go with --pipeline MODULE:BUS")
    stepper = Stepper()
    started = perf_counter()
    subject = None
    # What handlers and middleware print would spoil the output.
    with (
        contextlib.closing(stepper),
        contextlib.redirect_stdout(sys.stderr),
        Progress(sys.stderr) as progress,
    ):
        if target is None:
            groups = built_in_groups(stepper)
        else:
            subject = load_subject(target, arguments.messages, arguments.run_handlers)
            groups = [pipeline_group(subject, stepper)]
        cases = [case for group in groups for case in group.cases]
        measure(cases, arguments.seconds, progress)
    took = perf_counter() - started
    if arguments.json:
        print(json.dumps(as_json(groups, subject, took), indent=2))
    else:
        print_groups(groups, subject, took)
    return 0


def as_json(
    groups: list[Group], subject: Subject | None, seconds: float
) -> dict[str, Any]:
    """Return all that is known, for programs."""
    cases = [case for group in groups for case in group.cases]
    found: dict[str, Any] = {
        "noisy": is_noisy(cases),
        "noise": noise_of(cases),
        "machine": machine(),
        "seconds": round(seconds, 2),
        "repeats": REPEATS,
        "pipeline": None,
        "groups": [
            {"title": group.title, "rows": [row(case, group) for case in group.cases]}
            for group in groups
        ],
    }
    if subject is not None:
        found["pipeline"] = {
            "target": subject.target,
            "messages": len(subject.messages),
            "without_example": subject.missing,
            "handlers": "run" if subject.run_handlers else "replaced",
        }
    return found


def row(case: Case, group: Group) -> dict[str, Any]:
    """Return one row as JSON has it."""
    direct, hand_written = (case.ratio(baseline) for baseline in group.cases[:2])
    return {
        "name": case.name,
        "ns": round(case.ns, 2),
        "repeats_ns": [round(took, 2) for took in case.repeats],
        "spread": round(case.spread, 4),
        "to_direct": ratio(direct),
        "to_hand_written": ratio(hand_written),
        "allocations": {
            "peak_bytes": case.allocated.peak,
            "kept_bytes": case.allocated.kept,
        },
        "dispatches": case.calls,
        "ok": round(1 - case.failed, 6),
        "errors": {name: count / case.timed for name, count in case.errors.items()},
        "error_texts": case.told,
        "unhandled": case.unhandled,
    }


def ratio(found: Ratio) -> dict[str, Any]:
    return {
        "ratio": round(found.value, 3),
        "spread": [round(found.low, 3), round(found.high, 3)],
    }


def print_groups(groups: list[Group], subject: Subject | None, seconds: float) -> None:
    """Print the noise first, then a table for each group, then what to know."""
    style = Style(sys.stdout)
    cases = [case for group in groups for case in group.cases]
    noisy = is_noisy(cases)
    print(style.paint(style.fit(noise_of(cases)), "red" if noisy else "green"))
    here = machine()
    print(
        style.fit(
            f"{here['interpreter']}, {here['cpu']}, cqrs_fast {here['cqrs_fast']} "
            f"({here['build']} build)"
        )
    )
    for group in groups:
        print()
        print(style.paint(style.fit(group.title), "bold"))
        print("\n".join(group_table(group, subject is not None, style)))
    print()
    print("\n".join(style.fit(line) for line in legend(subject is not None)))
    if subject is not None:
        told = pipeline_notes(groups[0], subject)
        print("\n".join(pairs(told, style)))
    print(f"\nmeasured in {seconds:.1f} s")


def group_table(group: Group, is_pipeline: bool, style: Style) -> list[str]:
    """Return the rows of a group; those of a pipeline tell what came of the calls."""
    header: tuple[str, ...] = HEADER
    align = ALIGN
    if is_pipeline:
        header, align = (*header, "adds ns", "outcome"), align + "><"
    rows = []
    before: Case | None = None
    for number, case in enumerate(group.cases):
        direct, hand = (case.ratio(baseline) for baseline in group.cases[:2])
        cells = [
            case.name,
            rounded(case.ns),
            f"{direct.value:.2f}",
            f"{hand.value:.2f}",
            f"{case.spread:.0%}",
            f"{case.allocated.peak:,.0f}",
            f"{case.allocated.kept:,.0f}",
        ]
        if is_pipeline:
            cells += [added(case, before), outcome(case)]
            before = case if number >= 2 else None
        rows.append(cells)
    return table(header, rows, style, align=align)


def added(case: Case, before: Case | None) -> str:
    """Return what a stage adds, where both rows did the same with all messages."""
    if before is None or not (passes(case) and passes(before)):
        return ""
    return f"{case.ns - before.ns:+,.0f}"


def passes(case: Case) -> bool:
    """Tell whether every message was let through to a handler, as far as is known."""
    return case.failed == 0 and not case.unhandled


def outcome(case: Case) -> str:
    """Return what came of the calls."""
    if passes(case):
        return "ok"
    told = [
        f"{percent(count / case.timed)} {name}" for name, count in case.errors.items()
    ]
    if case.failed < 1:
        well = f"{percent(1 - case.failed)} ok"
        if case.unhandled:
            well += f" ({percent(case.unhandled)} of it without a handler)"
        told.insert(0, well)
    return ", ".join(told)


def percent(share: float) -> str:
    """Return a share, never rounded to all or to nothing."""
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return f"{min(max(share, 0.001), 0.999):.1%}"


def legend(is_pipeline: bool) -> list[str]:
    """Return what the columns say."""
    lines = [
        f"ns: one call, the best of {REPEATS} repeats; x direct, x hand: times the "
        "direct call, and",
        "hand-written dispatch, medians of the repeats; spread: how far the repeats "
        "lie apart; peak,",
        "kept: the bytes that one warm call allocates, at a time and for good",
    ]
    if is_pipeline:
        lines += [
            "adds ns: to the row above, where all calls of both went well and reached "
            "a handler; where",
            "outcomes are mixed, the times are those of the median round, not the best",
        ]
    return lines


def pipeline_notes(group: Group, subject: Subject) -> list[tuple[str, str]]:
    """Return what a reader has to know about a user's own bus."""
    calls = sum(case.calls for case in group.cases[2:])
    notes = [
        ("messages", f"{len(subject.messages):,}, in turn"),
        ("handlers", subject.handlers),
        ("dispatches", f"{calls:,}, through the middleware itself: see --help"),
    ]
    notes += [("left out", f"{text}: {POINT_TO_MESSAGES}") for text in subject.missing]
    texts: dict[str, str] = {}
    for case in group.cases:
        texts.update(case.told)
    notes += sorted(texts.items())
    return notes
