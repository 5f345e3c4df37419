"""A wait on a ManualClock that nobody advances does not hang a test for ever.

The pages leave the name of the limit open: `ManualClock(patience=5.0)`, seconds of real
time, and RuntimeError as what a wait raises that stood for so long.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import pytest
from both_ways import Way, both_ways
from support import Add, Ask, eventually

from cqrs_fast import (
    BulkheadMiddleware,
    CommandBus,
    ObjectPool,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    RetryPolicy,
    TimeoutMiddleware,
)
from cqrs_fast.testing import ManualClock

PATIENCE = 0.03


def fail(message: Any) -> int:
    raise ConnectionError


def clocked() -> ManualClock:
    return ManualClock(1.0, patience=PATIENCE)


def test_five_seconds_are_the_default_and_it_stands_still() -> None:
    clock = ManualClock()
    assert inspect.signature(ManualClock).parameters["patience"].default == 5.0
    assert clock() == 0
    assert clock.auto_advance is False


@pytest.mark.parametrize("wrong", [0.0, -1.0, "5", float("nan"), None])
def test_the_patience_is_a_positive_number(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="patience"):
        ManualClock(patience=wrong)


def retrying(clock: ManualClock) -> Any:
    bus = QueryBus(middleware=[RetryMiddleware(3, 10.0, jitter="none")], clock=clock)
    return bus, fail, Ask()


def limiting(clock: ManualClock) -> Any:
    limiter = RateLimitingMiddleware(1, 60.0, max_wait=300.0, clock=clock)
    return QueryBus(middleware=[limiter], clock=clock), None, Ask()


@both_ways
@pytest.mark.parametrize("scene", [retrying, limiting])
def test_a_wait_that_nobody_ends_raises_with_its_name(way: Way, scene: Any) -> None:
    clock = clocked()
    bus, handler, message = scene(clock)
    bus.register_handler(Ask, way.handler(handler or (lambda ask: 1)))
    if handler is None:
        way(bus, message)
    error = way.error(bus, message)
    assert isinstance(error, RuntimeError)
    text = str(error)
    assert "Ask" in text
    assert "advance" in text
    assert clock.waiting == 0
    assert bus.close(0).drained


def test_a_line_of_waiters_is_told_whole() -> None:
    """Whoever raises first names all that stand on this clock then."""
    clock = clocked()
    limiter = RateLimitingMiddleware(1, 60.0, max_wait=300.0, clock=clock)
    queries = QueryBus(middleware=[limiter], clock=clock)
    commands = CommandBus(middleware=[limiter], clock=clock)
    queries.register_handler(Ask, lambda ask: 1)
    commands.register_handler(Add, lambda add: 1)
    queries.execute(Ask())

    async def main() -> list[Any]:
        waits = [queries.execute_async(Ask()), commands.execute_async(Add())]
        return await asyncio.gather(*waits, return_exceptions=True)

    errors = asyncio.run(main())
    assert [type(error) for error in errors] == [RuntimeError, RuntimeError]
    assert any("Ask" in str(one) and "Add" in str(one) for one in errors)
    assert limiter.stats().waiting == clock.waiting == 0


def test_a_clock_that_is_advanced_in_time_raises_nothing() -> None:
    clock = ManualClock(1.0, patience=5.0)
    stage = RetryMiddleware(2, 10.0, jitter="none")
    bus = QueryBus(middleware=[stage], clock=clock)
    failures: list[Exception] = [ConnectionError()]

    def handle(ask: Ask) -> int:
        if failures:
            raise failures.pop()
        return 5

    bus.register_handler(Ask, handle)
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(bus.execute(Ask())))
    thread.start()
    eventually(lambda: clock.waiting == 1)
    clock.advance(10.0)
    thread.join(5)
    assert results == [5]


def test_each_advance_begins_the_patience_anew() -> None:
    """What moves is no hang, though this wait goes on."""
    clock = ManualClock(1.0, patience=0.2)
    stage = RetryMiddleware(2, 100.0, max_delay=100.0, jitter="none")
    bus = QueryBus(middleware=[stage], clock=clock)
    bus.register_handler(Ask, fail)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            bus.execute(Ask())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    eventually(lambda: clock.waiting == 1)
    for _ in range(10):
        thread.join(0.03)
        clock.advance(10.0)
    thread.join(5)
    assert [type(error) for error in errors] == [ConnectionError]


def test_a_clock_that_advances_itself_never_waits() -> None:
    clock = ManualClock(auto_advance=True, patience=PATIENCE)
    bus = QueryBus(middleware=[RetryMiddleware(3, 10.0)], clock=clock)
    bus.register_handler(Ask, fail)
    with pytest.raises(ConnectionError):
        bus.execute(Ask())


def test_a_policy_alone_raises_too() -> None:
    policy = RetryPolicy(3, 10.0, jitter="none", clock=clocked())
    with pytest.raises(RuntimeError, match="advance"):
        policy.call(fail, None)


def test_a_cancelled_wait_is_cancelled_not_told() -> None:
    clock = clocked()
    bus = QueryBus(middleware=[RetryMiddleware(3, 10.0, jitter="none")], clock=clock)

    async def handle(ask: Ask) -> int:
        raise ConnectionError

    async def main() -> None:
        task = asyncio.ensure_future(bus.execute_async(Ask()))
        while clock.waiting == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bus.register_handler(Ask, handle)
    asyncio.run(main())
    assert clock.waiting == 0


def test_a_handler_under_a_timeout_is_no_wait_of_the_clock() -> None:
    """A timer that only guards a handler stands as long as the handler takes."""
    clock = clocked()
    bus = QueryBus(middleware=[TimeoutMiddleware(60.0)], clock=clock)

    async def handle(ask: Ask) -> int:
        await asyncio.sleep(PATIENCE + 0.015)
        return 5

    async def main() -> Any:
        return await bus.execute_async(Ask())

    bus.register_handler(Ask, handle)
    assert asyncio.run(main()) == 5


@pytest.mark.parametrize("kind", ["bulkhead", "pool"])
def test_waits_for_others_are_bounded_on_this_clock_too(kind: str) -> None:
    """A slot or an object that nobody returns: its max_wait is on the clock."""
    clock = clocked()
    if kind == "pool":
        pool: Any = ObjectPool(object, 1, max_wait=60.0, clock=clock)
        lent = pool.acquire()
        with pytest.raises(RuntimeError, match="advance"):
            pool.acquire()
        pool.release(lent)
        return
    bulkhead = BulkheadMiddleware(1, max_queue=1, max_wait=60.0)
    bus = QueryBus(middleware=[bulkhead], clock=clock)

    def handle(ask: Ask) -> Any:
        return bus.execute(Ask()) if ask.number else 1

    bus.register_handler(Ask, handle)
    with pytest.raises(RuntimeError, match="Ask"):
        bus.execute(Ask(1))
    assert bulkhead.stats().in_flight == bulkhead.stats().waiting == 0
