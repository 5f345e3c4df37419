"""The awaitable of execute_async behaves as a coroutine does, however it ends."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from support import Add, Trace, drive, run_script, suspend

from cqrs_fast import CommandBus, Context, Middleware

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _clear_log() -> None:
    LOG.clear()


def make_bus(
    handler: Callable[..., Any], *middleware: Any, **options: Any
) -> CommandBus:
    bus = CommandBus(middleware=[Trace("A", LOG), *middleware], enable_metrics=True)
    bus.register_handler(Add, handler, **options)
    return bus


def idle(bus: CommandBus) -> bool:
    """Tell whether nothing is counted as in flight, by the gate and the metrics."""
    return bus.close(0).drained and bus.stats().total.in_flight == 0


async def sleepy(ctx: Context, add: Add) -> Any:
    """Suspend as often as the message says."""
    for _ in range(add.number):
        await suspend()
    return add.number


# The protocol of a coroutine


def test_send_gives_what_the_handler_yields() -> None:
    async def handler(add: Add) -> Any:
        return [await suspend("first"), await suspend("second")]

    dispatch = make_bus(handler).execute_async(Add())
    assert dispatch.send(None) == "first"
    assert dispatch.send(1) == "second"
    with pytest.raises(StopIteration) as stop:
        dispatch.send(2)
    assert stop.value.value == [1, 2]


def test_throw_raises_in_the_handler_and_may_be_survived() -> None:
    async def handler(add: Add) -> Any:
        try:
            await suspend("first")
        except KeyError:
            return await suspend("second")

    dispatch = make_bus(handler).execute_async(Add())
    assert dispatch.send(None) == "first"
    assert dispatch.throw(KeyError("in")) == "second"
    with pytest.raises(StopIteration) as stop:
        dispatch.send(5)
    assert stop.value.value == 5
    assert LOG == ["A>", "<A"]


def test_throw_may_end_it_with_a_result() -> None:
    async def handler(add: Add) -> Any:
        try:
            await suspend()
        except KeyError:
            return "survived"

    dispatch = make_bus(handler).execute_async(Add())
    dispatch.send(None)
    with pytest.raises(StopIteration) as stop:
        dispatch.throw(KeyError)
    assert stop.value.value == "survived"


def test_throw_passes_the_same_object_out() -> None:
    error = KeyError("same")
    bus = make_bus(sleepy)
    dispatch = bus.execute_async(Add(1))
    dispatch.send(None)
    with pytest.raises(KeyError) as caught:
        dispatch.throw(error)
    assert caught.value is error
    assert LOG == ["A>", "!A"]
    assert idle(bus)


def test_close_runs_the_way_out_once() -> None:
    bus = make_bus(sleepy)
    dispatch = bus.execute_async(Add(1))
    dispatch.send(None)
    dispatch.close()
    dispatch.close()
    assert LOG == ["A>", "!A"]
    assert idle(bus)


@pytest.mark.parametrize("end", ["close", "throw"])
def test_ended_before_its_start_nothing_has_happened(end: str) -> None:
    bus = make_bus(sleepy)
    dispatch = bus.execute_async(Add(1))
    if end == "close":
        dispatch.close()
    else:
        with pytest.raises(KeyError):
            dispatch.throw(KeyError("early"))
    with pytest.raises(RuntimeError, match="already awaited"):
        dispatch.send(None)
    assert LOG == []
    assert bus.stats().total.count == 0


def test_a_first_value_is_refused_as_by_a_coroutine() -> None:
    dispatch = make_bus(sleepy).execute_async(Add(0))
    with pytest.raises(TypeError):
        dispatch.send(1)
    assert drive(dispatch) == 0


def test_a_second_await_is_an_error() -> None:
    async def main() -> None:
        dispatch = make_bus(sleepy).execute_async(Add(0))
        assert await dispatch == 0
        with pytest.raises(RuntimeError, match="already awaited"):
            await dispatch

    asyncio.run(main())
    assert LOG == ["A>", "<A"]


def test_stepping_itself_is_an_error() -> None:
    async def handler(add: Add) -> None:
        with pytest.raises(ValueError, match="already executing"):
            dispatch.send(None)
        with pytest.raises(ValueError, match="already executing"):
            dispatch.close()
        await suspend()

    dispatch = make_bus(handler).execute_async(Add())
    assert drive(dispatch) is None


def test_a_handler_that_ignores_close_is_reported() -> None:
    async def handler(add: Add) -> None:
        try:
            await suspend()
        finally:
            await suspend()

    bus = make_bus(handler)
    dispatch = bus.execute_async(Add())
    dispatch.send(None)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        dispatch.close()
    assert LOG == ["A>", "!A"]
    assert idle(bus)


def test_it_is_awaitable_to_everyone() -> None:
    dispatch = make_bus(sleepy).execute_async(Add(0))
    assert inspect.isawaitable(dispatch)
    assert asyncio.iscoroutine(dispatch)
    assert "Add" in repr(dispatch)
    dispatch.close()


# Dropped (test_unawaited.py has those that were never awaited)


@pytest.mark.parametrize("again", range(3))
def test_collected_while_suspended_it_is_left_with_generator_exit(again: int) -> None:
    seen: list[Any] = []

    class See(Middleware):
        def on_error(self, call: Any) -> None:
            seen.append(type(call.error))

    bus = make_bus(sleepy, See())
    dispatch = bus.execute_async(Add(1))
    dispatch.send(None)
    del dispatch
    assert seen == [GeneratorExit]
    assert LOG == ["A>", "!A"]
    assert idle(bus)


COLLECTED = """
import gc, asyncio, logging
from cqrs_fast import CommandBus, Context, Middleware
from support import Add, suspend
logging.disable(logging.CRITICAL)
log = []
class See(Middleware):
    def before(self, call): log.append("in")
    def on_error(self, call):
        call.context.value("key")
        log.append(type(call.error).__name__ + call.name)
