"""A half-open circuit: whoever was answered closes it, whoever was not does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from both_ways import Way, both_ways
from domain_cases import raising
from support import TRANSPARENT, Ask, drive

from cqrs_fast import (
    CircuitBreaker,
    CircuitBreakerMiddleware,
    ContextCancelledError,
    QueryBus,
    RateLimitExceededError,
    RejectedError,
    ValidationError,
)
from cqrs_fast.testing import ManualClock


class Driver(Exception):
    pass


each: Any = {"ids": lambda error: type(error).__name__}

IGNORED = [KeyError(), PermissionError(), ValidationError("no"), Driver()]
NOBODY_ANSWERED = [
    RateLimitExceededError(1.0),
    RejectedError(),
    ContextCancelledError(),
    *[halt() for halt in TRANSPARENT if halt is not asyncio.CancelledError],
]


def half_open(way: Way, **settings: Any) -> tuple[Any, Any, list[Any]]:
    """Return a breaker that admits a probe, its bus, and what its handler does next."""
    clock = ManualClock(1.0)
    script: list[Any] = [OSError()]
    breaker = CircuitBreakerMiddleware(1, 30.0, clock=clock, **settings)

    def body(ask: Ask) -> Any:
        act = script.pop(0)
        if isinstance(act, BaseException):
            raise act
        return act

    bus = way.bus(QueryBus, Ask, body, middleware=[breaker], clock=clock)
    way.error(bus, Ask())
    clock.advance(30.0)
    assert breaker.get_state() == "half-open"
    return breaker, bus, script


@both_ways
@pytest.mark.parametrize("error", IGNORED, **each)
def test_an_ignored_error_of_the_handler_closes_a_half_open_circuit(
    way: Way, error: Exception
) -> None:
    breaker, bus, script = half_open(way, ignore=Driver)
    script += [error, 1, 2]
    assert way.error(bus, Ask()) is error
    assert breaker.get_state() == "closed"
    assert [way(bus, Ask()), way(bus, Ask())] == [1, 2]
    assert breaker.snapshot().rejected == 0


@both_ways
def test_it_counts_as_one_of_the_successes_that_are_needed(way: Way) -> None:
    breaker, bus, script = half_open(way, success_threshold=3)
    script += [KeyError(), 1, KeyError()]
    for number, state in enumerate(["half-open", "half-open", "closed"]):
        if number == 1:
            way(bus, Ask())
        else:
            way.error(bus, Ask())
        assert breaker.get_state() == state


@both_ways
@pytest.mark.parametrize("error", NOBODY_ANSWERED, **each)
def test_where_nobody_answered_only_the_permit_comes_back(
    way: Way, error: BaseException
) -> None:
    breaker, bus, script = half_open(way)
    script += [error, OSError()]
    with pytest.raises(type(error)) as caught:
        # asyncio itself would end its loop with some of these.
        drive(bus.execute_async(Ask())) if way.is_async else bus.execute(Ask())
    assert caught.value is error
    assert breaker.get_state() == "half-open"
    assert breaker.snapshot().probes == 0
    way.error(bus, Ask())
    assert breaker.get_state() == "open"


def test_a_cancelled_probe_only_gives_its_permit_back() -> None:
    clock = ManualClock(1.0)
    breaker = CircuitBreakerMiddleware(1, 30.0, clock=clock)
    bus = QueryBus(middleware=[breaker], clock=clock)
    hangs = False

    async def handle(ask: Ask) -> None:
        if hangs:
            await asyncio.Event().wait()
        raise ConnectionError

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await bus.execute_async(Ask())
        clock.advance(30.0)
        nonlocal hangs
        hangs = True
        task = asyncio.ensure_future(bus.execute_async(Ask()))
        await asyncio.sleep(0)
        assert breaker.snapshot().probes == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bus.register_handler(Ask, handle)
    asyncio.run(main())
    assert breaker.get_state() == "half-open"
    assert breaker.snapshot().probes == 0


def test_the_policy_alone_closes_by_an_ignored_error_too() -> None:
    clock = ManualClock(1.0)
    breaker = CircuitBreaker(1, 30.0, ignore=KeyError, clock=clock)
    with pytest.raises(ConnectionError):
        breaker.call(raising(ConnectionError(), []), None)
    clock.advance(30.0)
    with pytest.raises(KeyError):
        breaker.call(raising(KeyError(), []), None)
    assert breaker.state == "closed"
