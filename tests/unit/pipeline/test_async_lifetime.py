"""How a dispatch ends that nobody awaits to its end: closed, collected, interrupted."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign import compiled
from support import Add, run_script, suspend

from cqrs_fast import (
    AsyncHandlerError,
    BulkheadMiddleware,
    CommandBus,
    Context,
    FallbackMiddleware,
    HandlerNotFoundError,
    Middleware,
    RetryMiddleware,
)

CALLS: list[str] = []
DISPATCHES: list[Any] = []


@pytest.fixture(autouse=True)
def _clear_calls() -> None:
    CALLS.clear()
    DISPATCHES.clear()


# Once it is being closed nothing is called again


async def awaits_again(add: Add) -> None:
    CALLS.append("handler")
    try:
        await suspend()
    finally:
        await suspend()


async def answers_with_an_error(add: Add) -> None:
    CALLS.append("handler")
    try:
        await suspend()
    except GeneratorExit:
        raise OSError from None


async def answers_with_a_result(add: Add) -> str:
    CALLS.append("handler")
    try:
        await suspend()
    except GeneratorExit:
        return "result"


class Stubborn:
    """An awaitable whose iterator has no close."""

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> None:
        return None

    def throw(self, error: BaseException) -> None:
        CALLS.append("throw")


async def closes_itself_again(add: Add) -> None:
    CALLS.append("handler")
    try:
        await suspend()
    finally:
        with pytest.raises(ValueError, match="already executing"):
            DISPATCHES[-1].close()
        raise OSError


def returns_a_stubborn_one(add: Add) -> Any:
    CALLS.append("handler")
    return Stubborn()


ENDINGS = {
    awaits_again: (RuntimeError, ["handler"]),
    answers_with_an_error: (OSError, ["handler"]),
    answers_with_a_result: (None, ["handler"]),
    returns_a_stubborn_one: (None, ["handler"]),
    closes_itself_again: (OSError, ["handler"]),
}


@pytest.mark.parametrize("how", ["close", "throw"])
@pytest.mark.parametrize("handler", ENDINGS, ids=lambda handler: handler.__name__)
def test_a_closed_dispatch_calls_nothing_again(
    handler: Callable[..., Any], how: str
) -> None:
    expected, calls = ENDINGS[handler]
    slots = BulkheadMiddleware(1)
    bus = CommandBus(
        middleware=[
            FallbackMiddleware(lambda *told: CALLS.append("fallback")),
            RetryMiddleware(5, base_delay=0, retry_commands=True),
            slots,
        ]
    )
    bus.register_handler(Add, handler)
    dispatch = bus.execute_async(Add())
    DISPATCHES.append(dispatch)
    dispatch.send(None)
    if how == "throw":
        with pytest.raises(expected or (GeneratorExit, StopIteration)):
            dispatch.throw(GeneratorExit())
    elif expected is None:
        dispatch.close()
    else:
        with pytest.raises(expected):
            dispatch.close()
    assert calls == CALLS
    assert slots.snapshot().in_flight == 0
    assert bus.close(0).drained
    assert repr(dispatch) == "<execute_async(Add), finished>"


def test_closed_in_a_wait_between_attempts_no_attempt_begins() -> None:
    async def failing(add: Add) -> None:
        CALLS.append("handler")
        raise OSError

    bus = CommandBus(
        middleware=[
            RetryMiddleware(5, base_delay=60.0, jitter="none", retry_commands=True)
        ]
    )
    bus.register_handler(Add, failing)

    async def main() -> None:
        dispatch = bus.execute_async(Add())
        dispatch.send(None)
        dispatch.close()

    asyncio.run(main())
    assert CALLS == ["handler"]
    assert bus.close(0).drained


COLLECTED = """
import asyncio, gc, logging
from cqrs_fast import BulkheadMiddleware, CommandBus, RetryMiddleware, TimeoutMiddleware
from support import Add
logging.disable(logging.CRITICAL)

