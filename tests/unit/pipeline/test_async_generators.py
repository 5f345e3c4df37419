"""Async generator middleware, and what the async driver awaits on behalf of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from support import DRIVERS, Add, Ask, Driver, Halt, drive, suspend

from cqrs_fast import (
    AsyncHandlerError,
    BusClosedError,
    CommandBus,
    Context,
    DeadlineExceededError,
    Middleware,
    QueryBus,
    ResultTypeError,
    RetryMiddleware,
    Stop,
    TimeoutMiddleware,
    middleware,
)

ASYNC = [driver for driver in DRIVERS if driver.run_async]
drivers = pytest.mark.parametrize("driver", ASYNC, ids=lambda driver: driver.name)
Script = Callable[[list[Any]], Callable[..., Any]]


class Oops(Exception):
    """What handlers of these tests fail with."""


def leaves_the_outcome(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        await suspend()
        log.append("in")
        result = yield
        await suspend()
        log.append(result)

    return generator


def replaces_the_result(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        result = yield
        yield result * 10
        await suspend()
        log.append("ended")

    return generator


def leaves_errors(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        finally:
            await suspend()
            log.append("left")

    return generator


def recovers(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except Oops as error:
            await suspend()
            log.append(type(error).__name__)
            yield 70

    return generator


def recovers_with_none(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except Oops:
            log.append("caught")

    return generator


def replaces_the_error(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except Oops as error:
            raise LookupError("other") from error

    return generator


def catches_everything(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except BaseException as error:
            log.append(type(error).__name__)

    return generator


def yields_after_everything(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except BaseException:
            yield 9
        finally:
            log.append("closed")

    return generator


def stops(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield Stop(5)
            await suspend()
            log.append("went on")
        finally:
            log.append("ended")

    return generator


def stops_and_yields(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield Stop(5)
            yield
        finally:
            log.append("closed")

    return generator


def stops_and_fails(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        yield Stop(5)
        raise Oops("after the stop")

    return generator


def forgets_a_branch(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        await suspend()
        if message.number < 0:
            yield

    return generator


def fails_on_the_way_in(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        await suspend()
        raise Oops("in")
        yield

    return generator


def fails_on_the_way_out(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        yield
        await suspend()
        raise Oops("out")

    return generator


def yields_three_times(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
            yield 1
            yield 2
        finally:
            await suspend()
            log.append("closed")

    return generator


def fails_while_it_is_closed(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield 3
        finally:
            raise Oops("while closing")

    return generator


def yields_a_number(log: list[Any]) -> Any:
    async def generator(ctx: Any, message: Any) -> Any:
        try:
            yield 3
        finally:
            await suspend()
            log.append("closed")

    return generator


def raises(error: BaseException) -> Callable[..., Any]:
    def handler(ctx: Any, message: Any) -> Any:
        raise error

    return handler


def answers(ctx: Any, message: Any) -> Any:
    return message.number


CASES: list[tuple[Script, Callable[..., Any], Any, list[Any]]] = [
    (leaves_the_outcome, answers, 4, ["in", 4]),
    (replaces_the_result, answers, 40, ["ended"]),
    (leaves_errors, answers, 4, ["left"]),
    (leaves_errors, raises(Oops("no")), (Oops, "no"), ["left"]),
    (leaves_errors, raises(Halt("no")), (Halt, "no"), ["left"]),
    (recovers, raises(Oops()), 70, ["Oops"]),
    (recovers, raises(KeyError("k")), (KeyError, "k"), []),
    (recovers_with_none, raises(Oops()), None, ["caught"]),
    (replaces_the_error, raises(Oops()), (LookupError, "other"), []),
    (catches_everything, raises(Oops()), None, ["Oops"]),
    (catches_everything, raises(Halt("h")), (Halt, "h"), ["Halt"]),
    (yields_after_everything, raises(Oops()), 9, ["closed"]),
    (yields_after_everything, raises(Halt("h")), (Halt, "h"), ["closed"]),
    (stops, raises(Halt("not run")), 5, ["went on", "ended"]),
    (
        stops_and_yields,
        raises(Halt("not run")),
        (RuntimeError, "stops_and_yields.*yielded once more"),
        ["closed"],
    ),
    (stops_and_fails, raises(Halt("not run")), (Oops, "after the stop"), []),
    (
        forgets_a_branch,
        raises(Halt("not run")),
        (RuntimeError, r"forgets_a_branch.*ended without its yield.*yield Stop\(value"),
        [],
    ),
    (fails_on_the_way_in, raises(Halt("not run")), (Oops, "in"), []),
    (fails_on_the_way_out, answers, (Oops, "out"), []),
    (yields_three_times, answers, (RuntimeError, "yielded once more"), ["closed"]),
    (fails_while_it_is_closed, answers, (TypeError, "yielded a int"), []),
    (
        yields_a_number,
        raises(Halt("not run")),
        (TypeError, "yields_a_number.*yielded a int.*yield ctx"),
        ["closed"],
    ),
]


@drivers
@pytest.mark.parametrize(
    ("script", "handler", "expected", "logged"),
    CASES,
    ids=[f"{case[0].__name__}-{index}" for index, case in enumerate(CASES)],
)
def test_an_async_generator_is_the_way_in_and_out(
    driver: Driver, script: Script, handler: Any, expected: Any, logged: list[Any]
) -> None:
    log: list[Any] = []
    seen: list[str] = []

    class Outside(Middleware):
        def after(self, call: Any) -> None:
            seen.append("result")

        def on_error(self, call: Any) -> None:
            seen.append(type(call.error).__name__)

    bus = CommandBus(middleware=[Outside(), middleware(script(log))])
    bus.register_handler(Add, driver.handler(handler))
    for _ in range(2):
        log.clear()
        seen.clear()
        if isinstance(expected, tuple):
            with pytest.raises(expected[0], match=expected[1]) as raised:
                driver(bus, Add(4))
            assert type(raised.value) is expected[0]
            assert seen == [expected[0].__name__]
        else:
            assert driver(bus, Add(4)) == expected
            assert seen == ["result"]
        assert log == logged


def test_why_it_was_closed_is_raised_with_what_its_end_raised() -> None:
    bus = CommandBus(middleware=[fails_while_it_is_closed([])])
    bus.register_handler(Add, lambda add: 1)
    with pytest.raises(TypeError) as raised:
        drive(bus.execute_async(Add()))
    assert isinstance(raised.value.__context__, Oops)


@pytest.mark.parametrize("stop", [StopIteration, StopAsyncIteration])
@drivers
def test_what_no_generator_may_raise_passes_all_the_same(
    driver: Driver, stop: type[Exception]
) -> None:
    seen: list[type[BaseException]] = []

    class Outside(Middleware):
        def on_error(self, call: Any) -> None:
            seen.append(type(call.error))

    bus = CommandBus(middleware=[Outside(), leaves_errors([])])
    bus.register_handler(Add, lambda add: raises(stop(1))(None, add))
    with pytest.raises((RuntimeError, stop)):
        driver(bus, Add())
    assert seen == [stop]


@drivers
def test_the_inside_gets_the_context_that_is_yielded(driver: Driver) -> None:
    seen: dict[str, Any] = {}

    class Outside(Middleware):
        def after(self, call: Any) -> None:
            seen["outside"] = call.context.principal

    @middleware
    async def authenticated(ctx: Any, message: Any) -> Any:
        await suspend()
        yield ctx.with_principal("ann")

    def handler(ctx: Context, message: Any) -> Any:
        seen["inside"] = ctx.principal
        return 1

    bus = CommandBus(middleware=[Outside(), authenticated])
    bus.register_handler(Add, driver.handler(handler))
    assert driver(bus, Add(), Context.background().with_principal("bob")) == 1
    assert seen == {"inside": "ann", "outside": "bob"}


def test_execute_says_that_an_async_generator_is_async() -> None:
    ran: list[str] = []

    @middleware
    async def generator(ctx: Any, message: Any) -> Any:
        ran.append("in")
        yield

    bus = CommandBus(middleware=[generator])
    bus.register_handler(Add, lambda add: ran.append("handler"))
    with pytest.raises(AsyncHandlerError, match=r"middleware is async.*execute_async"):
        bus.execute(Add())
    assert ran == []
    (route,) = bus.describe()
    assert route.is_async
    assert route.stages[0].kind == "async generator"
    assert "Add (command, async)" in bus.explain(Add)


@drivers
def test_what_it_yields_as_an_answer_may_be_no_promise(driver: Driver) -> None:
    async def later() -> int:
        return 1

    @middleware
    async def replaces(ctx: Any, message: Any) -> Any:
        yield
        yield later()

    bus = CommandBus(middleware=[replaces])
    bus.register_handler(Add, driver.handler(answers))
    with pytest.raises(
        ResultTypeError, match=r"a coroutine.*the middleware .*replaces"
    ):
        driver(bus, Add())


def test_a_stage_of_a_function_that_returns_another_thing_says_so() -> None:
    from cqrs_fast.pipeline.async_generators import AsyncGeneratorStage

    bus = CommandBus(middleware=[AsyncGeneratorStage(answers)])
    bus.register_handler(Add, lambda add: 4)
    with pytest.raises(TypeError, match=r"answers returned 7, no async generator"):
        drive(bus.execute_async(Add(7)))


def test_each_attempt_has_a_generator_of_its_own() -> None:
    made: list[int] = []

    @middleware
    async def inside(ctx: Any, message: Any) -> Any:
        made.append(len(made))
        await suspend()
        yield ctx.with_value("attempt", made[-1])
        await suspend()

    def handler(ctx: Context, message: Any) -> Any:
        if ctx.value("attempt") < 2:
            raise Oops
        return ctx.value("attempt")

    bus = QueryBus(middleware=[RetryMiddleware(3, 0.0, jitter="none"), inside])
    bus.register_handler(Ask, handler)
    assert drive(bus.execute_async(Ask())) == 2
    assert made == [0, 1, 2]


# Ends from outside


class Ledger:
    """What was begun and what was ended, by an async generator that awaits at each."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @property
    def balanced(self) -> bool:
        return self.log.count("begin") == self.log.count("end")

    def generator(self) -> Any:
        async def transaction(ctx: Any, message: Any) -> AsyncGenerator[Any, Any]:
            await suspend("before")
            self.log.append("begin")
            try:
                await suspend("begun")
                result = yield
                await suspend("after")
                yield result + 1
                await suspend("ending")
            except BaseException as error:
                self.log.append(type(error).__name__)
                raise
            finally:
                self.log.append("end")

        return middleware(transaction)

    def bus(self, *outside: Any) -> CommandBus:
        bus = CommandBus(middleware=[*outside, self.generator()], enable_metrics=True)

        async def handler(add: Add) -> int:
            await suspend("handler")
            return add.number

        bus.register_handler(Add, handler)
        return bus


