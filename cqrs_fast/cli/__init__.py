"""The command line: `cqrs-fast`, or `python -m cqrs_fast`.

Each command is a module with a `run(arguments) -> int`, imported when it is asked for.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from cqrs_fast.cli.problem import Problem

FAILED = 1
MISUSED = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
BROKEN_PIPE = 141  # 128 + SIGPIPE

TARGET = """\
a bus, or a function without parameters that returns one, such as
myapp.buses:commands; the current directory is importable"""

EXIT_STATUS = """\
exit status: 0 every line was ok, 1 a line failed, 2 nothing could be started,
130 interrupted, 141 nobody reads the output any more"""

MEASURED_STATUS = """\
exit status: 0, 2 nothing could be measured, 130 interrupted"""

REAL_MIDDLEWARE = """\
A bus of your own is loaded into a process of this command and only read. Buses like
it are run, with its middleware and with handlers that do nothing. The middleware
really runs, many thousand times. What it keeps (the entries of a cache, the credit of
a limiter, the state of a breaker) changes in this process only, and goes with it. What
it does elsewhere happens: audit sinks write, log lines are logged, callbacks ask other
services. Where that matters, name a function that makes a bus with harmless ones. A
limiter that is meant to refuse refuses here too, and a cache hits: what came of the
calls is told beside the numbers."""

OWN_ROWS = """\
A function that makes a bus is called for each row, so that no row finds what another
has left in a limiter, a breaker or a cache. The rows of a bus that is a variable share
its middleware."""

CONFIG_FILE = "a .json, .toml, .yaml or .yml file"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = make_parser()
    try:
        arguments = parser.parse_args(argv)
        if arguments.command is None:
            parser.print_help(sys.stderr)
            return MISUSED
        command = importlib.import_module(f"cqrs_fast.cli.{arguments.command}")
        status: int = command.run(arguments)
        sys.stdout.flush()
        return status
    except Problem as problem:
        print(f"cqrs-fast: {problem}", file=sys.stderr)
        return MISUSED
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as left:  # argparse, after --help or a wrong argument
        return left.code if isinstance(left.code, int) else MISUSED


def discard_output() -> None:
    """Keep the interpreter from complaining about a broken pipe as it exits."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


class ShowVersion(argparse.Action):
    """Print the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and leave."""
        from cqrs_fast.build import build_info

        print(f"cqrs-fast {build_info()['version']}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="cqrs-fast",
        description="Dispatch commands and queries from the command line.",
        epilog="example: cqrs-fast dispatch myapp.buses:commands orders.jsonl",
    )
    parser.add_argument(
        "--version", action=ShowVersion, nargs=0, help="print the version and leave"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    add_bench(commands)
    add_config(commands)
    add_demo(commands)
    add_dispatch(commands)
    add_explain(commands)
    add_info(commands)
    add_profile(commands)
    return parser


def add_command(commands: Any, name: str, summary: str, more: str) -> Any:
    """Add a command whose help begins with its summary and ends with an example."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_bench(commands: Any) -> None:
    bench = add_command(
        commands,
        "bench",
        "measure what a dispatch costs here, beside a direct call and hand-written "
        "dispatch",
        f"{REAL_MIDDLEWARE}\n\n{OWN_ROWS}\n\n{MEASURED_STATUS}\n\n"
        "examples:\n"
        "  cqrs-fast bench\n"
        "  cqrs-fast bench --pipeline myapp.buses:commands\n"
        "  cqrs-fast bench --pipeline myapp.buses:commands --messages orders.jsonl "
        "--json",
    )
    bench.add_argument(
        "--pipeline",
        metavar="MODULE:BUS",
        help=f"measure a bus of your own, stage by stage: {TARGET}",
    )
    add_traffic(bench)
    bench.add_argument(
        "--seconds",
        type=some_seconds,
        default=10.0,
        metavar="N",
        help="how long the rounds take, about; more makes it steadier (default: 10)",
    )
    bench.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )


def add_traffic(command: Any) -> None:
    """Add what tells how a user's bus is kept busy."""
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


def add_config(commands: Any) -> None:
    config = add_command(
        commands,
        "config",
        "check configuration files, and show the values that are in force",
        "example: cqrs-fast config show configs/production.json --env",
    )
    actions = config.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_command(
        actions,
        "schema",
        "print the JSON Schema of configuration files, for editors and other checkers",
        "example: cqrs-fast config schema > config.schema.json",
    )
    check = add_command(
        actions,
        "check",
        "tell what is wrong with each file, or that it is ok",
        "exit status: 0 every file is ok, 1 one is not\n\n"
        "example: cqrs-fast config check configs/*.json",
    )
    check.add_argument("files", metavar="FILE", nargs="+", help=CONFIG_FILE)
    show = add_command(
        actions,
        "show",
        "show every value and where it comes from: a preset, FILE or the environment",
        "A later one overrides an earlier one: defaults, preset, file, environment.\n"
        "exit status: 0, or 2 if a value is wrong\n\n"
        "example: cqrs-fast config show --preset low-latency",
    )
    show.add_argument("file", metavar="FILE", nargs="?", help=CONFIG_FILE)
    show.add_argument(
        "--preset",
        type=preset_name,
        metavar="NAME",
        help="what FILE is laid over: default, high-throughput or low-latency",
    )
    show.add_argument(
        "--env", action="store_true", help="apply the variables of the environment"
    )
    show.add_argument(
        "--env-prefix",
        metavar="PREFIX",
        help="apply those that begin with PREFIX instead of CQRS_",
    )
    show.add_argument(
        "--json", action="store_true", help="print a file that says the same"
    )


def add_demo(commands: Any) -> None:
    add_command(
        commands,
        "demo",
        "run the quick start and an order service on SQLite, and show what happened",
        "example: cqrs-fast demo",
    )


def add_dispatch(commands: Any) -> None:
    command = add_command(
        commands,
        "dispatch",
        "dispatch JSON lines through a bus, one line of result or error for each",
        f"{EXIT_STATUS}\n\n"
        "example: cqrs-fast dispatch myapp.buses:commands orders.jsonl > results.jsonl",
    )
    command.add_argument("target", metavar="MODULE:BUS", help=TARGET)
    command.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help="JSON lines, each an object with a $type; - or nothing: standard input",
    )
    command.add_argument(
        "--concurrency",
        type=positive,
        default=1,
        metavar="N",
        help="run N lines at a time, as tasks if the bus is async, else in threads; "
        "the output keeps the order of the input (default: 1)",
    )
    command.add_argument(
        "--stop-on-error",
        action="store_true",
        help="stop after the first error line; with --concurrency, lines after it may "
        "have run as well",
    )
    command.add_argument(
        "--quiet",
        action="store_true",
        help="no progress bar and no summary on standard error",
    )


