"""A foreign compiled stage against the installed package: the laws of the two drivers.

The stages are compiled once, outside the package, from its `.pxd` files. Each law is
checked under `execute` and under `execute_async` by the same test.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from foreign import compiled
from places import ROOT

from cqrs_fast import (
    AsyncHandlerError,
    BusClosedError,
    Command,
    CommandBus,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    Middleware,
    Query,
    QueryBus,
    RejectedError,
    TimeoutMiddleware,
    middleware,
)
from cqrs_fast.base.clock import ManualClock
from cqrs_fast.waits.waiter import Waiter

PATIENCE = 20.0


class Ask(Command[int]):
    number: int = 1


class Other(Command[int]):
    pass


class Look(Query[int]):
    number: int = 1


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Return the compiled foreign module."""
    return compiled("foreign_stages", tmp_path_factory.mktemp("foreign"))


class Driver:
    """Dispatch through one of the two drivers, here or in another thread."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, bus: CommandBus, message: Any = None, ctx: Any = None) -> Any:
        message = Ask() if message is None else message
        if self.name == "sync":
            return bus.execute(message, ctx)

        async def dispatch() -> Any:
            return await bus.execute_async(message, ctx)

        return asyncio.run(dispatch())

    def start(
        self, bus: CommandBus, message: Any = None, ctx: Any = None
    ) -> Future[Any]:
        """Dispatch in a thread of its own."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(self(bus, message, ctx))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def auto() -> ManualClock:
    return ManualClock(auto_advance=True)


def make_bus(
    *elements: Any, clock: Any = None, handler: Callable[..., Any] | None = None
) -> CommandBus:
    bus = CommandBus(middleware=elements, clock=clock)
    bus.register_handler(Ask, handler or (lambda message: message.number))
    return bus


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.001)


def questions(log: list[Any]) -> list[tuple[Any, str]]:
    return [(name, question) for name, question, _, _ in log]


def final_leave(log: list[Any], name: str = "stage") -> Any:
    """Return the outcome that the one `leave` of a stage saw."""
    (outcome,) = [entry[3] for entry in log if entry[:2] == (name, "leave")]
    return outcome


# The template


def test_the_template_is_a_stage_as_it_stands(
    tmp_path: Path, drive: Driver, clock: ManualClock
) -> None:
    template = compiled("stage_template", tmp_path, ROOT / "examples")
    quota = template.QuotaMiddleware(2)

    def handler(message: Ask) -> int:
        clock.advance(message.number)
        return message.number

    bus = make_bus(quota, clock=clock, handler=handler)
    bus.register_handler("Ping", lambda message: 0)
    assert [drive(bus, Ask(number)) for number in (0, 1, 2)] == [0, 1, 2]
    assert quota.stats() == 1
    assert bus.stats().middleware[0].stats == 1
    assert drive(bus, Ask(9)) == 9
    with pytest.raises(RejectedError, match="rejected by QuotaMiddleware"):
        drive(bus, Ask(0))
    quota.update(most=3)
    assert quota.settings() == {"most": 3, "seconds": 1.0}
    assert drive(bus, Ask(0)) == 0
    with pytest.raises(ValueError, match="most must be 1 or more, got 0"):
        quota.update(most=0)
    kinds = {info.name: [one.kind for one in info.stages] for info in bus.describe()}
    assert kinds == {"Ask": ["QuotaMiddleware"], "Ping": []}


def test_the_template_shows_the_contract_on_one_screen() -> None:
    text = (ROOT / "examples" / "stage_template.pyx").read_text()
    assert text.count("\n") <= 80


# One leave for a PROCEED, none for anything else


@pytest.mark.parametrize(
    ("steps", "result"),
    [
        ([("proceed",)], 1),
        ([("wait", 0.0), ("proceed",)], 1),
        ([("wait", 1.5), ("wait", 0.5), ("proceed",)], 1),
    ],
    ids=["at once", "after a wait", "after two"],
)
def test_final_proceed_is_left_once(
    stages: ModuleType, drive: Driver, auto: ManualClock, steps: Any, result: int
) -> None:
    stage = stages.Script(enter=steps, clock=auto)
    assert drive(make_bus(stage, clock=auto)) == result
    entered = [("stage", "enter")] * len(steps)
    assert questions(stage.log) == [*entered, ("stage", "leave")]


@pytest.mark.parametrize("waits", [0, 1, 3])
@pytest.mark.parametrize("slot", [False, True], ids=["no slot", "slot"])
@pytest.mark.parametrize("verb", ["result", "fail", "raise"])
def test_stop_and_raise_are_not_left(
    stages: ModuleType,
    drive: Driver,
    auto: ManualClock,
    verb: str,
    slot: bool,
    waits: int,
) -> None:
    error = LookupError("mine")
    value = 7 if verb == "result" else error
    log: list[Any] = []
    outer = stages.Script("outer", log=log, slot=slot, clock=auto)
    stopping = stages.Script(
        enter=[*[("wait", 1)] * waits, (verb, value)], log=log, slot=slot, clock=auto
    )
    inner = stages.Script("inner", log=log, slot=slot, clock=auto)
    bus = make_bus(outer, stopping, inner, clock=auto)
    if verb == "result":
        assert drive(bus) == 7
    else:
        with pytest.raises(LookupError) as caught:
            drive(bus)
        assert caught.value is error
    assert questions(log) == [
        ("outer", "enter"),
        *[("stage", "enter")] * (waits + 1),
        ("outer", "leave"),
    ]
    assert final_leave(log, "outer") is value


