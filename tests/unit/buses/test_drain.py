"""Closing a bus: who is refused, who finishes, and what the report says."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest
from support import DRIVERS, Add, Ask, Driver, Trace, drive, eventually, suspend

from cqrs_fast import (
    BusClosedError,
    Command,
    CommandBus,
    Context,
    QueryBus,
    RejectedError,
    SlowCallMiddleware,
)
from cqrs_fast.pipeline.gate import DrainReport


class More(Command[int]):
    number: int = 0


def asking() -> QueryBus:
    bus = QueryBus()
    bus.register_handler(Ask, lambda ask: ask.number)
    return bus


class Blocked:
    """A bus whose handler runs in a thread until it is let go."""

    def __init__(self, *middleware: Any) -> None:
        self.bus = CommandBus(middleware=middleware, enable_metrics=True)
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.results: list[Any] = []
        self.bus.register_handler(Add, self.block)
        self.thread = threading.Thread(target=self.run)

    def block(self, ctx: Context, add: Add) -> int:
        self.entered.set()
        assert self.let_go.wait(5)
        return self.inside(ctx)

    def inside(self, ctx: Context) -> int:
        return 1

    def run(self) -> None:
        self.results.append(self.bus.execute(Add()))

    def __enter__(self) -> Blocked:
        self.thread.start()
        assert self.entered.wait(5)
        return self

    def __exit__(self, *raised: object) -> None:
        self.let_go.set()
        self.thread.join()


def test_an_idle_bus_closes_at_once() -> None:
    bus = asking()
    assert not bus.closed
    report = bus.close()
    assert report == DrainReport(True, [], report.waited)
    assert report.waited < 0.05
    assert bus.closed
    assert bus.close().drained
    assert asyncio.run(bus.close_async()).drained


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda one: one.name)
def test_root_dispatches_are_refused(driver: Driver) -> None:
    log: list[str] = []
    bus = CommandBus(middleware=[Trace("A", log)], enable_metrics=True)
    bus.register_handler(Add, driver.handler(lambda ctx, add: 1))
    bus.close()
    for ctx in (None, Context.background().with_value("a", 1).with_timeout(9)):
        with pytest.raises(BusClosedError) as caught:
            driver(bus, Add(), ctx)
        assert isinstance(caught.value, RejectedError)
        assert (caught.value.name, caught.value.middleware) == ("Add", "CommandBus")
        assert caught.value.retry_after is None
    assert log == []
    assert bus.stats().messages["Add"].outcomes["rejected_closed"] == 2


def test_bare_dispatches_are_refused_too() -> None:
    bus = asking()
    bound = bus.bind(Ask)
    waiting = bus.execute_async(Ask(1))
    bus.close()
    for run in (bus.execute, bound, lambda m: drive(bus.execute_async(m))):
        with pytest.raises(BusClosedError):
            run(Ask(1))
    with pytest.raises(BusClosedError):
        drive(waiting)
    errors = bus.execute_many([Ask(1), Ask(2)], return_exceptions=True)
    assert [type(error) for error in errors] == [BusClosedError] * 2


def test_close_waits_for_what_is_in_flight() -> None:
    reports: list[DrainReport] = []
    with Blocked() as blocked:
        closers = [
            threading.Thread(target=lambda: reports.append(blocked.bus.close()))
            for _ in range(3)
        ]
        for closer in closers:
            closer.start()
        eventually(lambda: blocked.bus.closed)
        with pytest.raises(BusClosedError):
            blocked.bus.execute(Add())
        assert reports == []
        blocked.let_go.set()
        for closer in closers:
            closer.join()
    assert blocked.results == [1]
    assert [(one.drained, one.still_running) for one in reports] == [(True, [])] * 3


def test_the_timeout_reports_what_still_runs() -> None:
    with Blocked(Trace("A", [])) as blocked:
        for timeout in (0, 0.01):
            report = blocked.bus.close(timeout)
            assert (report.drained, report.still_running) == (False, ["Add"])
            assert timeout <= report.waited < timeout + 0.2
    assert blocked.results == [1]
    assert blocked.bus.close(0) == DrainReport(True, [], pytest.approx(0, abs=0.1))


@pytest.mark.parametrize("wrong", ["1", True, -1, float("nan"), float("inf")])
def test_a_timeout_is_seconds(wrong: Any) -> None:
    bus = asking()
    with pytest.raises((TypeError, ValueError), match="timeout"):
        bus.close(wrong)
    with pytest.raises((TypeError, ValueError), match="timeout"):
        asyncio.run(bus.close_async(wrong))
    assert bus.execute(Ask(1)) == 1


def test_nested_dispatches_run_while_it_drains() -> None:
    queries = asking()

    class Nesting(Blocked):
        def inside(self, ctx: Context) -> int:
            queries.close(0)
            derived = ctx.with_value("a", 1).with_timeout(60)
            total = self.bus.execute(More(1), ctx) + self.bus.execute(More(2), derived)
            with pytest.raises(BusClosedError):
                queries.execute(Ask(), Context.background())
            with pytest.raises(BusClosedError):
                self.bus.execute(More())
            return total + queries.execute(Ask(4), ctx)

    nesting = Nesting()
    nesting.bus.register_handler(More, lambda ctx, more: more.number)
    with nesting:
        closer = threading.Thread(target=nesting.bus.close)
        closer.start()
        eventually(lambda: nesting.bus.closed)
        nesting.let_go.set()
        nesting.thread.join()
        closer.join()
    assert nesting.results == [7]


def test_nested_on_an_event_loop() -> None:
    bus = CommandBus(middleware=[Trace("A", [])])

    async def handler(ctx: Context, add: Add) -> int:
        if add.number == 0:
            return 0
        await asyncio.sleep(0.001)
        return await bus.execute_async(Add(add.number - 1), ctx) + 1

    async def main() -> tuple[int, DrainReport]:
        task = asyncio.ensure_future(bus.execute_async(Add(3)))
        await asyncio.sleep(0)
        report = await bus.close_async(5)
        with pytest.raises(BusClosedError):
            await bus.execute_async(Add(0))
        return await task, report

    bus.register_handler(Add, handler)
    result, report = asyncio.run(main())
    assert result == 3
    assert report.drained


def test_an_around_still_reaches_its_inside_while_it_drains() -> None:
    bus: CommandBus

    def around(ctx: Context, message: Add, next: Any) -> Any:
        bus.close(0)
        return next(Context.background(), message)

    bus = CommandBus(middleware=[around])
    bus.register_handler(Add, lambda add: 5)
    assert bus.execute(Add()) == 5


def passing_on(ctx: Context, message: Any, next: Any) -> Any:
    return next(ctx, message)


@pytest.mark.parametrize("with_context", [False, True])
@pytest.mark.parametrize("arounds", [0, 1, 3])
def test_one_that_fails_while_its_bus_closes_is_counted_out(
    arounds: int, with_context: bool
) -> None:
    bus = CommandBus(middleware=[passing_on] * arounds)
    reports: list[DrainReport] = []
    closing = threading.Thread(target=lambda: reports.append(bus.close(5)))

    def fail(add: Add) -> int:
        reports.append(bus.close(0))
        closing.start()
        raise ValueError("on its way out")

    bus.register_handler(Add, (lambda ctx, add: fail(add)) if with_context else fail)
    with pytest.raises(ValueError, match="on its way out"):
        bus.execute(Add())
    closing.join(5)
    inside, outside = reports
    assert (inside.still_running, outside.still_running) == (["Add"], [])
    assert outside.drained


@pytest.mark.parametrize("arounds", [0, 1, 3])
def test_a_context_that_is_kept_reaches_no_closed_bus(arounds: int) -> None:
    kept: list[Context] = []
    bus = CommandBus(middleware=[passing_on] * arounds)
    bus.register_handler(Add, lambda ctx, add: kept.append(ctx))
    bus.register_handler(More, lambda more: more.number)
    bus.execute(Add())
    assert bus.execute(More(7), kept[0]) == 7
    assert bus.close(0).drained
    with pytest.raises(BusClosedError):
        bus.execute(More(7), kept[0])


def test_close_async_leaves_the_loop_to_the_calls() -> None:
    bus = CommandBus()

    async def handler(add: Add) -> int:
        await asyncio.sleep(0.005)
        return add.number

    async def main() -> None:
        tasks = [asyncio.ensure_future(bus.execute_async(Add(n))) for n in range(5)]
        await asyncio.sleep(0)
        early = await bus.close_async(0)
        assert (early.drained, early.still_running) == (False, ["Add"])
        reports = await asyncio.gather(bus.close_async(), bus.close_async(None))
        assert all(report.drained for report in reports)
        assert [task.result() for task in tasks] == list(range(5))

    bus.register_handler(Add, handler)
    asyncio.run(main())


def test_a_cancelled_close_leaves_the_bus_draining() -> None:
    async def main() -> None:
        with Blocked() as blocked:
            task = asyncio.ensure_future(blocked.bus.close_async())
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert blocked.bus.closed
        assert (await blocked.bus.close_async()).drained

    asyncio.run(main())


def test_closed_from_another_thread_while_a_loop_runs() -> None:
    bus = CommandBus()
    reports: list[DrainReport] = []
    closer = threading.Thread(target=lambda: reports.append(bus.close(5)))

    async def handler(add: Add) -> int:
        closer.start()
        while not bus.closed:
            await asyncio.sleep(0.001)
        return 9

    bus.register_handler(Add, handler)
    assert asyncio.run(bus.execute_async(Add())) == 9
    closer.join()
    assert reports[0].drained


def test_awaitables_that_nobody_awaited_do_not_count() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda add: 1)
    waiting = [bus.execute_async(Add()) for _ in range(3)]
    assert bus.close(0).drained
    for dispatch in waiting:
        dispatch.close()


@pytest.mark.parametrize("how", ["collected", "closed", "cycle"])
def test_a_suspended_dispatch_that_ends_is_drained(how: str) -> None:
    bus = CommandBus(middleware=[Trace("A", log := [])])
    held: list[Any] = []

    async def handler(add: Add) -> None:
        own = held[:]  # noqa: F841
        await suspend()

    bus.register_handler(Add, handler)
    dispatch = bus.execute_async(Add())
    if how == "cycle":
        held.append(dispatch)
    next(dispatch)
    held.clear()
    assert bus.close(0).still_running == ["Add"]
    if how == "closed":
        dispatch.close()
    del dispatch
    gc.collect()
    assert bus.close(0).drained
    assert log == ["A>", "!A"]


def test_the_collector_wakes_a_close() -> None:
    bus = CommandBus()

    async def handler(add: Add) -> None:
        await suspend()

    bus.register_handler(Add, handler)
    held = [bus.execute_async(Add())]
    next(held[0])
    reports: list[DrainReport] = []
    closer = threading.Thread(target=lambda: reports.append(bus.close(5)))
    closer.start()
    eventually(lambda: bus.closed)
    held.clear()
    closer.join()
    assert reports[0].drained
    assert reports[0].waited < 2


def test_context_managers_close() -> None:
    with asking() as bus:
        assert bus.execute(Ask(2)) == 2
    assert bus.closed

    async def main() -> None:
        async with asking() as bus:
            assert await bus.execute_async(Ask(2)) == 2
        assert bus.closed

    asyncio.run(main())
    with pytest.raises(KeyError), asking() as bus:
        raise KeyError
    assert bus.closed


def test_nothing_admitted_is_lost_under_load() -> None:
    bus = CommandBus(middleware=[Trace("A", [])], enable_metrics=True)
    done: list[int] = []
    refused: list[int] = []

    def sync(ctx: Context, add: Add) -> int:
        return add.number

    async def slow(ask: Any) -> int:
        await asyncio.sleep(0)
        return ask.number

    bus.register_handler(Add, sync)
    bus.register_handler(More, slow)

    def in_thread(number: int) -> None:
        while True:
            try:
                assert bus.execute(Add(number)) == number
            except BusClosedError:
                refused.append(number)
                return
            done.append(number)

    async def in_task(number: int) -> None:
        while True:
            try:
                assert await bus.execute_async(More(number)) == number
            except BusClosedError:
                refused.append(number)
                return
            done.append(number)

    async def in_loop() -> None:
        await asyncio.gather(*(in_task(number) for number in range(4, 12)))

    threads = [threading.Thread(target=in_thread, args=(n,)) for n in range(4)]
    threads.append(threading.Thread(target=lambda: asyncio.run(in_loop())))
    for thread in threads:
        thread.start()
    eventually(lambda: len(set(done)) == 12)
    time.sleep(0.02)
    report = bus.close(5)
    assert report.drained
    for thread in threads:
        thread.join()
    assert sorted(refused) == list(range(12))
    total = bus.stats().total
    assert total.outcomes["ok"] == len(done)
    assert total.outcomes["rejected_closed"] == 12
    assert total.in_flight == 0


def test_what_a_refusal_raises_lets_no_handler_run() -> None:
    """A message that names itself runs users' code, which an interrupt may hit."""
    ran: list[object] = []

    class Named:
        def command_name(self) -> str:
            raise KeyboardInterrupt

    bus = CommandBus(middleware=[SlowCallMiddleware(60)])
    bus.register_handler(Named, ran.append)
    bus.close()
    with pytest.raises(KeyboardInterrupt):
        bus.execute(Named())
    assert not ran
