"""Duels: one piece of work, done by this library and by a rival in turns.

A duel is checked before it is measured: both sides must give the expected result and
reach the handler, and every middleware, as often as the work asks for.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeVar

from benchmarks import noise
from benchmarks.rivals.isolation import (
    ABSENT,
    in_child,
    installed_version,
)
from benchmarks.table import LoopOperation, Operation, times_of
from cqrs_fast.measuring import ROUND_NS, best_of, take_turns

PATIENCE = 30.0
"""Seconds after which a rival is taken to hang."""
REPEATS = 7
LOOP_ROUND_NS = 1_000_000
"""Longer, so that entering the event loop is no part of it."""
REPEAT_SECONDS = 0.1
LEAST_ROUNDS = 4
QUANTITY = 7
"""What each handler finds in its message and returns."""

F = TypeVar("F", bound=Callable[..., Any])
_counted: dict[CodeType, str] = {}


def handler(function: F) -> F:
    """Mark a function whose calls a duel counts as those of the handler."""
    _counted[function.__code__] = "handler"
    return function


def passing(function: F) -> F:
    """Mark a function whose calls a duel counts as those of a middleware."""
    _counted[function.__code__] = "middleware"
    return function


class Match(NamedTuple):
    """Both sides of a duel, and what each run of either must do."""

    ours: Operation
    theirs: Operation
    result: Any = QUANTITY
    handled: int = 1
    """How often a run calls the handler."""
    passed: int = 0
    """How often it calls a middleware written in Python."""


class WrongWork(Exception):
    """A side of a duel does not do the work, so that its time says nothing."""


def check(match: Match) -> None:
    """Raise WrongWork unless both sides do what the duel is about."""
    for side in ("ours", "theirs"):
        check_side(side, getattr(match, side), match)


def check_side(side: str, operation: Operation, match: Match) -> None:
    """Raise WrongWork unless an operation does what a match expects of its sides."""
    # The first run may compile a pipeline or fill a cache.
    operation.run(2)
    result, calls = _observed(operation)
    if result != match.result:
        raise WrongWork(f"{side}: {result!r} instead of {match.result!r}")
    for kind, expected in (("handler", match.handled), ("middleware", match.passed)):
        if calls[kind] != expected * operation.often:
            raise WrongWork(
                f"{side}: {calls[kind]} x {kind} instead of {expected}, in "
                f"{operation.often}"
            )


def _observed(operation: Operation) -> tuple[Any, Counter[str]]:
    """Run an operation once; return its result and how often it called what."""
    calls: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in _counted:
            calls[_counted[frame.f_code]] += 1

    sys.setprofile(profile)
    try:
        result = operation.once()
    finally:
        sys.setprofile(None)
    return result, calls


class Measured(NamedTuple):
    """How many nanoseconds ours and theirs took in one repeat."""

    ours: float
    theirs: float


class Outcome(NamedTuple):
    """The repeats so far, or why there are none."""

    repeats: tuple[Measured, ...]
    reason: str | None = None

    def __or__(self, other: Outcome) -> Outcome:
        """Return what is known after both; a failure is all that is."""
        for one in (self, other):
            if one.reason is not None:
                return one
        return Outcome(self.repeats + other.repeats)


def measure(match: Match) -> Measured:
    """Let both sides take turns in short rounds; one of the best of each counts."""
    times = [(side, times_of(side, _round_of(side))) for side in match[:2]]
    probes = [partial(side.time, often) for side, often in times]
    found = take_turns(probes, seconds=REPEAT_SECONDS, fewest=LEAST_ROUNDS)
    return Measured(*map(best_of, found))


def _round_of(side: Operation) -> float:
    return LOOP_ROUND_NS if isinstance(side, LoopOperation) else ROUND_NS


def ratio_of(repeats: Sequence[Measured]) -> float:
    """Return theirs over ours."""
    ours, theirs = map(noise.lowest, zip(*repeats, strict=True))
    return theirs / ours


@dataclass(frozen=True)
class Duel:
    """A row: whom we are compared with, and in what.

    Parameters:
        group: the rows of one question.
        feature: what both sides do in it.
        distribution: the name under which the rival is installed; None for code that
            is written by hand here.
        what: the part of the rival that is used.
        make: imports the rival and returns both sides. It runs in a process of its own.
    """

    group: str
    feature: str
    distribution: str | None
    what: str
    make: Callable[[], Match]

    @property
    def subject(self) -> str:
        return self.distribution or "hand-written"

    @property
    def version(self) -> str | None:
        """The installed one; None where there is none."""
        if self.distribution is None:
            return None
        return installed_version(self.distribution)

    @property
    def missing(self) -> str | None:
        """Why the duel cannot begin at all."""
        if self.distribution is not None and self.version is None:
            return ABSENT
        return None

    def checked(self) -> Match:
        """Return both sides, of which it is known that they do the work."""
        match = self.make()
        check(match)
        return match

    def fight(self, patience: float = PATIENCE) -> Outcome:
        """Measure once, in a separate process; a failure becomes a reason."""
        if self.missing is not None:
            return Outcome((), self.missing)
        measured, problem = in_child(lambda: measure(self.checked()), patience)
        if measured is None:
            return Outcome((), problem)
        return Outcome((measured,))

    def record(self, outcome: Outcome) -> dict[str, Any]:
        """Return the row that the report reads."""
        row: dict[str, Any] = {
            "group": self.group,
            "feature": self.feature,
            "subject": self.subject,
            "version": self.version,
            "what": self.what,
            "ratio": None,
            "spread": None,
            "ours_ns": None,
            "theirs_ns": None,
            "reason": outcome.reason,
        }
        if outcome.repeats:
            ours, theirs = map(noise.lowest, zip(*outcome.repeats, strict=True))
            spread = noise.spread_of(outcome.repeats, ratio_of)
            row.update(
                ratio=round(theirs / ours, 3),
                spread=[round(bound, 3) for bound in spread],
                ours_ns=round(ours, 1),
                theirs_ns=round(theirs, 1),
            )
        return row


class Duels(list[Duel]):
    """The rows of one group, in the order in which they are written."""

    def __init__(self, group: str) -> None:
        super().__init__()
        self.group = group

    def against(
        self, distribution: str | None, what: str, *, feature: str
    ) -> Callable[[Callable[[], Match]], Callable[[], Match]]:
        """Add a row; the decorated function returns both sides of it."""

        def add(make: Callable[[], Match]) -> Callable[[], Match]:
            self.append(Duel(self.group, feature, distribution, what, make))
            return make

        return add
