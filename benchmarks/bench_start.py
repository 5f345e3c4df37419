"""How long does a service take to start: the import, and a bus with many routes?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Any

from benchmarks import workload
from benchmarks.suite import run
from benchmarks.table import AnyRow, Difference, Table, printed
from cqrs_fast import Command, CommandBus

ROUTES = 1_000
IMPORT = """
import sys, time
started = time.perf_counter_ns()
import {module}
print((time.perf_counter_ns() - started) / 1e6)
"""


def import_ms(module: str) -> float:
    """Return the milliseconds of one import, without the interpreter's own start."""
    (milliseconds,) = printed(IMPORT.format(module=module))
    return float(milliseconds)


@functools.cache
def classes() -> list[type[Command[int]]]:
    return workload.many_classes(ROUTES)


def milliseconds(start: Callable[[], Callable[[Any], Any]]) -> float:
    """Return how long a service needs until all its messages were handled once."""
    commands = [cls(number) for number, cls in enumerate(classes())]
    began = perf_counter_ns()
    execute = start()
    done = [execute(command) for command in commands]
    took = perf_counter_ns() - began
    assert done == [1] * ROUTES
    return took / 1e6


def start_bus(*make: Callable[[], list[Any]], metrics: bool = False) -> Any:
    middleware = [stage for stages in make for stage in stages()]
    bus = CommandBus(middleware=middleware, enable_metrics=metrics)
    for cls in classes():
        bus.register_handler(cls, workload.create)
    return bus.execute


def start_by_hand() -> Any:
    handlers: dict[type, Callable[[Any], Any]] = {}
    for cls in classes():
        handlers[cls] = workload.create
    return workload.Dispatcher(handlers).execute


ROWS = Table(
    [
        Difference(
            "`import cqrs_fast`",
            against="`import msgspec`",
            unit="ms",
            case=partial(import_ms, "cqrs_fast"),
            baseline=partial(import_ms, "msgspec"),
            ceiling=15.0,
        ),
        Difference(
            f"start-up of a bus with {ROUTES:,} routes, each dispatched once",
            against="the same with a dict",
            unit="ms",
            case=partial(milliseconds, start_bus),
            baseline=partial(milliseconds, start_by_hand),
        ),
        Difference(
            f"start-up of a bus with {ROUTES:,} routes, each dispatched once: "
            f"{workload.SIX}",
            against="the same with a dict",
            unit="ms",
            case=partial(
                milliseconds,
                partial(start_bus, workload.protecting_stages, metrics=True),
            ),
            baseline=partial(milliseconds, start_by_hand),
        ),
    ]
)


def test_start(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
