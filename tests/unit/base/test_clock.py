"""A clock that is given tells the time of all; nothing spins, ends early or lies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import Add, Ask

import cqrs_fast
from cqrs_fast import (
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    CommandBus,
    Context,
    DeadlineExceededError,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RetryMiddleware,
    SlowCallMiddleware,
    TimeoutMiddleware,
    TokenBucket,
)
from cqrs_fast.base.clock import Clock

SHORT = 0.012


class Counted:
    """A clock that counts how often it is read."""

    def __init__(self) -> None:
        self.readings = 0

    def __call__(self) -> int:
        self.readings += 1
        return time.monotonic_ns()


def command_bus(*middleware: Any, handler: Any = None, **options: Any) -> CommandBus:
    bus = CommandBus(middleware=middleware, clock=Clock(), **options)
    bus.register_handler(Add, handler or (lambda add: add.number))
    return bus


def test_a_plain_clock_is_that_of_the_system() -> None:
    clock = Clock()
    for _ in range(1000):
        before = time.monotonic_ns()
        reading = clock()
        assert before <= reading <= time.monotonic_ns()


def test_the_coarse_clock_is_the_plain_one_for_one_more_release() -> None:
    with pytest.warns(DeprecationWarning, match="is the plain clock now") as told:
        from cqrs_fast import CoarseClock
    assert CoarseClock is Clock
    assert "CoarseClock" not in cqrs_fast.__all__
    assert {warning.filename for warning in told} == {__file__}
    bus = CommandBus(clock=CoarseClock(), middleware=[TimeoutMiddleware(5.0)])
    bus.register_handler(Add, lambda add: 1)
    assert bus.execute(Add()) == 1


def test_what_is_measured_is_measured_exactly(caplog: Any) -> None:
    slow = SlowCallMiddleware(0.000_001)
    bus = command_bus(
        TimeoutMiddleware(5.0),
        slow,
        enable_metrics=True,
        handler=lambda add: sum(range(2000)),
    )
    with caplog.at_level("WARNING", logger="cqrs_fast"):
        for _ in range(20):
            bus.execute(Add())
    total = bus.stats().total
    assert 0 < total.min < total.max < 5.0
    durations = [record.duration_ms for record in caplog.records]
    assert 0 < len(durations) <= 20


def test_a_handler_is_interrupted_at_its_deadline() -> None:
    async def handler(add: Add) -> None:
        await asyncio.sleep(10)

    bus = command_bus(TimeoutMiddleware(SHORT), handler=handler)

    async def main() -> float:
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            await bus.execute_async(Add())
        return time.monotonic() - started

    took = asyncio.run(main())
    assert SHORT <= took < 2


def test_a_sync_handler_asks_what_is_left() -> None:
    def handler(ctx: Context, add: Add) -> float | None:
        return ctx.remaining()

    left = command_bus(TimeoutMiddleware(5.0), handler=handler).execute(Add())
    assert left == pytest.approx(5.0, abs=0.5)


def limited(per_second: int) -> RateLimitingMiddleware:
    return RateLimitingMiddleware(per_second, 1.0, burst=1, max_wait=2.0)


@pytest.mark.alone
def test_a_wait_in_line_looks_a_few_times_at_the_clock_and_never_spins() -> None:
    bus = command_bus(limited(100))
    bus.execute(Add())
    started = time.process_time()
    for _ in range(5):
        bus.execute(Add())
    assert time.process_time() - started < 0.04


@pytest.mark.alone
def test_a_wait_on_a_loop_does_not_spin() -> None:
    async def handler(add: Add) -> int:
        return add.number

    bus = command_bus(limited(100), handler=handler)

    async def main() -> tuple[list[int], int]:
        loop: Any = asyncio.get_running_loop()
        turns = 0
        run_once = loop._run_once

        def counted() -> None:
            nonlocal turns
            turns += 1
            run_once()

        loop._run_once = counted
        found = await asyncio.gather(*[bus.execute_async(Add(n)) for n in range(5)])
        return found, turns

    found, turns = asyncio.run(main())
    assert found == [0, 1, 2, 3, 4]
    assert turns < 100


def test_a_refusal_says_how_long_to_wait_at_least() -> None:
    bus = command_bus(RateLimitingMiddleware(50, 1.0, burst=1))
    bus.execute(Add())
    with pytest.raises(RateLimitExceededError) as refused:
        bus.execute(Add())
    assert refused.value.retry_after is not None
    time.sleep(refused.value.retry_after)
    bus.execute(Add(3))


def test_a_token_bucket_says_how_long_to_wait_at_least() -> None:
    bucket = TokenBucket(100, 1.0, burst=1, clock=Clock())
    assert bucket.retry_after() == 0
    assert bucket.try_acquire()
    time.sleep(bucket.retry_after())
    assert bucket.try_acquire()


def test_an_open_circuit_says_how_long_to_wait_at_least() -> None:
    def handler(add: Add) -> int:
        if add.number == 0:
            raise OSError("down")
        return add.number

    bus = command_bus(CircuitBreakerMiddleware(1, timeout=SHORT), handler=handler)
    with pytest.raises(OSError, match="down"):
        bus.execute(Add(0))
    with pytest.raises(CircuitOpenError) as refused:
        bus.execute(Add(1))
    assert refused.value.retry_after is not None
    time.sleep(refused.value.retry_after)
    assert bus.execute(Add(1)) == 1


def test_a_retry_waits_no_longer_for_it() -> None:
    attempts = 0

    def handler(add: Add) -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise OSError("down")
        return attempts

    retry = RetryMiddleware(3, base_delay=0.001, jitter="none", retry_commands=True)
    assert command_bus(retry, handler=handler).execute(Add()) == 3


@pytest.mark.parametrize(
    "outer", [(), (TimeoutMiddleware(5.0),)], ids=["alone", "timed"]
)
def test_a_cached_answer_expires(outer: tuple[Any, ...]) -> None:
    calls = 0

    def handler(ask: Ask) -> int:
        nonlocal calls
        calls += 1
        return calls

    caching = CachingMiddleware(SHORT)
    bus = QueryBus(middleware=[*outer, caching], clock=Clock())
    bus.register_handler(Ask, handler)
    assert [bus.execute(Ask()) for _ in range(3)] == [1, 1, 1]
    time.sleep(SHORT)
    assert bus.execute(Ask()) == 2
    assert caching.stats().hits == 2


def test_a_line_that_moves_too_slowly_is_left() -> None:
    bulkhead = BulkheadMiddleware(1, max_queue=1, max_wait=SHORT)

    def handler(ctx: Context, add: Add) -> Any:
        if add.number == 0:
            with pytest.raises(Exception, match="1 of 1 concurrent") as refused:
                bus.execute(Add(1))
            return type(refused.value).__name__
        return add.number

    bus = command_bus(bulkhead, handler=handler)
    assert bus.execute(Add(0)) == "BulkheadFullError"


def late_handler(seconds: float) -> Callable[[Any], int]:
    def handler(message: Any) -> int:
        time.sleep(seconds)
        return 1

    return handler


def test_a_late_handler_is_counted() -> None:
    timeout = TimeoutMiddleware(0.001)
    bus = command_bus(timeout, handler=late_handler(0.002))
    assert bus.execute(Add()) == 1
    assert timeout.stats().late_completions == 1


def test_an_answer_from_a_cache_is_never_late_and_costs_one_reading() -> None:
    clock = Counted()
    bus = QueryBus(
        middleware=[TimeoutMiddleware(5.0), CachingMiddleware()], clock=clock
    )
    bus.register_handler(Ask, lambda ask: 1)
    bus.execute(Ask())
    clock.readings = 0
    bus.execute(Ask())
    assert clock.readings == 1


def test_metrics_outside_of_a_cache_time_its_answers() -> None:
    clock = Counted()
    bus = QueryBus(
        middleware=[TimeoutMiddleware(5.0), CachingMiddleware()],
        clock=clock,
        enable_metrics=True,
    )
    bus.register_handler(Ask, lambda ask: 1)
    bus.execute(Ask())
    clock.readings = 0
    bus.execute(Ask())
    assert clock.readings == 2
