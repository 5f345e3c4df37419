"""What does it cost to reach a handler through a bus that has no middleware?"""

from __future__ import annotations

import functools
import random
from typing import Any

from benchmarks.operations import (
    HAND_WRITTEN,
    RAISED,
    direct,
    hand_written,
    raising,
    rejected,
)
from benchmarks.suite import run
from benchmarks.table import AnyRow, Operation, Pair, Table
from benchmarks.workload import (
    COMMAND,
    CONTEXT,
    ContextDispatcher,
    Create,
    Dispatcher,
    another_create,
    bus_with,
    create_with_context,
    many_classes,
)
from cqrs_fast import BusClosedError, CommandBus

FEWEST_SENDS = 1_000
"""In one run; where there are more routes, each is sent one."""
WITH_CONTEXT = f"{HAND_WRITTEN}, with a context"
ROWS = Table()


def bare(**options: Any) -> Operation:
    return Operation(
        "result = bus.execute(command)",
        calls=["create"],
        bus=bus_with(**options),
        command=COMMAND,
    )


@ROWS.row("bare `execute`", against=HAND_WRITTEN, ceiling=0.85, ceiling_312=0.95)
def _() -> Pair:
    return Pair(bare(), hand_written())


@ROWS.row("bare `execute`, to the direct call", against="direct call")
def _() -> Pair:
    return Pair(bare(), direct())


@ROWS.row("`execute`, registered by name", against=HAND_WRITTEN)
def _() -> Pair:
    return Pair(bare(message="Create"), hand_written())


@ROWS.row("`bind`", against=HAND_WRITTEN)
def _() -> Pair:
    case = Operation(
        "result = execute(command)",
        calls=["create"],
        execute=bus_with().bind(Create),
        command=COMMAND,
    )
    return Pair(case, hand_written())


def with_context(call: str, **names: Any) -> Pair:
    """Return that call of a bus and of a dispatcher, whose handler takes a context."""
    handler = create_with_context
    case = Operation(
        f"result = bus.{call}",
        calls=["create_with_context"],
        bus=bus_with(handler=handler),
        command=COMMAND,
        **names,
    )
    baseline = Operation(
        f"result = dispatcher.{call}",
        calls=["execute", "create_with_context"],
        dispatcher=ContextDispatcher({Create: handler}),
        command=COMMAND,
        **names,
    )
    return Pair(case, baseline)


@ROWS.row("`execute`, handler with a context", against=WITH_CONTEXT)
def _() -> Pair:
    return with_context("execute(command)")


@ROWS.row("`execute(command, ctx)`, handler with a context", against=WITH_CONTEXT)
def _() -> Pair:
    return with_context("execute(command, ctx)", ctx=CONTEXT.with_value("tenant", 1))


def registered(routes: int) -> Pair:
    """Return sends to so many handlers in random order, all of them as often."""
    classes = many_classes(routes)
    handlers = {cls: another_create() for cls in classes}
    bus = CommandBus(initial_capacity=routes)
    for message, handler in handlers.items():
        bus.register_handler(message, handler)
    per = max(routes, FEWEST_SENDS)
    commands = [classes[number % routes](number) for number in range(per)]
    random.Random(1).shuffle(commands)
    case = Operation(
        """
        for command in commands:
            result = bus.execute(command)
        """,
        calls=["create"] * per,
        per=per,
        bus=bus,
        commands=commands,
    )
    baseline = Operation(
        """
        for command in commands:
            result = dispatcher.execute(command)
        """,
        calls=["execute", "create"] * per,
        per=per,
        dispatcher=Dispatcher(handlers),
        commands=commands,
    )
    return Pair(case, baseline)


for routes, ceiling in ((1, None), (10, None), (1_000, None), (10_000, 1.0)):
    ROWS.row(
        f"{routes:,} registered message{'s' * (routes > 1)} in random order",
        against=f"{HAND_WRITTEN} of the same",
        ceiling=ceiling,
        series="routes",
        x=float(routes),
    )(functools.partial(registered, routes))


@ROWS.row("a rejected call, closed bus", against=RAISED, ceiling=2.5)
def _() -> Pair:
    bus = bus_with()
    bus.close()
    return Pair(rejected(bus, BusClosedError), raising())


def test_dispatch(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
