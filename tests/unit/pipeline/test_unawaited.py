"""A dispatch that was made and never awaited says so, as a coroutine does."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import tenacity
from starlette.background import BackgroundTask
from support import Add, eventually

from cqrs_fast import CommandBus, Context

SENT: list[int] = []


@pytest.fixture
def bus() -> Iterator[CommandBus]:
    SENT.clear()
    bus = CommandBus()

    async def send(add: Add) -> int:
        SENT.append(add.number)
        return add.number

    bus.register_handler(Add, send)
    yield bus
    gc.collect()


def test_dropped_it_warns_where_it_was_dropped(bus: CommandBus) -> None:
    with pytest.warns(RuntimeWarning) as seen:
        bus.execute_async(Add(1))
    (warning,) = seen
    assert str(warning.message) == "execute_async(Add) was never awaited"
    assert seen[0].filename == __file__
    assert SENT == []


def test_in_a_cycle_it_warns_once_when_it_is_collected(bus: CommandBus) -> None:
    def collect() -> None:
        cycle: list[Any] = [bus.execute_async(Add(1))]
        cycle.append(cycle)
        del cycle
        gc.collect()
        gc.collect()

    with pytest.warns(RuntimeWarning) as seen:
        collect()
    assert len(seen) == 1


@pytest.mark.parametrize("end", ["close", "await", "throw"])
def test_closed_awaited_or_thrown_into_it_does_not_warn(
    bus: CommandBus, end: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dispatch = bus.execute_async(Add(1))
        if end == "close":
            dispatch.close()
        elif end == "throw":
            with pytest.raises(OSError, match="early"):
                dispatch.throw(OSError("early"))
        else:
            asyncio.run(_awaited(dispatch))
        del dispatch
        gc.collect()


async def _awaited(dispatch: Any) -> Any:
    return await dispatch


@pytest.mark.filterwarnings("always::RuntimeWarning")
def test_where_warnings_are_errors_it_is_unraisable(
    bus: CommandBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: told.append(one.exc_value))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bus.execute_async(Add(1))
    (error,) = told
    assert isinstance(error, RuntimeWarning)
    assert str(error) == "execute_async(Add) was never awaited"


@pytest.fixture
def _tracked() -> Iterator[None]:
    depth = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(2)
    yield
    sys.set_coroutine_origin_tracking_depth(depth)


@pytest.mark.usefixtures("_tracked")
def test_where_coroutines_know_their_origin_it_does_too(bus: CommandBus) -> None:
    async def coroutine() -> None:
        pass

    def make() -> Any:
        return coroutine(), bus.execute_async(Add(1))

    coro, dispatch = make()
    assert [call[2] for call in dispatch.cr_origin] == [
        "make",
        "test_where_coroutines_know_their_origin_it_does_too",
    ]
    assert dispatch.cr_origin == coro.cr_origin
    coro.close()
    with pytest.warns(RuntimeWarning) as seen:
        del dispatch
    text = str(seen[0].message)
    assert text.startswith("execute_async(Add) was never awaited\nDispatch created at")
    assert text.rstrip().endswith("return coroutine(), bus.execute_async(Add(1))")


def test_where_nobody_asks_for_origins_there_is_none(bus: CommandBus) -> None:
    dispatch = bus.execute_async(Add(1))
    assert dispatch.cr_origin is None
    dispatch.close()


@pytest.mark.usefixtures("_tracked")
def test_a_reused_frame_forgets_its_origin(bus: CommandBus) -> None:
    bus.execute_async(Add(1)).close()
    sys.set_coroutine_origin_tracking_depth(0)
    dispatch = bus.execute_async(Add(1))
    assert dispatch.cr_origin is None
    dispatch.close()


def test_a_next_that_is_not_awaited_warns(bus: CommandBus) -> None:
    async def forgetful(ctx: Context, add: Add, next: Any) -> int:
        next(ctx, add)
        return 0

    bus.add_middleware(forgetful)
    with pytest.warns(RuntimeWarning, match=r"execute_async\(Add\) was never awaited"):
        assert asyncio.run(_awaited(bus.execute_async(Add(1)))) == 0


@pytest.mark.parametrize(
    "method", ["execute_json_async", "execute_msgpack_async", "execute_many_async"]
)
def test_the_other_async_methods_warn_too(bus: CommandBus, method: str) -> None:
    argument = [Add(1)] if method == "execute_many_async" else b"{}"

    def drop() -> None:
        getattr(bus, method)(argument)
        gc.collect()

    with pytest.warns(RuntimeWarning, match="never awaited"):
        drop()
    assert SENT == []


# Others, who ask whether a callable is a coroutine function


def as_coroutine_function(bus: CommandBus) -> Any:
    """Return the one line that docs/promises.md shows."""

    async def execute(message: Add) -> int:
        return await bus.execute_async(message)

    return execute


def test_a_background_task_of_starlette_warns_or_runs(bus: CommandBus) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(BackgroundTask(bus.execute_async, Add(1))())
        # A worker thread drops it.
        eventually(lambda: seen)
    assert "never awaited" in str(seen[0].message)
    assert SENT == []
    asyncio.run(BackgroundTask(as_coroutine_function(bus), Add(2))())
    assert SENT == [2]


def test_a_retry_of_tenacity_warns_or_runs(bus: CommandBus) -> None:
    retrying = tenacity.retry(stop=tenacity.stop_after_attempt(2))
    with pytest.warns(RuntimeWarning, match="never awaited"):
        retrying(bus.execute_async)(Add(1))
    assert SENT == []
    assert asyncio.run(retrying(as_coroutine_function(bus))(Add(2))) == 2
    assert SENT == [2]


def test_a_task_group_of_anyio_runs_it(bus: CommandBus) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(as_coroutine_function(bus), Add(1))
            group.start_soon(bus.execute_async, Add(2))

    anyio.run(main)
    assert sorted(SENT) == [1, 2]
