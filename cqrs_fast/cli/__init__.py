"""The command line: `cqrs-fast`, or `python -m cqrs_fast`.

Each command is a module with `add_arguments(parser)` and `run(arguments) -> int`,
imported only for its command.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from cqrs_fast.cli.arguments import BROKEN_PIPE, INTERRUPTED, MISUSED
from cqrs_fast.cli.problem import Problem

COMMANDS = {
    "bench": "measure what a dispatch costs here, beside a direct call and "
    "hand-written dispatch",
    "config": "check configuration files, and show the values in force",
    "demo": "run the quick start and an order service on SQLite",
    "dispatch": "dispatch JSON lines through a bus, and print a result for each",
    "explain": "show the stages of each message, from the outermost to its handler",
    "info": "show the version, the build of the compiled modules, and the interpreter",
    "profile": "keep a bus busy, and show where its time or its memory goes",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    words = sys.argv[1:] if argv is None else argv
    try:
        # The first word that is not an option.
        named = next((word for word in words if not word.startswith("-")), None)
        parser = make_parser(named)
        arguments = parser.parse_args(words)
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
    """Avoid the interpreter's message about a broken pipe at its exit."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


class ShowVersion(argparse.Action):
    """Print the version, which is read only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and leave."""
        from cqrs_fast.base.build import build_info

        print(f"cqrs-fast {build_info()['version']}")
        parser.exit()


def make_parser(command: str | None) -> argparse.ArgumentParser:
    """Return the parser of the command line, with all arguments of one command."""
    parser = argparse.ArgumentParser(
        prog="cqrs-fast",
        description="Dispatch commands and queries from the command line.",
        epilog="example: cqrs-fast dispatch myapp.buses:commands orders.jsonl",
    )
    parser.add_argument(
        "--version", action=ShowVersion, nargs=0, help="print the version and leave"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == command:
            importlib.import_module(f"cqrs_fast.cli.{name}").add_arguments(one)
    return parser
