"""What does dispatching a payload add to decoding and encoding it?"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import msgspec

from benchmarks.suite import run
from benchmarks.table import Operation, Pair, Row, Table
from benchmarks.workload import COMMAND, Create, PayloadDispatcher, bus_with, create

AGAINST = "hand-written msgspec decode + dict dispatch + encode"
ROWS = Table()


def pair(method: str, format: ModuleType) -> Pair:
    payload = format.encode(COMMAND)
    case = Operation(
        f"result = bus.{method}(payload)",
        calls=["create"],
        bus=bus_with(),
        payload=payload,
    )
    baseline = Operation(
        "result = dispatcher.execute(payload)",
        calls=["execute", "create"],
        dispatcher=PayloadDispatcher({Create: create}, format),
        payload=payload,
    )
    return Pair(case, baseline)


@ROWS.row("`execute_json`", against=AGAINST)
def _() -> Pair:
    return pair("execute_json", msgspec.json)


@ROWS.row("`execute_msgpack`", against=AGAINST)
def _() -> Pair:
    return pair("execute_msgpack", msgspec.msgpack)


def test_payloads(benchmark: Any, row: Row, part: str) -> None:
    run(benchmark, row, part)
