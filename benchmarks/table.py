"""The rows of the benchmarks: what is measured, against what, and what it may cost.

A Row compares two statements; its ratio is dimensionless. A Difference compares two
numbers that are measured in their own way. Both hold their contract's ceiling, or None
where there is no such promise. The files `bench_*.py` hold a Table each.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import importlib
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter_ns
from typing import Any, NamedTuple

from cqrs_fast.measuring import ROUND_NS, compiled, times_in_round

PARTS = ("case", "baseline")
OFTEN = 500


def always() -> bool:
    return True


class Operation:
    """A statement to be timed, as its author would write it in a function.

    Parameters:
        statement: sets `result`; awaits in a coroutine that is stepped without an event
            loop, whose own work would only hide the difference.
        calls: the functions of the benchmarks that one run of it calls, in order.
        stages: what its bus has in the route, outermost first.
        per: how many operations one run of it is.
        holds: tells after a run whether that was in the state which its name says,
            where `calls` cannot show it.
        names: the local variables of the statement.
    """

    often = 1
    """How many times a run has the statement."""
    times_itself = False
    """Whether `time` gives the result, instead of the duration of a run."""

    def __init__(
        self,
        statement: str,
        *,
        calls: Iterable[str],
        stages: Iterable[str] = (),
        per: int = 1,
        holds: Callable[[], bool] = always,
        **names: Any,
    ) -> None:
        self.statement = statement
        self.calls = tuple(calls)
        self.stages = tuple(stages)
        self.per = per
        self.holds = holds
        self.names = names
        self.is_async = "await " in statement
        self.loop = compiled(LOOP, statement, names)

    def run(self, times: int) -> Any:
        """Run the statement so many times; return its last `result`."""
        if self.is_async:
            return finish(self.loop(repeat(None, times)))
        return self.loop(repeat(None, times))

    def once(self) -> Any:
        return self.run(1)

    def time(self, times: int) -> float:
        """Return how many nanoseconds one operation took."""
        started = perf_counter_ns()
        self.run(times)
        return (perf_counter_ns() - started) / (times * self.per)


class LoopOperation(Operation):
    """A statement that awaits in a task of a running event loop.

    Parameters:
        kind: the module that makes the loop, "asyncio" or "uvloop".
        often: how many times a run has the statement, so that entering and leaving the
            loop is a small part of it.
    """

    def __init__(
        self,
        statement: str,
        *,
        calls: Iterable[str],
        kind: str = "asyncio",
        often: int = OFTEN,
        per: int = 1,
        **names: Any,
    ) -> None:
        all_calls = tuple(calls) * often
        super().__init__(statement, calls=all_calls, per=per * often, **names)
        self.kind = kind
        self.often = often

    def run(self, times: int) -> Any:
        loop = _event_loop(self.kind)
        return loop.run_until_complete(self.loop(repeat(None, times * self.often)))


@functools.cache
def _event_loop(kind: str) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = importlib.import_module(kind).new_event_loop()
    atexit.register(loop.close)
    return loop


def missing_module(name: str) -> str | None:
    """Return why a row that needs a module cannot run here; None if it can."""
    if importlib.util.find_spec(name) is not None:
        return None
    return f'{name} is not installed: `pip install "cqrs-fast[bench]"`'


class ThreadsOperation(Operation):
    """A statement that several threads run at once, many times in each run.

    Parameters:
        threads: how many; each is started anew for a run.
        times: how often a run has the statement, in all threads together. It must last
            for several of the interpreter's switch intervals.
        each: how many operations the statement is.
    """

    def __init__(
        self, statement: str, *, threads: int, times: int, each: int = 1, **names: Any
    ) -> None:
        super().__init__(statement, per=times * each, **names)
        self.threads = threads
        self.times = times
        self.each = each

    def share(self, times: int) -> int:
        """Return how often each thread has the statement in so many runs."""
        return -(-times * self.times // self.threads)

    def time(self, times: int) -> float:
        started = perf_counter_ns()
        self.run(times)
        took = perf_counter_ns() - started
        # The last one is run to have its result.
        return took / ((self.share(times) * self.threads + 1) * self.each)

    def run(self, times: int) -> Any:
        share = self.share(times)
        threads = [
            threading.Thread(target=self.loop, args=(repeat(None, share),))
            for _ in range(self.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.loop(repeat(None, 1))


class ProcessOperation(Operation):
    """A script that measures itself in a separate process, and so on its own heap.

    It prints the nanoseconds that one operation took, after the result of the last.

    Parameters:
        script: what runs; its first argument is how large it shall be, 1 or `size`.
        arguments: the others.
    """

    times_itself = True

    def __init__(self, script: str, *arguments: str, size: int) -> None:
        super().__init__(script, calls=[])
        self.arguments = arguments
        self.size = size

    def measured(self, size: int) -> tuple[str, float]:
        """Return the result and the nanoseconds of one process."""
        result, nanoseconds = printed(self.statement, str(size), *self.arguments)
        return result, float(nanoseconds)

    def run(self, times: int) -> Any:
        return self.measured(1)[0]

    def time(self, times: int) -> float:
        return self.measured(self.size)[1]


def printed(script: str, *arguments: str) -> list[str]:
    """Return the words that a script prints in a fresh interpreter."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # Installed packages have their byte code, which the first round writes otherwise.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return done.stdout.split()


