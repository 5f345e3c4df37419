"""PooledHandler: each call has a handler object of its own, and gives it back."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import Halt, eventually, run_script

from cqrs_fast import (
    AsyncHandlerError,
    Command,
    CommandBus,
    Context,
    DeadlineExceededError,
    PooledHandler,
    PoolExhaustedError,
)
from cqrs_fast.testing import ManualClock


class Process(Command[Any]):
    what: Any = None


class Actual:
    """The handler of the usage guide: costly to make, and for one call at a time."""

    def __init__(self) -> None:
        self.busy = False
        self.contexts: list[Context] = []

    def handle(self, ctx: Context, command: Process) -> Any:
        assert not self.busy
        self.busy = True
        try:
            self.contexts.append(ctx)
            return perform(self, command)
        finally:
            self.busy = False


def perform(handler: Any, command: Process) -> Any:
    if isinstance(command.what, BaseException):
        raise command.what
    return command.what(handler) if callable(command.what) else command.what


class OfMessage:
    def handle(self, command: Process) -> Any:
        return perform(self, command)


class Called:
    def __call__(self, ctx: Context, command: Process) -> Any:
        return perform(self, command)


def plain() -> Any:
    return lambda command: perform(None, command)


class AsyncActual:
    async def handle(self, ctx: Context, command: Process) -> Any:
        await asyncio.sleep(0)
        return perform(self, command)


class AsyncOfMessage:
    async def handle(self, command: Process) -> Any:
        return perform(self, command)


def async_plain() -> Any:
    async def handle(command: Process) -> Any:
        await asyncio.sleep(0)
        return perform(None, command)

    return handle


SYNC = [Actual, OfMessage, Called, plain]
ASYNC = [AsyncActual, AsyncOfMessage, async_plain]


def bus_with(handler: PooledHandler, **options: Any) -> CommandBus:
    bus = CommandBus()
    bus.register_handler(Process, handler, **options)
    return bus


def execute(bus: CommandBus, message: Any, ctx: Context | None = None) -> Any:
    """Dispatch in the way that the handler needs."""
    if bus.describe()[0].is_async:
        return asyncio.run(bus.execute_async(message, ctx))
    return bus.execute(message, ctx)


def test_the_sample_of_the_usage_guide() -> None:
    handler = PooledHandler(Actual, size=4)
    bus = bus_with(handler)
    assert bus.execute(Process("done")) == "done"
    stats = handler.stats()
    assert (stats.size, stats.in_use, stats.idle, stats.created) == (4, 0, 4, 4)
    with handler.pool.lease() as actual:
        assert len(actual.contexts) == 1


@pytest.mark.parametrize("factory", SYNC + ASYNC)
@pytest.mark.parametrize("preallocate", [True, False])
def test_every_form_of_handler(factory: Any, preallocate: bool) -> None:
    handler = PooledHandler(factory, 3, preallocate=preallocate)
    assert handler.stats().created == (3 if preallocate else 1)
    bus = bus_with(handler)
    (info,) = bus.describe()
    assert info.is_async == (factory in ASYNC)
    assert info.handler.endswith("PooledHandler")
    assert execute(bus, Process(7)) == 7
    for error in (KeyError("no"), Halt()):
        with pytest.raises(type(error)) as raised:
            execute(bus, Process(error))
        assert raised.value is error
    assert handler.stats().in_use == 0
    if factory in ASYNC:
        with pytest.raises(AsyncHandlerError):
            bus.execute(Process(7))
    else:
        assert asyncio.run(bus.execute_async(Process(7))) == 7


@pytest.mark.parametrize("factory", [OfMessage, AsyncOfMessage])
def test_a_call_without_an_object_is_refused(factory: Any) -> None:
    handler = PooledHandler(factory, 1)
    bus = bus_with(handler)
    with handler.pool.lease(), pytest.raises(PoolExhaustedError) as raised:
        execute(bus, Process(1))
    assert (raised.value.middleware, raised.value.name) == ("PooledHandler", "Process")
    assert execute(bus, Process(1)) == 1


@pytest.mark.parametrize("factory", [OfMessage, AsyncOfMessage])
def test_a_deadline_bounds_the_wait(factory: Any) -> None:
    clock = ManualClock()
    handler = PooledHandler(factory, 1, max_wait=60)
    bus = bus_with(handler)
    ctx = Context.background(clock=clock).with_timeout(1)
    with handler.pool.lease(), ThreadPoolExecutor(1) as threads:
        call = threads.submit(execute, bus, Process(1), ctx)
        eventually(lambda: clock.waiting == 1)
        clock.advance(1)
        with pytest.raises(DeadlineExceededError) as raised:
            call.result(5)
    assert raised.value.stage == "queue"
    assert handler.stats().waiting == clock.waiting == 0


def test_max_wait_goes_by_the_clock() -> None:
    clock = ManualClock(auto_advance=True)
    handler = PooledHandler(OfMessage, 1, max_wait=60, clock=clock)
    with handler.pool.lease(), pytest.raises(PoolExhaustedError):
        bus_with(handler).execute(Process(1))
    assert clock() == 60 * 10**9


def test_threads_each_have_an_object_of_their_own() -> None:
    handler = PooledHandler(Actual, 2, max_wait=30)
    bus = bus_with(handler)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(500):
                assert bus.execute(Process(number)) == number
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (handler.stats().in_use, handler.stats().created) == (0, 2)


def test_a_cancelled_task_gives_its_object_back() -> None:
    class Sleeping:
        async def handle(self, command: Process) -> None:
            await asyncio.sleep(60)

    async def main() -> None:
        handler = PooledHandler(Sleeping, 1, max_wait=60)
        bus = bus_with(handler)
        inside = asyncio.create_task(bus.execute_async(Process()))
        waiting = asyncio.create_task(bus.execute_async(Process()))
        await asyncio.sleep(0.01)
        stats = handler.stats()
        assert (stats.in_use, stats.waiting) == (1, 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert handler.stats().waiting == 0
        inside.cancel()
        await asyncio.wait([inside])
        assert inside.cancelled()
        assert waiting.cancelled()
        assert handler.stats().in_use == 0

    asyncio.run(main())


def test_a_sync_handler_never_blocks_an_event_loop() -> None:
    async def main() -> None:
        handler = PooledHandler(OfMessage, 1, max_wait=60)
        bus = bus_with(handler)
        with handler.pool.lease():
            with pytest.raises(PoolExhaustedError):
                await bus.execute_async(Process(1))
            with pytest.raises(PoolExhaustedError):
                bus.execute(Process(1))
        assert await bus.execute_async(Process(1)) == 1

    asyncio.run(main())


def test_an_offloaded_handler_waits_in_its_thread() -> None:
    async def main() -> None:
        handler = PooledHandler(OfMessage, 1, max_wait=60)
        bus = bus_with(handler, offload=True)
        lease = handler.pool.lease()
        lease.__enter__()
        task = asyncio.create_task(bus.execute_async(Process(1)))
        while not handler.stats().waiting:
            await asyncio.sleep(0.001)
        lease.release()
        assert await task == 1

    asyncio.run(main())


def test_a_call_inside_a_call_takes_another_object() -> None:
    handler = PooledHandler(OfMessage, 2)
    bus = bus_with(handler)

    def inner(outer: Any) -> Any:
        return bus.execute(Process(lambda other: other is not outer))

    assert bus.execute(Process(inner)) is True


def test_reset_and_dispose_see_the_handlers() -> None:
    log: list[str] = []
    handler = PooledHandler(
        OfMessage,
        2,
        preallocate=False,
        reset=lambda one: log.append("reset"),
        dispose=lambda one: log.append("dispose"),
    )
    bus_with(handler).execute(Process())
    handler.pool.close()
    assert log == ["reset", "dispose"]


def returns(*made: Any) -> Any:
    remaining = list(made)
    return lambda: remaining.pop(0)


BAD: list[tuple[Any, type[Exception], str]] = [
    (returns(3), TypeError, "3 is no handler: "),
    (returns(OfMessage), TypeError, "OfMessage is a class, not an instance"),
    (returns(None), TypeError, "factory must return an object, got None"),
    (lambda: async_plain()(1), TypeError, "factory returned an awaitable, a coroutine"),
    (async_plain(), TypeError, "factory must be no async function: "),
    (None, TypeError, "factory must be callable, got None"),
    (
        returns(OfMessage(), Called()),
        TypeError,
        "factory must make handlers of one form: ",
    ),
    (
        returns(OfMessage(), AsyncOfMessage()),
        TypeError,
        "factory must make handlers of one form: ",
    ),
]


@pytest.mark.parametrize(("factory", "error", "message"), BAD)
def test_bad_factories(factory: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        PooledHandler(factory, 2)
    assert str(raised.value).startswith(message)


def test_an_awaitable_of_a_sync_handler_is_refused() -> None:
    handler = PooledHandler(OfMessage, 1)
    bus = bus_with(handler)
    message = "a pooled handler returned an awaitable, a coroutine: make it an `async"

    async def main() -> None:
        with pytest.raises(TypeError, match=message):
            await bus.execute_async(Process(lambda handler: asyncio.sleep(0)))

    asyncio.run(main())
    assert handler.stats().in_use == 0


def test_a_handler_may_fork() -> None:
    script = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from cqrs_fast import CommandBus, PooledHandler
from forking import *

class Forking:
    def handle(self, command):
        child = os.fork()
        if child:
            reap(child)
        return child

handler = PooledHandler(Forking, 2)
bus = CommandBus()
bus.register_handler(Put, handler)
child = bus.execute(Put())
stats = handler.stats()
assert stats.in_use == 0, stats
assert stats.idle == (2 if child else 0), stats
if child == 0:
    end_child(lambda: None)
print("end")
"""
    assert run_script(script) == "end\n"


def test_waiting_threads_are_served_when_a_call_ends() -> None:
    handler = PooledHandler(OfMessage, 1, max_wait=30)
    bus = bus_with(handler)
    go_on = threading.Event()
    results: list[Any] = []

    def call(what: Any) -> threading.Thread:
        thread = threading.Thread(
            target=lambda: results.append(bus.execute(Process(what)))
        )
        thread.start()
        return thread

    threads = [call(lambda handler: go_on.wait(5))]
    eventually(lambda: handler.stats().in_use)
    threads.append(call("second"))
    eventually(lambda: handler.stats().waiting)
    go_on.set()
    for thread in threads:
        thread.join()
    assert results == [True, "second"]
