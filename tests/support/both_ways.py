"""Tests that hold for `execute` and `execute_async` alike: one way to dispatch each.

>>> @both_ways
def test_something(way: Way) -> None:
    bus = way.bus(QueryBus, Ask, lambda ask: ask.number, middleware=[...])
    assert way(bus, Ask(1)) == 1
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from cqrs_fast.testing import ManualClock


class Way:
    """Dispatches with `execute`, or with `execute_async` on a loop of its own."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    def __repr__(self) -> str:
        return "async" if self.is_async else "sync"

    def handler(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Turn `function(message)` or `function(ctx, message)` into a fitting handler.

        The async one suspends before and after, so that others come in between.
        """
        if not self.is_async:
            return function

        async def waited(*args: Any) -> Any:
            await asyncio.sleep(0)
            result = function(*args)
            await asyncio.sleep(0)
            return result

        if len(inspect.signature(function).parameters) == 1:

            async def of_message(message: Any) -> Any:
                return await waited(message)

            return of_message

        async def of_both(ctx: Any, message: Any) -> Any:
            return await waited(ctx, message)

        return of_both

    def bus(
        self, kind: Any, message: Any, function: Callable[..., Any], **options: Any
    ) -> Any:
        """Return a bus with metrics, a clock that stands still, and one handler.

        A wait on that clock advances it: no test sleeps, and none hangs.
        """
        options.setdefault("enable_metrics", True)
        options.setdefault("clock", ManualClock(1000.0, auto_advance=True))
        bus = kind(**options)
        bus.register_handler(message, self.handler(function))
        return bus

    def __call__(self, bus: Any, message: Any, ctx: Any = None) -> Any:
        if not self.is_async:
            return bus.execute(message, ctx)

        async def run() -> Any:
            return await bus.execute_async(message, ctx)

        return asyncio.run(run())

    def error(self, bus: Any, message: Any, ctx: Any = None) -> BaseException:
        """Dispatch what fails, and return its error."""
        try:
            result = self(bus, message, ctx)
        except BaseException as error:
            return error
        raise AssertionError(f"it returned {result!r}")


both_ways = pytest.mark.parametrize("way", [Way(False), Way(True)], ids=repr)
