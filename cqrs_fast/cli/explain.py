"""`cqrs-fast explain`: the routes of a bus as text."""

from __future__ import annotations

import argparse

from cqrs_fast.cli.arguments import TARGET
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.target import load_bus
from cqrs_fast.errors import HandlerNotFoundError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = "example: cqrs-fast explain myapp.buses:commands PlaceOrder"
    parser.add_argument("target", metavar="MODULE:BUS", help=TARGET)
    parser.add_argument(
        "message", metavar="MESSAGE", nargs="?", help="one name; all without it"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the default settings too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the route of one message, or of all."""
    bus = load_bus(arguments.target)
    if arguments.message is None and not bus.describe():
        raise Problem(f"{arguments.target} has no handlers, so nothing to explain")
    try:
        print(bus.explain(arguments.message, verbose=arguments.verbose))
    except HandlerNotFoundError as error:
        raise Problem(str(error)) from None
    return 0
