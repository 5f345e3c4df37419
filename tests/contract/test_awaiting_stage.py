"""What the async driver awaits on behalf of a compiled stage: the verdict AWAIT."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from foreign import compiled
from support import Add, Halt, Trace, drive, suspend

from cqrs_fast import (
    AsyncHandlerError,
    BusClosedError,
    CommandBus,
    DeadlineExceededError,
    QueryBus,
    TimeoutMiddleware,
)


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Return the compiled foreign module."""
    return compiled("foreign_stages", tmp_path_factory.mktemp("awaiting"))


def make_bus(*elements: Any, handler: Callable[..., Any] | None = None) -> CommandBus:
    bus = CommandBus(middleware=elements)
    bus.register_handler(Add, handler or (lambda add: add.number))
    return bus


async def answer(value: Any, times: int = 1) -> Any:
    for _ in range(times):
        await suspend()
    if isinstance(value, BaseException):
        raise value
    return value


@pytest.mark.parametrize("times", [0, 1, 3])
def test_the_same_method_is_asked_again_with_the_answer(
    stages: ModuleType, times: int
) -> None:
    stage = stages.Awaiter(lambda: answer("in", times), lambda: answer("out", times))
    log: list[str] = []
    bus = make_bus(Trace("A", log), stage, Trace("B", log))
    for _ in range(2):
        assert drive(bus.execute_async(Add(4))) == 4
    expected = [("enter", "in", None), ("outcome", 4), ("leave", "out", None)]
    assert stage.log == expected * 2
    assert log == ["A>", "B>", "<B", "<A"] * 2


@pytest.mark.parametrize("kind", [OSError, Halt, asyncio.CancelledError])
def test_an_error_of_the_way_in_stops_the_call(
    stages: ModuleType, kind: type[BaseException]
) -> None:
    error = kind("no")
    stage = stages.Awaiter(lambda: answer(error), lambda: answer("out"))
    log: list[str] = []
    bus = make_bus(Trace("A", log), stage, Trace("B", log))
    with pytest.raises(kind) as raised:
        drive(bus.execute_async(Add(4)))
    assert raised.value is error
    assert stage.log == [("enter", None, error)]
    assert log == ["A>", "!A"]


def test_the_way_out_awaits_with_an_error_too(stages: ModuleType) -> None:
    error, other = OSError("no"), KeyError("other")

    def handler(add: Add) -> None:
        raise error

    stage = stages.Awaiter(None, lambda: answer("out"))
    with pytest.raises(OSError, match="no"):
        drive(make_bus(stage, handler=handler).execute_async(Add()))
    assert stage.log == [("outcome", error), ("leave", "out", None)]
    stage = stages.Awaiter(None, lambda: answer(other))
    with pytest.raises(KeyError) as raised:
        drive(make_bus(stage, handler=handler).execute_async(Add()))
    assert raised.value.__context__ is error


def test_a_base_exception_is_replaced_by_nothing_that_is_awaited(
    stages: ModuleType,
) -> None:
    halt = Halt("handler")

    def handler(add: Add) -> None:
        raise halt

    stage = stages.Awaiter(None, lambda: answer(OSError("no")))
    with pytest.raises(Halt) as raised:
        drive(make_bus(stage, handler=handler).execute_async(Add()))
    assert raised.value is halt


class NoIterator:
    def __await__(self) -> Any:
        return 3


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (3, "a stage of Add said AWAIT with 3, which cannot be awaited"),
        (NoIterator(), r"__await__\(\) of NoIterator returned no iterator"),
    ],
)
def test_what_cannot_be_awaited_is_the_answer(
    stages: ModuleType, given: Any, text: str
) -> None:
    stage = stages.Awaiter(lambda: given)
    with pytest.raises(TypeError, match=text):
        drive(make_bus(stage).execute_async(Add()))


def test_execute_refuses_the_route(stages: ModuleType) -> None:
    stage = stages.Awaiter(lambda: answer("in"))
    log: list[str] = []
    bus = make_bus(Trace("A", log), stage)
    with pytest.raises(AsyncHandlerError, match="handler or a middleware is async"):
        bus.execute(Add())
    assert log == stage.log == []
    assert bus.describe()[0].is_async


def test_execute_answers_a_stage_that_has_not_said_so(stages: ModuleType) -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(answer("in"))
        return made[0]

    stage = stages.Awaiter(make, declared=False)
    with pytest.raises(
        AsyncHandlerError, match=r"'Add' .* a stage of it awaits; await"
    ):
        make_bus(stage).execute(Add())
    assert inspect.getcoroutinestate(made[0]) == inspect.CORO_CLOSED