def add_explain(commands: Any) -> None:
    command = add_command(
        commands,
        "explain",
        "show the stages that each message passes, from the outermost to its handler",
        "example: cqrs-fast explain myapp.buses:commands PlaceOrder",
    )
    command.add_argument("target", metavar="MODULE:BUS", help=TARGET)
    command.add_argument(
        "message", metavar="MESSAGE", nargs="?", help="one name; all without it"
    )


def add_info(commands: Any) -> None:
    add_command(
        commands,
        "info",
        "show the version, how the compiled modules were built, and the interpreter",
        "example: cqrs-fast info",
    )


def add_profile(commands: Any) -> None:
    profile = add_command(
        commands,
        "profile",
        "keep a bus busy, and show where its time or its memory goes",
        f"{REAL_MIDDLEWARE}\n\n{MEASURED_STATUS}\n\n"
        "examples:\n"
        "  cqrs-fast profile myapp.buses:commands --messages orders.jsonl\n"
        "  cqrs-fast profile myapp.buses:commands --format speedscope -o run.json\n"
        "  cqrs-fast profile myapp.buses:commands --memory --seconds 2",
    )
    profile.set_defaults(memory=False)
    profile.add_argument("target", metavar="MODULE:BUS", help=TARGET)
    what = profile.add_mutually_exclusive_group()
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
    add_traffic(profile)
    profile.add_argument(
        "--seconds",
        type=some_seconds,
        default=5.0,
        metavar="N",
        help="how long the bus is kept busy (default: 5)",
    )
    profile.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="--cpu: what py-spy writes (default: profile.svg, or "
        "profile.speedscope.json); --memory: all lines that grew, as JSON",
    )
    profile.add_argument(
        "--format",
        choices=("flamegraph", "speedscope"),
        default="flamegraph",
        help="--cpu: an SVG to look at, or a file for https://www.speedscope.app",
    )
    profile.add_argument(
        "--native",
        action="store_true",
        help="--cpu: show compiled functions too, in a profile build with their lines",
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


def preset_name(text: str) -> str:
    """Parse the name of a preset."""
    from cqrs_fast.config.presets import PRESETS

    if text not in PRESETS:
        names = ", ".join(PRESETS)
        raise argparse.ArgumentTypeError(f"expected one of {names}, got {text!r}")
    return text
