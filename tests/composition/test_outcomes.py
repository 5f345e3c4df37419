"""Row 31: each outcome of a real pipeline is counted once, and sums are exact."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from msgspec import Meta
from reliability.parts import Get, Put, assert_at_rest, bus_of, quick_switches, seeded
from virtual_time import clock, run_virtual

from cqrs_fast import (
    BulkheadFullError,
    BulkheadMiddleware,
    BusClosedError,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    Command,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    IdempotencyInProgressError,
    IdempotencyMiddleware,
    OverloadedError,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
    ValidationError,
    ValidationMiddleware,
)
from cqrs_fast.testing import ManualClock


class Limited(Command[int]):
    number: Annotated[int, Meta(ge=0)] = 0


def counted(bus: Any) -> dict[str, int]:
    total = bus.stats().total
    assert sum(total.outcomes.values()) == total.count
    assert total.errors == total.outcomes["error"] + total.outcomes["timeout"]
    assert total.rejected == sum(
        count for name, count in total.outcomes.items() if name.startswith("rejected_")
    )
    return {name: count for name, count in total.outcomes.items() if count}


def answer(ctx: Context, message: Any) -> int:
    return 1


def fail(ctx: Context, message: Any) -> int:
    raise ConnectionError


# Each returns a bus whose second call ends in the outcome, the first in another.

Scene = tuple[Any, list[Any], Callable[[], object] | None]


def ok() -> Scene:
    return bus_of([ValidationMiddleware()], Get, answer), [Get(), Get()], None


def error() -> Scene:
    return bus_of([RetryMiddleware(1)], Get, fail), [Get(), Get()], None


def timeout() -> Scene:
    time = ManualClock(100.0)

    def slow(ctx: Context, message: Get) -> int:
        time.advance(message.number)
        return 1

    late = TimeoutMiddleware(5.0, on_late="raise")
    return bus_of([late], Get, slow, clock=time), [Get(0), Get(6)], None


def rejected_rate() -> Scene:
    limiter = RateLimitingMiddleware(1, 60.0)
    return bus_of([limiter], Get, answer), [Get(), Get()], None


def rejected_open() -> Scene:
    breaker = CircuitBreakerMiddleware(1, 60.0)
    return bus_of([breaker], Get, fail), [Get(), Get()], None


def rejected_bulkhead() -> Scene:
    def nested(ctx: Context, message: Get) -> Any:
        if message.number:
            return bus.execute(Get(), Context.background())
        return 1

    bus = bus_of([BulkheadMiddleware(1)], Get, nested)
    # The inner one is rejected, and so the outer one ends with its error.
    return bus, [Get(0), Get(1)], None


def rejected_closed() -> Scene:
    bus = bus_of([], Get, answer)
    return bus, [Get(), Get()], lambda: bus.close(0)


def rejected_other() -> Scene:
    records = IdempotencyMiddleware(max_records=1)
    bus = bus_of([records], Put, answer)
    return bus, [Put(1, "a"), Put(2, "b")], None


def invalid() -> Scene:
    bus = bus_of([ValidationMiddleware()], Limited, answer)
    return bus, [Limited(1), Limited(-1)], None


ANSWERED = {"ok": 1}
SCENES: dict[str, tuple[Callable[[], Scene], type[BaseException] | None, Any]] = {
    "ok": (ok, None, {"ok": 2}),
    "error": (error, ConnectionError, {"error": 2}),
    "timeout": (timeout, DeadlineExceededError, ANSWERED | {"timeout": 1}),
    "rejected_rate": (
        rejected_rate,
        RateLimitExceededError,
        ANSWERED | {"rejected_rate": 1},
    ),
    "rejected_open": (
        rejected_open,
        CircuitOpenError,
        {"error": 1, "rejected_open": 1},
    ),
    "rejected_bulkhead": (
        rejected_bulkhead,
        BulkheadFullError,
        ANSWERED | {"rejected_bulkhead": 2},
    ),
    "rejected_closed": (
        rejected_closed,
        BusClosedError,
        ANSWERED | {"rejected_closed": 1},
    ),
    "rejected_other": (
        rejected_other,
        OverloadedError,
        ANSWERED | {"rejected_other": 1},
    ),
    "invalid": (invalid, ValidationError, ANSWERED | {"invalid": 1}),
}


@pytest.mark.parametrize("run_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", SCENES)
def test_each_outcome_is_counted_under_its_name(name: str, run_async: bool) -> None:
    """Row 31: one dispatch, one outcome, whichever stage decided it."""
    make, expected, counts = SCENES[name]
    bus, messages, between = make()

    def call(message: Any) -> BaseException | None:
        async def main() -> Any:
            return await bus.execute_async(message)

        try:
            result = asyncio.run(main()) if run_async else bus.execute(message)
        except Exception as raised:
            return raised
        assert result == 1
        return None

    call(messages[0])
    if between is not None:
        between()
    raised = call(messages[1])
    assert type(raised) is (expected or type(None))
    assert counted(bus) == counts
    assert_at_rest(bus)


def test_cancellations_of_both_kinds_are_counted_under_one_name() -> None:
    """Row 31: a cancelled task and a cancelled context."""
    bus = bus_of([RetryMiddleware(3), TimeoutMiddleware(60.0)], Get, answer)
    bus.register_handler("Wait", lambda message: asyncio.sleep(60))
    ctx = Context.background().with_cancel()
    ctx.cancel()

    async def main() -> None:
        with pytest.raises(ContextCancelledError):
            await bus.execute_async(Get(), ctx)
        task = asyncio.ensure_future(bus.execute_async(Wait()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    class Wait:
        @staticmethod
        def query_name() -> str:
            return "Wait"

    run_virtual(main)
    assert counted(bus) == {"cancelled": 2}
    assert bus.stats().messages["Get"].outcomes["cancelled"] == 1
    assert bus.stats().messages["Wait"].outcomes["cancelled"] == 1


def test_an_async_timeout_is_counted_once() -> None:
    """Row 31: the handler's cancellation by an expired timeout is a timeout."""

    async def slow(ctx: Context, message: Any) -> None:
        await asyncio.sleep(60)

    bus = bus_of([TimeoutMiddleware(1.0)], Get, slow, clock=clock)

    async def main() -> None:
        with pytest.raises(DeadlineExceededError):
            await bus.execute_async(Get())

    run_virtual(main)
    assert counted(bus) == {"timeout": 1}


