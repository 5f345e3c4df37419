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
    add_config(commands)
    add_demo(commands)
    add_dispatch(commands)
    add_explain(commands)
    add_info(commands)
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
