"""Arguments and texts that several commands share."""

from __future__ import annotations

import argparse

FAILED = 1
MISUSED = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
BROKEN_PIPE = 141  # 128 + SIGPIPE

TARGET = """\
a bus, or a function without parameters that returns one, such as
myapp.buses:commands; the current directory is importable"""

MEASURED_STATUS = """\
exit status: 0, 2 nothing could be measured, 130 interrupted"""

REAL_MIDDLEWARE = """\
Your bus is imported by a process of this command and only read. Similar buses run,
with its middleware and with handlers that do nothing. The middleware runs many
thousand times. Its state (cache entries, limiter tokens, circuits) changes in this
process only. Its effects outside of the process are real: audit sinks write, log lines
are logged, callbacks call other services. If that matters, name a function that makes
a bus with harmless middleware. Limiters reject and caches hit here too: the outcome of
the calls is shown beside the numbers."""


def add_traffic(command: argparse.ArgumentParser) -> None:
    """Add the options of the messages and handlers of a user's bus."""
    command.add_argument(
        "--messages",
        metavar="FILE",
        help="what to dispatch: JSON lines, each an object with a $type; without it, "
        "polyfactory makes one message of each registered class: pip install "
        "'cqrs-fast[bench]'",
    )
    command.add_argument(
        "--run-handlers",
        action="store_true",
        help="run the bus's own handlers, thousands of times; without it, handlers "
        "that do nothing take their place",
    )


def some_seconds(text: str) -> float:
    """Parse a time of more than 0 and at most an hour."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(
            f"expected seconds, more than 0 and at most 3600, got {text!r}"
        )
    return seconds


def positive(text: str) -> int:
    """Parse a whole number of 1 or more."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text!r}")
    return number
