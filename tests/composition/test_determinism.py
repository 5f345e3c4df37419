"""Rows 33 and 34: the same seed tells the same story, and no wall clock is read."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from reliability.parts import (
    MAKERS,
    PIPELINES,
    Get,
    assert_at_rest,
    bus_of,
    message_for,
)
from virtual_time import run_virtual

from cqrs_fast import Context, CQRSError

STORY = """
import random, sys
from contextlib import suppress
from cqrs_fast import *
from cqrs_fast.testing import ManualClock

seed, log = 33, []
clock = ManualClock(100.0, auto_advance=True)
script = random.Random(seed)

class Get(Query[int]):
    number: int
    name: str = "x"

def note(*what):
    log.append((clock(), *map(str, what)))

retry = RetryMiddleware(4, 0.5, jitter="full", seed=seed,
                        on_retry=lambda *seen: note("retry", seen))
breaker = CircuitBreakerMiddleware(3, 5.0, timeout_jitter=0.3, seed=seed,
                                   on_event=lambda *seen: note("breaker", seen))
cache = CachingMiddleware(20.0, max_size=30, ttl_jitter=0.4, seed=seed)
limiter = RateLimitingMiddleware(30, 10.0, key=lambda ctx, get: get.name, max_keys=3)
bus = QueryBus(middleware=[limiter, cache, retry, breaker], clock=clock,
               enable_metrics=True)

@bus.handler
def handle(get: Get) -> int:
    note("runs", get.number)
    if script.random() < 0.5:
        raise ConnectionError
    return get.number

for step in range(3000):
    name = script.choice("abcdefgh")
    try:
        note("answer", bus.execute(Get(script.randrange(60), name)))
    except Exception as error:
        note(type(error).__name__, getattr(error, "retry_after", None))
    clock.advance(script.random())
    if step % 100 == 0:
        note(breaker.get_state(), limiter.remaining_tokens("a"), cache.stats().size)
        for name in {"a", "b", "c"}:
            cache.invalidate(Get(1, name))
print(*log, sep="\\n")
print(bus.stats().total.outcomes)
"""


def told(hash_seed: str) -> bytes:
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", STORY],
        capture_output=True,
        check=True,
        timeout=60,
        env=environment,
    ).stdout


def test_the_same_seed_tells_the_same_story() -> None:
    """Row 33: byte for byte, in two processes that hash strings differently."""
    stories = [told(hash_seed) for hash_seed in ("1", "2")]
    assert stories[0] == stories[1]
    for word in (b"'retry'", b"'breaker'", b"CircuitOpenError", b"'answer'"):
        assert word in stories[0]


# Row 34

# What shows the time of day to people: log lines, and the audit's timestamps.
WITH_DATES = {"logging", "debug", "slow call", "audit"}
TIMELESS = {
    name: names for name, names in PIPELINES.items() if not WITH_DATES & set(names)
}
HOUR = 3600.0


def forbidden(*_: Any) -> float:
    raise AssertionError("the wall clock was read")


@pytest.fixture(params=["raises", "jumps"])
def _wall_clock(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    real, steps = time.time, count()
    jumping = lambda: real() + (HOUR if next(steps) % 2 else -HOUR)  # noqa: E731
    fake = forbidden if request.param == "raises" else jumping
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", fake)
        if request.param == "raises":
            patch.setattr(time, "time_ns", forbidden)
        yield


@pytest.mark.usefixtures("_wall_clock")
@pytest.mark.parametrize("name", TIMELESS)
def test_no_decision_reads_the_wall_clock(name: str) -> None:
    """Row 34: `time.time` raises, or steps by an hour at each reading."""
    names = TIMELESS[name]
    message = message_for(names)

    def body(number: int) -> int:
        if number % 5 == 4:
            raise ConnectionError
        return number

    async def handle(ctx: Context, message: Any) -> int:
        await asyncio.sleep(0.001)
        return body(message.number)

    for handler in (lambda ctx, message: body(message.number), handle):
        bus = bus_of([MAKERS[each]() for each in names], message, handler)

        async def main(bus: Any = bus) -> None:
            for number in (0, 1, 1, 4, 5, 6):
                with suppress(CQRSError, ConnectionError):
                    assert await bus.execute_async(message(number)) in (number, -1)

        run_virtual(main)
        if handler is not handle:
            for number in (0, 1, 1, 4, 5, 6):
                with suppress(CQRSError, ConnectionError):
                    assert bus.execute(message(number)) in (number, -1)
        assert_at_rest(bus)
        assert bus.close(0).drained


def test_the_matrix_holds_what_keeps_time() -> None:
    assert {"rate limiting", "caching", "retry", "timeout"} <= set(TIMELESS)
    assert Get in {message_for(names) for names in TIMELESS.values()}
