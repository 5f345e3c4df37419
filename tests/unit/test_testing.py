"""The tools that users test with do what they say."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cqrs_fast import (
    Command,
    CommandBus,
    Context,
    HandlerNotFoundError,
    Middleware,
    Query,
)
from cqrs_fast.testing import (
    ManualClock,
    RecordingCommandBus,
    RecordingQueryBus,
    assert_no_allocation,
    assert_overhead,
    run_middleware,
    run_middleware_async,
)


class Add(Command[int]):
    number: int


class Ask(Query[int]):
    number: int


class Double(Middleware):
    def after(self, call: Any) -> None:
        call.result *= 2


def test_a_recording_bus_answers_and_remembers() -> None:
    bus = RecordingCommandBus()
    bus.returns(Add, 7)
    ctx = Context.background().with_value("who", "ann")
    assert bus.execute(Add(1), ctx) == 7
    assert asyncio.run(bus.execute_async(Add(2))) == 7
    assert bus.messages == [Add(1), Add(2)]
    assert bus.sent(Add) == [Add(1), Add(2)]
    assert bus.calls[0].context.value("who") == "ann"
    assert bus.calls[1].result == 7
    bus.clear()
    assert bus.calls == []


def test_a_recording_bus_fails_as_it_is_told() -> None:
    bus = RecordingQueryBus()
    error = KeyError("gone")
    bus.raises(Ask, error)
    with pytest.raises(KeyError) as raised:
        bus.execute(Ask(1))
    assert raised.value is error
    assert bus.calls[0].error is error


def test_a_recording_bus_refuses_what_it_was_not_prepared_for() -> None:
    with pytest.raises(HandlerNotFoundError, match="Add"):
        RecordingCommandBus().execute(Add(1))


def test_a_recording_bus_runs_real_handlers_and_middleware() -> None:
    bus = RecordingCommandBus(middleware=[Double()])
    bus.register_handler(Add, lambda command: command.number)
    assert bus.execute(Add(3)) == 6
    assert bus.calls[0].result == 6


@pytest.mark.parametrize("message", [Add(3), Ask(3)])
def test_one_middleware_runs_alone(message: Any) -> None:
    def handler(message: Any) -> int:
        return message.number

    assert run_middleware(Double(), message, handler) == 6
    assert asyncio.run(run_middleware_async(Double(), message, handler)) == 6


def test_a_manual_clock_moves_when_it_is_told() -> None:
    clock = ManualClock(5.0)
    assert clock() == 5_000_000_000
    clock.advance(1.5)
    clock.advance(-0.5)
    assert clock() == 6_000_000_000


@pytest.mark.alone
def test_overhead_within_the_limit_passes_and_is_returned() -> None:
    def work() -> int:
        return sum(range(100))

    assert 0.2 < assert_overhead(work, work, at_most=5.0, rounds=10, repeats=3) < 5


@pytest.mark.alone
def test_overhead_over_the_limit_is_an_assertion_with_the_figures() -> None:
    def slow() -> int:
        return sum(range(2000))

    def quick() -> int:
        return sum(range(10))

    with pytest.raises(AssertionError, match=r"times the baseline .* 2\.00 is allowed"):
        assert_overhead(slow, quick, at_most=2.0, rounds=5, repeats=3)


@pytest.mark.alone
def test_a_dispatch_that_allocates_nothing_passes() -> None:
    bus = CommandBus(enable_metrics=True)
    bus.register_handler(Add, lambda command: None)
    command = Add(1)
    assert_no_allocation(lambda: bus.execute(command))


@pytest.mark.alone
def test_what_is_freed_within_the_call_counts() -> None:
    with pytest.raises(AssertionError, match=r"allocated up to \d+ bytes at a time"):
        assert_no_allocation(lambda: len(bytearray(1000)))


@pytest.mark.alone
def test_what_is_kept_is_named_by_its_line() -> None:
    kept: list[bytearray] = []
    with pytest.raises(AssertionError, match=r"test_testing\.py"):
        assert_no_allocation(lambda: kept.append(bytearray(1000)))


@pytest.mark.alone
def test_tracing_ends_with_the_check() -> None:
    import tracemalloc

    started = time.monotonic()
    assert_no_allocation(lambda: None)
    assert not tracemalloc.is_tracing()
    assert time.monotonic() - started < 5