WAITS = ["before", "begun", "handler", "after", "ending"]


def stepped_to(dispatch: Any, wait: str) -> None:
    while dispatch.send(None) != wait:
        pass


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("error", [asyncio.CancelledError, Halt, Oops])
def test_an_error_that_is_raised_in_a_wait_reaches_the_generator(
    wait: str, error: type[BaseException]
) -> None:
    ledger = Ledger()
    bus = ledger.bus()
    dispatch = bus.execute_async(Add(4))
    stepped_to(dispatch, wait)
    with pytest.raises(error):
        dispatch.throw(error())
    assert ledger.balanced
    if wait != "before":
        assert ledger.log == ["begin", error.__name__, "end"]
    assert bus.stats().total.in_flight == 0


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("end", ["close", "drop"])
def test_a_close_in_a_wait_reaches_the_generator(wait: str, end: str) -> None:
    ledger = Ledger()
    bus = ledger.bus()
    dispatch = bus.execute_async(Add(4))
    stepped_to(dispatch, wait)
    if end == "close":
        dispatch.close()
    del dispatch
    gc.collect()
    assert ledger.balanced
    if wait != "before":
        assert ledger.log == ["begin", "GeneratorExit", "end"]
    assert bus.stats().total.in_flight == 0


@pytest.mark.parametrize("wait", WAITS)
def test_a_cancelled_task_leaves_what_was_entered(wait: str) -> None:
    entered: list[str] = []
    at: list[asyncio.Event] = []

    async def pause(name: str) -> None:
        if name == wait:
            at[0].set()
            await asyncio.sleep(60)
        await asyncio.sleep(0)

    @middleware
    async def transaction(ctx: Any, message: Any) -> Any:
        await pause("before")
        entered.append("begin")
        try:
            await pause("begun")
            yield
            await pause("after")
            yield 3
            await pause("ending")
        finally:
            await asyncio.sleep(0)
            entered.append("end")

    async def handler(add: Add) -> int:
        await pause("handler")
        return 1

    async def main() -> None:
        at.append(asyncio.Event())
        bus = CommandBus(middleware=[transaction])
        bus.register_handler(Add, handler)
        task = asyncio.ensure_future(bus.execute_async(Add()))
        await at[0].wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bus.stats().total.in_flight == 0

    asyncio.run(main())
    assert entered.count("begin") == entered.count("end")


