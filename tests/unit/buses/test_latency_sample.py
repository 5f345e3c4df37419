"""Metrics count every dispatch; with `latency_sample` they time one of so many."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support import Add, drive, suspend

from cqrs_fast import CommandBus, TimeoutMiddleware
from cqrs_fast.base.clock import Clock, ManualClock


class Counted:
    def __init__(self) -> None:
        self.readings = 0

    def __call__(self) -> int:
        self.readings += 1
        return time.monotonic_ns()


def bus_of(handler: Any, sample: int, *middleware: Any, **options: Any) -> CommandBus:
    bus = CommandBus(
        middleware=middleware, enable_metrics=True, latency_sample=sample, **options
    )
    bus.register_handler(Add, handler)
    return bus


@pytest.mark.parametrize(
    ("sample", "dispatches", "timed"),
    [(1, 10, 10), (2, 10, 5), (4, 10, 3), (10, 10, 1), (10, 11, 2), (10**9, 10, 1)],
)
def test_one_of_so_many_is_timed_and_all_are_counted(
    sample: int, dispatches: int, timed: int
) -> None:
    bus = bus_of(lambda add: add.number, sample)
    for _ in range(dispatches):
        bus.execute(Add())
    stats = bus.stats().messages["Add"]
    assert (stats.count, stats.outcomes["ok"]) == (dispatches, dispatches)
    assert stats.timed == timed
    assert stats.in_flight == 0
    assert 0 < stats.min <= stats.p50 <= stats.max
    assert stats.mean == pytest.approx(stats.min, abs=stats.max)


def test_the_others_read_no_clock() -> None:
    clock = Counted()
    bus = bus_of(lambda add: add.number, 100, clock=clock)
    for _ in range(100):
        bus.execute(Add())
    assert clock.readings == 2
    bus.execute(Add())
    assert clock.readings == 4


def test_the_times_are_those_of_the_clock_of_the_bus() -> None:
    clock = ManualClock()
    bus = bus_of(lambda add: clock.advance(add.number), 2, clock=clock)
    for seconds in (1, 100, 3, 100):
        bus.execute(Add(seconds))
    stats = bus.stats().total
    assert (stats.timed, stats.min, stats.max, stats.mean) == (2, 1.0, 3.0, 2.0)


def test_under_a_clock_that_is_given_they_are_timed() -> None:
    bus = bus_of(lambda add: 1, 2, TimeoutMiddleware(5.0), clock=Clock())
    for _ in range(100):
        bus.execute(Add())
    stats = bus.stats().total
    assert stats.timed == 50
    assert stats.min > 0


def test_async_dispatches_and_errors_are_timed_alike() -> None:
    async def handler(add: Add) -> int:
        await suspend()
        if add.number:
            raise OSError("down")
        return 1

    bus = bus_of(handler, 2)
    for number in (0, 1, 1, 0):
        try:
            drive(bus.execute_async(Add(number)))
        except OSError:
            continue
    stats = bus.stats().total
    assert (stats.count, stats.errors, stats.timed) == (4, 2, 2)


@pytest.mark.parametrize("sample", [1, 2])
@pytest.mark.parametrize("readings", [0, 1])
def test_what_the_clock_raises_is_what_is_counted(sample: int, readings: int) -> None:
    left: list[int] = []

    def clock() -> int:
        return left.pop()

    bus = bus_of(lambda add: add.number, sample, clock=clock)
    left[:] = [1] * readings
    with pytest.raises(IndexError):
        bus.execute(Add())
    assert bus.stats().total.in_flight == 0
    assert bus.stats().total.outcomes["error"] == readings
    assert bus.stats().total.count == readings


def test_what_never_reached_a_pipeline_is_not_timed() -> None:
    bus = bus_of(lambda add: 1, 1)
    with pytest.raises(LookupError):
        bus.execute(object())
    assert (bus.stats().total.count, bus.stats().total.timed) == (1, 0)


@pytest.mark.parametrize(
    ("sample", "error", "message"),
    [
        (0, ValueError, "latency_sample must be from 1 to 1000000000, got 0"),
        (-3, ValueError, "latency_sample must be from 1 to 1000000000, got -3"),
        (10**9 + 1, ValueError, "from 1 to 1000000000, got 1000000001"),
        (True, TypeError, "latency_sample must be an int, got True"),
        (1.5, TypeError, "latency_sample must be an int, got 1.5"),
        (None, TypeError, "latency_sample must be an int, got None"),
    ],
)
def test_a_sample_that_makes_no_sense_is_refused(
    sample: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        CommandBus(latency_sample=sample)
    assert str(raised.value).endswith(message)
