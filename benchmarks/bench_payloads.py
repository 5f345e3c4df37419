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
from cqrs_fast import Command, CommandBus

AGAINST = "hand-written msgspec decode + dict dispatch + encode"
FORMATS = (("json", msgspec.json), ("msgpack", msgspec.msgpack))
ROWS = Table()


def pair(method: str, format: ModuleType) -> Pair:
    payload = format.encode(COMMAND)
    case = Operation(
        f"result = bus.{method}(payload)",
        calls=["create"],
        stages=PROTECTED,
        bus=bus_with(*protecting_stages(), metrics=True),
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


class Ping(Command[int]):
    user: int


class Item(msgspec.Struct):
    sku: str
    count: int
    price: float


class Order(Command[int]):
    customer: str
    email: str
    paid: bool
    items: list[Item]
    note: str = ""


def order_of(size: int, format: ModuleType) -> bytes:
    """Return the payload of an order, of exactly so many bytes: half of them items."""
    one = Item("bolt-0001", 12, 3.75)
    many = size // 2 // len(format.encode(one))
    order = Order("Ada Lovelace", "ada@example.org", True, [one] * many)
    rest = size - len(format.encode(order))
    payload = b""
    while len(payload) != size:  # MessagePack's length of a text has a length, too
        note = "x" * rest
        payload = format.encode(msgspec.structs.replace(order, note=note))
        rest -= len(payload) - size
    return payload


def sized_pair(method: str, format: ModuleType, payload: bytes) -> Pair:
    handlers = dict.fromkeys((Create, Ping, Order), workload.create)
    bus = CommandBus()
    for cls, handler in handlers.items():
        bus.register_handler(cls, handler)
    case = Operation(
        f"result = bus.{method}(payload)", calls=["create"], bus=bus, payload=payload
    )
    baseline = Operation(
        "result = dispatcher.execute(payload)",
        calls=["execute", "create"],
        dispatcher=PayloadDispatcher(handlers, format),
        payload=payload,
    )
    return Pair(case, baseline)


PING = msgspec.json.encode(Ping(1_234_567))
SIZED = (
    ("execute_json", "31 bytes", msgspec.json, PING, 1.2),
    ("execute_json", "281 bytes", msgspec.json, order_of(281, msgspec.json), 1.1),
    ("execute_json", "10 kB", msgspec.json, order_of(10_000, msgspec.json), 1.15),
    ("execute_msgpack", "281 bytes", msgspec.msgpack,
     order_of(281, msgspec.msgpack), 1.25),
)  # fmt: skip

for name, size, module, payload, ceiling in SIZED:
    ROWS.row(f"`{name}`, {size}", against=AGAINST, ceiling=ceiling)(
        functools.partial(sized_pair, name, module, payload)
    )
for name, module in FORMATS:
    ROWS.row(f"`execute_{name}`: {SIX}", against=AGAINST)(
        functools.partial(pair, f"execute_{name}", module)
    )
    ROWS.row(f"`execute_{name}_async`", against=f"{AGAINST}, async")(
        functools.partial(async_pair, f"execute_{name}_async", module)
    )


def test_payloads(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
