"""`cqrs-fast dispatch`: JSON lines in, one line of result or error out for each."""

from __future__ import annotations

import argparse
import contextlib
import sys
from time import perf_counter
from typing import Any

from cqrs_fast.cli.arguments import FAILED, INTERRUPTED, TARGET, positive
from cqrs_fast.cli.console import Progress, Style, duration
from cqrs_fast.cli.lines import LineReader, open_input
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.runners import run_lines
from cqrs_fast.cli.target import load_bus
from cqrs_fast.cli.writer import Writer

EXIT_STATUS = """\
exit status: 0 every line was ok, 1 a line failed, 2 input or output cannot be used,
130 interrupted, 141 the reader of the output is gone"""


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
        writer = Writer(
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
                run_lines(bus, reader, writer, arguments.concurrency)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            writer.finish()
    if not arguments.quiet:
        for line in summary(writer, perf_counter() - started, interrupted):
            print(line, file=sys.stderr)
    if interrupted:
        return INTERRUPTED
    return FAILED if writer.failed else 0


def binary_output() -> Any:
    """Return standard output without its buffers, which are empty."""
    if sys.stdout is None:
        raise Problem("standard output is closed")
    sys.stdout.flush()
    buffer = sys.stdout.buffer
    return getattr(buffer, "raw", buffer)


def summary(writer: Writer, seconds: float, interrupted: bool) -> list[str]:
    """Return what to print at the end."""
    style = Style(sys.stderr)
    rate = writer.lines / seconds if seconds > 0 else 0.0
    ok = style.paint(f"{writer.lines - writer.failed:,} ok", "green")
    failed = style.paint(f"{writer.failed:,} failed", "red" if writer.failed else "")
    lines = [
        f"{'interrupted after ' if interrupted else ''}{writer.lines:,} lines in "
        f"{duration(seconds)}, {rate:,.0f}/s: {ok}, {failed}"
    ]
    width = max(map(len, writer.errors), default=0)
    for name, count in writer.errors.most_common():
        lines.append(f"  {name:{width}}  {count:>9,}")
    if writer.lines:
        latency = writer.latency
        shown = [f"p{q} {duration(latency.percentile(q))}" for q in (50, 90, 99)]
        lines.append(f"latency: {', '.join(shown)}, max {duration(latency.max)}")
    return [style.fit(line) for line in lines]
