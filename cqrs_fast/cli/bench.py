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
from cqrs_fast.cli.bench_pipeline import Subject, load_subject, pipeline_group
from cqrs_fast.cli.console import Progress, Style, pairs, rounded, table
from cqrs_fast.cli.machine import machine, require_build
from cqrs_fast.cli.measuring import REPEATS, Case, Stepper, measure, noise_of
from cqrs_fast.cli.problem import Problem
from cqrs_fast.measuring import Ratio

HEADER = ("", "ns", "x direct", "x hand", "spread", "peak", "kept")
PIPELINE_HEADER = (*HEADER, "adds ns", "outcome")
ALIGN = "<>>>>>>><"

OWN_ROWS = """\
A function that makes a bus is called for each row, so each row starts with fresh
limiters, breakers and caches. The rows of a bus that is a variable share its
middleware."""

LEGEND = f"""\
ns: one call, the best of {REPEATS} repeats; x direct, x hand: times the direct call and
hand-written dispatch, medians of the repeats; spread: how far repeats are apart; peak,
kept: the bytes that one warm call allocates, at a time and for good"""

PIPELINE_LEGEND = """\
adds ns: to the row above, if all calls of both reached a handler without an error; if
outcomes are mixed, the times are those of the median round, not of the best"""


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
        help=f"measure your bus, stage by stage: {TARGET}",
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
    noise = noise_of(cases)
    if arguments.json:
        print(json.dumps(as_json(groups, subject, noise, took), indent=2))
    else:
        print_groups(groups, subject, noise, took)
    return 0


def as_json(
    groups: list[Group],
    subject: Subject | None,
    noise: tuple[bool, str],
    seconds: float,
) -> dict[str, Any]:
    """Return everything, for programs."""
    pipeline = None
    if subject is not None:
        pipeline = {
            "target": subject.target,
            "messages": len(subject.messages),
            "without_example": subject.missing,
            "handlers": "run" if subject.run_handlers else "replaced",
        }
    return {
        "noisy": noise[0],
        "noise": noise[1],
        "machine": machine(),
        "seconds": round(seconds, 2),
        "repeats": REPEATS,
        "pipeline": pipeline,
        "groups": [
            {"title": group.title, "rows": [row(case, group) for case in group.cases]}
            for group in groups
        ],
    }


def row(case: Case, group: Group) -> dict[str, Any]:
    """Return one row for JSON."""
    direct, hand_written = group.cases[:2]
    return {
        "name": case.name,
        "ns": round(case.ns, 2),
        "repeats_ns": [round(took, 2) for took in case.repeats],
        "spread": round(case.spread, 4),
        "to_direct": ratio(case.ratio(direct)),
        "to_hand_written": ratio(case.ratio(hand_written)),
        "allocations": {
            "peak_bytes": case.allocated.peak,
            "kept_bytes": case.allocated.kept,
        },
        "dispatches": case.calls,
        "ok": round(1 - case.failed, 6),
        "errors": {name: count / case.timed for name, count in case.errors.items()},
        "error_texts": case.texts,
        "unhandled": case.unhandled,
    }


def ratio(found: Ratio) -> dict[str, Any]:
    return {
        "ratio": round(found.value, 3),
        "spread": [round(found.low, 3), round(found.high, 3)],
    }


def print_groups(
    groups: list[Group],
    subject: Subject | None,
    noise: tuple[bool, str],
    seconds: float,
) -> None:
    """Print the noise first, then a table for each group, then what to know."""
    style = Style(sys.stdout)
    noisy, text = noise
    print(style.paint(style.fit(text), "red" if noisy else "green"))
    here = machine()
    build = f"cqrs_fast {here['cqrs_fast']} ({here['build']} build)"
    print(style.fit(f"{here['interpreter']}, {here['cpu']}, {build}"))
    for group in groups:
        print()
        print(style.paint(style.fit(group.title), "bold"))
        header = HEADER if subject is None else PIPELINE_HEADER
        rows = [cells[: len(header)] for cells in cells_of(group)]
        print("\n".join(table(header, rows, style, align=ALIGN[: len(header)])))
    print(f"\n{LEGEND}")
    if subject is not None:
        print(PIPELINE_LEGEND)
        calls = sum(case.calls for case in groups[0].cases[2:])
        ran = f"{calls:,}, through the middleware itself: see --help"
        texts: dict[str, str] = {}
        for case in groups[0].cases:
            texts.update(case.texts)
        print("\n".join(pairs([*subject.notes(ran), *sorted(texts.items())], style)))
    print(f"\nmeasured in {seconds:.1f} s")


def cells_of(group: Group) -> list[list[str]]:
    """Return the rows of a group as cells, with those for a pipeline last."""
    rows = []
    before: Case | None = None
    for number, case in enumerate(group.cases):
        direct, hand = (case.ratio(baseline) for baseline in group.cases[:2])
        adds = ""
        if before is not None and case.is_ok and before.is_ok:
            adds = f"{case.ns - before.ns:+,.0f}"
        before = case if number >= 2 else None
        rows.append(
            [
                case.name,
                rounded(case.ns),
                f"{direct.value:.2f}",
                f"{hand.value:.2f}",
                f"{case.spread:.0%}",
                f"{case.allocated.peak:,.0f}",
                f"{case.allocated.kept:,.0f}",
                adds,
                outcome(case),
            ]
        )
    return rows


def outcome(case: Case) -> str:
    """Return how the calls ended."""
    if case.is_ok:
        return "ok"
    parts = [
        f"{percent(count / case.timed)} {name}" for name, count in case.errors.items()
    ]
    if case.failed < 1:
        well = f"{percent(1 - case.failed)} ok"
        if case.unhandled:
            well += f" ({percent(case.unhandled)} of it without a handler)"
        parts.insert(0, well)
    return ", ".join(parts)


def percent(share: float) -> str:
    """Return a share, never rounded to all or to nothing."""
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return f"{min(max(share, 0.001), 0.999):.1%}"
