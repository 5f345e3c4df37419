"""How long does a service take to start: the import, and a bus with many routes?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Annotated, Any

from msgspec import Meta

from benchmarks import workload
from benchmarks.suite import run
from benchmarks.table import AnyRow, Difference, Table, printed
from cqrs_fast import Command, CommandBus, handles

ROUTES = 1_000
MANY_ROUTES = 10_000
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


def register_ms(annotated: bool, routes: int, *, together: bool = False) -> float:
    """Return how long it takes to register so many messages with four fields."""
    classes = fielded_classes(annotated, routes)
    composite = composite_of(classes) if together else None
    bus = CommandBus(middleware=workload.protecting_stages(), enable_metrics=True)
    began = perf_counter_ns()
    if together:
        bus.register(composite)
    else:
        for cls in classes:
            bus.register_handler(cls, workload.create)
    took = perf_counter_ns() - began
    assert len(bus.registered_commands()) == routes
    return took / 1e6


@functools.cache
def fielded_classes(annotated: bool, routes: int) -> list[type[Command[int]]]:
    """Return classes with four fields, constrained or as postponed annotations."""
    make: Any = type(Command)
    plain = {"number": "int", "name": "str", "share": "float", "is_last": "bool"}
    limited = {
        "number": Annotated[int, Meta(ge=0)],
        "name": Annotated[str, Meta(max_length=20)],
        "share": Annotated[float, Meta(gt=0)],
        "count": Annotated[int, Meta(lt=1_000)],
    }
    fields = {
        "__annotations__": limited if annotated else plain,
        "__module__": __name__,
        "idempotent": True,
    }
    return [make(f"Field{number}", (Command,), fields) for number in range(routes)]


def composite_of(classes: list[type[Command[int]]]) -> Any:
    """Return an object with a method for each class."""
    methods = {
        f"method_{number}": handles(cls)(lambda self, command: 1)
        for number, cls in enumerate(classes)
    }
    return type("Composite", (), methods)()


def nothing() -> float:
    return 0.0


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
            ceiling_312=20.0,
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
            ceiling=100.0,
        ),
        Difference(
            f"registering {ROUTES:,} messages, four fields each: {workload.SIX}",
            against="nothing",
            unit="ms",
            case=partial(register_ms, False, ROUTES),
            baseline=nothing,
            ceiling=100.0,
        ),
        Difference(
            f"registering {ROUTES:,} messages, four Annotated fields each: "
            f"{workload.SIX}",
            against="nothing",
            unit="ms",
            case=partial(register_ms, True, ROUTES),
            baseline=nothing,
            ceiling=200.0,
        ),
        Difference(
            f"registering {MANY_ROUTES:,} messages together, four fields each: "
            f"{workload.SIX}",
            against="nothing",
            unit="ms",
            case=partial(register_ms, False, MANY_ROUTES, together=True),
            baseline=nothing,
            ceiling=1_000.0,
        ),
    ]
)


def test_start(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
