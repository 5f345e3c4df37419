"""What handlers return and raise comes through await; threads and context variables."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import Add, Trace, drive, suspend

from cqrs_fast import AsyncHandlerError, CommandBus, Context

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _clear_log() -> None:
    LOG.clear()


def make_bus(handler: Callable[..., Any], **options: Any) -> CommandBus:
    bus = CommandBus(middleware=[Trace("A", LOG)])
    bus.register_handler(Add, handler, **options)
    return bus


async def sleepy(ctx: Context, add: Add) -> Any:
    """Suspend as often as the message says."""
    for _ in range(add.number):
        await suspend()
    return add.number


# Results and errors that could be mistaken

RESULTS = [None, (), (1,), (1, 2), ValueError("a value"), StopIteration(1), [], 0]


@pytest.mark.parametrize("result", RESULTS, ids=repr)
@pytest.mark.parametrize("waits", [0, 1])
def test_any_result_comes_through(result: Any, waits: int) -> None:
    async def handler(add: Add) -> Any:
        await sleepy(Context.background(), add)
        return result

    async def main(bus: CommandBus) -> Any:
        first = await bus.execute_async(Add(waits))
        task = asyncio.ensure_future(bus.execute_async(Add(waits)))
        assert await task is first
        return first

    assert asyncio.run(main(make_bus(handler))) is result
    assert asyncio.run(main(make_bus(lambda add: result))) is result
    assert drive(make_bus(handler).execute_async(Add(waits))) is result


@pytest.mark.parametrize("form", ["sync", "async", "iterator"])
def test_stop_iteration_from_a_handler_is_no_result(form: str) -> None:
    stop = StopIteration("mine")

    def sync(add: Add) -> None:
        raise stop

    async def from_iterator(add: Add) -> None:
        next(iter(()))

    class Broken:
        def __await__(self) -> Any:
            return self

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            raise RuntimeError("broken")

    handler = {"sync": sync, "async": from_iterator, "iterator": lambda add: Broken()}
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(make_bus(handler[form]).execute_async(Add()))
    if form == "sync":
        assert caught.value.__cause__ is stop
        with pytest.raises(StopIteration) as same:
            make_bus(sync).execute(Add())
        assert same.value is stop
    assert LOG[:2] == ["A>", "!A"]


def test_an_await_that_gives_no_iterator_is_a_type_error() -> None:
    class Bad:
        def __await__(self) -> Any:
            return 1

    with pytest.raises(TypeError, match="__await__"):
        asyncio.run(make_bus(lambda add: Bad()).execute_async(Add()))


# Sync-looking callables


@pytest.mark.parametrize("middleware", [(), (Trace("B", []),)])
def test_execute_closes_an_awaitable_and_says_so(middleware: Any) -> None:
    made: list[Any] = []

    def handler(add: Add) -> Any:
        made.append(sleepy(Context.background(), add))
        return made[-1]

    bus = CommandBus(middleware=middleware)
    bus.register_handler(Add, handler)
    with pytest.raises(AsyncHandlerError, match="execute_async"):
        bus.execute(Add(3))
    assert inspect.getcoroutinestate(made[0]) == inspect.CORO_CLOSED
    assert asyncio.run(bus.execute_async(Add(3))) == 3


@pytest.mark.parametrize("middleware", [(), (Trace("B", []),)])
def test_an_awaitable_that_cannot_be_closed_is_refused_all_the_same(
    middleware: Any,
) -> None:
    class Stubborn:
        def __await__(self) -> Any:
            return iter(())

        def close(self) -> None:
            raise ValueError("not now")

    bus = CommandBus(middleware=middleware)
    bus.register_handler(Add, lambda add: Stubborn())
    with pytest.raises(AsyncHandlerError):
        bus.execute(Add())


def test_async_generators_are_refused() -> None:
    async def generator(add: Add) -> Any:
        yield 1

    with pytest.raises(TypeError, match="async generator"):
        CommandBus().register_handler(Add, generator)


# Context variables and worker threads

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE")


def test_context_variables_are_those_of_the_caller() -> None:
    async def handler(add: Add) -> str:
        await suspend()
        seen = VARIABLE.get()
        VARIABLE.set("by the handler")
        return seen

    async def main() -> tuple[str, str]:
        VARIABLE.set("by the caller")
        seen = await make_bus(handler).execute_async(Add())
        return seen, VARIABLE.get()

    seen = contextvars.copy_context().run(drive, main())
    assert seen == ("by the caller", "by the handler")


def test_offload_runs_in_a_thread_with_the_context_variables() -> None:
    def handler(ctx: Context, add: Add) -> tuple[bool, str, int]:
        return threading.current_thread() is loop_thread, VARIABLE.get(), add.number

    async def main() -> Any:
        VARIABLE.set("kept")
        return await bus.execute_async(Add(3))

    loop_thread = threading.current_thread()
    bus = make_bus(handler, offload=True)
    assert asyncio.run(main()) == (False, "kept", 3)


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_offload_passes_the_same_error(kind: type[BaseException]) -> None:
    error = kind("same")

    def handler(add: Add) -> None:
        raise error

    async def main() -> BaseException:
        try:
            await bus.execute_async(Add())
        except BaseException as caught:
            return caught
        raise AssertionError

    bus = make_bus(handler, offload=True)
    assert asyncio.run(main()) is error


def test_offload_of_stop_iteration_is_a_runtime_error() -> None:
    def handler(add: Add) -> None:
        raise StopIteration(1)

    with pytest.raises(RuntimeError):
        asyncio.run(make_bus(handler, offload=True).execute_async(Add()))


def test_offload_awaits_what_a_sync_looking_handler_returns() -> None:
    bus = make_bus(lambda add: sleepy(Context.background(), add), offload=True)
    assert asyncio.run(bus.execute_async(Add(0))) == 0


def test_offload_of_an_async_handler_is_refused() -> None:
    with pytest.raises(TypeError, match="offload"):
        CommandBus().register_handler(Add, sleepy, offload=True)
