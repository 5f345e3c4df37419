"""Measure dispatches: cases alternate, and their outcomes are counted."""

from __future__ import annotations

import asyncio
import statistics
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import chain, cycle, islice, repeat
from time import perf_counter, perf_counter_ns
from types import CodeType, FrameType
from typing import Any, NamedTuple

from cqrs_fast.cli.console import Progress, one_line, text_of
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
WATCHED = 200  # messages that are followed one by one
WATCH_SECONDS = 0.2  # and no longer than that
CAUGHT = (Exception, SystemExit, asyncio.CancelledError)  # a handler's, unlike Ctrl-C
NOISY = 0.15  # a spread over which the times of a case mean nothing
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


class Stepper:
    """Run coroutines on an event loop of its own, which the first one starts."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Any) -> Any:
        """Return its result. Ctrl-C ends it at once, unlike in asyncio.run, which would
        wait for an await that suspends."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)

    def close(self) -> None:
        """Cancel what still runs, and close the loop."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        try:
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=1.0))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


class Allocated(NamedTuple):
    """The bytes that one message allocates: at a time, and for good."""

    peak: float
    kept: float


class Case:
    """One way to handle messages, written as in a function.

    Parameters:
        name: what the table shows.
        statement: handles `message`; one that awaits runs on the event loop.
        messages: all of them are handled in every round.
        stepper: runs the event loop.
        handlers: the code of the handlers; None if their calls cannot be seen.
        names: the other variables of the statement.

    Attributes:
        calls: how many messages it handled.
        timed: how many of them in rounds and warm-up, where errors are counted.
        texts: the text of one error of each class.
        unhandled: of the messages without an error, the share that reached no handler,
            for example because a cache answered; None if unknown.
        bests, medians: the nanoseconds of one message in one of the best rounds, and in
            the median round, of each repeat.
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
        self.texts: dict[str, str] = {}
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
        """How often each class was raised, the most frequent first."""
        return {kind.__name__: count for kind, count in self._errors.most_common()}

    @property
    def failed(self) -> float:
        """The share of the timed messages that raised."""
        return self._errors.total() / self.timed

    @property
    def is_ok(self) -> bool:
        """Whether every message reached a handler without an error, if known."""
        return self.failed == 0 and not self.unhandled

    @property
    def is_mixed(self) -> bool:
        """Whether messages ended in different ways.

        The best round is then the one with most of the fastest.
        """
        return 0 < self.failed < 1 or 0 < (self.unhandled or 0) < 1

    @property
    def repeats(self) -> list[float]:
        """The nanoseconds of one message in each repeat."""
        return self.medians if self.is_mixed else self.bests

    @property
    def ns(self) -> float:
        """The nanoseconds of one message."""
        return (statistics.median if self.is_mixed else min)(self.repeats)

    @property
    def spread(self) -> float:
        """How far the repeats are apart, as a share of their median."""
        return spread_of(self.repeats)

    def ratio(self, baseline: Case) -> Ratio:
        """Return how many times as long as a baseline it took."""
        return ratio_of(self.repeats, baseline.repeats)

    def run(self, passes: int) -> int:
        """Handle all messages so many times; return the nanoseconds."""
        self.timed += passes * len(self.messages)
        elapsed: int = self._run(self._loop, passes)
        return elapsed

    def _run(self, loop: Any, passes: int) -> Any:
        feed = chain.from_iterable(repeat(self.messages, passes))
        if len(self.messages) == 1:  # without the time of the chain
            feed = repeat(self.messages[0], passes)  # type: ignore[assignment]
        self.calls += passes * len(self.messages)
        found = loop(feed)
        return self._stepper.run(found) if self._is_async else found

    def warm_up(self) -> None:
        """Run until it is warm, and find out how many passes make a round."""
        self._passes = times_in_round(self.run)

    def round(self) -> float:
        """Run for about the time of a round; return the nanoseconds of a message."""
        return self.run(self._passes) / (self._passes * len(self.messages))

    def watch(self) -> None:
        """Handle some messages one by one: see which reach a handler, and what raises.

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
            self.texts.setdefault(type(error).__name__, one_line(text_of(error)))
            return False
        return True

    def trace(self) -> None:
        """Find out what a message allocates, compared with a loop over none."""
        count = self._passes * len(self.messages)
        with tracing():
            self._run(self._tracer, self._passes)
            none = least_traced(lambda: self._run(self._tracer, 0))
            some = least_traced(lambda: self._run(self._tracer, self._passes))
        kept = max(0.0, round((some.kept - none.kept) / count, 2))
        # What all messages keep together is not what one of them needs at a time.
        peak = max(0.0, some.peak - none.peak - kept * (count - 1))
        self.allocated = Allocated(peak, kept)


def measure(cases: Sequence[Case], seconds: float, progress: Progress) -> None:
    """Let all cases alternate for about so many seconds, then watch and trace each."""
    for number, case in enumerate(cases):
        progress.update(0.1 * number / len(cases), f"warming up: {case.name}")
        case.warm_up()
    each = seconds / REPEATS
    for number in range(REPEATS):

        def report(elapsed: float, number: int = number) -> None:
            share = (number + min(elapsed / each, 1.0)) / REPEATS
            progress.update(0.1 + 0.8 * share, f"repeat {number + 1} of {REPEATS}")

        probes = [case.round for case in cases]
        found = take_turns(probes, seconds=each, progress=report)
        for case, rounds in zip(cases, found, strict=True):
            case.bests.append(best_of(rounds))
            case.medians.append(statistics.median(rounds))
    for number, case in enumerate(cases):
        progress.update(0.9 + 0.1 * number / len(cases), f"allocations: {case.name}")
        case.watch()
        case.trace()


def noise_of(cases: Sequence[Case]) -> tuple[bool, str]:
    """Return whether the machine was noisy, and one line that says how much.

    It was if many cases took far longer in one repeat than in another; a single one may
    have been interrupted. Mixed outcomes spread on a quiet machine too.
    """
    cases = [case for case in cases if not case.is_mixed] or cases
    noisy = sum(case.spread > NOISY for case in cases)
    worst = max(cases, key=lambda case: case.spread)
    text = (
        f"the repeats of {noisy} of {len(cases)} cases differ by over {NOISY:.0%}, "
        f"those of {worst.name!r} most, by {worst.spread:.0%}"
    )
    if noisy > SHARE * len(cases):
        return True, f"NOISY MACHINE: {text}: end other programs and measure again"
    return False, f"quiet machine: {text}"
