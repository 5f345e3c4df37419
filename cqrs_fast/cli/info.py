"""`cqrs-fast info`: what is installed here."""

from __future__ import annotations

import argparse
import platform
import sys

import msgspec

from cqrs_fast.base.build import build_info
from cqrs_fast.base.counter_clock import is_steady
from cqrs_fast.cli.console import Style, pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = "example: cqrs-fast info"


def run(arguments: argparse.Namespace) -> int:
    """Print the version, the build, the interpreter and the platform."""
    build = build_info()
    style = Style(sys.stdout)
    rows = [
        ("cqrs_fast", build["version"]),
        ("build mode", build["mode"]),
        ("compiler", build["compiler"]),
        ("flags", build["flags"]),
        ("Cython", build["cython"]),
        ("msgspec", msgspec.__version__),
        ("clock", "the processor's counter" if is_steady() else "the system's"),
        ("interpreter", f"{platform.python_implementation()} {sys.version}"),
        ("executable", sys.executable),
        ("platform", platform.platform()),
    ]
    print("\n".join(pairs(rows, style)))
    return 0
