"""`cqrs-fast profile`: where the time or the memory of a user's own bus goes."""

from __future__ import annotations

import argparse
import sys

from cqrs_fast.cli.console import Style, pairs
from cqrs_fast.cli.machine import require_build


def run(arguments: argparse.Namespace) -> int:
    """Profile, and tell where the result is."""
    require_build("profile", "release", "profile")
    # Each half imports what the other does without.
    if arguments.memory:
        from cqrs_fast.cli.profile_memory import profile_memory as profile
    else:
        from cqrs_fast.cli.profile_cpu import profile_cpu as profile
    lines, notes = profile(arguments)
    style = Style(sys.stdout)
    print("\n".join([*lines, "", *pairs(notes, style)]))
    return 0
