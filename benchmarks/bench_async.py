"""What does `execute_async` add: to a coroutine, on a loop, with many in flight?"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from benchmarks import workload
from benchmarks.operations import (
    AWAITED,
    SUSPENDING,
    awaited,
    awaited_on,
    dispatched,
    dispatched_on,
)
from benchmarks.suite import run
from benchmarks.table import AnyRow, LoopOperation, Operation, Pair, Table
from benchmarks.table import missing_module as missing
from benchmarks.workload import (
    COMMAND,
    PROTECTED,
    SIX,
    AsyncDispatcher,
    Create,
    bus_with,
)

LOOPS = ("asyncio", "uvloop")
IN_FLIGHT = 1_000
ROUNDS = 40
BARE: Any = {"against": AWAITED, "ceiling": 1.7, "ceiling_312": 2.0}
ROWS = Table()


# Inside of a coroutine that runs already


@ROWS.row("bare `execute_async`", **BARE)
def _() -> Pair:
    handler = workload.create_async
    return Pair(dispatched(handler, "create_async"), awaited(handler, "create_async"))


@ROWS.row("bare `execute_async`, with a result", **BARE)
def _() -> Pair:
    handler = workload.create_async_with_result
    name = "create_async_with_result"
    return Pair(dispatched(handler, name), awaited(handler, name))


@ROWS.row("bare `execute_async`, handler suspends once", **BARE)
def _() -> Pair:
    handler = workload.create_after_suspending
    # Both are entered again when the suspension is over.
    calls = SUSPENDING * 2
    return Pair(dispatched(handler, *calls), awaited(handler, *calls))


@ROWS.row(f"{SIX}, async", against=AWAITED, ceiling=2.4, ceiling_312=2.8)
def _() -> Pair:
    handler = workload.create_async
    case = dispatched(
        handler,
        "create_async",
        middleware=workload.protecting_stages(),
        stages=PROTECTED,
    )
    return Pair(case, awaited(handler, "create_async"))


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


# On an event loop


def ready(kind: str) -> Pair:
    handler = workload.create_async
    calls = ("create_async",)
    return Pair(
        dispatched_on(kind, handler, *calls), awaited_on(kind, handler, *calls)
    )


def suspending(kind: str) -> Pair:
    handler = workload.create_after_suspending
    calls = SUSPENDING * 2
    return Pair(
        dispatched_on(kind, handler, *calls), awaited_on(kind, handler, *calls)
    )


def gathered(kind: str, tasks: int, call: str, **names: Any) -> LoopOperation:
    """Return as many tasks that await a call of a suspending handler at once."""
    return LoopOperation(
        f"result, *_ = await gather(*[{call}(command) for _ in range({tasks})])",
        kind=kind,
        often=IN_FLIGHT // tasks,
        calls=SUSPENDING * 2 * tasks,
        per=tasks,
        gather=asyncio.gather,
        command=COMMAND,
        **names,
    )


def in_flight(kind: str, tasks: int, *, protected: bool) -> Pair:
    """Return tasks that dispatch, against as many that await the handler."""
    handler = workload.create_after_suspending
    middleware = workload.protecting_stages() if protected else []
    case = gathered(
        kind,
        tasks,
        "bus.execute_async",
        bus=bus_with(*middleware, handler=handler, metrics=protected),
        stages=PROTECTED if protected else (),
    )
    return Pair(case, gathered(kind, tasks, "handler", handler=handler))


for kind in LOOPS:
    row = functools.partial(ROWS.row, missing=missing(kind))
    row(f"`execute_async` on {kind}, ready handler", against=f"{AWAITED} on {kind}")(
        functools.partial(ready, kind)
    )
    row(
        f"`execute_async` on {kind}, handler suspends once",
        against=f"{AWAITED} on {kind}",
    )(functools.partial(suspending, kind))
    for name, protected in (("bare", False), (SIX, True)):
        row(
            f"{IN_FLIGHT:,} in flight on {kind}, {name}",
            against=f"as many tasks with {AWAITED} on {kind}",
            rounds=ROUNDS,
        )(functools.partial(in_flight, kind, IN_FLIGHT, protected=protected))


def test_async(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
