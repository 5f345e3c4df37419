"""What `update` adds to a stage counts in the routes that were built before."""

from __future__ import annotations

from typing import Any

import pytest
from both_ways import Way, both_ways

from cqrs_fast import (
    CachingMiddleware,
    CircuitBreakerMiddleware,
    Context,
    DeadlineExceededError,
    Query,
    QueryBus,
)
from cqrs_fast.testing import ManualClock


class Find(Query[int]):
    pass


class Failing(Query[int]):
    fails: bool = False


@both_ways
@pytest.mark.parametrize("name", ["condition", "tags", "key"])
def test_a_slow_callback_of_a_cache_is_seen_by_the_deadline(
    way: Way, name: str
) -> None:
    clock = ManualClock(1.0)
    cache = CachingMiddleware()
    bus = QueryBus(middleware=[cache], clock=clock)
    runs: list[int] = []
    bus.register_handler(Find, way.handler(lambda query: runs.append(1) or 1))

    def slow(query: Any) -> Any:
        clock.advance(2.0)
        return ("a",)

    cache.update(**{name: slow})
    ctx = Context.background(clock=clock).with_timeout(1.0)
    assert isinstance(way.error(bus, Find(), ctx), DeadlineExceededError)
    assert runs == []


@both_ways
def test_a_slow_callback_of_a_breaker_is_seen_by_the_deadline(way: Way) -> None:
    clock = ManualClock(1.0)
    breaker = CircuitBreakerMiddleware(1, 5.0)
    bus = QueryBus(middleware=[breaker], clock=clock)
    runs: list[int] = []

    def handle(query: Failing) -> int:
        runs.append(1)
        if query.fails:
            raise ConnectionError
        return 1

    bus.register_handler(Failing, way.handler(handle))
    breaker.update(on_event=lambda event: clock.advance(2.0))
    way.error(bus, Failing(True))
    clock.advance(10.0)
    runs.clear()
    # The event of the half-open state takes the time that there is.
    ctx = Context.background(clock=clock).with_timeout(1.0)
    assert isinstance(way.error(bus, Failing(), ctx), DeadlineExceededError)
    assert runs == []