@pytest.mark.parametrize("where", ["enter", "leave"])
@pytest.mark.parametrize("end", ["throw", "close", "collect"])
def test_an_end_is_raised_in_what_is_awaited(
    stages: ModuleType, where: str, end: str
) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await suspend()
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    stage = stages.Awaiter(*((work,) if where == "enter" else (None, work)))
    bus = make_bus(stage)
    dispatch = bus.execute_async(Add())
    dispatch.send(None)
    if end == "throw":
        with pytest.raises(asyncio.CancelledError):
            dispatch.throw(asyncio.CancelledError())
    elif end == "close":
        dispatch.close()
    del dispatch
    gc.collect()
    assert ended == ["CancelledError" if end == "throw" else "GeneratorExit"]
    assert bus.stats().total.in_flight == 0


def test_an_await_of_a_closed_dispatch_runs_as_far_as_it_does_not_suspend(
    stages: ModuleType,
) -> None:
    ran: list[str] = []

    async def work() -> None:
        ran.append("begun")
        try:
            await suspend()
        finally:
            ran.append("ended")

    async def handler(add: Add) -> None:
        await suspend()

    stage = stages.Awaiter(None, work)
    dispatch = make_bus(stage, handler=handler).execute_async(Add())
    dispatch.send(None)
    dispatch.close()
    assert ran == ["begun", "ended"]
    (outcome, leave) = stage.log
    assert isinstance(outcome[1], GeneratorExit)
    assert isinstance(leave[2], GeneratorExit)


def test_neither_drain_nor_deadline_ends_it(stages: ModuleType) -> None:
    async def main() -> None:
        go, begun = asyncio.Event(), asyncio.Event()

        async def work() -> str:
            begun.set()
            await go.wait()
            await asyncio.sleep(0.01)
            return "done"

        stage = stages.Awaiter(work, work)
        bus = make_bus(TimeoutMiddleware(0.001), stage)
        task = asyncio.ensure_future(bus.execute_async(Add()))
        await begun.wait()
        closing = asyncio.ensure_future(bus.close_async(5.0))
        await asyncio.sleep(0.002)
        assert not task.done()
        go.set()
        with pytest.raises(DeadlineExceededError):
            await task
        assert (await closing).drained
        assert [entry[:2] for entry in stage.log[::2]] == [
            ("enter", "done"),
            ("leave", "done"),
        ]

    asyncio.run(main())


def test_what_it_awaits_after_its_wait_was_ended_is_awaited(stages: ModuleType) -> None:
    async def main() -> None:
        stage = stages.Awaiter(None, lambda: asyncio.sleep(0, "out"), seconds=100)
        log: list[str] = []
        bus = make_bus(Trace("A", log), stage)
        task = asyncio.ensure_future(bus.execute_async(Add()))
        await asyncio.sleep(0)
        assert (await bus.close_async(5.0)).drained
        with pytest.raises(BusClosedError):
            await task
        assert stage.log[1:] == [("leave", "out", None)]
        assert log == ["A>", "!A"]

    asyncio.run(main())


def test_it_stands_beside_other_buses_and_loops(stages: ModuleType) -> None:
    stage = stages.Awaiter(lambda: asyncio.sleep(0), lambda: asyncio.sleep(0))
    commands, queries = make_bus(stage), QueryBus(middleware=[stage])

    async def main() -> list[int]:
        calls = [commands.execute_async(Add(number)) for number in range(50)]
        return list(await asyncio.gather(*calls))

    assert asyncio.run(main()) == asyncio.run(main()) == list(range(50))
    assert queries.middleware == (stage,)


def test_the_clock_is_read_anew_and_may_fail(stages: ModuleType) -> None:
    readings = iter([1, 2, 3, OSError("no clock")])

    def clock() -> int:
        reading = next(readings)
        if isinstance(reading, OSError):
            raise reading
        return reading

    log: list[Any] = []
    stage = stages.Awaiter(lambda: answer("in"))
    again = stages.Script(enter=[("proceed",)], log=log)
    bus = CommandBus(middleware=[stage, again], clock=clock)
    bus.register_handler(Add, lambda add: add.number)
    assert drive(bus.execute_async(Add(4))) == 4
    assert [entry[1:] for entry in log] == [("enter", 2e-9, None), ("leave", 3e-9, 4)]
    readings = iter([1, OSError("no clock")])
    with pytest.raises(OSError, match="no clock"):
        drive(bus.execute_async(Add(4)))