def test_leave_may_wait_and_is_asked_again(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    stage = stages.Script(leave=[("wait", 2), ("wait", 1), ("proceed",)], clock=auto)
    outer = stages.Script("outer", log=stage.log)
    assert drive(make_bus(outer, stage, clock=auto)) == 1
    assert [entry[2:] for entry in stage.log if entry[:2] == ("stage", "leave")] == [
        (0.0, 1),
        (2.0, 1),
        (3.0, 1),
    ]
    assert questions(stage.log)[-1] == ("outer", "leave")


@pytest.mark.parametrize("verb", ["result", "fail", "raise"])
def test_leave_changes_the_outcome(
    stages: ModuleType, drive: Driver, auto: ManualClock, verb: str
) -> None:
    error = LookupError("mine")
    value = "changed" if verb == "result" else error
    stage = stages.Script(leave=[("wait", 1), (verb, value)], clock=auto)
    outer = stages.Script("outer", log=stage.log)
    bus = make_bus(outer, stage, clock=auto)
    if verb == "result":
        assert drive(bus) == "changed"
    else:
        with pytest.raises(LookupError) as caught:
            drive(bus)
        assert caught.value is error
    assert final_leave(stage.log, "outer") is value


def test_error_of_the_handler_is_seen_and_recovered_from(
    stages: ModuleType, drive: Driver
) -> None:
    error = ValueError("handler")

    def fail(message: Ask) -> int:
        raise error

    stage = stages.Script()
    with pytest.raises(ValueError, match="handler") as caught:
        drive(make_bus(stage, handler=fail))
    assert caught.value is error
    assert final_leave(stage.log) is error
    assert drive(make_bus(stages.Forget(), stage, handler=fail)) == "recovered"


@pytest.mark.parametrize("verb", ["result", "again", "raise"])
def test_base_exception_passes_every_leave(
    stages: ModuleType,
    drive: Driver,
    verb: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Ending(BaseException):
        pass

    error = Ending()
    calls = []

    def fail(message: Ask) -> int:
        calls.append(message)
        raise error

    answers = {
        "result": ("result", 1),
        "again": ("again", 0),
        "raise": ("raise", ValueError("less")),
    }
    stage = stages.Script(leave=[answers[verb]])
    with pytest.raises(Ending) as caught:
        drive(make_bus(stage, handler=fail))
    assert caught.value is error
    assert len(calls) == 1
    assert questions(stage.log) == [("stage", "enter"), ("stage", "leave")]


# AGAIN


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("delay", [0, 0.25])
@pytest.mark.parametrize("slot", [False, True], ids=["no slot", "slot"])
def test_again_runs_a_new_pass(
    stages: ModuleType,
    drive: Driver,
    auto: ManualClock,
    times: int,
    delay: float,
    slot: bool,
) -> None:
    log: list[Any] = []
    calls = []

    def handler(message: Ask) -> int:
        calls.append(message)
        return len(calls)

    outer = stages.Script("outer", log=log, slot=slot)
    again = stages.Script(
        "again", leave=[("again", delay)] * times, log=log, slot=slot, clock=auto
    )
    inner = stages.Script("inner", log=log, slot=slot)
    memory = stages.Remember("inner")
    bus = make_bus(outer, again, inner, memory, clock=auto, handler=handler)
    assert drive(bus) == times + 1
    one_pass = [("inner", "enter"), ("inner", "leave"), ("again", "leave")]
    assert questions(log) == [
        ("outer", "enter"),
        ("again", "enter"),
        *one_pass * (times + 1),
        ("outer", "leave"),
    ]
    assert memory.faults == []
    assert memory.passes == times + 1
    # Each pass starts without the outcome of the one before, and at its own time.
    entries = [entry[2:] for entry in log if entry[:2] == ("inner", "enter")]
    assert entries == [(number * delay, None) for number in range(times + 1)]


def test_again_after_an_error(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    calls = []

    def handler(message: Ask) -> int:
        calls.append(message)
        if len(calls) < 3:
            raise ValueError(len(calls))
        return 42

    again = stages.Script(leave=[("again", 1), ("again", 0)], clock=auto)
    assert drive(make_bus(again, clock=auto, handler=handler)) == 42
    seen = [entry[3] for entry in again.log[1:]]
    assert [str(outcome) for outcome in seen] == ["1", "2", "42"]


def test_nested_again(stages: ModuleType, drive: Driver, auto: ManualClock) -> None:
    calls = []
    bus = make_bus(
        stages.Script(
            "outer", leave=[("again", 1), ("again", 0)], clock=auto, slot=True
        ),
        stages.Remember("between"),
        stages.Repeat(2),
        stages.Remember("inside"),
        clock=auto,
        handler=lambda message: calls.append(message),
    )
    # The slot of Repeat is new with each pass of the outer one.
    drive(bus)
    assert len(calls) == 9


def test_again_where_an_inner_stage_stops(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    again = stages.Script(leave=[("again", 1)], clock=auto)
    stopping = stages.Script(
        enter=[("wait", 1), ("raise", ValueError("no"))], clock=auto
    )
    assert drive(make_bus(again, stopping, clock=auto)) == 1
    assert questions(stopping.log)[-2:] == [("stage", "enter"), ("stage", "leave")]
    assert questions(stopping.log).count(("stage", "leave")) == 1


def test_retries_are_counted(stages: ModuleType, drive: Driver) -> None:
    bus = CommandBus(middleware=[stages.Repeat(4)], enable_metrics=True)
    bus.register_handler(Ask, lambda message: 1)
    drive(bus)
    assert bus.stats().messages["Ask"].retries == 4
    assert bus.stats().messages["Ask"].count == 1


def test_a_great_many_passes_take_no_stack(stages: ModuleType, drive: Driver) -> None:
    calls = Tally()
    assert drive(make_bus(stages.Repeat(200_000), handler=calls)) == 200_001


class Tally:
    """A handler that counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, message: Ask) -> int:
        self.count += 1
        return self.count


@pytest.mark.parametrize("step", [("again", 0), ("nothing",)])
def test_enter_that_breaks_the_contract_is_an_error(
    stages: ModuleType, drive: Driver, step: Any
) -> None:
    """AGAIN is for leave alone, and STOP needs an outcome."""
    log: list[Any] = []
    outer = stages.Script("outer", log=log, slot=True)
    broken = stages.Script(enter=[step], log=log, slot=True)
    with pytest.raises(SystemError, match="Script") as caught:
        drive(make_bus(outer, broken))
    assert final_leave(log, "outer") is caught.value


# Waits that end by themselves


@pytest.mark.parametrize("where", ["enter", "leave"])
def test_manual_clock_ends_a_wait(
    stages: ModuleType, drive: Driver, clock: ManualClock, where: str
) -> None:
    stage = stages.Script(**{where: [("wait", 3)]}, clock=clock)
    bus = make_bus(stage, clock=clock)
    future = drive.start(bus)
    eventually(lambda: clock.waiting == 1)
    clock.advance(2.9)
    assert clock.waiting == 1
    assert not future.done()
    clock.advance(0.2)
    assert future.result(PATIENCE) == 1
    assert clock.waiting == 0
    times = [entry[2] for entry in stage.log if entry[1] == where]
    assert times == pytest.approx([0.0, 3.1])


@pytest.mark.parametrize("where", ["enter", "leave"])
@pytest.mark.parametrize("delay", [None, 3600.0], ids=["no delay", "with a delay"])
def test_waiter_woken_from_another_thread(
    stages: ModuleType, drive: Driver, where: str, delay: float | None
) -> None:
    waiter = Waiter()
    stage = stages.Script(**{where: [("wait", delay, waiter)]})
    future = drive.start(make_bus(stage))
    eventually(lambda: ("stage", where) in questions(stage.log))
    time.sleep(0.02)
    assert not future.done()
    assert waiter.wake() is True
    assert future.result(PATIENCE) == 1
    assert [entry[1] for entry in stage.log].count(where) == 2


def test_waiter_woken_before_the_wait(stages: ModuleType, drive: Driver) -> None:
    waiter = Waiter()
    waiter.wake()
    stage = stages.Script(enter=[("wait", None, waiter)])
    assert drive(make_bus(stage)) == 1


def test_waiter_that_nobody_wakes_ends_with_its_delay(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    waiter = Waiter()
    stage = stages.Script(enter=[("wait", 0.01, waiter)])
    assert drive(make_bus(stage)) == 1
    manual = stages.Script(enter=[("wait", 60, Waiter())], clock=auto)
    assert drive(make_bus(manual)) == 1


def test_waiter_serves_one_wait_after_the_other(
    stages: ModuleType, drive: Driver
) -> None:
    waiter = Waiter()
    stage = stages.Script(
        enter=[("wait", None, waiter)] * 3, leave=[("wait", None, waiter)]
    )
    future = drive.start(make_bus(stage))
    for asked in range(1, 6):
        eventually(lambda asked=asked: len(stage.log) >= asked)  # type: ignore[misc]
        time.sleep(0.005)
        if asked != 4:
            waiter.wake()
    assert future.result(PATIENCE) == 1
    assert len(stage.log) == 6


def test_waking_for_a_loop_that_is_closed_tells_so(stages: ModuleType) -> None:
    waiter = Waiter()
    bus = make_bus(stages.Script(enter=[("wait", None, waiter)]))
    loop = asyncio.new_event_loop()
    dispatch = bus.execute_async(Ask())

    async def step() -> None:
        dispatch.send(None)

    loop.run_until_complete(step())
    loop.close()
    assert waiter.wake() is False
    dispatch.close()


def test_real_delay_passes(stages: ModuleType, drive: Driver) -> None:
    bus = make_bus(stages.Delay(0.03), stages.Delay(0.02))
    before = time.monotonic()
    assert drive(bus) == 1
    assert time.monotonic() - before >= 0.049


def test_clock_and_waiter_belong_to_one_wait(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    """What one stage waited on does not touch the wait of the next."""
    manual = stages.Script("manual", enter=[("wait", 60, Waiter())], clock=auto)
    # Repeat sets a delay of zero and nothing else.
    bus = make_bus(stages.Repeat(1), manual, stages.Delay(0.01), clock=auto)
    assert drive(bus) == 1
    assert auto.waiting == 0
    assert auto() == 60_000_000_000


# Waits that are ended from outside: one leave, with the error


@pytest.mark.parametrize("where", ["enter", "leave", "again"])
@pytest.mark.parametrize("slot", [False, True], ids=["no slot", "slot"])
def test_context_cancelled_while_waiting(
    stages: ModuleType, drive: Driver, clock: ManualClock, where: str, slot: bool
) -> None:
    stage, future, inner = start_waiting(stages, drive, clock, where, slot)
    ctx = stage.ctx
    ctx.cancel("enough")
    with pytest.raises(ContextCancelledError, match="enough") as caught:
        future.result(PATIENCE)
    check_ended(stage, inner, where, caught.value)
    assert clock.waiting == 0


@pytest.mark.parametrize("where", ["enter", "leave", "again"])
def test_ancestor_of_the_context_cancelled_while_waiting(
    stages: ModuleType, drive: Driver, clock: ManualClock, where: str
) -> None:
    above = Context.background().with_cancel()
    below = above.with_value("a", 1).with_cancel().with_timeout(3600)
    stage, future, inner = start_waiting(stages, drive, clock, where, ctx=below)
    above.cancel()
    with pytest.raises(ContextCancelledError) as caught:
        future.result(PATIENCE)
    check_ended(stage, inner, where, caught.value)


@pytest.mark.parametrize("where", ["enter", "leave", "again"])
@pytest.mark.parametrize("slot", [False, True], ids=["no slot", "slot"])
def test_deadline_passes_while_waiting(
    stages: ModuleType, drive: Driver, clock: ManualClock, where: str, slot: bool
) -> None:
    deadlines = ManualClock()
    ctx = Context.background(clock=deadlines).with_timeout(1)
    stage, future, inner = start_waiting(stages, drive, clock, where, slot, ctx=ctx)
    eventually(lambda: deadlines.waiting == 1)
    deadlines.advance(1)
    with pytest.raises(DeadlineExceededError) as caught:
        future.result(PATIENCE)
    assert caught.value.stage == "queue"
    check_ended(stage, inner, where, caught.value)
    assert clock.waiting == deadlines.waiting == 0


@pytest.mark.parametrize("where", ["enter", "leave"])
@pytest.mark.parametrize("slot", [False, True], ids=["no slot", "slot"])
def test_bus_closed_while_waiting(
    stages: ModuleType, drive: Driver, clock: ManualClock, where: str, slot: bool
) -> None:
    stage, future, inner = start_waiting(stages, drive, clock, where, slot)
    report = stage.bus.close(PATIENCE)
    assert report.drained
    with pytest.raises(BusClosedError) as caught:
        future.result(PATIENCE)
    check_ended(stage, inner, where, caught.value)
    assert clock.waiting == 0


def test_bus_closed_between_two_passes_keeps_the_real_error(
    stages: ModuleType, drive: Driver, clock: ManualClock
) -> None:
    error = ValueError("real")

    def fail(message: Ask) -> int:
        raise error

    stage = stages.Script(leave=[("again", 60)], clock=clock)
    bus = make_bus(stage, clock=clock, handler=fail)
    future = drive.start(bus)
    eventually(lambda: clock.waiting == 1)
    assert bus.close(PATIENCE).drained
    with pytest.raises(ValueError, match="real") as caught:
        future.result(PATIENCE)
    assert caught.value is error
    assert questions(stage.log).count(("stage", "leave")) == 2


@pytest.mark.parametrize("where", ["enter", "leave", "again"])
def test_task_cancelled_while_waiting(
    stages: ModuleType, clock: ManualClock, where: str
) -> None:
    stage, inner = waiting_stage(stages, clock, where)
    seen = []

    async def main() -> None:
        task = asyncio.ensure_future(stage.bus.execute_async(Ask()))
        while clock.waiting == 0:
            await asyncio.sleep(0)
        task.cancel("stop")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        seen.append(caught.value)

    asyncio.run(main())
    outcome = stage.log[-1][3]
    assert isinstance(outcome, asyncio.CancelledError)
    check_ended(stage, inner, where, outcome)
    assert clock.waiting == 0
    assert stage.bus.close(0).drained


def test_cancellation_that_the_handler_survives(stages: ModuleType) -> None:
    """A coroutine between the task and the dispatch hands the cancellation on."""

    async def handler(message: Ask) -> int:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
        return message.number

    bus = make_bus(stages.Count(), handler=handler)

    async def between() -> Any:
        return await bus.execute_async(Ask(3))

    async def main() -> Any:
        task = asyncio.ensure_future(between())
        await asyncio.sleep(0.001)
        task.cancel()
        return await task

    assert asyncio.run(main()) == 3


@pytest.mark.parametrize("where", ["enter", "leave", "again"])
@pytest.mark.parametrize("manner", ["close", "collect"])
def test_dispatch_dropped_while_waiting(
    stages: ModuleType, clock: ManualClock, where: str, manner: str
) -> None:
    stage, inner = waiting_stage(stages, clock, where)

    async def main() -> None:
        dispatch = stage.bus.execute_async(Ask())
        dispatch.send(None)
        assert clock.waiting == 1
        if manner == "close":
            dispatch.close()
        del dispatch
        gc.collect()

    asyncio.run(main())
    check_ended(stage, inner, where, stage.log[-1][3])
    assert isinstance(stage.log[-1][3], GeneratorExit)
    assert clock.waiting == 0
    assert stage.bus.close(0).drained


@pytest.mark.parametrize("where", ["enter", "leave", "again"])
def test_error_thrown_into_a_wait(
    stages: ModuleType, clock: ManualClock, where: str
) -> None:
    stage, inner = waiting_stage(stages, clock, where)
    error = LookupError("thrown")

    async def main() -> None:
        dispatch = stage.bus.execute_async(Ask())
        dispatch.send(None)
        with pytest.raises(LookupError) as caught:
            dispatch.throw(error)
        assert caught.value is error

    asyncio.run(main())
    check_ended(stage, inner, where, error)
    assert clock.waiting == 0


@pytest.mark.parametrize("where", ["enter", "leave", "again"])
def test_interrupt_from_the_keyboard_while_waiting(
    stages: ModuleType, clock: ManualClock, where: str
) -> None:
    stage, inner = waiting_stage(stages, clock, where)
    interrupted = threading.Event()
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def interrupt() -> None:
        eventually(lambda: clock.waiting == 1)
        # A signal that comes just before the thread blocks waits for the next one.
        while not interrupted.wait(0.05):
            signal.pthread_kill(main_thread, signal.SIGINT)
            if interrupted.wait(1.0):
                return

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    helper = threading.Thread(target=interrupt)
    try:
        helper.start()
        with pytest.raises(KeyboardInterrupt) as caught:
            stage.bus.execute(Ask())
        interrupted.set()
        helper.join()
    finally:
        signal.signal(signal.SIGINT, before)
    check_ended(stage, inner, where, caught.value)
    assert clock.waiting == 0
    assert stage.bus.close(0).drained


def test_signal_that_raises_nothing_does_not_end_a_wait(
    stages: ModuleType, clock: ManualClock
) -> None:
    stage = stages.Script(enter=[("wait", 1)], clock=clock)
    bus = make_bus(stage, clock=clock)
    seen = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.set())
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def disturb() -> None:
        eventually(lambda: clock.waiting == 1)
        for _ in range(10):
            time.sleep(0.01)
            signal.pthread_kill(main_thread, signal.SIGUSR1)
        eventually(seen.is_set)
        assert clock.waiting == 1
        clock.advance(1)

    helper = threading.Thread(target=disturb)
    try:
        helper.start()
        assert bus.execute(Ask()) == 1
        helper.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(stage.log) == 3


def test_ended_wait_ignores_what_leave_asks_for(
    stages: ModuleType, drive: Driver, clock: ManualClock
) -> None:
    """Nothing waits or starts again for a dispatch that was ended."""
    stage = stages.Script(
        enter=[("wait", 60)], leave=[("wait", 60)], log=[], clock=clock
    )
    outer = stages.Script("outer", leave=[("wait", 60)], log=stage.log, clock=clock)
    ctx = Context.background().with_cancel()
    future = drive.start(make_bus(outer, stage, clock=clock), ctx=ctx)
    eventually(lambda: clock.waiting == 1)
    ctx.cancel()
    with pytest.raises(ContextCancelledError):
        future.result(PATIENCE)
    assert questions(stage.log).count(("stage", "leave")) == 1
    assert clock.waiting == 0


def test_done_context_does_not_wait(
    stages: ModuleType, drive: Driver, clock: ManualClock
) -> None:
    """A context that ends after the dispatch has begun lets no wait begin."""
    ctx = Context.background().with_cancel()

    def end(message: Ask) -> int:
        ctx.cancel()
        return 1

    stage = stages.Script(leave=[("wait", 60)], clock=clock)
    with pytest.raises(ContextCancelledError):
        drive(make_bus(stage, clock=clock, handler=end), ctx=ctx)
    assert questions(stage.log).count(("stage", "leave")) == 2
    assert clock.waiting == 0


class Waiting:
    """A bus in which one stage waits for a minute on a manual clock."""

    def __init__(self, bus: CommandBus, log: list[Any]) -> None:
        self.bus = bus
        self.log = log
        self.ctx: Context = Context.background().with_cancel()


def waiting_stage(
    stages: ModuleType, clock: ManualClock, where: str, slot: bool = True
) -> tuple[Waiting, Any]:
    steps: dict[str, Any] = {
        "enter": {"enter": [("wait", 60)]},
        "leave": {"leave": [("wait", 60)]},
        "again": {"leave": [("again", 60)]},
    }[where]
    log: list[Any] = []
    outer = stages.Script("outer", log=log, slot=slot)
    stage = stages.Script("stage", log=log, slot=slot, clock=clock, **steps)
    inner = stages.Script("inner", log=[], slot=slot)
    bus = make_bus(outer, stages.Remember(1), stage, inner, clock=clock)
    return Waiting(bus, log), inner


def start_waiting(
    stages: ModuleType,
    drive: Driver,
    clock: ManualClock,
    where: str,
    slot: bool = True,
    ctx: Context | None = None,
) -> tuple[Waiting, Future[Any], Any]:
    stage, inner = waiting_stage(stages, clock, where, slot)
    future = drive.start(stage.bus, ctx=ctx or stage.ctx)
    eventually(lambda: clock.waiting == 1 or future.done())
    return stage, future, inner


def check_ended(stage: Waiting, inner: Any, where: str, error: BaseException) -> None:
    """Check that the stage was left once more, with `error`, and the rest once."""
    asked = questions(stage.log)
    assert asked[:2] == [("outer", "enter"), ("stage", "enter")]
    # On the way out it is asked a first time, when it says that it waits.
    assert asked[2:] == [("stage", "leave")] * (1 if where == "enter" else 2) + [
        ("outer", "leave")
    ]
    assert stage.log[-2][3] is error
    assert final_leave(stage.log, "outer") is error
    entered = 0 if where == "enter" else 1
    assert [entry[1] for entry in inner.log] == ["enter", "leave"] * entered


# Clocks


def test_readings_are_shared_by_the_stack(stages: ModuleType, drive: Driver) -> None:
    readings = []

    def clock() -> int:
        readings.append(len(readings) * 1_000_000_000)
        return readings[-1]

    log: list[Any] = []
    bus = make_bus(*[stages.Script(n, log=log) for n in range(4)], clock=clock)
    drive(bus)
    assert len(readings) == 2
    assert [entry[2] for entry in log] == [0.0] * 4 + [1.0] * 4


def test_a_reading_that_lags_by_nanoseconds_hides_no_late_handler(
    stages: ModuleType, drive: Driver
) -> None:
    def until_it_is_over(ctx: Context, ask: Ask) -> int:
        while ctx.remaining():
            pass
        return ask.number

    timeout = TimeoutMiddleware(0.02, on_late="raise")
    bus = make_bus(timeout, stages.Lag(50), handler=until_it_is_over)
    with pytest.raises(DeadlineExceededError) as caught:
        drive(bus)
    assert caught.value.stage == "handler"


def test_a_pipeline_that_needs_no_time_reads_no_clock(
    stages: ModuleType, drive: Driver
) -> None:
    readings = []

    def clock() -> int:
        readings.append(1)
        return 1

    bus = make_bus(stages.Script(reads=False), stages.Count(), clock=clock)
    drive(bus)
    assert readings == []


def test_readings_after_a_wait_and_for_each_pass(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    stage = stages.Script(
        enter=[("wait", 1)], leave=[("again", 2), ("wait", 4)], clock=auto
    )
    bus = make_bus(stage, clock=auto)
    drive(bus)
    assert [entry[1:3] for entry in stage.log] == [
        ("enter", 0.0),
        ("enter", 1.0),
        ("leave", 1.0),
        ("leave", 3.0),
        ("leave", 7.0),
    ]


def test_error_of_the_clock_reaches_the_caller(
    stages: ModuleType, drive: Driver
) -> None:
    def clock() -> int:
        raise OSError("no time")

    with pytest.raises(OSError, match="no time"):
        drive(make_bus(stages.Script(), clock=clock))


def test_error_of_the_clock_on_the_way_out_is_the_outcome(
    stages: ModuleType, drive: Driver
) -> None:
    readings = iter([0])

    def clock() -> int:
        return next(readings, None) or fail()

    def fail() -> int:
        if next(first, None) is not None:
            return 0
        raise OSError("no time")

    first = iter([0])
    stage = stages.Script()
    with pytest.raises(OSError, match="no time"):
        drive(make_bus(stage, clock=clock))
    assert isinstance(final_leave(stage.log), OSError)


def test_longer_deadline_on_the_same_automatic_clock_is_not_reached(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    """Only the nearer end of a wait moves an automatic clock."""
    bus = make_bus(
        stages.Limit(100, auto),
        stages.Script(enter=[("wait", 1)], clock=auto),
        clock=auto,
    )
    assert drive(bus) == 1
    assert auto() == 1_000_000_000


def test_nearer_deadline_on_the_same_automatic_clock_ends_the_wait(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    stage = stages.Script(enter=[("wait", 100)], clock=auto)
    bus = make_bus(stages.Limit(1, auto), stage, clock=auto)
    with pytest.raises(DeadlineExceededError):
        drive(bus)
    assert auto() == 1_000_000_000
    assert isinstance(final_leave(stage.log), DeadlineExceededError)


def test_deadline_on_a_manual_clock_ends_a_wait(
    stages: ModuleType, drive: Driver, clock: ManualClock
) -> None:
    stage = stages.Script(enter=[("wait", None)])
    future = drive.start(make_bus(stages.Limit(5, clock), stage, clock=clock))
    eventually(lambda: clock.waiting == 1)
    clock.advance(4)
    assert clock.waiting == 1
    clock.advance(1)
    with pytest.raises(DeadlineExceededError):
        future.result(PATIENCE)


def test_deadline_that_passes_between_two_readings_ends_the_wait(
    stages: ModuleType, drive: Driver
) -> None:
    """A wait without an end of its own must not outlive a deadline just missed."""
    for step in range(8):
        clock = iter(range(0, 1_000_000_000, 1_000_000)).__next__
        stage = stages.Script(enter=[("wait", None)] * 100)
        limit = stages.Limit(0.0005 + step / 1000, clock)
        future = drive.start(make_bus(limit, stage, clock=clock))
        with pytest.raises(DeadlineExceededError):
            future.result(PATIENCE)


# Slots


@pytest.mark.parametrize("count", [1, 8, 9, 16, 17, 40, 300])
def test_every_stage_has_its_own_slot(
    stages: ModuleType, drive: Driver, count: int
) -> None:
    memories = [stages.Remember(number) for number in range(count)]
    elements: list[Any] = [stages.Repeat(2)]
    for number, memory in enumerate(memories):
        elements.append(memory)
        if number % 3 == 0:
            elements.append(stages.Count())
    bus = make_bus(*elements)
    for _ in range(3):
        assert drive(bus) == 1
    assert [memory.faults for memory in memories] == [[]] * count
    assert {memory.passes for memory in memories} == {9}


def test_slots_drop_their_objects(stages: ModuleType, drive: Driver) -> None:
    def fail(message: Ask) -> int:
        raise ValueError

    token = object()
    elements = [stages.Remember(token) for _ in range(20)]
    good = make_bus(*elements)
    bad = make_bus(*elements, handler=fail)
    before = sys.getrefcount(token)
    for _ in range(10):
        assert drive(good) == 1
        with pytest.raises(ValueError):  # noqa: PT011
            drive(bad)
    assert sys.getrefcount(token) == before


def test_one_stage_serves_many_routes_and_buses(
    stages: ModuleType, drive: Driver
) -> None:
    memory = stages.Remember("shared")
    bus = make_bus(memory, memory, stages.Count())

    def nested(ctx: Context, message: Other) -> int:
        return bus.execute(Ask(), ctx)

    outer = CommandBus(middleware=[memory])
    outer.register_handler(Other, nested, middleware=[memory])
    assert drive(outer, Other()) == 1
    assert memory.faults == []
    assert memory.passes == 4


@pytest.mark.parametrize("count", [100, 1000])
def test_hundreds_of_stages(stages: ModuleType, drive: Driver, count: int) -> None:
    counters = [stages.Count() for _ in range(count)]
    bus = make_bus(*counters)
    assert drive(bus) == 1
    assert {(stage.entered, stage.left) for stage in counters} == {(1, 1)}
    error = ValueError("no")
    bus.add_middleware(stages.Script(enter=[("raise", error)]), index=count // 2)
    with pytest.raises(ValueError, match="no"):
        drive(bus)
    assert [stage.entered for stage in counters] == [2] * (count // 2) + [1] * (
        count - count // 2
    )
    assert all(stage.entered == stage.left for stage in counters)


# Routes


def test_stage_may_refuse_a_route(stages: ModuleType, drive: Driver) -> None:
    stage = stages.Count(only="Ask")
    bus = make_bus(stage)
    bus.register_handler(Other, lambda message: 2)
    assert drive(bus) == 1
    assert drive(bus, Other()) == 2
    assert stage.entered == 1
    shown = {info.name: [one.kind for one in info.stages] for info in bus.describe()}
    assert shown == {"Ask": ["Count"], "Other": []}


def test_stage_describes_itself(stages: ModuleType) -> None:
    bus = make_bus(stages.Script("mine"))
    (info,) = bus.describe()
    assert info.stages[0].kind == "Script"
    assert info.stages[0].settings == {"name": "mine"}
    assert "name='mine'" in bus.explain(Ask)


def test_stage_sees_the_context_that_is_passed(
    stages: ModuleType, drive: Driver
) -> None:
    stage = stages.Principal()
    bus = make_bus(stage)
    drive(bus, ctx=Context.background().with_principal("ann"))
    assert stage.seen == "ann"
    drive(bus)
    assert stage.seen is None


def test_only_observers_see_what_may_not_start(
    stages: ModuleType, drive: Driver
) -> None:
    outer = stages.Script("outer", observes=True, slot=True)
    inner = stages.Script("inner", slot=True)
    bus = make_bus(outer, inner)
    ctx = Context.background().with_cancel()
    ctx.cancel()
    with pytest.raises(ContextCancelledError) as caught:
        drive(bus, ctx=ctx)
    assert final_leave(outer.log, "outer") is caught.value
    bus.close()
    with pytest.raises(BusClosedError):
        drive(bus)
    assert len(outer.log) == 4
    assert inner.log == []


def test_stages_serve_queries(stages: ModuleType) -> None:
    bus = QueryBus(middleware=[stages.Repeat(1), stages.Delay(0)])
    bus.register_handler(Look, lambda message: message.number)
    assert bus.execute(Look(3)) == 3


def test_stage_class_is_refused(stages: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"Count is a class: pass Count\(\)"):
        CommandBus(middleware=[stages.Count])


def test_stages_and_async_handler(stages: ModuleType, auto: ManualClock) -> None:
    async def handler(message: Ask) -> int:
        await asyncio.sleep(0)
        return message.number

    async def main() -> int:
        return await bus.execute_async(Ask(5))

    again = stages.Script(enter=[("wait", 1)], leave=[("again", 1)], clock=auto)
    memory = stages.Remember("x")
    bus = make_bus(again, memory, stages.Delay(0.001), clock=auto, handler=handler)
    assert asyncio.run(main()) == 5
    assert memory.passes == 2
    assert memory.faults == []


def test_handler_whose_awaitable_cannot_be_closed(
    stages: ModuleType, drive: Driver
) -> None:
    """`execute` closes what a sync-looking handler returned; that may fail."""
    calls = []

    class Stubborn:
        def __await__(self) -> Iterator[None]:
            yield
            return 3

        def close(self) -> None:
            raise OSError("cannot be closed")

    def handler(ctx: Context, message: Ask) -> Any:
        calls.append(message)
        assert len(calls) == 1
        return Stubborn()

    stage = stages.Script()
    bus = make_bus(stage, handler=handler)
    if drive.name == "async":
        assert drive(bus) == 3
        return
    with pytest.raises((AsyncHandlerError, OSError)) as caught:
        drive(bus)
    assert len(calls) == 1
    assert final_leave(stage.log) is caught.value


# Threads


def test_waits_on_several_threads(stages: ModuleType, drive: Driver) -> None:
    memory = stages.Remember("x")
    counter = stages.Count()
    bus = make_bus(counter, stages.Delay(0.001), stages.Repeat(2), memory)
    futures = [drive.start(bus, Ask(number)) for number in range(16)]
    assert [future.result(PATIENCE) for future in futures] == list(range(16))
    assert memory.faults == []
    assert (counter.entered, counter.left, memory.passes) == (16, 16, 48)
    assert bus.close(PATIENCE).drained


def test_waiters_on_several_threads_and_loops(stages: ModuleType) -> None:
    """Both drivers at once, each woken by a thread of its own."""
    bus = CommandBus()
    ran = []
    for number in range(12):
        driver = Driver("sync" if number % 2 else "async")
        waiter = Waiter()
        stage = stages.Script(number, enter=[("wait", None, waiter)])
        name = f"message-{number}"

        class Named:
            def __init__(self, name: str) -> None:
                self.name = name

            def command_name(self) -> str:
                return self.name

        bus.register_handler(name, lambda message: message.name, middleware=[stage])
        future = driver.start(bus, Named(name))
        ran.append((name, stage, waiter, future))
    for _, stage, _, _ in ran:
        eventually(lambda stage=stage: len(stage.log) == 1)  # type: ignore[misc]
    wakers = [threading.Thread(target=waiter.wake) for _, _, waiter, _ in ran]
    for waker in wakers:
        waker.start()
    for name, _, _, future in ran:
        assert future.result(PATIENCE) == name
    for waker in wakers:
        waker.join()


def test_drain_ends_the_waits_of_all_threads(stages: ModuleType) -> None:
    bus = make_bus(stages.Delay(3600))
    futures = [Driver(name).start(bus) for name in ("sync", "async") for _ in range(6)]
    eventually(lambda: not any(future.done() for future in futures))
    time.sleep(0.05)
    report = bus.close(PATIENCE)
    assert report.drained
    for future in futures:
        with pytest.raises(BusClosedError):
            future.result(PATIENCE)


def test_cancel_storm(stages: ModuleType, drive: Driver) -> None:
    """Cancelling while waits begin and end loses none of them."""
    bus = make_bus(stages.Delay(0.002), stages.Delay(0.002))
    for _ in range(10):
        ctx = Context.background().with_cancel()
        futures = [drive.start(bus, ctx=ctx) for _ in range(6)]
        time.sleep(0.002)
        ctx.cancel()
        for future in futures:
            error = future.exception(PATIENCE)
            assert error is None or isinstance(error, ContextCancelledError)
    assert bus.close(PATIENCE).drained


# Around middleware


def test_wait_inside_an_around_blocks_only_where_it_is_declared(
    stages: ModuleType, auto: ManualClock
) -> None:
    @middleware
    def plain(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)

    @middleware(blocking=True)
    def blocking(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message) + 10

    stage = stages.Script(enter=[("wait", 1)] * 3, clock=auto)
    refused = make_bus(plain, stage)
    with pytest.raises(AsyncHandlerError, match="blocking=True"):
        Driver("async")(refused)
    assert stage.log == []
    assert Driver("sync")(refused) == 1

    allowed = make_bus(blocking, stage)
    assert Driver("async")(allowed) == 11
    assert Driver("sync")(allowed) == 11
    # A stage outside the around is nobody's business.
    assert Driver("async")(make_bus(stage, plain)) == 1


def test_async_around_waits_without_blocking(
    stages: ModuleType, clock: ManualClock
) -> None:
    @middleware
    async def around(ctx: Context, message: Any, next: Any) -> Any:
        return await next(ctx, message) + 10

    stage = stages.Script(enter=[("wait", 1)], leave=[("again", 1)], clock=clock)
    bus = make_bus(around, stage)

    async def main() -> Any:
        task = asyncio.ensure_future(bus.execute_async(Ask()))
        for _ in range(2):
            while clock.waiting == 0:
                await asyncio.sleep(0)
            clock.advance(1)
            await asyncio.sleep(0)
        return await task

    assert asyncio.run(main()) == 11
    assert questions(stage.log).count(("stage", "leave")) == 2


def test_stages_outside_and_inside_an_around(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    @middleware(blocking=True)
    def around(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)

    log: list[Any] = []
    outer = stages.Script("outer", leave=[("again", 1)], log=log, clock=auto, slot=True)
    inner = stages.Script("inner", leave=[("again", 1)], log=log, clock=auto, slot=True)
    calls = Tally()
    bus = make_bus(outer, around, inner, clock=auto, handler=calls)
    assert drive(bus) == 3
    assert questions(log) == [
        ("outer", "enter"),
        ("inner", "enter"),
        ("inner", "leave"),
        ("inner", "leave"),
        ("outer", "leave"),
        ("inner", "enter"),
        ("inner", "leave"),
        ("outer", "leave"),
    ]


def test_hooks_around_a_wait(
    stages: ModuleType, drive: Driver, auto: ManualClock
) -> None:
    class Timing(Middleware):
        timed = True
        seen: float | None = None

        def after(self, call: Any) -> None:
            self.seen = call.elapsed_ns

    timing = Timing()
    stage = stages.Script(enter=[("wait", 1)], leave=[("again", 2)], clock=auto)
    assert drive(make_bus(timing, stage, clock=auto)) == 1
    assert timing.seen == 3_000_000_000


# The awaitable by hand


def test_dispatch_stepped_without_an_event_loop(
    stages: ModuleType, clock: ManualClock
) -> None:
    """A wait needs a loop: the stage is left with the error that says so."""
    stage = stages.Script(enter=[("wait", 1)], clock=clock)
    bus = make_bus(stage, clock=clock)
    dispatch = bus.execute_async(Ask())
    with pytest.raises(RuntimeError, match="no running event loop") as caught:
        dispatch.send(None)
    assert final_leave(stage.log) is caught.value
    assert clock.waiting == 0
    assert bus.close(0).drained


def test_wait_that_is_woken_already_needs_no_step(
    stages: ModuleType, auto: ManualClock
) -> None:
    stage = stages.Script(enter=[("wait", 1)], leave=[("wait", 1)], clock=auto)
    bus = make_bus(stage, clock=auto)

    async def main() -> Any:
        dispatch = bus.execute_async(Ask())
        with pytest.raises(StopIteration) as stop:
            dispatch.send(None)
        return stop.value.value

    assert asyncio.run(main()) == 1