def test_a_duplicate_in_progress_is_rejected_other() -> None:
    """Row 31: IdempotencyInProgressError."""

    async def slow(ctx: Context, message: Any) -> int:
        await asyncio.sleep(1)
        return 1

    bus = bus_of([IdempotencyMiddleware(on_duplicate="raise")], Put, slow)

    async def main() -> None:
        first = asyncio.ensure_future(bus.execute_async(Put(1, "a")))
        await asyncio.sleep(0)
        with pytest.raises(IdempotencyInProgressError):
            await bus.execute_async(Put(1, "a"))
        assert await first == 1

    run_virtual(main)
    assert counted(bus) == {"ok": 1, "rejected_other": 1}


def around(ctx: Context, message: Any, next: Any) -> Any:
    return next(ctx, message)


async def around_async(ctx: Context, message: Any, next: Any) -> Any:
    return await next(ctx, message)


@pytest.mark.parametrize("between", [None, around, around_async])
def test_hits_and_retries_are_counted_past_an_around_middleware(between: Any) -> None:
    """Row 31: what lies between the metrics and the stage hides nothing from them."""
    runs: list[int] = []

    def flaky(ctx: Context, message: Get) -> int:
        runs.append(1)
        if len(runs) % 3:
            raise ConnectionError
        return 1

    arounds = [] if between is None else [between]
    time = ManualClock(auto_advance=True)
    middleware = [*arounds, CachingMiddleware(60.0), *arounds, RetryMiddleware(3, 0.1)]
    if between is around:
        middleware[0] = middleware[2] = blocking()
    bus = bus_of(middleware, Get, flaky, clock=time)

    async def main() -> list[Any]:
        return [await bus.execute_async(Get(1)) for _ in range(4)]

    if between is around_async:
        assert asyncio.run(main()) == [1] * 4
    else:
        assert [bus.execute(Get(1)) for _ in range(4)] == [1] * 4
    stats = bus.stats()
    for one in (stats.total, stats.messages["Get"]):
        assert (one.count, one.cache_hits, one.retries) == (4, 3, 2)
    assert counted(bus) == {"ok": 4}


