"""A hunter of faults that were planted: the hunting itself is tested with it."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable

from hunters.hunting import Ask, Effort, Hunter, ask_together, run_parts, seen


def abort() -> None:
    os.abort()


def read_nothing() -> None:
    faulthandler._sigsegv()  # type: ignore[attr-defined]


def hang() -> None:
    threading.Event().wait()


def fail() -> None:
    print("what it said before", file=sys.stderr)
    raise AssertionError("a promise is broken")


def see() -> None:
    seen["sights"] += 1


def leave() -> None:
    os._exit(3)


PLANTED: dict[str, Callable[[], None]] = {
    "fine": see,
    "abort": abort,
    "segv": read_nothing,
    "hang": hang,
    "fail": fail,
    "leave": leave,
    "fine too": see,
}


def hunt(ask: Ask, effort: Effort) -> None:
    ask_together(ask, list(PLANTED))


HUNTER = Hunter(
    "planted",
    "faults that must be found",
    run_parts(lambda name: PLANTED[name]()),
    hunt,
    seconds=0.5,
)