class Session:
    async def __aenter__(self):
        return self
    async def __aexit__(self, *raised):
        await asyncio.sleep(0)

async def handler(add):
    async with Session():
        await asyncio.get_running_loop().create_future()

slots = BulkheadMiddleware(1000)
bus = CommandBus(middleware=[
    RetryMiddleware(5, base_delay=0, retry_commands=True),
    TimeoutMiddleware(0.02),
    slots,
])
bus.register_handler(Add, handler)

async def main():
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    for number in range(200):
        asyncio.create_task(bus.execute_async(Add(number)))
        await asyncio.sleep(0)
        gc.collect()
    await asyncio.sleep(0.05)
    return await bus.close_async(0)

report = asyncio.run(main())
print(slots.snapshot().in_flight, report.drained)
"""


def test_collected_tasks_give_back_what_their_dispatches_hold() -> None:
    assert run_script(COLLECTED) == "0 True\n"


RESURRECTED = """
import gc
from cqrs_fast import CommandBus
from support import suspend
kept = []

class Cycle:
    pass

async def keeps(cycle):
    try:
        await suspend()
    finally:
        kept.append(cycle.dispatch)

bus = CommandBus()
bus.register_handler(Cycle, keeps)
for _ in range(50):
    cycle = Cycle()
    cycle.dispatch = bus.execute_async(cycle)
    cycle.dispatch.send(None)
    cycle = None
    gc.collect()
assert len(kept) == 50
for dispatch in kept:
    assert "finished" in repr(dispatch)
    try:
        dispatch.send(None)
    except RuntimeError as error:
        assert "already awaited" in str(error), error
    else:
        raise AssertionError
dispatch = None
kept.clear()
gc.collect()
assert bus.close(0).drained
"""


def test_resurrected_by_its_own_handler_it_is_finished() -> None:
    run_script(RESURRECTED)


UNSTARTED = """
import gc, warnings
from cqrs_fast import CommandBus
from support import Add, suspend

async def handler(add):
    await suspend()

bus = CommandBus()
bus.register_handler(Add, handler)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for _ in range(50):
        cycle = [bus.execute_async(Add())]
        {make}
        cycle = None
        gc.collect()
assert len(seen) == 50
for warning in seen:
    try:
        warning.source.send(None)
    except RuntimeError as error:
        assert "already awaited" in str(error), error
    else:
        raise AssertionError
warning = None
seen.clear()
gc.collect()
"""


@pytest.mark.parametrize("make", ["pass", "cycle.append(cycle)"])
def test_resurrected_by_its_warning_it_cannot_be_started_any_more(make: str) -> None:
    run_script(UNSTARTED.replace("{make}", make))


AT_EXIT = """
import asyncio
from cqrs_fast import CommandBus, TimeoutMiddleware
from support import Add, suspend

async def handler(add):
    try:
        await asyncio.sleep(60)
    finally:
        await suspend()

