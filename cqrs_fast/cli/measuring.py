"""Measure dispatches: compiled loops that take turns, with their outcomes counted.

Times drift on a machine that others use. So all cases take turns in short rounds, and
the best round of each counts. This is repeated, so that the repeats of a case lie
apart: a ratio is the median of those of the repeats, and how far these differ tells
how noisy the machine is.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import textwrap
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, cycle, islice, repeat
from time import perf_counter, perf_counter_ns
from types import CodeType, FrameType
from typing import Any

import msgspec

from cqrs_fast.allocations import count_allocations
from cqrs_fast.cli.console import Meter
from cqrs_fast.cli.stepper import Stepper

REPEATS = 5
ROUND_NS = 250_000  # short, so that many rounds see no interruption
WATCHED = 200  # messages whose way is looked at, one by one
WATCH_SECONDS = 0.2  # and no longer than that
COLLECT_SECONDS = 0.5  # after which the garbage of the rounds is collected
LOOP = "<measured>"  # the file of the loops, as tracebacks have it
# A handler's own affair; Ctrl-C is not.
CAUGHT = (Exception, SystemExit, asyncio.CancelledError)
NOISY = 0.15  # a spread over which the times of a case are not to be believed
SHARE = 0.25  # if more of the cases are noisy, so is the machine


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
        errors: the names of the classes of what was raised, and how often.
        told: the text of one error of each class.
        unhandled: of the messages that went well, the share that no handler has
            seen, as where a cache has answered; None where that is not known.
        bests: the nanoseconds of one message in the best round of each repeat.
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
        self.allocated = Allocated(0, 0, 0, 0)
        self._errors: Counter[type[BaseException]] = Counter()
        self._rounds: list[float] = []
        self._passes = 1
        self._stepper = stepper
        self._is_async = "await " in statement
        # As defaults they are local variables of the loop.
        names.update(errors=self._errors, clock=perf_counter_ns, caught=CAUGHT)
        note = "errors[type(error)] += 1"
        self._counting = self._compiled(TIMED, statement, names, note)
        self._uncounted = self._compiled(TIMED, statement, names, "pass")
        self._once = self._compiled(ONCE, statement, names)

    def _compiled(
        self, source: str, statement: str, names: dict[str, Any], note: str = ""
    ) -> Callable[[Any], Any]:
        inner = textwrap.dedent(statement).strip()
        indented = textwrap.indent(inner, " " * 12).lstrip()
        source = source.format(
            manner="async " if self._is_async else "",
            names=", ".join(names),
            statement=indented,
            note=note,
        )
        namespace: dict[str, Any] = {}
        exec(compile(source, LOOP, "exec"), namespace)
        function: Any = namespace["function"]
        function.__defaults__ = tuple(names.values())
        compiled: Callable[[Any], Any] = function
        return compiled

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
        times = self.repeats
        return (max(times) - min(times)) / statistics.median(times)

    def ratios(self, baseline: Case) -> list[float]:
        """Return how many times as long as a baseline it took, in each repeat."""
        pairs = zip(self.repeats, baseline.repeats, strict=True)
        return [mine / theirs for mine, theirs in pairs]

    def run(self, passes: int) -> int:
        """Give it all messages so many times; return how many nanoseconds it took."""
        self.timed += passes * len(self.messages)
        return self._run(self._counting, passes)

    def _run(self, loop: Callable[[Any], Any], passes: int) -> int:
        if len(self.messages) == 1:
            feed: Iterator[Any] = repeat(self.messages[0], passes)
        else:
            feed = chain.from_iterable(repeat(self.messages, passes))
        self.calls += passes * len(self.messages)
        took = loop(feed)
        elapsed: int = self._stepper.run(took) if self._is_async else took
        return elapsed

    def warm_up(self) -> None:
        """Run it until it is warm, and find out how much makes a round."""
        took = self.run(1)
        while took < ROUND_NS / 4:
            self._passes *= 4
            took = min(self.run(self._passes) for _ in range(3))
        self._passes = max(1, round(ROUND_NS * self._passes / took))

    def round(self) -> None:
        """Run it for about the time of a round."""
        took = self.run(self._passes) / (self._passes * len(self.messages))
        self._rounds.append(took)

    def end_repeat(self) -> None:
        """Keep the best round since the last time, and the median."""
        self.bests.append(min(self._rounds))
        self.medians.append(statistics.median(self._rounds))
        self._rounds.clear()

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

    def count_allocations(self) -> None:
        """Find out what one message allocates, by giving it some, and twice as many."""
        count = self._passes * len(self.messages)

        def run(times: int) -> None:
            self._run(self._uncounted, self._passes * times)

        def least(times: int) -> list[int]:
            found = [count_allocations(lambda: run(times)) for _ in range(3)]
            return [min(column) for column in zip(*found, strict=True)]

        with no_collections():
            run(2)
            # What a run needs besides its messages is in both.
            made, size, kept = (
                max(0.0, round((two - one) / count, 2))
                for one, two in zip(least(1), least(2), strict=True)
            )
            kept_size = growth(lambda: run(1)) / count if kept else 0.0
        self.allocated = Allocated(made, size, kept, round(kept_size, 2))


TIMED = """\
{manner}def function(messages, {names}):
    started = clock()
    for message in messages:
        try:
            {statement}
        except caught as error:
            {note}
    return clock() - started
"""

ONCE = """\
{manner}def function(message, {names}):
            {statement}
"""


class Allocated(msgspec.Struct, frozen=True):
    """What one message allocates.

    Attributes:
        blocks: how many times memory was asked for.
        bytes: how much, all together.
        kept_blocks: how many of the blocks were there at the end.
        kept_bytes: what they held.
    """

    blocks: float
    bytes: float
    kept_blocks: float
    kept_bytes: float


def growth(call: Callable[[], object]) -> int:
    """Return by how many bytes the memory grew."""
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()


def measure(cases: Sequence[Case], seconds: float, meter: Meter) -> None:
    """Let all cases take turns for about so many seconds, and then look closer."""
    for number, case in enumerate(cases):
        meter.update(0.1 * number / len(cases), f"warming up: {case.name}")
        case.warm_up()
    start = perf_counter()
    with no_collections():
        for number in range(1, REPEATS + 1):
            until = start + seconds * number / REPEATS
            collected = perf_counter()
            while True:
                for case in cases:
                    case.round()
                now = perf_counter()
                share = min((now - start) / seconds, number / REPEATS)
                meter.update(0.1 + 0.8 * share, f"repeat {number} of {REPEATS}")
                if now >= until:
                    break
                if now >= collected + COLLECT_SECONDS:
                    # What a user's middleware leaves in cycles may be much.
                    gc.collect()
                    collected = perf_counter()
            for case in cases:
                case.end_repeat()
            gc.collect()
    for number, case in enumerate(cases):
        meter.update(0.9 + 0.1 * number / len(cases), f"allocations: {case.name}")
        case.watch()
        case.count_allocations()


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


@contextmanager
def no_collections() -> Iterator[None]:
    """Keep the garbage collector out of it."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def text_of(error: BaseException) -> str:
    """Return an error's text as one line that cannot spoil a terminal."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its text cannot be made)"
    return text if text.isprintable() else ascii(text)