class Endless:
    def __await__(self): return iter(range(9))
def cycle(form):
    bus = CommandBus(middleware=[See(), See()], enable_metrics=True)
    held = [bus]
    async def suspending(ctx, add): held; await suspend()
    def returning(ctx, add): held; return Endless()
    bus.register_handler(Add, suspending if form == "coroutine" else returning)
    ctx = Context.background().with_value("key", held).with_cancel().with_timeout(60)
    dispatch = bus.execute_async(Add(), ctx)
    held.append(dispatch)
    next(dispatch)
def loop_closed(form):
    loop = asyncio.new_event_loop()
    bus = CommandBus(middleware=[See(), See()], enable_metrics=True)
    async def handler(ctx, add): bus; await loop.create_future()
    bus.register_handler(Add, handler)
    async def main():
        tasks = [asyncio.ensure_future(bus.execute_async(Add())) for _ in range(3)]
        await asyncio.sleep(0)
    loop.run_until_complete(main())
    loop.close()
gc.disable()
for _ in range(30):
    {make}({form!r})
    gc.collect()
gc.collect()
assert log.count("in") == log.count("GeneratorExitAdd") >= 60, log
"""


@pytest.mark.parametrize(
    ("make", "form"),
    [("cycle", "coroutine"), ("cycle", "iterator"), ("loop_closed", "")],
)
def test_collected_in_a_cycle_with_its_bus(make: str, form: str) -> None:
    source = COLLECTED.replace("{make}", make).replace("{form!r}", repr(form))
    run_script(source)


# Cancellation


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("stubborn", [False, True])
def test_cancelled_at_every_step(steps: int, stubborn: bool) -> None:
    bus: CommandBus

    async def handler(ctx: Context, add: Add) -> str:
        try:
            for _ in range(4):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not stubborn:
                raise
            await asyncio.sleep(0)
            return "survived"
        return "done"

    async def around(ctx: Context, message: Add, next: Callable[..., Any]) -> Any:
        return await next(ctx, message)

    async def main() -> Any:
        task = asyncio.create_task(bus.execute_async(Add()))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        return await task

    bus = make_bus(handler, around, Trace("B", LOG))
    if steps == 0 or not stubborn:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())
        assert ([] if steps == 0 else ["A>", "B>", "!B", "!A"]) == LOG
        assert bus.stats().total.outcomes["cancelled"] == (steps > 0)
    else:
        assert asyncio.run(main()) == "survived"
        assert LOG == ["A>", "B>", "<B", "<A"]
    assert idle(bus)


def test_timeouts_of_asyncio_around_it() -> None:
    async def forever(add: Add) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await bus.execute_async(Add())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bus.execute_async(Add()), 0.005)

    bus = make_bus(forever)
    asyncio.run(main())
    assert LOG == ["A>", "!A"] * 2
    assert idle(bus)


def test_what_asyncio_takes() -> None:
    async def main() -> list[Any]:
        bus = make_bus(sleepy)
        task = asyncio.create_task(bus.execute_async(Add(1)), name="mine")
        assert "execute_async" in repr(task)
        results = await asyncio.gather(task, *map(bus.execute_async, [Add(2), Add(3)]))
        results.append(await asyncio.wait_for(bus.execute_async(Add(4)), 1))
        async with asyncio.TaskGroup() as group:
            grouped = group.create_task(bus.execute_async(Add(5)))
        return [
            *results,
            grouped.result(),
            await asyncio.shield(bus.execute_async(Add())),
        ]

    assert asyncio.run(main(), debug=True) == [1, 2, 3, 4, 5, 0]
    assert asyncio.run(make_bus(sleepy).execute_async(Add(6))) == 6


def test_an_eager_task_takes_it_where_there_are_any() -> None:
    async def main() -> list[Any]:
        eager = getattr(asyncio, "eager_task_factory", None)  # from Python 3.12
        asyncio.get_running_loop().set_task_factory(eager)
        tasks = [asyncio.create_task(bus.execute_async(Add(n))) for n in range(3)]
        return await asyncio.gather(*tasks)

    bus = make_bus(sleepy)
    assert asyncio.run(main()) == [0, 1, 2]
    assert idle(bus)