def test_a_cancellation_that_the_way_in_survives_is_survived() -> None:
    @middleware
    async def stubborn(ctx: Any, message: Any) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await suspend()
        yield

    bus = CommandBus(middleware=[stubborn])
    bus.register_handler(Add, lambda add: add.number)
    dispatch = bus.execute_async(Add(4))
    dispatch.send(None)
    with pytest.raises(StopIteration) as stop:
        dispatch.throw(asyncio.CancelledError())
    assert stop.value.value == 4


def test_a_cleanup_that_awaits_cannot_hold_up_a_close() -> None:
    log: list[str] = []

    @middleware
    async def slow(ctx: Any, message: Any) -> Any:
        try:
            yield
        finally:
            log.append("cleaning")
            await suspend()
            log.append("never here")

    bus = CommandBus(middleware=[slow])

    async def handler(add: Add) -> None:
        await suspend()

    bus.register_handler(Add, handler)
    dispatch = bus.execute_async(Add())
    dispatch.send(None)
    dispatch.close()
    assert log == ["cleaning"]
    assert bus.stats().total.in_flight == 0


def test_a_generator_that_ignores_its_close_is_told_of() -> None:
    @middleware
    async def stubborn(ctx: Any, message: Any) -> Any:
        try:
            await suspend()
        except GeneratorExit:
            await suspend()
        yield

    bus = CommandBus(middleware=[stubborn])
    bus.register_handler(Add, lambda add: 1)
    dispatch = bus.execute_async(Add())
    dispatch.send(None)
    with pytest.raises(RuntimeError, match="ignored its GeneratorExit"):
        dispatch.close()
    assert bus.stats().total.in_flight == 0