@pytest.mark.parametrize("arounds", [1, 2, 3])
def test_retries_are_counted_past_arounds_in_a_row(arounds: int) -> None:
    runs: list[int] = []

    def flaky(message: Get) -> int:
        runs.append(1)
        if len(runs) < 3:
            raise ConnectionError
        return 1

    retry = RetryMiddleware(3, 0.001)
    bus = bus_of([*[around] * arounds, retry], Get, flaky)
    assert bus.execute(Get(1)) == 1
    assert bus.stats().messages["Get"].retries == 2


def blocking() -> Any:
    from cqrs_fast import middleware

    return middleware(blocking=True)(around)


def test_the_middleware_shows_its_statistics_through_the_bus() -> None:
    """Item 4 of the statistics: snapshots of what keeps state, by kind."""
    cache, limiter = CachingMiddleware(60.0), RateLimitingMiddleware(10, 60.0)
    breaker, bulkhead = CircuitBreakerMiddleware(), BulkheadMiddleware(4)
    bus = bus_of([limiter, cache, breaker, bulkhead], Get, answer)
    bus.execute(Get(1))
    bus.execute(Get(1))
    found = {one.kind: one.stats for one in bus.stats().middleware}
    assert list(found) == [
        type(one).__name__ for one in (limiter, cache, breaker, bulkhead)
    ]
    stats = found["CachingMiddleware"]
    assert (stats.hits, stats.misses, stats.bypasses, stats.size) == (1, 1, 0, 1)
    assert stats == cache.stats()
    assert found["CircuitBreakerMiddleware"] == breaker.snapshot()
    assert all(one is not None for one in found.values())


# Sums under threads


def test_sums_are_exact_when_threads_are_done() -> None:
    """Row 31: 4 threads, every dispatch counted once under what its caller saw."""
    rounds = 20_000
    cancelled = Context.background().with_cancel()
    cancelled.cancel()
    limiter = RateLimitingMiddleware(500, 3600.0)

    class Deny(Command[int]):
        pass

    def handler(ctx: Context, message: Any) -> int:
        if message.number == 1:
            raise ConnectionError
        return 1

    bus = bus_of([ValidationMiddleware(), BulkheadMiddleware(2)], Limited, handler)
    bus.register_handler(Deny, lambda message: 1, middleware=[limiter])
    tallies: list[Counter[str]] = []

    def work(seed: int) -> None:
        random = seeded(seed)
        tally: Counter[str] = Counter()
        for _ in range(rounds):
            pick = random.randrange(5)
            message: Any = Deny() if pick == 4 else Limited(pick - 1)
            ctx = cancelled if random.random() < 0.1 else None
            try:
                bus.execute(message, ctx)
            except ConnectionError:
                tally["error"] += 1
            except Exception as error:
                tally[error.outcome] += 1  # type: ignore[attr-defined]
            else:
                tally["ok"] += 1
        tallies.append(tally)

    with quick_switches():
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen = sum(tallies, Counter[str]())
    assert counted(bus) == dict(seen)
    assert seen["ok"] + seen["error"] > 0
    assert bus.stats().total.count == 4 * rounds
    assert bus.stats().messages["Deny"].outcomes["ok"] == 500
    assert_at_rest(bus)


def test_an_unknown_message_is_counted_under_no_name_of_its_own() -> None:
    """Row 31: names without a handler make no state."""
    bus = QueryBus(enable_metrics=True, middleware=[CircuitBreakerMiddleware()])
    for number in range(50):
        name = f"Nobody{number}"
        message = type(name, (), {"query_name": lambda self, name=name: name})
        with pytest.raises(LookupError):
            bus.execute(message())
    assert list(bus.stats().messages) == ["_unknown"]
    assert bus.stats().messages["_unknown"].count == 50
