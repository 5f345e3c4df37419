"""Dispatches of every outcome through the whole default order, over and over."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reliability.parts import MAKERS, Get, Put, bus_of, default_order, seeded
from support import drive, suspend

from cqrs_fast import (
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    Context,
    CQRSError,
    IdempotencyMiddleware,
    RateLimitingMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
)
from cqrs_fast.testing import ManualClock


class Mixed:
    """Two buses in one time, and calls that end in each way.

    Everything is bounded: cache, records, keys and the breaker's states reach their
    limits early on, so that what still grows later is a leak.
    """

    def __init__(self, seed: int) -> None:
        self.random = seeded(seed)
        self.clock = ManualClock(1000.0, auto_advance=True)
        self.buses = {
            message: bus_of(self.stack(kind), message, self.handle, clock=self.clock)
            for message, kind in ((Get, "query"), (Put, "command"))
        }
        self.queries, self.commands = self.buses[Get], self.buses[Put]
        self.queries.register_handler("Wait", self.wait)
        self.cancelled = Context.background().with_cancel()
        self.cancelled.cancel()
        self.kinds: list[Callable[[int], object]] = [
            lambda n: self.queries.execute(Get(n)),
            lambda n: self.queries.execute(Get(n % 10)),
            lambda n: self.queries.execute(Get(-1 - n)),
            lambda n: self.queries.execute(Get(n), self.cancelled),
            lambda n: self.commands.execute(Put(n, str(n))),
            lambda n: self.commands.execute(Put(n % 10, str(n % 10))),
            lambda n: self.commands.execute(Put(n, "always the same")),
            lambda n: drive(self.queries.execute_async(Get(n))),
            self.cut_short,
            self.drop,
        ]

    def stack(self, kind: str) -> list[Any]:
        made: dict[str, Callable[[], Any]] = {
            **MAKERS,
            "rate limiting": lambda: RateLimitingMiddleware(
                50, 10.0, key=lambda ctx, message: message.number % 500, max_keys=200
            ),
            "caching": lambda: CachingMiddleware(30.0, max_size=200),
            "idempotency": lambda: IdempotencyMiddleware(ttl=0.5, max_records=200),
            "retry": lambda: RetryMiddleware(2, 0.001),
            "circuit breaker": lambda: CircuitBreakerMiddleware(3, 0.05),
            "bulkhead": lambda: BulkheadMiddleware(8),
            "timeout": lambda: TimeoutMiddleware(60.0),
        }
        names = default_order(kind)
        if kind == "query":
            # Its suspending calls are stepped without the event loop it would need.
            names = tuple(name for name in names if name != "timeout")
        return [made[name]() for name in names]

    def handle(self, ctx: Context, message: Any) -> Any:
        if message.number < 0:
            raise ConnectionError
        return [message.number]

    async def wait(self, message: Any) -> None:
        await suspend()

    def cut_short(self, number: int) -> None:
        dispatch = self.queries.execute_async(Wait(number))
        dispatch.send(None)
        dispatch.throw(asyncio.CancelledError())

    def drop(self, number: int) -> None:
        self.queries.execute_async(Wait(number)).send(None)

    def run(self, count: int) -> None:
        """Make `count` dispatches."""
        kinds, random, clock = self.kinds, self.random, self.clock
        for _ in range(count):
            with suppress(CQRSError, ConnectionError, asyncio.CancelledError):
                kinds[int(random.random() * len(kinds))](int(random.random() * 10_000))
            clock.advance(0.002)

    def held(self) -> dict[str, int]:
        """Return the counts that must not grow."""
        gc.collect()
        return {
            "objects": len(gc.get_objects()),
            "Get": sys.getrefcount(Get),
            "Put": sys.getrefcount(Put),
            "Context": sys.getrefcount(Context),
            "queries": sys.getrefcount(self.queries),
            "commands": sys.getrefcount(self.commands),
            "cancelled": sys.getrefcount(self.cancelled),
            "ConnectionError": sys.getrefcount(ConnectionError),
        }


class Wait:
    def __init__(self, number: int) -> None:
        self.number = number

    @staticmethod
    def query_name() -> str:
        return "Wait"


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line that fits best."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)
