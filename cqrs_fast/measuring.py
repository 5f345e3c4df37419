"""Measure code: candidates alternate, and one of the best rounds of each counts.

Times drift on a shared machine, and a disturbance only makes a round longer. So the
candidates alternate in short rounds, and one of the best rounds of each counts. All of
this is repeated. A ratio is the median over the repeats, and the range over the repeats
shows how noisy the machine is.
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
BEST = 20  # one of so many rounds is faster than the round that counts
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
        source: defines `function`. `{statement}` is alone on a line, `{names}` is the
            last parameter, `{manner}` is before `def`: "async " if the statement
            awaits.
        names: the other variables of the statement. Defaults of parameters make them
            local, as in a function.
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
        time: runs it so many times and returns the nanoseconds of all.
    """
    times = 1
    took = time(1)
    if took < nanoseconds:  # else a second call is not worth the time
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
    """Let candidates alternate; return the results of the rounds of each.

    Parameters:
        probes: each runs a round of one candidate.
        rounds: at most so many; None for no limit.
        seconds: no round begins after so many, once there were the `fewest`.
        progress: is called after each round with the seconds since the beginning.

    The garbage collector is disabled. Cycles are collected between rounds.
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
            for probe, results in zip(probes, found, strict=True):
                results.append(probe())
            progress(perf_counter() - began)
    return found


def best_of(rounds: Iterable[float]) -> float:
    """Return the round of a repeat that counts: the best but for a twentieth."""
    ordered = sorted(rounds)
    return ordered[len(ordered) // BEST]


def ratio_of(repeats: Sequence[float], baseline: Sequence[float]) -> Ratio:
    """Return a ratio to a baseline, given the result of each in the same repeats."""
    each = [mine / theirs for mine, theirs in zip(repeats, baseline, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


def spread_of(repeats: Sequence[float]) -> float:
    """Return how far repeats are apart, as a share of their median."""
    return (max(repeats) - min(repeats)) / statistics.median(repeats)


@contextmanager
def no_collections() -> Iterator[None]:
    """Disable the garbage collector for a block."""
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
    """Trace with tracemalloc for a block, without the garbage collector."""
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

    It returns the fields of Traced, or a coroutine that does. A reading takes memory
    too, but not always: Python keeps small integers and spare tuples. After a few
    readings, each replaces the one before, and the last includes its own size.
    """
    reading = {
        "read": tracemalloc.get_traced_memory,
        "reset": tracemalloc.reset_peak,
    }
    return compiled(TRACED, statement, {**names, **reading})


def least_traced(run: Callable[[], tuple[int, int]]) -> Traced:
    """Return the least that a few runs allocate, as tracing itself may allocate.

    Parameters:
        run: calls the result of `tracer`, inside `tracing`.
    """
    found = [run() for _ in range(3)]
    return Traced(min(peak for peak, _ in found), min(kept for _, kept in found))
