"""A dispatch without middleware has a frame only where it suspends or fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from support import Add, drive, suspend

from cqrs_fast import BusClosedError, CommandBus, Context


def bare(handler: Callable[..., Any]) -> CommandBus:
    bus = CommandBus()
    bus.register_handler(Add, handler)
    return bus


def running(bus: CommandBus) -> list[str]:
    return bus.close(0).still_running


@pytest.mark.parametrize("end", ["return", "raise", "throw", "close", "collect"])
@pytest.mark.parametrize("suspends", [False, True])
def test_a_bare_dispatch_is_in_flight_from_its_first_step_to_its_end(
    end: str, suspends: bool
) -> None:
    seen: list[list[str]] = []

    async def handler(add: Add) -> int:
        seen.append(running(bus))
        if suspends:
            await suspend()
        if end == "raise":
            raise ValueError("mine")
        return 7

    bus = bare(handler)
    dispatch = bus.execute_async(Add())
    if not suspends or end in ("return", "raise"):
        for _ in range(suspends):
            dispatch.send(None)
        expected = ValueError if end == "raise" else StopIteration
        with pytest.raises(expected):
            dispatch.send(None)
    else:
        dispatch.send(None)
        assert len(running(bus)) == 1
        if end == "throw":
            with pytest.raises(KeyError):
                dispatch.throw(KeyError())
        elif end == "close":
            dispatch.close()
        else:
            del dispatch
    assert len(seen[0]) == 1
    assert running(bus) == []


@pytest.mark.parametrize("with_context", [False, True])
def test_a_bare_dispatch_raises_what_a_coroutine_would(with_context: bool) -> None:
    async def handler(add: Add) -> int:
        raise error

    ctx = Context.background() if with_context else None
    error: BaseException = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        drive(bare(handler).execute_async(Add(), ctx))
    assert [entry.name for entry in caught.traceback][-1] == "handler"
    stop = StopIteration(3)

    def stopping(add: Add) -> int:
        raise stop

    with pytest.raises(RuntimeError, match="raised StopIteration") as stopped:
        drive(bare(stopping).execute_async(Add(), ctx))
    assert stopped.value.__cause__ is stop


def test_a_bare_dispatch_keeps_nothing_of_its_message_after_its_end() -> None:
    async def handler(add: Add) -> None:
        return None

    message = Add()
    before = sys.getrefcount(message)
    dispatch = bare(handler).execute_async(message)
    assert sys.getrefcount(message) == before + 1
    drive(dispatch)
    assert sys.getrefcount(message) == before
    with pytest.raises(RuntimeError, match="already awaited"):
        dispatch.send(None)


@pytest.mark.parametrize("close_first", [False, True])
def test_a_closed_bus_rejects_a_bare_dispatch(close_first: bool) -> None:
    called: list[Add] = []
    bus = bare(called.append)
    dispatch = None if close_first else bus.execute_async(Add())
    bus.close(0)
    with pytest.raises(BusClosedError):
        drive(bus.execute_async(Add()) if dispatch is None else dispatch)
    assert not called
