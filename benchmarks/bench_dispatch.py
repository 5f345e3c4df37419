"""What does it cost to reach a handler through a bus that has no middleware?"""

from __future__ import annotations

import random
from typing import Any

from benchmarks.suite import run
from benchmarks.table import Operation, Pair, Row, Table
from benchmarks.workload import (
    COMMAND,
    CONTEXT,
    DISPATCHER,
    MANY,
    ContextDispatcher,
    Create,
    Dispatcher,
    another_create,
    bus_with,
    create,
    create_with_context,
    many_commands,
)
from cqrs_fast import CommandBus

BATCH = 100
HAND_WRITTEN = "hand-written dict dispatch"
WITH_CONTEXT = f"{HAND_WRITTEN}, with a context"
ROWS = Table()


def hand_written() -> Operation:
    return Operation(
        "result = dispatcher.execute(command)",
        calls=["execute", "create"],
        dispatcher=DISPATCHER,
        command=COMMAND,
    )


def bare(**options: Any) -> Operation:
    return Operation(
        "result = bus.execute(command)",
        calls=["create"],
        bus=bus_with(**options),
        command=COMMAND,
    )


@ROWS.row("bare `execute`", against=HAND_WRITTEN, ceiling=0.95)
def _() -> Pair:
    return Pair(bare(), hand_written())


@ROWS.row("bare `execute`, to the direct call", against="direct call")
def _() -> Pair:
    direct = Operation(
        "result = create(command)", calls=["create"], create=create, command=COMMAND
    )
    return Pair(bare(), direct)


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


@ROWS.row("`execute`, handler with a context", against=WITH_CONTEXT)
def _() -> Pair:
    case = Operation(
        "result = bus.execute(command)",
        calls=["create_with_context"],
        bus=bus_with(handler=create_with_context),
        command=COMMAND,
    )
    baseline = Operation(
        "result = dispatcher.execute(command)",
        calls=["execute", "create_with_context"],
        dispatcher=ContextDispatcher({Create: create_with_context}),
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row("`execute(command, ctx)`, handler with a context", against=WITH_CONTEXT)
def _() -> Pair:
    case = Operation(
        "result = bus.execute(command, ctx)",
        calls=["create_with_context"],
        bus=bus_with(handler=create_with_context),
        command=COMMAND,
        ctx=CONTEXT.with_value("tenant", 1),
    )
    baseline = Operation(
        "result = dispatcher.execute(command, ctx)",
        calls=["execute", "create_with_context"],
        dispatcher=ContextDispatcher({Create: create_with_context}),
        command=COMMAND,
        ctx=CONTEXT.with_value("tenant", 1),
    )
    return Pair(case, baseline)


@ROWS.row("`execute_many`, each item", against="bare `execute`", ceiling=0.9)
def _() -> Pair:
    bus = bus_with()
    commands = [COMMAND] * BATCH
    case = Operation(
        "result = bus.execute_many(commands)[-1]",
        calls=["create"] * BATCH,
        per=BATCH,
        bus=bus,
        commands=commands,
    )
    baseline = Operation(
        """
        for command in commands:
            result = bus.execute(command)
        """,
        calls=["create"] * BATCH,
        per=BATCH,
        bus=bus,
        commands=commands,
    )
    return Pair(case, baseline)


@ROWS.row(
    f"{MANY:,} registered messages in random order",
    against=f"{HAND_WRITTEN} of the same",
    ceiling=1.0,
)
def _() -> Pair:
    commands = many_commands()
    handlers = {type(command): another_create() for command in commands}
    bus = CommandBus(initial_capacity=len(commands))
    for message, handler in handlers.items():
        bus.register_handler(message, handler)
    random.Random(1).shuffle(commands)
    case = Operation(
        """
        for command in commands:
            result = bus.execute(command)
        """,
        calls=["create"] * MANY,
        per=MANY,
        bus=bus,
        commands=commands,
    )
    baseline = Operation(
        """
        for command in commands:
            result = dispatcher.execute(command)
        """,
        calls=["execute", "create"] * MANY,
        per=MANY,
        dispatcher=Dispatcher(handlers),
        commands=commands,
    )
    return Pair(case, baseline)


def test_dispatch(benchmark: Any, row: Row, part: str) -> None:
    run(benchmark, row, part)
