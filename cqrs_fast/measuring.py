"""Measure code: candidates take turns, and one of the best rounds of each counts.

Times drift on a machine that others use, and what disturbs a round only ever adds to
it. So candidates take turns in short rounds, and one of the best rounds of each counts.
This is repeated, so that the repeats of a candidate lie apart: a ratio is the median of
those of the repeats, and how far these differ tells how noisy the machine is.
"""

from __future__ import annotations

import gc
import statistics
import textwrap
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from time import perf_counter
from typing import Any, NamedTuple

ROUND_NS = 250_000.0  # short, so that many rounds see no interruption
BEST = 20  # the round counts that one of so many rounds is faster than
COLLECT_SECONDS = 0.5  # after which the garbage of the rounds is collected
LOOP = "<measured>"  # the file of compiled statements, as tracebacks have it


class Ratio(NamedTuple):
    """How many times as long as a baseline: the median of repeats, and their range."""

    value: float
    low: float
    high: float


class Traced(NamedTuple):
    """The bytes that tracemalloc saw.

    Attributes:
        peak: how many more there were at most at any moment.
        kept: how many more there were at the end.
    """

    peak: int
    kept: int


def compiled(source: str, statement: str, names: Mapping[str, Any]) -> Any:
    """Return the function that `source` defines around a statement.

    Parameters:
        source: defines `function`. `{statement}` stands alone on a line, `{names}` last
            among the parameters, `{manner}` in front of `def`: "async " where the
            statement awaits.
        names: the other variables of the statement. As defaults of parameters they are
            local ones, as where somebody writes the statement in a function.
    """
    (line,) = [line for line in source.splitlines() if "{statement}" in line]
    indented = textwrap.indent(
        textwrap.dedent(statement).strip(), line[: line.index("{")]
    )
    namespace: dict[str, Any] = {}
    text = source.format(
        manner="async " if "await " in statement else "",
        names=", ".join(names),
        statement=indented.lstrip(),
    )
    exec(compile(text, LOOP, "exec"), namespace)
    function = namespace["function"]
    function.__defaults__ = tuple(names.values())
    return function


def times_in_round(time: Callable[[int], float], nanoseconds: float = ROUND_NS) -> int:
    """Return how many times something runs in a round of about so many nanoseconds.

    Parameters:
        time: runs it so many times; returns the nanoseconds of them all.
    """
    times = 1
    took = time(1)
    if took < nanoseconds:  # else no second look is worth the time
        took = min(time(1), time(1))
    while took < nanoseconds / 4:
        times *= 4
        took = min(time(times) for _ in range(3))
    return max(1, round(times * nanoseconds / took))


def take_turns(
    probes: Sequence[Callable[[], float]],
    *,
    rounds: int | None = None,
    seconds: float | None = None,
    fewest: int = 1,
    progress: Callable[[float], None] = lambda elapsed: None,
) -> list[list[float]]:
    """Let candidates take turns; return what each of them said of each round.

    Parameters:
        probes: each runs a round of one candidate.
        rounds: at most so many; None for no limit but that of time.
        seconds: after which no round begins, once there were the `fewest`.
        progress: is told the seconds since the beginning, after each round.

    The garbage collector is off meanwhile. What rounds leave behind in cycles is
    collected between rounds.
    """
    found: list[list[float]] = [[] for _ in probes]
    with no_collections():
        began = collected = perf_counter()
        for number in count() if rounds is None else range(rounds):
            now = perf_counter()
            if seconds is not None and number >= fewest and now - began >= seconds:
                break
            if now >= collected + COLLECT_SECONDS:
                gc.collect()
                collected = now
            for probe, told in zip(probes, found, strict=True):
                told.append(probe())
            progress(perf_counter() - began)
    return found


def best_of(rounds: Iterable[float]) -> float:
    """Return what the rounds of one repeat tell: the best, but for a twentieth."""
    ordered = sorted(rounds)
    return ordered[len(ordered) // BEST]


def ratio_of(repeats: Sequence[float], baseline: Sequence[float]) -> Ratio:
    """Return a ratio to a baseline, given the result of each in the same repeats."""
    each = [mine / theirs for mine, theirs in zip(repeats, baseline, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


def spread_of(repeats: Sequence[float]) -> float:
    """Return how far repeats lie apart, as a share of their median."""
    return (max(repeats) - min(repeats)) / statistics.median(repeats)


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


@contextmanager
def tracing(frames: int = 1) -> Iterator[None]:
    """Let tracemalloc look on, without the garbage collector."""
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start(frames)
    try:
        with no_collections():
            yield
    finally:
        if not was_tracing:
            tracemalloc.stop()


TRACED = """\
{manner}def function(feed, {names}):
    start = read()
    start = read()
    start = read()
    reset()
    for message in feed:
        {statement}
    now, peak = read()
    return peak - start[0], now - start[0]
"""


def tracer(statement: str, names: Mapping[str, Any]) -> Any:
    """Return a function that runs a statement for each `message` of an iterable.

    It returns, or the coroutine that it returns results in, the fields of Traced. What
    is read takes memory too, but not always: Python has the integers up to 256 ready,
    and spare tuples. Read a few times, each takes the place of the one before, and the
    last tells the size with itself included.
    """
    reading = {
        "read": tracemalloc.get_traced_memory,
        "reset": tracemalloc.reset_peak,
    }
    return compiled(TRACED, statement, {**names, **reading})


def least_traced(run: Callable[[], tuple[int, int]]) -> Traced:
    """Return the least of what a few runs allocate: tracing sets up things of its own.

    Parameters:
        run: calls what `tracer` has made. `tracing` must be in effect.
    """
    found = [run() for _ in range(3)]
    return Traced(min(peak for peak, _ in found), min(kept for _, kept in found))
