"""What does dispatching a payload add to decoding and encoding it?"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import msgspec

from benchmarks import workload
from benchmarks.suite import run
from benchmarks.table import AnyRow, Operation, Pair, Table
from benchmarks.workload import (
    COMMAND,
    PROTECTED,
    SIX,
    AsyncPayloadDispatcher,
    Create,
    PayloadDispatcher,
    bus_with,
    protecting_stages,
)

AGAINST = "hand-written msgspec decode + dict dispatch + encode"
FORMATS = (("json", msgspec.json), ("msgpack", msgspec.msgpack))
ROWS = Table()


def pair(method: str, format: ModuleType, *, protected: bool = False) -> Pair:
    payload = format.encode(COMMAND)
    middleware = protecting_stages() if protected else []
    case = Operation(
        f"result = bus.{method}(payload)",
        calls=["create"],
        stages=PROTECTED if protected else (),
        bus=bus_with(*middleware, metrics=protected),
        payload=payload,
    )
    baseline = Operation(
        "result = dispatcher.execute(payload)",
        calls=["execute", "create"],
        dispatcher=PayloadDispatcher({Create: workload.create}, format),
        payload=payload,
    )
    return Pair(case, baseline)


def async_pair(method: str, format: ModuleType) -> Pair:
    payload = format.encode(COMMAND)
    handler = workload.create_async_with_result
    case = Operation(
        f"result = await bus.{method}(payload)",
        calls=["create_async_with_result"],
        bus=bus_with(handler=handler),
        payload=payload,
    )
    baseline = Operation(
        "result = await dispatcher.execute(payload)",
        calls=["execute", "create_async_with_result"],
        dispatcher=AsyncPayloadDispatcher({Create: handler}, format),
        payload=payload,
    )
    return Pair(case, baseline)


for name, module in FORMATS:
    ROWS.row(f"`execute_{name}`", against=AGAINST)(
        functools.partial(pair, f"execute_{name}", module)
    )
    ROWS.row(f"`execute_{name}`: {SIX}", against=AGAINST)(
        functools.partial(pair, f"execute_{name}", module, protected=True)
    )
    ROWS.row(f"`execute_{name}_async`", against=f"{AGAINST}, async")(
        functools.partial(async_pair, f"execute_{name}_async", module)
    )


def test_payloads(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
