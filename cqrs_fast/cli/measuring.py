"""Measure dispatches: cases that take turns, with their outcomes counted."""

from __future__ import annotations

import asyncio
import statistics
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, cycle, islice, repeat
from time import perf_counter, perf_counter_ns
from types import CodeType, FrameType
from typing import Any, NamedTuple

from cqrs_fast.cli.console import Progress
from cqrs_fast.cli.stepper import Stepper
from cqrs_fast.measuring import (
    Ratio,
    best_of,
    compiled,
    least_traced,
    ratio_of,
    spread_of,
    take_turns,
    times_in_round,
    tracer,
    tracing,
)

REPEATS = 5
WATCHED = 200  # messages whose way is looked at, one by one
WATCH_SECONDS = 0.2  # and no longer than that
# A handler's own affair; Ctrl-C is not.
CAUGHT = (Exception, SystemExit, asyncio.CancelledError)
NOISY = 0.15  # a spread over which the times of a case are not to be believed
SHARE = 0.25  # if more of the cases are noisy, so is the machine

TIMED = """\
{manner}def function(messages, {names}):
    started = clock()
    for message in messages:
        try:
            {statement}
        except caught as error:
            errors[type(error)] += 1
    return clock() - started
"""

ONCE = """\
{manner}def function(message, {names}):
    {statement}
"""


class Allocated(NamedTuple):
    """What one message allocates.

    Attributes:
        peak: how many bytes at a time.
        kept: how many of them were there at the end.
    """

    peak: float
    kept: float


class Case:
    """One way to have messages handled, as one would write it in a function.

    Parameters:
        name: what is shown of it.
        statement: handles `message`; one that awaits is run on the event loop.
        messages: what it is given, all of them in every round.
        stepper: where the event loop is.
        handlers: the code of those that messages may reach, to look how many do.
        names: the other variables of the statement.

    Attributes:
        calls: how many messages it was given.
        timed: how many of them in rounds and before, where errors are counted.
        errors: the classes of what was raised, and how often.
        told: the text of one error of each class.
        unhandled: of the messages that went well, the share that no handler has
            seen, as where a cache has answered; None where that is not known.
        bests: the nanoseconds of one message in one of the best rounds of each repeat.
        medians: the same of the median round.
        allocated: what a message allocates.
    """

    def __init__(
        self,
        name: str,
        statement: str,
        messages: Sequence[Any],
        stepper: Stepper,
        *,
        handlers: frozenset[CodeType] | None = None,
        **names: Any,
    ) -> None:
        self.name = name
        self.messages = messages
        self.handlers = handlers
        self.calls = self.timed = 0
        self.told: dict[str, str] = {}
        self.unhandled: float | None = None
        self.bests: list[float] = []
        self.medians: list[float] = []
        self.allocated = Allocated(0.0, 0.0)
        self._errors: Counter[type[BaseException]] = Counter()
        self._passes = 1
        self._stepper = stepper
        self._is_async = "await " in statement
        names.update(errors=self._errors, clock=perf_counter_ns, caught=CAUGHT)
        self._loop = compiled(TIMED, statement, names)
        self._once = compiled(ONCE, statement, names)
        indented = textwrap.indent(textwrap.dedent(statement).strip(), "    ")
        quietly = f"try:\n{indented}\nexcept caught:\n    pass"
        self._tracer = tracer(quietly, names)

    @property
    def errors(self) -> dict[str, int]:
        """Return what was raised, the most frequent first."""
        return {kind.__name__: count for kind, count in self._errors.most_common()}

    @property
    def failed(self) -> float:
        """Return the share of the timed messages that raised."""
        return self._errors.total() / self.timed

    @property
    def is_mixed(self) -> bool:
        """Tell whether some messages ended in another way than others.

        The best round is then the one with most of those that take least.
        """
        return 0 < self.failed < 1 or 0 < (self.unhandled or 0) < 1

    @property
    def repeats(self) -> list[float]:
        """Return the nanoseconds of one message in each repeat: of the best round, or
        of the median one where outcomes are mixed."""
        return self.medians if self.is_mixed else self.bests

    @property
    def ns(self) -> float:
        """Return the nanoseconds of one message."""
        if self.is_mixed:
            return statistics.median(self.medians)
        return min(self.bests)

    @property
    def spread(self) -> float:
        """Return how far the repeats lie apart, as a share of their median."""
        return spread_of(self.repeats)

    def ratio(self, baseline: Case) -> Ratio:
        """Return how many times as long as a baseline it took."""
        return ratio_of(self.repeats, baseline.repeats)

    def run(self, passes: int) -> int:
        """Give it all messages so many times; return how many nanoseconds it took."""
        self.timed += passes * len(self.messages)
        elapsed: int = self._run(self._loop, passes)
        return elapsed

    def _run(self, loop: Callable[[Any], Any], passes: int) -> Any:
        if len(self.messages) == 1:
            feed: Iterator[Any] = repeat(self.messages[0], passes)
        else:
            feed = chain.from_iterable(repeat(self.messages, passes))
        self.calls += passes * len(self.messages)
        found = loop(feed)
        return self._stepper.run(found) if self._is_async else found

    def warm_up(self) -> None:
        """Run it until it is warm, and find out how much makes a round."""
        self._passes = times_in_round(self.run)

    def round(self) -> float:
        """Run it for about the time of a round; return the nanoseconds of a message."""
        return self.run(self._passes) / (self._passes * len(self.messages))

    def end_repeat(self, rounds: Sequence[float]) -> None:
        """Keep one of the best of the rounds of a repeat, and the median."""
        self.bests.append(best_of(rounds))
        self.medians.append(statistics.median(rounds))

    def watch(self) -> None:
        """Handle some messages one by one: see who reaches a handler and what raises.

        The errors do not count among those of the rounds.
        """
        codes = self.handlers
        if codes is None and not self._errors:
            return
        arrived = False

        def note(frame: FrameType, event: str, _: Any) -> None:
            nonlocal arrived
            if event == "call" and codes and frame.f_code in codes:
                arrived = True

        until = perf_counter() + WATCH_SECONDS
        well = unseen = 0
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            for message in islice(cycle(self.messages), WATCHED):
                arrived = False
                if self._attempt(message):
                    well += 1
                    unseen += not arrived
                if perf_counter() > until:
                    break
        finally:
            sys.setprofile(before)
        if codes is not None and well:
            self.unhandled = unseen / well

    def _attempt(self, message: Any) -> bool:
        self.calls += 1
        try:
            done = self._once(message)
            if self._is_async:
                self._stepper.run(done)
        except CAUGHT as error:
            kind = type(error).__name__
            if kind not in self.told:
                self.told[kind] = text_of(error)
            return False
        return True

    def trace(self) -> None:
        """Find out what a message allocates, beside a loop over no messages."""
        count = self._passes * len(self.messages)
        with tracing():
            self._run(self._tracer, self._passes)
            none = least_traced(lambda: self._run(self._tracer, 0))
            some = least_traced(lambda: self._run(self._tracer, self._passes))
        kept = max(0.0, round((some.kept - none.kept) / count, 2))
        # What piles up over all messages is not what one of them needs at a time.
        peak = max(0.0, some.peak - none.peak - kept * (count - 1))
        self.allocated = Allocated(peak, kept)


