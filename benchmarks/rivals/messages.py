"""The message and the handlers of the duels, and our own side of them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from benchmarks.rivals.duel import QUANTITY, handler, passing
from benchmarks.table import LoopOperation, Operation
from benchmarks.workload import protecting_stages
from cqrs_fast import Command, CommandBus, Context, Query, QueryBus

NAME = "a bolt"
LONGEST_NAME = 100
PERMITS = 1_000_000_000
"""More than there can be calls: each is let in."""
HOUR = 3_600
TIMEOUT = 30.0
BETWEEN = 3
"""So many middlewares are in the rows of those that only pass a call on."""


class Order(Command[int]):
    name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
    quantity: Annotated[int, Meta(ge=1)]
    idempotent: ClassVar[bool] = True  # else a retry would be left out of its route


class Find(Query[int]):
    name: str
    quantity: int


@dataclasses.dataclass(slots=True)
class PlainOrder:
    """The same fields, for code that is written by hand."""

    name: str
    quantity: int


ORDER = Order(NAME, QUANTITY)
FIND = Find(NAME, QUANTITY)
PLAIN = PlainOrder(NAME, QUANTITY)


@handler
def answer(order: Any) -> int:
    return order.quantity  # type: ignore[no-any-return]


@handler
async def answer_async(order: Any) -> int:
    return order.quantity  # type: ignore[no-any-return]


class Unavailable(Exception):
    """What the service raises whose call is to be tried again."""


class Flaky:
    """A service of which every other call fails."""

    def __init__(self) -> None:
        self.fails = False

    @handler
    def __call__(self, order: Any) -> int:
        self.fails = not self.fails
        if self.fails:
            raise Unavailable
        return order.quantity  # type: ignore[no-any-return]


@passing
def around(ctx: Context, message: Any, next: Any) -> Any:
    return next(ctx, message)


@passing
async def around_async(ctx: Context, message: Any, next: Any) -> Any:
    return await next(ctx, message)


def ours(*middleware: Any, metrics: bool = False) -> Operation:
    """Return a dispatch of the order by this library."""
    bus = CommandBus(middleware=middleware, enable_metrics=metrics)
    bus.register_handler(Order, answer)
    return Operation("result = bus.execute(order)", calls=[], bus=bus, order=ORDER)


def ours_async(*middleware: Any, metrics: bool = False) -> Operation:
    """Return a dispatch of the order that is awaited in a running event loop."""
    bus = CommandBus(middleware=middleware, enable_metrics=metrics)
    bus.register_handler(Order, answer_async)
    return LoopOperation(
        "result = await bus.execute_async(order)", calls=[], bus=bus, order=ORDER
    )


def our_query(*middleware: Any) -> Operation:
    bus = QueryBus(middleware=middleware, enable_metrics=False)
    bus.register_handler(Find, answer)
    return Operation("result = bus.execute(query)", calls=[], bus=bus, query=FIND)


def our_query_async(*middleware: Any) -> Operation:
    bus = QueryBus(middleware=middleware, enable_metrics=False)
    bus.register_handler(Find, answer_async)
    return LoopOperation(
        "result = await bus.execute_async(query)", calls=[], bus=bus, query=FIND
    )


def protections(timeout: bool = True) -> list[Any]:
    """Return what protects a handler beside metrics, outermost first."""
    stages = protecting_stages()
    return stages if timeout else stages[:-1]


def sends(send: Any, message: Any) -> Operation:
    """Return a rival's dispatch: a call of its bound method."""
    return Operation("result = send(message)", calls=[], send=send, message=message)


def sends_async(send: Any, message: Any) -> Operation:
    return LoopOperation(
        "result = await send(message)", calls=[], send=send, message=message
    )
