"""IdempotencyMiddleware: a command that is sent again is not done again."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from support import ASKED, TRANSPARENT, asked, eventually, stranded

from cqrs_fast import (
    Command,
    CommandBus,
    Context,
    IdempotencyConflictError,
    IdempotencyInProgressError,
    IdempotencyMiddleware,
    OverloadedError,
    Query,
    QueryBus,
)
from cqrs_fast.base.clock import ManualClock


class Pay(Command[object]):
    amount: Any = 1
    idempotency_key: Any = None


class Refund(Command[object]):
    amount: Any = 1
    idempotency_key: Any = None


class Plain(Command[object]):
    amount: int = 1


@dataclass(frozen=True)
class TransferCommand:
    amount: Any
    idempotency_key: Any


@dataclass(slots=True)
class TightCommand:
    amount: Any
    idempotency_key: Any


class LooseCommand:
    def __init__(self, amount: Any) -> None:
        self.amount = amount

    def idempotency_key(self) -> str:
        return "key"


class Failure(Exception):
    pass


class World:
    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.clock = ManualClock(100.0)
        self.runs: list[Any] = []
        self.answer: Callable[[Any], Any] = lambda command: len(self.runs)

    def build(self, key: Any = None, **settings: Any) -> IdempotencyMiddleware:
        self.stage = IdempotencyMiddleware(key, **settings)
        self.bus = CommandBus(middleware=[self.stage], clock=self.clock)
        for cls in (Pay, Refund, Plain, TransferCommand, TightCommand, LooseCommand):
            self.bus.register_handler(cls, self.handler())
        return self.stage

    def handler(self) -> Any:
        def handle(command: Any) -> Any:
            self.runs.append(command)
            return self.answer(command)

        async def handle_async(command: Any) -> Any:
            self.runs.append(command)
            await asyncio.sleep(0)
            return self.answer(command)

        return handle_async if self.is_async else handle

    def send(self, command: Any, ctx: Context | None = None) -> Any:
        if not self.is_async:
            return self.bus.execute(command, ctx)

        async def run() -> Any:
            return await self.bus.execute_async(command, ctx)

        return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    made.build()
    yield made
    stats = made.stage.stats()
    assert stats.in_progress == 0
    assert len(made.stage) == stats.size <= stats.max_records


def failing(error: BaseException) -> Callable[[Any], Any]:
    def fail(command: Any) -> Any:
        raise error

    return fail


def test_a_command_that_is_sent_again_is_answered_and_not_done(world: World) -> None:
    result = object()
    world.answer = lambda command: result
    assert world.send(Pay(1, "k")) is world.send(Pay(1, "k")) is result
    assert len(world.runs) == 1
    assert world.stage.stats().replayed == 1


def test_none_is_a_result(world: World) -> None:
    world.answer = lambda command: None
    assert world.send(Pay(1, "k")) is world.send(Pay(1, "k")) is None
    assert len(world.runs) == 1


def test_without_a_key_every_command_is_done(world: World) -> None:
    for command in (Pay(1), Pay(1), Plain(1), Plain(1)):
        world.send(command)
    assert len(world.runs) == 4
    assert len(world.stage) == 0


def test_keys_are_typed_and_belong_to_class_and_principal(world: World) -> None:
    alice = Context.background().with_principal("alice")
    bob = Context.background().with_principal("bob")
    cases = [
        (Pay(1, 1), None),
        (Pay(1, 1.0), None),
        (Pay(1, True), None),
        (Pay(1, "1"), None),
        (Pay(1, ("1",)), None),
        (Refund(1, 1), None),
        (Pay(1, 1), alice),
        (Pay(1, 1), bob),
    ]
    answers = [world.send(*case) for case in cases]
    assert answers == [world.send(*case) for case in cases] == list(range(1, 9))


def test_a_key_function_tells_the_key(world: World) -> None:
    world.build(lambda command: command.amount if command.amount else None)
    for command in (Plain(1), Plain(1), Plain(2), Plain(0), Plain(0)):
        world.send(command)
    assert [command.amount for command in world.runs] == [1, 2, 0, 0]


def test_other_fields_under_the_same_key_are_a_conflict(world: World) -> None:
    world.send(Pay(1, "k"))
    for amount in (2, 1.0, True, "1", [1]):
        with pytest.raises(IdempotencyConflictError) as caught:
            world.send(Pay(amount, "k"))
        assert caught.value.name == "Pay"
    assert world.send(Pay(1, "k")) == 1
    assert world.stage.stats().conflicts == 5


@pytest.mark.parametrize(
    "make",
    [
        lambda amount: Pay([amount, {"a": amount}], "k"),
        lambda amount: Pay([*range(1000), amount], "k"),
        lambda amount: TransferCommand([amount], "k"),
        lambda amount: LooseCommand(amount),
        lambda amount: TightCommand([amount], "k"),
        lambda amount: Pay([TightCommand(amount, None)], "k"),
    ],
)
def test_fields_of_every_form_are_compared(world: World, make: Any) -> None:
    assert world.send(make(1)) == world.send(make(1)) == 1
    with pytest.raises(IdempotencyConflictError):
        world.send(make(2))


@pytest.mark.parametrize(
    ("command", "ctx"),
    [
        (Pay(1, object()), None),
        (Pay(object(), "k"), None),
        (Pay(float("nan"), "k"), None),
        (Pay(1, "k"), Context.background().with_principal(object())),
    ],
)
def test_what_cannot_be_compared_fails_the_call(
    world: World, command: Any, ctx: Any
) -> None:
    with pytest.raises(TypeError, match="can be compared by content: no key can be"):
        world.send(command, ctx)
    assert world.runs == []


def test_a_key_function_that_raises_fails_the_call(world: World) -> None:
    world.build(failing(Failure("key")))
    with pytest.raises(Failure):
        world.send(Pay(1, "k"))
    assert world.runs == []


def test_a_command_that_failed_is_done_again(world: World) -> None:
    world.answer = failing(Failure())
    for _ in range(2):
        with pytest.raises(Failure):
            world.send(Pay(1, "k"))
    assert (len(world.runs), len(world.stage)) == (2, 0)
    world.answer = lambda command: "done"
    assert world.send(Pay(2, "k")) == "done"


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_a_base_exception_leaves_no_record(kind: type[BaseException]) -> None:
    world = World(False)
    world.build(final_on=Exception)
    world.answer = failing(kind())
    with pytest.raises(kind):
        world.send(Pay(1, "k"))
    assert len(world.stage) == 0


def test_a_final_error_is_kept(world: World) -> None:
    world.build(final_on=(Failure,), ttl=10)
    world.answer = failing(Failure("declined", 7))
    raised = []
    for _ in range(3):
        with pytest.raises(Failure) as caught:
            world.send(Pay(1, "k"))
        raised.append(caught.value)
    assert len(world.runs) == 1
    assert len({id(error) for error in raised}) == 3
    assert {error.args for error in raised} == {("declined", 7)}
    world.clock.advance(10)
    with pytest.raises(Failure):
        world.send(Pay(1, "k"))
    assert len(world.runs) == 2


@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed"])
def test_nobody_waits_for_one_whose_end_could_not_be_timed(fails: bool) -> None:
    """What was done is answered for its lease; what failed is done again."""
    broken = False
    runs = 0

    def clock() -> int:
        if broken:
            raise OSError("no time")
        return 1

    def pay(command: Pay) -> int:
        nonlocal broken, runs
        runs += 1
        broken = runs == 1
        if fails and broken:
            raise Failure("declined")
        return runs

    stage = IdempotencyMiddleware(clock=clock, final_on=Failure)
    bus = CommandBus(middleware=[stage])
    bus.register_handler(Pay, pay)
    with pytest.raises(OSError, match="no time"):
        bus.execute(Pay(1, "a"))
    broken = False
    assert stage.stats().in_progress == 0
    assert bus.execute(Pay(1, "a")) == (2 if fails else 1)
    assert runs == (2 if fails else 1)


def test_a_result_is_kept_so_long(world: World) -> None:
    world.build(ttl=10)
    world.send(Pay(1, "k"))
    world.clock.advance(9.999)
    assert world.send(Pay(1, "k")) == 1
    world.clock.advance(0.001)
    assert world.send(Pay(2, "k")) == 2


def test_a_full_store_refuses_and_drops_nothing(world: World) -> None:
    world.build(ttl=10, max_records=3)
    for number in range(3):
        world.send(Pay(number, number))
        world.clock.advance(1)
    with pytest.raises(OverloadedError) as caught:
        world.send(Pay(9, 9))
    error = caught.value
    assert (error.middleware, error.name) == ("IdempotencyMiddleware", "Pay")
    assert error.retry_after == pytest.approx(7.0)
    assert [world.send(Pay(number, number)) for number in range(3)] == [1, 2, 3]
    world.clock.advance(7)
    assert world.send(Pay(9, 9)) == 4
    assert len(world.stage) == 3
    assert world.stage.stats().refused == 1


def test_failures_leave_nothing_behind(world: World) -> None:
    stage = world.build(max_records=10)
    world.answer = failing(Failure())
    for number in range(2_000 if not world.is_async else 50):
        with suppress(Failure):
            world.send(Pay(1, number))
    assert len(stage) == 0
    world.answer = lambda command: 1
    for number in range(10):
        world.send(Pay(1, number))
    assert len(stage) == 10


def test_sweep_removes_what_is_over(world: World) -> None:
    world.build(ttl=10)
    for number in range(20):
        world.send(Pay(1, number))
    world.clock.advance(5)
    world.send(Pay(1, "late"))
    world.clock.advance(5)
    assert world.stage.sweep() == 20
    assert len(world.stage) == 1


# Duplicates of what is in progress


class Gate:
    def __init__(self) -> None:
        self.runs = 0
        self.inside = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.ends: list[Any] = []

    def __call__(self, command: Any) -> Any:
        self.runs += 1
        self.inside.release()
        assert self.go.acquire(timeout=10)
        end = self.ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end

    def end(self, outcome: Any) -> None:
        self.ends.append(outcome)
        self.go.release()


def gated(stage: IdempotencyMiddleware, **options: Any) -> tuple[Gate, CommandBus]:
    gate = Gate()
    bus = CommandBus(middleware=[stage], **options)
    bus.register_handler(Pay, gate)
    return gate, bus


def ended(bus: CommandBus, *arguments: Any) -> Any:
    try:
        return bus.execute(*arguments)
    except BaseException as error:
        return error


async def awaited(bus: CommandBus, *arguments: Any) -> Any:
    try:
        return await bus.execute_async(*arguments)
    except Exception as error:
        return error


WAYS: dict[str, Callable[..., Any]] = {
    "sync": ended,
    "async": lambda *arguments: asyncio.run(awaited(*arguments)),
}


def parked(bus: CommandBus, count: int) -> None:
    """Wait until so many dispatches are in flight, and have had time to park."""
    eventually(lambda: bus.stats().total.in_flight == count)
    threading.Event().wait(0.01)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_duplicates_wait_for_the_one_in_progress(way: Any) -> None:
    stage = IdempotencyMiddleware()
    gate, bus = gated(stage, enable_metrics=True)
    with ThreadPoolExecutor(5) as pool:
        leader = pool.submit(ended, bus, Pay(1, "k"))
        assert gate.inside.acquire(timeout=5)
        others = [pool.submit(way, bus, Pay(1, "k")) for _ in range(3)]
        conflict = pool.submit(way, bus, Pay(2, "k"))
        assert isinstance(conflict.result(), IdempotencyConflictError)
        parked(bus, 4)
        gate.end("done")
        assert [call.result() for call in [leader, *others]] == ["done"] * 4
    assert gate.runs == 1
    assert stage.stats().replayed == 3


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_or_they_are_told_that_it_is_in_progress(way: Any) -> None:
    gate, bus = gated(IdempotencyMiddleware(on_duplicate="raise"))
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(ended, bus, Pay(1, "k"))
        assert gate.inside.acquire(timeout=5)
        error = way(bus, Pay(1, "k"))
        gate.end("done")
        assert leader.result() == "done"
    assert isinstance(error, IdempotencyInProgressError)
    assert (error.middleware, error.name) == ("IdempotencyMiddleware", "Pay")
    assert bus.execute(Pay(1, "k")) == "done"


def test_duplicates_get_a_copy_of_the_error() -> None:
    gate, bus = gated(IdempotencyMiddleware(), enable_metrics=True)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(ended, bus, Pay(1, "k")) for _ in range(3)]
        assert gate.inside.acquire(timeout=5)
        parked(bus, 3)
        gate.end(Failure("x"))
        raised = [call.result() for call in calls]
    assert [error.args for error in raised] == [("x",)] * 3
    assert len({id(error) for error in raised}) == 3
    assert gate.runs == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()])
def test_where_the_first_leaves_a_duplicate_does_it(error: BaseException) -> None:
    stage = IdempotencyMiddleware()
    gate, bus = gated(stage, enable_metrics=True)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(ended, bus, Pay(1, "k")) for _ in range(3)]
        assert gate.inside.acquire(timeout=5)
        parked(bus, 3)
        gate.end(error)
        assert gate.inside.acquire(timeout=5)
        gate.end("done")
        outcomes = [call.result() for call in calls]
    assert outcomes.count("done") == 2
    assert bus.execute(Pay(1, "k")) == "done"
    assert gate.runs == 2


def test_every_duplicate_may_be_cancelled_at_every_await() -> None:
    stage = IdempotencyMiddleware()
    runs: list[Any] = []

    async def handle(command: Pay) -> Any:
        runs.append(command)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return command.idempotency_key

    bus = CommandBus(middleware=[stage])
    bus.register_handler(Pay, handle)

    async def main() -> None:
        number = 0
        for steps in range(6):
            for victims in ([0], [1], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2]):
                number += 1
                tasks = [
                    asyncio.ensure_future(bus.execute_async(Pay(1, number)))
                    for _ in range(3)
                ]
                for _ in range(steps):
                    await asyncio.sleep(0)
                for victim in victims:
                    tasks[victim].cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                for index, outcome in enumerate(outcomes):
                    if index not in victims:
                        assert outcome == number
                assert stage.stats().in_progress == 0

    asyncio.run(main())


async def never(command: Any) -> None:
    """Handle a command without an end."""
    await asyncio.get_running_loop().create_future()


def stuck(stage: IdempotencyMiddleware) -> CommandBus:
    bus = CommandBus(middleware=[stage])
    bus.register_handler(Pay, never)
    return bus


@pytest.mark.parametrize("on_duplicate", ["wait", "raise"])
@pytest.mark.parametrize("way", ASKED)
def test_one_whose_loop_is_closed_is_passed_over(way: str, on_duplicate: Any) -> None:
    stage = IdempotencyMiddleware(on_duplicate=on_duplicate, max_records=1)
    runs: list[Any] = []

    def handle(command: Any) -> Any:
        runs.append(command)
        return "done"

    async def handle_async(command: Any) -> Any:
        return handle(command)

    sync, bus = CommandBus(middleware=[stage]), CommandBus(middleware=[stage])
    sync.register_handler(Pay, handle)
    bus.register_handler(Pay, handle_async)
    leader = stranded(stuck(stage).execute_async(Pay(1, "k")))
    assert asked(way, sync, bus, Pay(1, "k")) == "done"
    assert len(runs) == 1
    del leader
    gc.collect()
    assert asked(way, sync, bus, Pay(1, "k")) == "done"
    assert len(runs) == 1
    assert stage.stats().in_progress == 0


def test_a_duplicate_that_waited_for_a_closed_loop_does_it_once_another_comes() -> None:
    stage = IdempotencyMiddleware()
    gate, sync = gated(stage, enable_metrics=True)
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(2) as pool:
        call = stuck(stage).execute_async(Pay(1, "k"))
        leader = asyncio.ensure_future(call, loop=loop)
        loop.run_until_complete(asyncio.sleep(0))
        calls = [pool.submit(ended, sync, Pay(1, "k"))]
        parked(sync, 1)
        loop.close()
        leader._log_destroy_pending = False  # type: ignore[attr-defined]
        calls.append(pool.submit(ended, sync, Pay(1, "k")))
        assert gate.inside.acquire(timeout=5)
        del leader, call
        gc.collect()
        gate.end("done")
        assert [call.result() for call in calls] == ["done"] * 2
    assert gate.runs == 1
    assert stage.stats().in_progress == 0


def test_a_lost_lease_lets_the_next_one_do_it_and_late_ends_change_nothing() -> None:
    clock = ManualClock()
    stage = IdempotencyMiddleware(lease=10, on_duplicate="raise")
    gate, bus = gated(stage, clock=clock)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ended, bus, Pay(1, "k"))
        assert gate.inside.acquire(timeout=5)
        clock.advance(9.999)
        assert isinstance(ended(bus, Pay(1, "k")), IdempotencyInProgressError)
        clock.advance(0.001)
        second = pool.submit(ended, bus, Pay(1, "k"))
        assert gate.inside.acquire(timeout=5)
        gate.end("one of them")
        eventually(lambda: first.done() or second.done())
        late = second if first.done() else first
        if late is first:
            assert bus.execute(Pay(1, "k")) == "one of them"
        else:
            assert isinstance(ended(bus, Pay(1, "k")), IdempotencyInProgressError)
        gate.end("the other")
        late.result()
    assert bus.execute(Pay(1, "k")) == second.result()


def test_who_waits_past_a_lease_does_it() -> None:
    clock = ManualClock()
    stage = IdempotencyMiddleware(lease=10)
    gate, bus = gated(stage, clock=clock, enable_metrics=True)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ended, bus, Pay(1, "k"))
        assert gate.inside.acquire(timeout=5)
        second = pool.submit(ended, bus, Pay(1, "k"))
        parked(bus, 2)
        clock.advance(10)
        assert gate.inside.acquire(timeout=5)
        gate.end("a")
        gate.end("b")
        assert {first.result(), second.result()} == {"a", "b"}
    assert bus.execute(Pay(1, "k")) == second.result()


def test_who_is_told_to_lead_after_the_lease_was_lost_does_not_do_it_twice() -> None:
    clock = ManualClock()
    stage = IdempotencyMiddleware(lease=10)
    bus = CommandBus(middleware=[stage], clock=clock)
    running: list[int] = []

    async def handle(command: Pay) -> Any:
        running.append(1)
        await asyncio.sleep(0.01)
        return len(running)

    bus.register_handler(Pay, handle)

    async def main() -> None:
        first, second = (
            asyncio.ensure_future(bus.execute_async(Pay(1, "k"))) for _ in range(2)
        )
        await asyncio.sleep(0)
        # The next one with its key comes before the loop tells the second anything.
        first.cancel()
        clock.advance(10)
        assert await bus.execute_async(Pay(1, "k")) == 2
        assert await second == 2
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())
    assert len(running) == 2
    assert stage.stats().replayed == 1


def test_a_deadline_takes_the_place_of_the_lease() -> None:
    clock = ManualClock()
    stage = IdempotencyMiddleware(on_duplicate="raise", clock=clock)
    gate, bus = gated(stage)
    ctx = Context.background().with_timeout(5)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ended, bus, Pay(1, "k"), ctx)
        assert gate.inside.acquire(timeout=5)
        clock.advance(4)
        assert isinstance(ended(bus, Pay(1, "k")), IdempotencyInProgressError)
        clock.advance(1.1)
        second = pool.submit(ended, bus, Pay(1, "k"))
        assert gate.inside.acquire(timeout=5)
        gate.end(1)
        gate.end(2)
        assert {first.result(), second.result()} == {1, 2}


def test_a_command_inside_of_itself_is_refused() -> None:
    stage = IdempotencyMiddleware()
    bus = CommandBus(middleware=[stage])
    bus.register_handler(Pay, lambda command: ended(bus, command))
    assert isinstance(bus.execute(Pay(1, "k")), IdempotencyInProgressError)


def test_bursts_of_threads_do_it_once() -> None:
    runs: list[Any] = []
    stage = IdempotencyMiddleware()
    bus = CommandBus(middleware=[stage])
    bus.register_handler(Pay, lambda command: runs.append(command.idempotency_key))
    barrier = threading.Barrier(16)

    def work() -> None:
        for number in range(100):
            barrier.wait(10)
            bus.execute(Pay(1, number))

    with ThreadPoolExecutor(16) as pool:
        for call in [pool.submit(work) for _ in range(16)]:
            call.result()
    assert sorted(runs) == list(range(100))
    assert stage.stats().replayed == 1500


# Settings


def test_settings_are_described_and_change_in_place(world: World) -> None:
    world.send(Pay(1, "k"))
    world.stage.update(ttl=5, max_records=1, final_on=Failure)
    info = {one.name: one for one in world.bus.describe()}["Pay"].stages[0]
    assert info.kind == "IdempotencyMiddleware"
    assert info.settings == {
        "key": None,
        "ttl": 5,
        "max_records": 1,
        "on_duplicate": "wait",
        "final_on": (Failure,),
        "lease": 300.0,
    }
    with pytest.raises(OverloadedError):
        world.send(Pay(1, "other"))
    with pytest.raises(ValueError, match="lease must be"):
        world.stage.update(ttl=1, lease=0)
    with pytest.raises(TypeError, match="has no setting 'clock'"):
        world.stage.update(clock=None)
    assert world.stage.settings()["ttl"] == 5
    (shown,) = world.bus.stats().middleware
    assert shown.stats == world.stage.stats()


def test_a_query_bus_refuses_it() -> None:
    class Ask(Query[object]):
        pass

    with pytest.raises(TypeError, match="IdempotencyMiddleware serves a command bus"):
        QueryBus(middleware=[IdempotencyMiddleware()])
    bus, own = QueryBus(), [IdempotencyMiddleware()]
    with pytest.raises(TypeError, match="IdempotencyMiddleware serves commands"):
        bus.register_handler(Ask, lambda query: None, middleware=own)


def test_the_first_line_says_that_it_is_in_process() -> None:
    first = (IdempotencyMiddleware.__doc__ or "").strip().splitlines()
    text = " ".join(first[:5])
    assert "in this process, not across processes" in text


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"key": 7}, TypeError, "key must be callable, got 7"),
        ({"ttl": 0}, ValueError, "ttl must be more than 0 .*0"),
        ({"ttl": True}, TypeError, "ttl must be a number .*True"),
        ({"ttl": float("inf")}, ValueError, "ttl must be .*inf"),
        ({"max_records": 0}, ValueError, "max_records must be from 1 .*0"),
        ({"max_records": 1.5}, TypeError, "max_records must be an int, got 1.5"),
        ({"on_duplicate": "drop"}, ValueError, "on_duplicate must be 'wait' or"),
        ({"final_on": 7}, TypeError, "final_on must be an Exception .* got 7"),
        ({"final_on": [BaseException]}, TypeError, "final_on must be an Exception"),
        ({"lease": -1}, ValueError, "lease must be more than 0 .*-1"),
        ({"clock": 7}, TypeError, "clock"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        IdempotencyMiddleware(**arguments)