# What does not end an await


def test_a_drain_does_not_end_what_a_stage_awaits() -> None:
    log: list[str] = []

    async def main() -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        @middleware
        async def transaction(ctx: Any, message: Any) -> Any:
            begun.set()
            await go.wait()
            result = yield
            await asyncio.sleep(0)
            log.append("commit")
            yield result

        bus = CommandBus(middleware=[transaction])
        bus.register_handler(Add, lambda add: add.number)
        task = asyncio.ensure_future(bus.execute_async(Add(4)))
        await begun.wait()
        closing = asyncio.ensure_future(bus.close_async(5.0))
        await asyncio.sleep(0)
        with pytest.raises(BusClosedError):
            await bus.execute_async(Add())
        go.set()
        assert await task == 4
        assert (await closing).drained

    asyncio.run(main())
    assert log == ["commit"]


@pytest.mark.parametrize("way", ["timeout", "context"])
def test_a_deadline_does_not_end_what_a_stage_awaits(way: str) -> None:
    log: list[str] = []

    @middleware
    async def transaction(ctx: Any, message: Any) -> Any:
        await asyncio.sleep(0.02)
        log.append("begin")
        try:
            yield
        except DeadlineExceededError:
            await asyncio.sleep(0.01)
            log.append("rollback")
            raise

    outside = [TimeoutMiddleware(0.001)] if way == "timeout" else []
    ctx = Context.background()
    bus = CommandBus(middleware=[*outside, transaction])
    bus.register_handler(Add, lambda add: log.append("handler"))

    async def main() -> None:
        limited = ctx.with_timeout(0.001) if way == "context" else None
        await bus.execute_async(Add(), limited)

    with pytest.raises(DeadlineExceededError):
        asyncio.run(main())
    assert log == ["begin", "rollback"]


