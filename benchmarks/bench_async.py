"""What does `execute_async` add inside a coroutine that runs already?"""

from __future__ import annotations

from typing import Any

from benchmarks import workload
from benchmarks.suite import run
from benchmarks.table import Operation, Pair, Row, Table
from benchmarks.workload import COMMAND, AsyncDispatcher, Create, bus_with

AWAITED = "`await handler(command)`"
ROWS = Table()


def dispatched(handler: Any, *calls: str) -> Operation:
    return Operation(
        "result = await bus.execute_async(command)",
        calls=calls,
        bus=bus_with(handler=handler),
        command=COMMAND,
    )


def awaited(handler: Any, *calls: str) -> Operation:
    return Operation(
        "result = await handler(command)", calls=calls, handler=handler, command=COMMAND
    )


@ROWS.row("bare `execute_async`", against=AWAITED, ceiling=1.9)
def _() -> Pair:
    handler = workload.create_async
    return Pair(dispatched(handler, "create_async"), awaited(handler, "create_async"))


@ROWS.row("bare `execute_async`, with a result", against=AWAITED, ceiling=1.9)
def _() -> Pair:
    handler = workload.create_async_with_result
    name = "create_async_with_result"
    return Pair(dispatched(handler, name), awaited(handler, name))


@ROWS.row("bare `execute_async`, handler suspends once", against=AWAITED, ceiling=1.9)
def _() -> Pair:
    handler = workload.create_after_suspending
    # Both are entered again when the suspension is over.
    calls = ("create_after_suspending", "suspend") * 2
    return Pair(dispatched(handler, *calls), awaited(handler, *calls))


@ROWS.row(
    "bare `execute_async`, to a dispatcher", against="hand-written async dict dispatch"
)
def _() -> Pair:
    handler = workload.create_async
    baseline = Operation(
        "result = await dispatcher.execute(command)",
        calls=["execute", "create_async"],
        dispatcher=AsyncDispatcher({Create: handler}),
        command=COMMAND,
    )
    return Pair(dispatched(handler, "create_async"), baseline)


@ROWS.row("`execute_async` of a sync handler", against="bare `execute`")
def _() -> Pair:
    baseline = Operation(
        "result = bus.execute(command)",
        calls=["create"],
        bus=bus_with(),
        command=COMMAND,
    )
    return Pair(dispatched(workload.create, "create"), baseline)


def test_async(benchmark: Any, row: Row, part: str) -> None:
    run(benchmark, row, part)
