"""Questions: one input for many subjects, a number measured on each, and a promise.

A verdict follows from the measured number alone, so that a subject which mends its
fault is shown to hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple, Protocol, TypeVar

from benchmarks.rivals.isolation import (
    ABSENT,
    OURS,
    in_child,
    installed_version,
    pins,
)

PATIENCE = 20.0
"""Seconds after which a subject is taken to hang."""

HOLDS = "holds"
BREAKS = "breaks"
FAILS = "no answer"


class Promise(NamedTuple):
    """What the measured number must be: between `low` and `high`, both included."""

    low: float
    high: float
    unit: str

    def is_kept(self, measured: float) -> bool:
        return self.low <= measured <= self.high

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{_plain(self.low)} {self.unit}"
        if self.low == -math.inf:
            return f"at most {_plain(self.high)} {self.unit}"
        return f"{_plain(self.low)} to {_plain(self.high)} {self.unit}"


def exactly(number: float, unit: str) -> Promise:
    return Promise(number, number, unit)


def at_most(number: float, unit: str) -> Promise:
    return Promise(-math.inf, number, unit)


class Kind(Protocol):
    """One way to use one package."""

    distribution: ClassVar[str]
    what: ClassVar[str]


K = TypeVar("K", bound=Kind)


class Subject(NamedTuple):
    """Who is asked.

    Parameters:
        distribution: the name under which its package is installed.
        what: the part of the package that is used.
        measure: imports the package, gives it the input, returns the number. It runs
            in a process of its own and may do there what it wants.
    """

    distribution: str
    what: str
    measure: Callable[[], float]


@dataclass(frozen=True)
class Question:
    """One input, what it should lead to, and whom to ask."""

    name: str
    text: str
    promise: Promise
    subjects: tuple[Subject, ...]

    @classmethod
    def of(
        cls,
        name: str,
        text: str,
        promise: Promise,
        measure: Callable[[type[K]], float],
        kinds: Iterable[type[K]],
    ) -> Question:
        """Return a question that measures several kinds of one thing alike."""
        subjects = [
            Subject(kind.distribution, kind.what, partial(measure, kind))
            for kind in kinds
        ]
        return cls(name, text, promise, tuple(subjects))

    def answer(self, subject: Subject, patience: float = PATIENCE) -> Answer:
        version = installed_version(subject.distribution)
        if version is None:
            return Answer(self, subject, None, None, ABSENT)
        measured, problem = in_child(lambda: float(subject.measure()), patience)
        if measured is None:
            return Answer(self, subject, version, None, FAILS, problem)
        verdict = HOLDS if self.promise.is_kept(measured) else BREAKS
        return Answer(self, subject, version, measured, verdict)


@dataclass(frozen=True)
class Answer:
    question: Question
    subject: Subject
    version: str | None
    """As it is installed; None if it is not."""
    measured: float | None
    verdict: str
    problem: str = ""
    """Why there is no number."""

    @property
    def is_ours(self) -> bool:
        return self.subject.distribution == OURS

    @property
    def shown(self) -> str:
        """The number, rounded as a person reads it."""
        return "-" if self.measured is None else _plain(self.measured)

    @property
    def note(self) -> str:
        """What is to be known besides the verdict."""
        pinned = pins().get(self.subject.distribution)
        if self.version is not None and pinned not in (None, self.version):
            return "; ".join(filter(None, [self.problem, f"{pinned} is pinned"]))
        return self.problem


def _plain(number: float) -> str:
    return f"{number:.4g}"
