"""What does a batch save against dispatching its messages one by one?"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks import workload
from benchmarks.operations import SUSPENDING
from benchmarks.suite import run
from benchmarks.table import AnyRow, LoopOperation, Operation, Pair, Table
from benchmarks.workload import COMMAND, PROTECTED, SIX, bus_with, protecting_stages

BATCH = 100
AT_ONCE = 10
OFTEN = 5
ROWS = Table()


def many(bus: Any, stages: Any = ()) -> Pair:
    """Return a batch of a bus, against a loop over the same messages."""
    settings: dict[str, Any] = {
        "calls": ["create"] * BATCH,
        "stages": stages,
        "per": BATCH,
        "bus": bus,
        "commands": [COMMAND] * BATCH,
    }
    case = Operation("result = bus.execute_many(commands)[-1]", **settings)
    baseline = Operation(
        """
        for command in commands:
            result = bus.execute(command)
        """,
        **settings,
    )
    return Pair(case, baseline)


@ROWS.row(
    "`execute_many`, each item", against="bare `execute`", ceiling=0.75, ceiling_312=0.8
)
def _() -> Pair:
    return many(bus_with())


@ROWS.row(f"`execute_many`, each item: {SIX}", against="`execute` of the same")
def _() -> Pair:
    return many(bus_with(*protecting_stages(), metrics=True), PROTECTED)


@ROWS.row(
    "`execute_many_async` in sequence, each item", against="bare `execute_async`"
)
def _() -> Pair:
    settings: dict[str, Any] = {
        "calls": ["create_async"] * BATCH,
        "per": BATCH,
        "bus": bus_with(handler=workload.create_async),
        "commands": [COMMAND] * BATCH,
    }
    case = Operation(
        "result = (await bus.execute_many_async(commands))[-1]", **settings
    )
    baseline = Operation(
        """
        for command in commands:
            result = await bus.execute_async(command)
        """,
        **settings,
    )
    return Pair(case, baseline)


@ROWS.row(
    f"`execute_many_async`, {AT_ONCE} at a time, each item",
    against="`asyncio.gather` of all",
)
def _() -> Pair:
    settings: dict[str, Any] = {
        "calls": SUSPENDING * 2 * BATCH,
        "per": BATCH,
        "often": OFTEN,
        "bus": bus_with(handler=workload.create_after_suspending),
        "commands": [COMMAND] * BATCH,
    }
    case = LoopOperation(
        f"""
        results = await bus.execute_many_async(commands, concurrency={AT_ONCE})
        result = results[-1]
        """,
        **settings,
    )
    baseline = LoopOperation(
        """
        results = await gather(*[bus.execute_async(command) for command in commands])
        result = results[-1]
        """,
        gather=asyncio.gather,
        **settings,
    )
    return Pair(case, baseline)


def test_batch(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
