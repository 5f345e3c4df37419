"""`cqrs-fast dispatch`: JSON lines in, one line of result or error out for each."""

from __future__ import annotations

import argparse
import contextlib
import sys
from time import perf_counter
from typing import Any

from cqrs_fast.cli.arguments import FAILED, INTERRUPTED, TARGET, positive
from cqrs_fast.cli.console import Progress, Style, duration
from cqrs_fast.cli.ledger import Ledger
from cqrs_fast.cli.lines import LineReader, open_input
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.runners import run_lines
from cqrs_fast.cli.target import load_bus

EXIT_STATUS = """\
exit status: 0 every line was ok, 1 a line failed, 2 nothing could be started,
130 interrupted, 141 nobody reads the output any more"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = (
        f"{EXIT_STATUS}\n\n"
        "example: cqrs-fast dispatch myapp.buses:commands orders.jsonl > results.jsonl"
    )
    parser.add_argument("target", metavar="MODULE:BUS", help=TARGET)
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help="JSON lines, each an object with a $type; - or nothing: standard input",
    )
    parser.add_argument(
        "--concurrency",
        type=positive,
        default=1,
        metavar="N",
        help="run N lines at a time, as tasks if the bus is async, else in threads; "
        "the output keeps the order of the input (default: 1)",
    )
    parser.add_argument(
        "--stop-on-error",
        action="store_true",
        help="stop after the first error line; with --concurrency, lines after it may "
        "have run as well",
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="no progress bar and no summary on standard error",
    )


def run(arguments: argparse.Namespace) -> int:
    """Dispatch the lines and return the exit status."""
    bus = load_bus(arguments.target)
    output = binary_output()
    with contextlib.ExitStack() as stack:
        file = open_input(arguments.file)
        if arguments.file != "-":
            stack.enter_context(contextlib.closing(file))
        reader = LineReader(file, bus.max_payload_bytes)
        ledger = Ledger(
            output,
            Progress(sys.stderr, hidden=arguments.quiet),
            stop_on_error=arguments.stop_on_error,
            shared=sys.stdout.isatty(),
            total=reader.total,
        )
        started = perf_counter()
        interrupted = False
        try:
            # What handlers print would spoil the output.
            with contextlib.redirect_stdout(sys.stderr):
                run_lines(bus, reader, ledger, arguments.concurrency)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            ledger.finish()
        if ledger.problem is not None:
            raise ledger.problem
    if not arguments.quiet:
        for line in summary(ledger, perf_counter() - started, interrupted):
            print(line, file=sys.stderr)
    if interrupted:
        return INTERRUPTED
    return FAILED if ledger.failed else 0


def binary_output() -> Any:
    """Return standard output without its buffers, which hold nothing so far."""
    if sys.stdout is None:
        raise Problem("standard output is closed")
    sys.stdout.flush()
    buffer = sys.stdout.buffer
    return getattr(buffer, "raw", buffer)


def summary(ledger: Ledger, seconds: float, interrupted: bool) -> list[str]:
    """Return what to say at the end."""
    style = Style(sys.stderr)
    rate = ledger.lines / seconds if seconds > 0 else 0.0
    failed = f"{ledger.failed:,} failed"
    told = [
        f"{'interrupted after ' if interrupted else ''}{ledger.lines:,} lines in "
        f"{duration(seconds)}, {rate:,.0f}/s: "
        f"{style.paint(f'{ledger.lines - ledger.failed:,} ok', 'green')}, "
        f"{style.paint(failed, 'red' if ledger.failed else '')}"
    ]
    if ledger.errors:
        width = max(map(len, ledger.errors))
        told += [
            f"  {name:{width}}  {count:>9,}"
            for name, count in ledger.errors.most_common()
        ]
    if ledger.lines:
        latency = ledger.latency
        shown = [f"p{q} {duration(latency.percentile(q))}" for q in (50, 90, 99)]
        told.append(f"latency: {', '.join(shown)}, max {duration(latency.max)}")
    return [style.fit(line) for line in told]