LOOP = """\
{manner}def function(times, {names}):
    result = None
    for _ in times:
        {statement}
    return result
"""


def times_of(operation: Operation, nanoseconds: float = ROUND_NS) -> int:
    """Return how often an operation runs in about so long."""

    def took(times: int) -> float:
        return operation.time(times) * operation.per * times

    operation.time(1)  # what only the first one does, such as making decoders
    return times_in_round(took, nanoseconds)


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Step a coroutine to its end; return its result."""
    step = coroutine.send
    try:
        while True:
            step(None)
    except StopIteration as stop:
        return stop.value


class Pair(NamedTuple):
    """A case and its baseline.

    With `without`, which is the same thing without what is measured, only the case's
    additional cost counts; it is divided by `several`, how many of it the case has.
    With `baseline_without` only the baseline's additional cost counts, too.
    """

    case: Operation
    baseline: Operation
    without: Operation | None = None
    several: int = 1
    baseline_without: Operation | None = None


@dataclass(frozen=True, eq=False)
class Row:
    name: str
    against: str
    make: Callable[[], Pair]
    ceiling: float | None = None
    ceiling_312: float | None = None
    """From CPython 3.12 on, where it differs."""
    parts: tuple[str, ...] = PARTS
    """Of its pair; "without" and "baseline_without" too where it has them."""
    rounds: int | None = None
    """Fewer than usual, where one takes long."""
    series: str | None = None
    """The curve of which it is a point, if any."""
    x: float | None = None
    """Where on that curve."""
    missing: str | None = None
    """Why it cannot run here; None if it can."""

    unit = "ratio"

    @functools.cached_property
    def pair(self) -> Pair:
        # Made when it is first used: some take a while.
        return self.make()


@dataclass(frozen=True, eq=False)
class Difference:
    name: str
    against: str
    unit: str
    case: Callable[[], float]
    baseline: Callable[[], float]
    ceiling: float | None = None
    ceiling_312: float | None = None
    rounds: int | None = None
    series: str | None = None
    x: float | None = None
    missing: str | None = None

    parts = PARTS


AnyRow = Row | Difference


def ceiling_of(
    row: AnyRow, version: tuple[int, int] = sys.version_info[:2]
) -> float | None:
    """Return what a row may cost on a version of the interpreter."""
    if row.ceiling_312 is not None and version >= (3, 12):
        return row.ceiling_312
    return row.ceiling


class Table(list[AnyRow]):
    """The rows of one file, in the order in which they are written."""

    def row(
        self, name: str, *, against: str, **settings: Any
    ) -> Callable[[Callable[[], Pair]], Callable[[], Pair]]:
        """Add a row; the decorated function makes its case and its baseline.

        The settings are the other fields of a Row.
        """

        def add(make: Callable[[], Pair]) -> Callable[[], Pair]:
            self.append(Row(name, against, make, **settings))
            return make

        return add