bus = CommandBus(middleware=[TimeoutMiddleware(60.0)])
bus.register_handler(Add, handler)
loop = asyncio.new_event_loop()
task = loop.create_task(bus.execute_async(Add()))
loop.run_until_complete(asyncio.sleep(0))
suspended = bus.execute_async(Add())
created = bus.execute_async(Add())
print("end")
"""


def test_what_is_pending_at_the_end_of_the_process_does_no_harm() -> None:
    assert run_script(AT_EXIT) == "end\n"


# What ends before its first step keeps nothing


class Interrupting:
    """A message whose name, asked for the second time, is interrupted by a signal."""

    asked = 0

    def command_name(self) -> str:
        self.asked += 1
        if self.asked == 2:
            raise KeyboardInterrupt
        return "interrupting"


class Plain:
    pass


def closed(bus: CommandBus, message: Any, ctx: Context) -> None:
    bus.execute_async(message, ctx).close()


def thrown_into(bus: CommandBus, message: Any, ctx: Context) -> None:
    with pytest.raises(OSError, match="early"):
        bus.execute_async(message, ctx).throw(OSError("early"))


def dropped(bus: CommandBus, message: Any, ctx: Context) -> None:
    with pytest.warns(RuntimeWarning, match="never awaited"):
        bus.execute_async(message, ctx)


def unrouted(bus: CommandBus, message: Any, ctx: Context) -> None:
    bus.unregister_handler(Plain)
    with pytest.raises(HandlerNotFoundError):
        bus.execute_async(message, ctx).send(None)


def blocking_the_loop(bus: CommandBus, message: Any, ctx: Context) -> None:
    def around(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)

    bus.add_middleware(around)
    bus.add_middleware(BulkheadMiddleware(1, max_queue=1))
    with pytest.raises(AsyncHandlerError):
        bus.execute_async(message, ctx).send(None)


def refused(bus: CommandBus, message: Any, ctx: Context) -> None:
    bus.close()
    with pytest.raises(Exception, match="closed"):
        bus.execute_async(message, ctx).send(None)


@pytest.mark.parametrize(
    "end", [closed, thrown_into, dropped, unrouted, blocking_the_loop, refused]
)
def test_ended_before_it_began_it_keeps_neither_message_nor_context(
    end: Callable[..., None],
) -> None:
    class Value:
        pass

    bus = CommandBus()
    bus.register_handler(Plain, lambda message: 1)
    refs = []
    for _ in range(3):
        message, value = Plain(), Value()
        refs += [weakref.ref(message), weakref.ref(value)]
        if end is not unrouted or not refs[2:]:
            end(bus, message, Context.background().with_value("key", value))
        del message, value
    gc.collect()
    assert [ref() for ref in refs] == [None] * 6


def test_interrupted_while_it_begins_it_is_left_by_who_looks_on() -> None:
    class Watching(Middleware):
        def before(self, call: Any) -> None:
            CALLS.append("before")

    bus = CommandBus(middleware=[Watching() for _ in range(20)])
    bus.register_handler("interrupting", lambda message: 1)
    bus.close()
    for _ in range(50):
        dispatch = bus.execute_async(Interrupting())
        with pytest.raises(KeyboardInterrupt):
            dispatch.send(None)
        gc.collect()
    assert CALLS == []


FAILED = """
import gc
from cqrs_fast import CommandBus, Middleware
from unit.pipeline.test_async_lifetime import Interrupting

class Hook(Middleware):
    def before(self, call):
        pass

bus = CommandBus(middleware=[Hook() for _ in range(20)])
bus.register_handler("interrupting", lambda message: 1)
bus.execute(type("Once", (Interrupting,), {"asked": 5})())
bus.close()
kept = []
for _ in range(400):
    dispatch = bus.execute_async(Interrupting())
    try:
        dispatch.send(None)
    except BaseException:
        pass
    kept += [dispatch, [bytearray(b"\\xff" * n) for n in (440, 464, 472, 479, 480)]]
gc.collect()
"""


def test_interrupted_while_it_begins_it_leaves_nothing_for_the_collector() -> None:
    run_script(FAILED)


def test_a_timeout_that_is_freed_leaves_the_heap_of_its_loop(tmp_path: Path) -> None:
    timeouts = compiled("timeouts", tmp_path)
    far = time.monotonic_ns() + 60 * 10**9

    async def main() -> None:
        for gone in range(5):
            begun = [timeouts.begun(far + number) for number in (3, 0, 4, 1, 2)]
            due = timeouts.pending(begun[0])
            assert sorted(due) == [far + number for number in range(5)]
            del begun[gone]
            left = timeouts.pending(begun[0])
            assert len(left) == 4
            assert set(left) < set(due)
            for timeout in begun:
                timeouts.ended(timeout)

    asyncio.run(main())
