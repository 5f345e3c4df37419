"""Rows 14 and 22: whatever is dispatched, nothing grows."""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import Any

import pytest
from reliability.mixed import Mixed, slope
from reliability.parts import Get, assert_at_rest, bus_of, measures_memory, rss_bytes

from cqrs_fast import (
    CachingMiddleware,
    CircuitBreakerMiddleware,
    Context,
    Query,
    RateLimitExceededError,
    RateLimitingMiddleware,
)

MEBIBYTE = 1 << 20


class Opaque(Query[int]):
    """A query that makes no key: one of its fields is no plain value."""

    number: int
    thing: object


def fail(ctx: Context, message: Any) -> int:
    raise ConnectionError


def answer(ctx: Context, message: Any) -> int:
    return 1


THING = object()
SCENES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "failing": (Get, fail, {}),
    "left out by its condition": (Get, answer, {"condition": lambda get: False}),
    "without a key": (lambda number: Opaque(number, THING), answer, {}),
}


@pytest.mark.alone
@measures_memory
@pytest.mark.parametrize("name", SCENES)
def test_keys_that_store_nothing_leave_nothing(name: str) -> None:
    """Row 14: 10^6 distinct keys in all; no flight is left, and < 1 MiB each."""
    make, handler, options = SCENES[name]
    cache = CachingMiddleware(60.0, **options)
    message = Opaque if name == "without a key" else Get
    bus = bus_of([cache], message, handler)

    def many(start: int, stop: int) -> None:
        for number in range(start, stop):
            with suppress(ConnectionError):
                bus.execute(make(number))

    many(0, 20_000)
    gc.collect()
    before = rss_bytes()
    many(20_000, 354_000)
    gc.collect()
    assert rss_bytes() - before < MEBIBYTE
    stats = cache.stats()
    assert stats.size == 0
    assert stats.hits == 0
    assert stats.misses + stats.bypasses == 354_000
    assert_at_rest(bus)


@pytest.mark.alone
@measures_memory
def test_keys_of_a_limiter_are_bounded() -> None:
    """Law 8: 10^5 keys share `max_keys` buckets and one for all the others."""
    limiter = RateLimitingMiddleware(
        1, 3600.0, key=lambda ctx, get: get.number, max_keys=100
    )
    bus = bus_of([limiter], Get, answer)
    refused = 0

    def many(start: int, stop: int) -> None:
        nonlocal refused
        for number in range(start, stop):
            try:
                bus.execute(Get(number))
            except RateLimitExceededError:
                refused += 1

    many(0, 10_000)
    gc.collect()
    before = rss_bytes()
    many(10_000, 100_000)
    assert rss_bytes() - before < MEBIBYTE
    # A bucket that is partly spent is never given up: else churn would reset it.
    assert refused == 100_000 - 101
    assert_at_rest(bus)


@pytest.mark.alone
@measures_memory
def test_unknown_messages_leave_nothing() -> None:
    """Row 14, security rule 5: names without a handler create no state."""
    breaker = CircuitBreakerMiddleware()
    bus = bus_of([breaker], Get, answer)

    class Nobody:
        def __init__(self, number: int) -> None:
            self.number = number

        def query_name(self) -> str:
            return f"Nobody{self.number}"

    def many(start: int, stop: int) -> None:
        for number in range(start, stop):
            with suppress(LookupError):
                bus.execute(Nobody(number))

    many(0, 5_000)
    gc.collect()
    before = rss_bytes()
    many(5_000, 50_000)
    gc.collect()
    assert rss_bytes() - before < MEBIBYTE
    assert_at_rest(bus)


@pytest.mark.alone
@measures_memory
def test_mixed_dispatches_leak_nothing() -> None:
    """Row 22: 10^5 of every outcome; objects, references and memory stay level."""
    mixed = Mixed(22)
    mixed.run(30_000)
    before = mixed.held()
    points = []
    for round_ in range(10):
        mixed.run(10_000)
        gc.collect()
        points.append((round_ * 10_000.0, float(rss_bytes())))
    after = mixed.held()
    # Records and entries of bounded stores differ a little from moment to moment.
    assert after.pop("objects") == pytest.approx(before.pop("objects"), abs=1_000)
    for name, references in before.items():
        assert after[name] == pytest.approx(references, abs=500), name
    assert slope(points) * 100_000 < MEBIBYTE / 2, points
    outcomes = mixed.queries.stats().total.outcomes
    wanted = ("ok", "error", "rejected_rate", "rejected_open", "cancelled")
    assert all(outcomes[name] for name in wanted), outcomes
    assert mixed.commands.stats().total.outcomes["ok"]
    for bus in mixed.buses.values():
        assert_at_rest(bus)
