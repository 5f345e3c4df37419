"""BulkheadMiddleware: who is inside, who waits, and that every permit comes back."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from crowd import CANCELLED, Crowd, Job, crowd, waits_until
from hypothesis import given, settings
from hypothesis import strategies as st
from support import (
    DRIVERS,
    TRANSPARENT,
    Add,
    Ask,
    Driver,
    drive,
    eventually,
    fastest_switching,
)

from cqrs_fast import (
    AsyncHandlerError,
    BulkheadFullError,
    BulkheadMiddleware,
    BusClosedError,
    CommandBus,
    Context,
    DeadlineExceededError,
    QueryBus,
)
from cqrs_fast.testing import ManualClock, assert_no_allocation


@pytest.fixture(params=[False, True], ids=["threads", "tasks"])
def people(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    with crowd(request.param) as them:
        yield them


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Hall:
    """A bus whose handlers end when they are told to."""

    def __init__(
        self, people: Crowd, clock: ManualClock, *arguments: Any, **named: Any
    ):
        self.people = people
        self.bulkhead = BulkheadMiddleware(*arguments, **named)
        self.bus = CommandBus(middleware=[self.bulkhead], clock=clock)
        self.doors: dict[int, threading.Event] = {}
        self.entered: list[int] = []
        self.bus.register_handler(Add, self.async_stay if people.loop else self.stay)

    def enter(self, number: int) -> threading.Event:
        door = self.doors.setdefault(number, threading.Event())
        self.entered.append(number)
        return door

    def stay(self, message: Add) -> int:
        assert self.enter(message.number).wait(5)
        return message.number

    async def async_stay(self, message: Add) -> int:
        door = self.enter(message.number)
        while not door.is_set():
            await asyncio.sleep(0.001)
        return message.number

    def admit(self, *numbers: int) -> list[Job]:
        jobs = []
        for number in numbers:
            jobs.append(self.people.start(self.bus, Add(number)))
            self.inside(number)
        return jobs

    def wait(self, *numbers: int, ctx: Context | None = None) -> list[Job]:
        jobs = []
        for number in numbers:
            reached = self.bulkhead.snapshot().waiting + 1
            jobs.append(self.people.start(self.bus, Add(number), ctx))
            waits_until(self.bulkhead, reached)
        return jobs

    def refused(self, number: int = 0) -> BulkheadFullError:
        error = self.people.start(self.bus, Add(number)).error()
        assert isinstance(error, BulkheadFullError)
        return error

    def inside(self, number: int) -> None:
        eventually(lambda: number in self.entered)

    def release(self, *numbers: int) -> None:
        for number in numbers:
            self.doors.setdefault(number, threading.Event()).set()

    def counts(self) -> tuple[int, int]:
        stats = self.bulkhead.snapshot()
        return stats.in_flight, stats.waiting


@pytest.fixture
def hall(people: Crowd, clock: ManualClock) -> Callable[..., Hall]:
    return lambda *arguments, **named: Hall(people, clock, *arguments, **named)


# Without a line


@pytest.mark.parametrize("max_queue", [0, 1])
def test_one_more_than_may_be_inside_is_refused(
    hall: Callable[..., Hall], max_queue: int
) -> None:
    full = hall(2, max_queue=max_queue)
    jobs = full.admit(1, 2)
    if max_queue:
        jobs += full.wait(3)
    error = full.refused(4)
    assert (error.in_flight, error.limit) == (2, 2)
    assert (error.retry_after, error.middleware) == (None, "BulkheadMiddleware")
    assert error.name == "Add"
    full.release(1, 2, 3)
    assert [job.result() for job in jobs] == [1, 2, 3][: len(jobs)]
    assert full.counts() == (0, 0)
    assert full.bulkhead.snapshot().rejected == 1
    assert full.bulkhead.snapshot().admitted == len(jobs)


def test_every_bus_that_shares_it_shares_the_permits() -> None:
    bulkhead = BulkheadMiddleware(1)
    commands, queries = (bus(middleware=[bulkhead]) for bus in (CommandBus, QueryBus))
    queries.register_handler(Ask, lambda query: query.number)
    commands.register_handler(Add, lambda message: queries.execute(Ask()))
    assert queries.execute(Ask(3)) == 3
    with pytest.raises(BulkheadFullError):
        commands.execute(Add())
    assert bulkhead.snapshot().in_flight == 0


@pytest.mark.parametrize("max_queue", [0, 5])
@pytest.mark.parametrize("error", [*TRANSPARENT, ValueError])
@pytest.mark.parametrize("drive", DRIVERS, ids=lambda driver: driver.name)
def test_a_permit_comes_back_whatever_is_raised(
    drive: Driver, error: type[BaseException], max_queue: int
) -> None:
    raised = error()

    def fail(ctx: Context, message: Add) -> None:
        assert bulkhead.snapshot().in_flight == 1
        raise raised

    bulkhead = BulkheadMiddleware(1, max_queue=max_queue)
    bus = CommandBus(middleware=[bulkhead])
    bus.register_handler(Add, drive.handler(fail))
    for _ in range(3):
        with pytest.raises(error) as caught:
            drive(bus, Add())
        assert caught.value is raised
        assert bulkhead.snapshot().in_flight == 0


@pytest.mark.parametrize("max_queue", [0, 5])
def test_an_awaitable_that_is_dropped_gives_its_permit_back(max_queue: int) -> None:
    bulkhead = BulkheadMiddleware(1, max_queue=max_queue)
    bus = CommandBus(middleware=[bulkhead])
    bus.register_handler(Add, DRIVERS[3].handler(lambda ctx, message: None))
    awaitable: Any = bus.execute_async(Add())
    assert bulkhead.snapshot().in_flight == 0
    awaitable.send(None)
    assert bulkhead.snapshot().in_flight == 1
    del awaitable
    assert bulkhead.snapshot().in_flight == 0


@pytest.mark.alone
@pytest.mark.parametrize("max_queue", [0, 5])
def test_a_warm_dispatch_allocates_nothing(max_queue: int) -> None:
    bus = CommandBus(middleware=[BulkheadMiddleware(2, max_queue=max_queue)])
    bus.register_handler(Add, lambda message: None)
    message = Add()
    assert_no_allocation(lambda: bus.execute(message))


# In line


def test_who_ends_hands_over_to_the_first_in_line(hall: Callable[..., Hall]) -> None:
    full = hall(2, max_queue=5)
    jobs = full.admit(1, 2) + full.wait(3, 4, 5)
    full.release(3, 4, 5)
    assert not any(job.done for job in jobs)
    full.release(2)
    assert [jobs[n].result() for n in (1, 2, 3, 4)] == [2, 3, 4, 5]
    assert full.entered == [1, 2, 3, 4, 5]
    full.release(1)
    jobs[0].result()
    assert full.counts() == (0, 0)


def test_nobody_overtakes_the_line(hall: Callable[..., Hall]) -> None:
    full = hall(1, max_queue=1)
    full.admit(1)
    (waiting,) = full.wait(2)
    full.release(1)
    full.inside(2)
    (behind,) = full.wait(3)
    full.refused(4)
    full.release(2, 3)
    assert (waiting.result(), behind.result()) == (2, 3)
    assert full.entered == [1, 2, 3]


def test_who_waited_max_wait_is_refused(
    hall: Callable[..., Hall], clock: ManualClock
) -> None:
    full = hall(1, max_queue=3, max_wait=1.0)
    full.admit(1)
    (early,) = full.wait(2)
    eventually(lambda: clock.waiting == 1)
    clock.advance(0.5)
    (late,) = full.wait(3)
    eventually(lambda: clock.waiting == 2)
    clock.advance(0.5)
    assert isinstance(early.error(), BulkheadFullError)
    assert not late.done
    full.release(1, 3)
    assert late.result() == 3
    assert full.counts() == (0, 0)
    assert clock.waiting == 0


def test_without_max_wait_the_deadline_ends_a_wait(
    hall: Callable[..., Hall], clock: ManualClock
) -> None:
    full = hall(1, max_queue=3)
    full.admit(1)
    background = Context.background(clock=clock)
    (patient,) = full.wait(2, ctx=background.with_timeout(50_000))
    (hasty,) = full.wait(3, ctx=background.with_timeout(5))
    eventually(lambda: clock.waiting == 2)
    clock.advance(10_000)
    error = hasty.error()
    assert isinstance(error, DeadlineExceededError)
    assert error.stage == "queue"
    assert not patient.done
    full.release(1, 2)
    assert patient.result() == 2
    assert full.counts() == (0, 0)


def test_what_nothing_else_bounds_waits_for_thirty_seconds(
    hall: Callable[..., Hall], clock: ManualClock
) -> None:
    full = hall(1, max_queue=3)
    full.admit(1)
    (job,) = full.wait(2)
    eventually(lambda: clock.waiting == 1)
    clock.advance(29.999)
    assert full.counts() == (1, 1)
    clock.advance(0.001)
    error = job.error()
    assert isinstance(error, BulkheadFullError)
    assert error.retry_after is None
    full.release(1)
    eventually(lambda: full.counts() == (0, 0))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_cancelled_dispatch_leaves_the_line(
    hall: Callable[..., Hall], which: int
) -> None:
    full = hall(1, max_queue=3)
    full.admit(9)
    jobs = full.wait(0, 1, 2)
    jobs[which].cancel()
    assert isinstance(jobs[which].error(), CANCELLED)
    eventually(lambda: full.counts() == (1, 2))
    full.release(9, 0, 1, 2)
    for job in jobs[:which] + jobs[which + 1 :]:
        job.result()
    assert which not in full.entered
    eventually(lambda: full.counts() == (0, 0))


def test_one_cancelled_after_the_hand_over_passes_the_permit_on(
    clock: ManualClock,
) -> None:
    """The permit comes and the cancellation follows, before the task is stepped."""
    bulkhead = BulkheadMiddleware(1, max_queue=3)
    bus = CommandBus(middleware=[bulkhead], clock=clock)
    ran: list[int] = []

    async def main() -> None:
        door = asyncio.Event()

        async def stay(message: Add) -> None:
            ran.append(message.number)
            if message.number == 0:
                await door.wait()

        bus.register_handler(Add, stay)
        tasks = [asyncio.ensure_future(bus.execute_async(Add(n))) for n in range(4)]
        await asyncio.sleep(0)
        assert bulkhead.snapshot().waiting == 3
        door.set()
        while bulkhead.snapshot().waiting == 3:
            await asyncio.sleep(0)
        # The first in line holds the permit by now and has not run.
        assert ran == [0]
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(1), asyncio.CancelledError)
        assert results == [None] * 3

    asyncio.run(main())
    assert ran == [0, 2, 3]
    assert bulkhead.snapshot().in_flight == bulkhead.snapshot().waiting == 0


def test_a_sync_wait_cancelled_after_the_hand_over_passes_the_permit_on() -> None:
    bulkhead = BulkheadMiddleware(1, max_queue=8)
    bus = CommandBus(middleware=[bulkhead])
    bus.register_handler(Add, lambda message: None)
    stop = threading.Event()

    def dispatch() -> None:
        while not stop.is_set():
            ctx = Context.background().with_cancel()
            timer = threading.Thread(target=ctx.cancel)
            timer.start()
            try:
                bus.execute(Add(), ctx)
            except (*CANCELLED, BulkheadFullError):
                pass
            timer.join()

    with fastest_switching():
        threads = [threading.Thread(target=dispatch) for _ in range(6)]
        for thread in threads:
            thread.start()
        stop.wait(0.5)
        stop.set()
        for thread in threads:
            thread.join(10)
    assert bulkhead.snapshot().in_flight == bulkhead.snapshot().waiting == 0
    bus.execute(Add())


def test_who_waits_in_a_closed_loop_is_passed_over(
    clock: ManualClock, hall: Callable[..., Hall]
) -> None:
    full = hall(1, max_queue=5)
    full.admit(1)
    lost: list[Any] = []

    def elsewhere() -> None:
        loop = asyncio.new_event_loop()

        async def one() -> None:
            await bus.execute_async(Add(2))

        bus = CommandBus(middleware=[full.bulkhead])
        bus.register_handler(Add, lambda message: None)
        task = loop.create_task(one())
        for _ in range(3):
            loop.call_soon(loop.stop)
            loop.run_forever()
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        lost.append(task)

    elsewhere()
    elsewhere()
    (job,) = full.wait(3)
    assert full.counts() == (1, 3)
    full.release(1, 3)
    assert job.result() == 3
    eventually(lambda: full.counts() == (0, 0))


def test_threads_and_tasks_hand_over_to_one_another(clock: ManualClock) -> None:
    with crowd(False) as threads, crowd(True) as tasks:
        first, second = Hall(threads, clock, 1, max_queue=9), Hall(tasks, clock, 1)
        second.bus.remove_middleware(second.bulkhead)
        second.bus.add_middleware(first.bulkhead)
        second.bulkhead, second.entered = first.bulkhead, first.entered
        jobs = first.admit(0)
        for number in range(1, 7):
            jobs += (first, second)[number % 2].wait(number)
        for number, job in enumerate(jobs):
            first.inside(number)
            (first, second)[number % 2].release(number)
            assert job.result() == number
        assert first.entered == list(range(7))
        assert first.counts() == (0, 0)


def test_drain_ends_every_wait(hall: Callable[..., Hall]) -> None:
    full = hall(1, max_queue=5)
    (inside,) = full.admit(1)
    jobs = full.wait(2, 3)
    report = full.bus.close(0)
    assert report.still_running == ["Add"]
    assert all(isinstance(job.error(), BusClosedError) for job in jobs)
    full.release(1)
    assert inside.result() == 1
    assert full.counts() == (0, 0)


# Changes


def test_a_lower_limit_lets_those_inside_finish(hall: Callable[..., Hall]) -> None:
    full = hall(3, max_queue=5)
    jobs = full.admit(1, 2, 3) + full.wait(4)
    full.bulkhead.update(max_concurrent=1)
    full.release(1, 2)
    jobs[0].result(), jobs[1].result()
    assert full.counts() == (1, 1)
    full.release(3)
    full.inside(4)
    assert full.counts() == (1, 0)
    full.release(4)
    assert jobs[3].result() == 4


def test_a_higher_limit_lets_in_who_waits(hall: Callable[..., Hall]) -> None:
    full = hall(1, max_queue=5)
    full.admit(1)
    full.wait(2, 3, 4)
    full.bulkhead.update(max_concurrent=3)
    full.inside(2)
    full.inside(3)
    assert full.counts() == (3, 1)
    full.bulkhead.update(max_queue=1, max_wait=5.0)
    full.refused()
    full.release(1, 2, 3, 4)
    eventually(lambda: full.counts() == (0, 0))


def test_only_a_pipeline_with_a_line_may_wait() -> None:
    def around(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)

    bulkhead = BulkheadMiddleware(5)
    bus = CommandBus(middleware=[around, bulkhead])
    bus.register_handler(Add, lambda message: message.number)
    assert drive(bus.execute_async(Add(4))) == 4
    with pytest.raises(ValueError, match="max_queue must stay 0, got 2"):
        bulkhead.update(max_concurrent=7, max_queue=2)
    assert bulkhead.settings()["max_concurrent"] == 5
    bus = CommandBus(middleware=[around, BulkheadMiddleware(5, max_queue=1)])
    bus.register_handler(Add, lambda message: message.number)
    with pytest.raises(AsyncHandlerError, match="may wait"):
        drive(bus.execute_async(Add(4)))


def test_a_revised_size_takes_effect_at_once_and_lets_in_who_waits(
    revise: Any, hall: Callable[..., Hall]
) -> None:
    full = hall(1, max_queue=5)
    full.admit(1)
    full.wait(2, 3, 4)
    change = revise(full.bulkhead, max_concurrent=3, max_queue=1)
    assert change.stage is full.bulkhead
    assert full.bulkhead.settings()["max_concurrent"] == 1
    change.apply()
    assert full.bulkhead.settings() == {
        "max_concurrent": 3,
        "max_queue": 1,
        "max_wait": 0.0,
    }
    # Those in line go first.
    full.refused()
    assert full.counts() == (1, 3)
    change.settle()
    full.inside(2)
    full.inside(3)
    assert full.counts() == (3, 1)
    full.release(1, 2, 3, 4)
    eventually(lambda: full.counts() == (0, 0))


def test_a_revised_bulkhead_keeps_its_permits_for_routes_that_may_wait(
    revise: Any, hall: Callable[..., Hall]
) -> None:
    full = hall(1)
    old = full.bus
    full.admit(1)
    change = revise(full.bulkhead, max_queue=1)
    full.bus = CommandBus(middleware=[change.element])
    full.bus.register_handler(Add, full.async_stay if full.people.loop else full.stay)
    full.refused()
    change.apply()
    change.settle()
    (waiting,) = full.wait(2)
    full.refused()
    full.bus = old
    full.refused()
    full.release(1)
    full.inside(2)
    full.bulkhead.update(max_queue=2)
    off = revise(full.bulkhead, max_queue=0)
    off.apply()
    with pytest.raises(ValueError, match="max_queue must stay 0"):
        full.bulkhead.update(max_queue=1)
    full.release(2)
    assert waiting.result() == 2
    assert full.counts() == (0, 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"colour": 1}, "BulkheadMiddleware.update() has no setting 'colour'"),
        ({"max_concurrent": 0}, "max_concurrent must be from 1 to 1000000000, got 0"),
        ({"max_wait": -1}, "max_wait must be"),
    ],
)
def test_a_senseless_revised_size_is_refused(
    revise: Any, wrong: dict[str, Any], message: str
) -> None:
    bulkhead = BulkheadMiddleware(5)
    with pytest.raises((TypeError, ValueError)) as caught:
        revise(bulkhead, **{"max_concurrent": 9, **wrong})
    assert str(caught.value).startswith(message)
    assert bulkhead.settings()["max_concurrent"] == 5


def test_a_clock_that_fails_gives_the_place_back() -> None:
    failing: list[int] = []

    def read() -> int:
        if failing:
            failing[0] -= 1
            if failing[0] < 0:
                raise OSError("no time")
        return 0

    bulkhead = BulkheadMiddleware(1, max_queue=2, max_wait=1.0, clock=read)
    bus = CommandBus(middleware=[bulkhead])
    bus.register_handler(Add, lambda message: bus.execute(Add(1)))
    for left in (0, 1):
        failing[:] = [left]
        with pytest.raises(OSError, match="no time"):
            bus.execute(Add())
        assert bulkhead.snapshot().in_flight == bulkhead.snapshot().waiting == 0


# Any schedule, against a model


class Party:
    """Tasks that come, leave, are cancelled; the model is a list and a deque in one."""

    def __init__(self, limit: int, max_queue: int, max_wait: float) -> None:
        self.clock = ManualClock()
        self.bulkhead = BulkheadMiddleware(
            limit, max_queue=max_queue, max_wait=max_wait
        )
        self.bus = CommandBus(middleware=[self.bulkhead], clock=self.clock)
        self.bus.register_handler(Add, self.stay)
        self.inside: list[int] = []
        self.doors: dict[int, asyncio.Future[None]] = {}
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        # The model
        self.limit, self.max_queue, self.max_wait = limit, max_queue, max_wait
        self.holding: list[int] = []
        self.line: list[tuple[int, int]] = []
        self.refused: set[int] = set()

    async def stay(self, message: Add) -> None:
        self.inside.append(message.number)
        try:
            await self.doors[message.number]
        finally:
            self.inside.remove(message.number)

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    def fill(self) -> None:
        while self.line and len(self.holding) < self.limit:
            self.holding.append(self.line.pop(0)[0])

    async def step(self, number: int, what: str, value: int) -> None:
        if what == "come":
            self.doors[number] = asyncio.get_running_loop().create_future()
            self.tasks[number] = asyncio.ensure_future(
                self.bus.execute_async(Add(number))
            )
            if len(self.holding) < self.limit and not self.line:
                self.holding.append(number)
            elif len(self.line) < self.max_queue:
                until = self.clock() + round(self.max_wait * 1e9)
                self.line.append((number, until))
            else:
                self.refused.add(number)
        elif what == "leave" and self.holding:
            leaving = self.holding.pop(value % len(self.holding))
            self.doors[leaving].set_result(None)
            self.fill()
        elif what == "cancel" and self.holding + self.line:
            names = self.holding + [waiting for waiting, _ in self.line]
            name = names[value % len(names)]
            self.tasks[name].cancel()
            self.holding = [other for other in self.holding if other != name]
            self.line = [one for one in self.line if one[0] != name]
            self.fill()
        elif what == "limit":
            self.limit = 1 + value % 4
            self.bulkhead.update(max_concurrent=self.limit)
            self.fill()
        elif what == "pass":
            self.clock.advance(value / 10)
            if self.max_wait:
                late = [n for n, until in self.line if until <= self.clock()]
                self.refused.update(late)
                self.line = [one for one in self.line if one[0] not in late]
        await self.settle()
        stats = self.bulkhead.snapshot()
        assert sorted(self.inside) == sorted(self.holding)
        assert (stats.in_flight, stats.waiting) == (len(self.holding), len(self.line))
        assert stats.rejected == len(self.refused)

    async def play(self, steps: list[tuple[str, int]]) -> None:
        for number, (what, value) in enumerate(steps):
            await self.step(number, what, value)
        for number in range(len(steps), len(steps) * 3):
            await self.step(number, "leave", 0)
        for number, task in self.tasks.items():
            assert task.done()
            if not task.cancelled():
                refused = isinstance(task.exception(), BulkheadFullError)
                assert refused == (number in self.refused)
        assert self.clock.waiting == 0


@settings(deadline=None, max_examples=200)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(
                ["come", "come", "come", "leave", "cancel", "limit", "pass"]
            ),
            st.integers(0, 9),
        ),
        max_size=40,
    ),
    limit=st.integers(1, 3),
    max_queue=st.integers(1, 4),
    max_wait=st.sampled_from([0.0, 1.0]),
)
def test_any_schedule_is_that_of_the_model(
    steps: list[tuple[str, int]], limit: int, max_queue: int, max_wait: float
) -> None:
    asyncio.run(Party(limit, max_queue, max_wait).play(steps))


def crush(threads: int, calls: int, people: Crowd) -> None:
    bulkhead = BulkheadMiddleware(3, max_queue=threads, max_wait=0.02)
    bus = CommandBus(middleware=[bulkhead])
    inside: list[int] = []
    most: list[int] = [0]

    def stay(message: Add) -> None:
        inside.append(1)
        most[0] = max(most[0], len(inside))
        inside.pop()

    bus.register_handler(Add, people.handler(stay))
    outcomes: list[type | None] = []

    def call(chance: random.Random) -> None:
        for _ in range(calls):
            ctx = Context.background()
            if chance.random() < 0.3:
                ctx = ctx.with_timeout(chance.random() * 0.01)
            job = people.start(bus, Add(), ctx)
            if chance.random() < 0.3:
                job.cancel()
            error = job.error()
            outcomes.append(None if error is None else type(error))

    workers = [
        threading.Thread(target=call, args=[random.Random(seed)])
        for seed in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(outcomes) == threads * calls
    allowed = {BulkheadFullError, DeadlineExceededError, *CANCELLED, None}
    assert set(outcomes) <= allowed
    assert most[0] <= 3
    eventually(lambda: bulkhead.snapshot().in_flight == 0)
    assert bulkhead.snapshot().waiting == 0
    assert people.start(bus, Add()).error() is None


def test_threads_that_cancel_lose_no_permit(people: Crowd) -> None:
    crush(8, 40, people)


@pytest.mark.slow
def test_many_threads_that_cancel_lose_no_permit(people: Crowd) -> None:
    crush(16, 2000, people)


# Settings


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    for max_queue in (0, 3):
        bus = CommandBus(
            middleware=[BulkheadMiddleware(4, max_queue=max_queue, max_wait=0.5)]
        )
        bus.register_handler(Add, lambda message: None)
        (info,) = bus.describe()[0].stages
        assert info.kind == "BulkheadMiddleware"
        assert info.settings == {
            "max_concurrent": 4,
            "max_queue": max_queue,
            "max_wait": 0.5,
        }


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"max_concurrent": 0}, ValueError, "max_concurrent .* got 0"),
        ({"max_concurrent": -1}, ValueError, "max_concurrent .* got -1"),
        ({"max_concurrent": 1.0}, TypeError, "max_concurrent .* got 1.0"),
        ({"max_concurrent": True}, TypeError, "max_concurrent .* got True"),
        ({"max_concurrent": None}, TypeError, "max_concurrent .* got None"),
        ({"max_queue": -1}, ValueError, "max_queue .* got -1"),
        ({"max_queue": "1"}, TypeError, "max_queue .* got '1'"),
        ({"max_queue": 10**7}, ValueError, "max_queue .* got 10000000"),
        ({"max_wait": -0.5}, ValueError, "max_wait .* got -0.5"),
        ({"max_wait": float("nan")}, ValueError, "max_wait .* got nan"),
        ({"max_wait": float("inf")}, ValueError, "max_wait .* got inf"),
        ({"max_wait": False}, TypeError, "max_wait .* got False"),
        ({"clock": 3}, TypeError, "clock .* got 3"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        BulkheadMiddleware(**{"max_concurrent": 1, **arguments})
    bulkhead = BulkheadMiddleware(2, max_queue=1)
    before = bulkhead.settings()
    with pytest.raises((error, TypeError)):
        bulkhead.update(**{"max_queue": 4, **arguments})
    assert bulkhead.settings() == before