def test_a_wait_that_a_drain_ends_is_left_through_the_generator() -> None:
    log: list[str] = []

    @middleware
    async def transaction(ctx: Any, message: Any) -> Any:
        try:
            yield
        except BusClosedError:
            await asyncio.sleep(0)
            log.append("rollback")
            raise

    async def main() -> None:
        retry = RetryMiddleware(5, 100.0, jitter="none")
        bus = QueryBus(middleware=[transaction, retry])
        began = asyncio.Event()

        async def handler(ask: Ask) -> None:
            began.set()
            raise OSError("no")

        bus.register_handler(Ask, handler)
        task = asyncio.ensure_future(bus.execute_async(Ask()))
        await began.wait()
        await asyncio.sleep(0)
        await bus.close_async(5.0)
        with pytest.raises(OSError, match="no"):
            await task

    asyncio.run(main())
    assert log == []


# Re-entrancy, references


def test_an_async_generator_may_dispatch_and_change_the_bus() -> None:
    log: list[Any] = []
    bus = CommandBus()

    @middleware
    async def reentrant(ctx: Any, message: Any) -> Any:
        log.append(message.number)
        if message.number:
            log.append(await bus.execute_async(Add(message.number - 1), ctx))
        yield
        if message.number == 2:
            bus.remove_middleware(reentrant)

    bus.add_middleware(reentrant)
    bus.register_handler(Add, lambda add: add.number)
    assert asyncio.run(bus.execute_async(Add(2))) == 2
    assert log == [2, 1, 0, 0, 1]
    assert bus.execute(Add(2)) == 2


def test_many_tasks_share_one_async_generator() -> None:
    @middleware
    async def generator(ctx: Any, message: Any) -> Any:
        await asyncio.sleep(0)
        result = yield ctx.with_value("n", message.number)
        await asyncio.sleep(0)
        yield (message.number, result)

    bus = CommandBus(middleware=[generator])
    bus.register_handler(Add, lambda ctx, add: ctx.value("n"))

    async def main() -> list[Any]:
        return list(
            await asyncio.gather(*(bus.execute_async(Add(n)) for n in range(300)))
        )

    assert asyncio.run(main()) == [(n, n) for n in range(300)]


@pytest.mark.parametrize(
    "script", [case[0] for case in CASES], ids=lambda s: s.__name__
)
@pytest.mark.parametrize("fails", [False, True])
def test_no_dispatch_leaves_an_object_behind(script: Script, fails: bool) -> None:
    bus = CommandBus(middleware=[script([])])

    def handler(add: Add) -> int:
        if fails:
            raise Oops
        return 4

    bus.register_handler(Add, handler)

    def run() -> None:
        for _ in range(50):
            with contextlib.suppress(Exception):
                drive(bus.execute_async(Add(4)))

    log = bus.middleware[0].__closure__
    run()
    gc.collect()
    for cell in log or ():
        cell.cell_contents.clear()
    before = len(gc.get_objects())
    run()
    gc.collect()
    for cell in log or ():
        cell.cell_contents.clear()
    assert len(gc.get_objects()) <= before + 2


def test_a_step_behaves_as_what_is_awaited_does() -> None:
    from cqrs_fast.pipeline.async_generators import Advance

    async def steps() -> AsyncGenerator[Any, Any]:
        yield (await suspend("one")) + 1

    step = Advance(steps().__anext__())
    assert iter(step) is step
    assert step.__await__() is step
    assert next(step) == "one"
    with pytest.raises(StopIteration) as stop:
        step.send(4)
    assert stop.value.value == 5