def measure(cases: Sequence[Case], seconds: float, progress: Progress) -> None:
    """Let all cases take turns for about so many seconds, and then look closer."""
    for number, case in enumerate(cases):
        progress.update(0.1 * number / len(cases), step("warming up", case))
        case.warm_up()
    each = seconds / REPEATS
    for number in range(REPEATS):

        def told(elapsed: float, number: int = number) -> None:
            share = (number + min(elapsed / each, 1.0)) / REPEATS
            text = f"repeat {number + 1} of {REPEATS}"
            progress.update(0.1 + 0.8 * share, lambda _: text)

        found = take_turns([case.round for case in cases], seconds=each, progress=told)
        for case, rounds in zip(cases, found, strict=True):
            case.end_repeat(rounds)
    for number, case in enumerate(cases):
        progress.update(0.9 + 0.1 * number / len(cases), step("allocations", case))
        case.watch()
        case.trace()


def step(what: str, case: Case) -> Callable[[float], str]:
    return lambda elapsed: f"{what}: {case.name}"


def noise_of(cases: Sequence[Case]) -> str:
    """Say in one line how far the times of this machine are to be believed."""
    told_of = telling(cases)
    noisy = sum(case.spread > NOISY for case in told_of)
    worst = max(told_of, key=lambda case: case.spread)
    told = (
        f"the repeats of {noisy} of {len(told_of)} cases differ by over {NOISY:.0%}, "
        f"those of {worst.name!r} most, by {worst.spread:.0%}"
    )
    if is_noisy(cases):
        return f"NOISY MACHINE: {told}: end what else runs here and measure again"
    return f"quiet machine: {told}"


def is_noisy(cases: Sequence[Case]) -> bool:
    """Tell whether many cases took far longer in one repeat than in another.

    One alone may have been interrupted: that says nothing about the machine.
    """
    told_of = telling(cases)
    return sum(case.spread > NOISY for case in told_of) > SHARE * len(told_of)


def telling(cases: Sequence[Case]) -> Sequence[Case]:
    """Return the cases that tell about the machine.

    Where outcomes are mixed the repeats lie apart on a quiet machine too.
    """
    return [case for case in cases if not case.is_mixed] or cases


def text_of(error: BaseException) -> str:
    """Return an error's text as one line that cannot spoil a terminal."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its text cannot be made)"
    return text if text.isprintable() else ascii(text)
