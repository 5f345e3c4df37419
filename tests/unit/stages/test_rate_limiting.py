"""RateLimitingMiddleware: what is admitted, refused, kept waiting, in which order."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from crowd import CANCELLED, Crowd, crowd
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DRIVERS, TRANSPARENT, Add, Ask, Driver, drive, eventually

from cqrs_fast import (
    AsyncHandlerError,
    BusClosedError,
    CommandBus,
    Context,
    DeadlineExceededError,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
)
from cqrs_fast.testing import ManualClock, assert_no_allocation


@pytest.fixture(params=[False, True], ids=["threads", "tasks"])
def people(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    with crowd(request.param) as them:
        yield them


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def bus_of(
    clock: ManualClock, *middleware: Any, people: Crowd | None = None
) -> CommandBus:
    bus = CommandBus(middleware=middleware, clock=clock)
    handler = lambda message: message.number  # noqa: E731
    bus.register_handler(Add, people.handler(handler) if people else handler)
    return bus


def admitted(bus: CommandBus, calls: int) -> int:
    count = 0
    for _ in range(calls):
        try:
            bus.execute(Add())
            count += 1
        except RateLimitExceededError:
            pass
    return count


# Admit or refuse


@pytest.mark.parametrize("max_wait", [0.0, 0.05])
@pytest.mark.parametrize("drive", DRIVERS, ids=lambda driver: driver.name)
def test_a_dispatch_beyond_the_limit_is_refused_and_told_when_to_come(
    drive: Driver, clock: ManualClock, max_wait: float
) -> None:
    limit = RateLimitingMiddleware(3, 0.6, max_wait=max_wait)
    bus = CommandBus(middleware=[limit], clock=clock)
    bus.register_handler(Add, drive.handler(lambda ctx, message: message.number))
    assert [drive(bus, Add(n)) for n in range(3)] == [0, 1, 2]
    with pytest.raises(RateLimitExceededError) as caught:
        drive(bus, Add())
    error = caught.value
    assert (error.retry_after, error.middleware) == (0.2, "RateLimitingMiddleware")
    assert (error.name, error.limit, error.window) == ("Add", 3, 0.6)
    assert error.remaining == 0
    assert error.__context__ is None
    clock.advance(0.2 - 1e-9)
    if not max_wait:
        with pytest.raises(RateLimitExceededError):
            drive(bus, Add())
    clock.advance(1e-9)
    assert drive(bus, Add(9)) == 9
    assert limit.remaining_tokens() == 0
    assert limit.snapshot().admitted == 4


def test_every_bus_that_shares_it_shares_the_limit(clock: ManualClock) -> None:
    limit = RateLimitingMiddleware(3, 1.0)
    commands = bus_of(clock, limit)
    queries = QueryBus(middleware=[limit], clock=clock)
    queries.register_handler(Ask, lambda query: query.number)
    commands.execute(Add())
    queries.execute(Ask())
    assert limit.remaining_tokens() == 1
    assert admitted(commands, 5) == 1


def test_a_token_is_never_given_back(clock: ManualClock) -> None:
    outer, inner = RateLimitingMiddleware(5, 1.0), RateLimitingMiddleware(2, 1.0)
    bus = bus_of(clock, outer, inner)
    assert admitted(bus, 4) == 2
    assert outer.remaining_tokens() == 1
    failing = bus_of(clock, outer)
    failing.register_handler(Add, lambda message: 1 / 0, replace=True)
    with pytest.raises(ZeroDivisionError):
        failing.execute(Add())
    assert outer.remaining_tokens() == 0


def test_it_has_the_time_of_the_bus_or_its_own(clock: ManualClock) -> None:
    adopting = RateLimitingMiddleware(1, 1.0)
    bus = bus_of(clock, adopting)
    assert admitted(bus, 2) == 1
    clock.advance(1)
    assert adopting.remaining_tokens() == 1
    own = ManualClock()
    bus = bus_of(clock, RateLimitingMiddleware(1, 1.0, clock=own))
    assert admitted(bus, 2) == 1
    clock.advance(1)
    assert admitted(bus, 2) == 0
    own.advance(1)
    assert admitted(bus, 2) == 1


def test_its_credit_goes_on_in_the_time_of_the_bus(clock: ManualClock) -> None:
    keyed = RateLimitingMiddleware(1, 60.0, key=lambda ctx, message: message.number)
    limiter = RateLimitingMiddleware(1, 60.0)
    # The system's time, by which they are used first, is far from that of the bus.
    other = CommandBus(middleware=[keyed])
    other.register_handler(Add, lambda command: 1)
    assert admitted(other, 2) == 1
    assert limiter.remaining_tokens() == 1
    bus = bus_of(clock, limiter, keyed)
    assert admitted(bus, 1) == 0
    clock.advance(60)
    assert admitted(bus, 2) == 1
    clock.advance(60)
    assert admitted(bus, 2) == 1


@pytest.mark.parametrize("max_wait", [0.0, 1.0])
@pytest.mark.parametrize("error", TRANSPARENT)
@pytest.mark.parametrize("drive", DRIVERS, ids=lambda driver: driver.name)
def test_a_base_exception_passes_unchanged(
    drive: Driver, error: type[BaseException], max_wait: float
) -> None:
    raised = error()

    def fail(ctx: Context, message: Add) -> None:
        raise raised

    limit = RateLimitingMiddleware(5, 1.0, max_wait=max_wait, clock=ManualClock())
    bus = CommandBus(middleware=[limit])
    bus.register_handler(Add, drive.handler(fail))
    with pytest.raises(error) as caught:
        drive(bus, Add())
    assert caught.value is raised
    assert limit.snapshot().admitted == 1
    assert limit.snapshot().waiting == 0


@pytest.mark.alone
@pytest.mark.parametrize("max_wait", [0.0, 1.0])
def test_a_warm_dispatch_allocates_nothing(max_wait: float) -> None:
    limit = RateLimitingMiddleware(10**6, 1.0, max_wait=max_wait)
    bus = CommandBus(middleware=[limit])
    bus.register_handler(Add, lambda message: None)
    message = Add()
    assert_no_allocation(lambda: bus.execute(message))


# By key


def keyed(**settings: Any) -> RateLimitingMiddleware:
    return RateLimitingMiddleware(
        2, 1.0, key=lambda ctx, message: message.number, **settings
    )


@pytest.mark.parametrize("max_wait", [0.0, 0.1])
def test_each_key_has_the_limit_for_itself(clock: ManualClock, max_wait: float) -> None:
    limit = keyed(max_wait=max_wait)
    bus = bus_of(clock, limit)
    for number in (1, 2, 3):
        assert bus.execute(Add(number)) == bus.execute(Add(number)) == number
        with pytest.raises(RateLimitExceededError):
            bus.execute(Add(number))
    assert limit.remaining_tokens(1) == 0
    assert limit.remaining_tokens(4) == 2
    assert limit.snapshot().keys == 3


def test_the_key_sees_the_context_and_none_is_the_bucket_without_a_key(
    clock: ManualClock,
) -> None:
    limit = RateLimitingMiddleware(1, 1.0, key=lambda ctx, message: ctx.principal)
    bus = bus_of(clock, limit)
    bus.execute(Add(), Context.background().with_principal("eve"))
    assert limit.remaining_tokens("eve") == 0
    assert limit.remaining_tokens() == 1
    assert admitted(bus, 3) == 1
    assert limit.remaining_tokens() == 0


def test_a_key_that_fails_fails_the_dispatch(clock: ManualClock) -> None:
    seen: list[Any] = [KeyError("no key"), [], asyncio.sleep(0)]
    errors = [KeyError, TypeError, TypeError]
    texts = ["no key", "key must return what can be hashed, got a list", "awaitable"]

    def key(ctx: Context, message: Add) -> Any:
        if isinstance(seen[0], Exception):
            raise seen[0]
        return seen[0]

    for max_wait in (0.0, 1.0):
        limit = RateLimitingMiddleware(5, 1.0, key=key, max_wait=max_wait)
        bus = bus_of(clock, limit)
        for error, text in zip(errors, texts, strict=True):
            with pytest.raises(error, match=text):
                bus.execute(Add())
            seen.append(seen.pop(0))
        assert limit.snapshot().admitted == limit.snapshot().keys == 0
        seen[2] = asyncio.sleep(0)
    seen[2].close()


def test_a_key_function_may_call_anything() -> None:
    inside: list[int] = []

    def key(ctx: Context, message: Add) -> int:
        if not inside:
            inside.append(1)
            bus.execute(Add(message.number + 1))
            limit.remaining_tokens()
            limit.remaining_tokens(message.number)
            limit.snapshot()
            limit.settings()
            limit.update(burst=50, max_wait=0.5)
            limit.reset()
            bus.describe()
            inside.clear()
        return message.number

    limit = RateLimitingMiddleware(100, 60.0, key=key, max_wait=1.0)
    bus = CommandBus(middleware=[limit])
    bus.register_handler(Add, lambda message: message.number)
    assert [bus.execute(Add(number)) for number in range(20)] == list(range(20))


# Waiting


def test_a_dispatch_waits_just_as_long_as_it_has_to() -> None:
    clock = ManualClock(auto_advance=True)
    limit = RateLimitingMiddleware(3, 0.9, burst=1, max_wait=1.0)
    bus = bus_of(clock, limit)
    for number in range(5):
        assert bus.execute(Add(number)) == number
        assert clock() == number * 300_000_000
    assert limit.snapshot().rejected == 0


def test_who_came_first_goes_first(people: Crowd, clock: ManualClock) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=10.0)
    bus = bus_of(clock, limit, people=people)
    assert people.run(bus, Add(0)) == 0
    jobs = people.queue(5, bus, Add, limit)
    # Each has a timer of its own.
    eventually(lambda: clock.waiting == 5)
    for number in range(5):
        eventually(lambda: clock.waiting == limit.snapshot().waiting)
        clock.advance(0.5)
        assert [job.done for job in jobs] == [n < number for n in range(5)]
        clock.advance(0.5)
        assert jobs[number].result() == number
    assert limit.snapshot().waiting == 0
    assert clock.waiting == 0
    assert limit.remaining_tokens() == 0


def test_tokens_that_came_together_go_to_the_first_in_line(
    people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(3, 3.0, max_wait=10.0)
    bus = bus_of(clock, limit, people=people)
    for number in range(3):
        people.run(bus, Add(number))
    jobs = people.queue(4, bus, Add, limit)
    eventually(lambda: clock.waiting == limit.snapshot().waiting)
    clock.advance(3)
    assert [job.result() for job in jobs[:3]] == [0, 1, 2]
    assert not jobs[3].done
    eventually(lambda: clock.waiting == limit.snapshot().waiting)
    clock.advance(1)
    assert jobs[3].result() == 3


def test_what_would_take_too_long_is_refused_at_once(
    people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=2.5)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    people.queue(2, bus, Add, limit)
    error = people.start(bus, Add()).error()
    assert isinstance(error, RateLimitExceededError)
    assert error.retry_after == 3.0
    assert limit.snapshot().waiting == 2


def test_what_would_pass_its_deadline_is_refused_at_once(
    people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=10.0)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    background = Context.background(clock=clock)
    short, long = background.with_timeout(0.9), background.with_timeout(1.1)
    assert isinstance(people.start(bus, Add(), short).error(), RateLimitExceededError)
    job = people.start(bus, Add(7), long)
    eventually(lambda: clock.waiting >= 1)
    clock.advance(1.0)
    assert job.result() == 7


def test_a_deadline_that_comes_all_the_same_ends_the_wait(
    people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=1000.0)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    job = people.start(bus, Add(), Context.background(clock=clock).with_timeout(1.1))
    eventually(lambda: limit.snapshot().waiting == 1)
    limit.update(window=100.0)
    eventually(lambda: clock.waiting >= 1)
    clock.advance(1.2)
    error = job.error()
    assert isinstance(error, DeadlineExceededError)
    assert error.stage == "queue"
    assert limit.snapshot().waiting == 0


def test_a_crowd_on_one_busy_loop_goes_in_order() -> None:
    limit = RateLimitingMiddleware(20_000, 1.0, burst=1, max_wait=60.0)
    bus = CommandBus(middleware=[limit])
    ran: list[int] = []
    bus.register_handler(Add, lambda message: ran.append(message.number))

    async def main() -> None:
        await asyncio.gather(*(bus.execute_async(Add(n)) for n in range(1000)))

    asyncio.run(main())
    assert ran == list(range(1000))


def test_no_more_wait_than_may(people: Crowd, clock: ManualClock) -> None:
    limit = keyed(max_wait=10.0, max_waiters=2)
    bus = bus_of(clock, limit, people=people)
    for number in (1, 1, 2, 2, 3, 3):
        people.run(bus, Add(number))
    people.queue(2, bus, lambda n: Add(n + 1), limit)
    error = people.start(bus, Add(3)).error()
    assert isinstance(error, RateLimitExceededError)
    assert error.retry_after == 0.5
    # Other keys are not concerned.
    assert people.run(bus, Add(4)) == 4


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_cancelled_dispatch_leaves_the_line_and_costs_nothing(
    people: Crowd, clock: ManualClock, which: int
) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=10.0)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    jobs = people.queue(3, bus, Add, limit)
    eventually(lambda: clock.waiting == limit.snapshot().waiting)
    jobs[which].cancel()
    assert isinstance(jobs.pop(which).error(), CANCELLED)
    for job in jobs:
        eventually(lambda: clock.waiting == limit.snapshot().waiting)
        clock.advance(1)
        job.result()
    assert limit.snapshot().waiting == 0
    clock.advance(1)
    assert limit.remaining_tokens() == 1


def test_keys_wait_in_lines_of_their_own(people: Crowd, clock: ManualClock) -> None:
    limit = keyed(burst=1, max_wait=10.0, max_keys=2)
    bus = bus_of(clock, limit, people=people)
    for number in (1, 2, 3):
        people.run(bus, Add(number))
    slow = people.queue(1, bus, lambda n: Add(1), limit)
    slow += people.queue(1, bus, lambda n: Add(1), limit)
    other = people.queue(1, bus, lambda n: Add(2), limit)
    shared = people.queue(1, bus, lambda n: Add(3), limit)
    eventually(lambda: clock.waiting == limit.snapshot().waiting)
    clock.advance(0.5)
    assert (slow[0].result(), other[0].result(), shared[0].result()) == (1, 2, 3)
    assert not slow[1].done
    eventually(lambda: clock.waiting == limit.snapshot().waiting)
    clock.advance(0.5)
    assert slow[1].result() == 1
    assert limit.snapshot().keys == 2


def test_threads_and_tasks_of_two_loops_stand_in_one_line(clock: ManualClock) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=20.0)
    with crowd(False) as threads, crowd(True) as tasks, crowd(True) as others:
        worlds = [
            (them, bus_of(clock, limit, people=them)) for them in (threads, tasks)
        ]
        worlds.append((others, bus_of(clock, limit, people=others)))
        threads.run(worlds[0][1], Add())
        jobs = []
        for number in range(9):
            them, bus = worlds[number % 3]
            jobs += them.queue(1, bus, [Add(number)].__getitem__, limit)
        for number, job in enumerate(jobs):
            eventually(lambda: clock.waiting == limit.snapshot().waiting)
            clock.advance(1)
            assert job.result() == number
    assert limit.snapshot().waiting == 0


def test_nobody_overtakes_the_line(people: Crowd, clock: ManualClock) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=10.0)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    jobs = people.queue(2, bus, Add, limit)
    limit.update(max_wait=0.0)
    assert isinstance(people.start(bus, Add()).error(), RateLimitExceededError)
    limit.update(max_wait=0.5)
    assert isinstance(people.start(bus, Add()).error(), RateLimitExceededError)
    assert limit.snapshot().waiting == 2
    for number, job in enumerate(jobs):
        eventually(lambda: clock.waiting == limit.snapshot().waiting)
        clock.advance(1)
        assert job.result() == number


def test_drain_ends_every_wait(people: Crowd, clock: ManualClock) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=10.0)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    jobs = people.queue(3, bus, Add, limit)
    assert bus.close(5).drained
    assert all(isinstance(job.error(), BusClosedError) for job in jobs)
    assert limit.snapshot().waiting == 0


def test_a_faster_rate_and_a_reset_are_felt_by_who_waits(
    people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(1, 100.0, burst=2, max_wait=1000.0)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    people.run(bus, Add())
    jobs = people.queue(4, bus, Add, limit)
    limit.reset()
    assert [job.result() for job in jobs[:2]] == [0, 1]
    assert limit.snapshot().waiting == 2
    limit.update(window=1.0)
    eventually(lambda: clock.waiting == limit.snapshot().waiting)
    clock.advance(1)
    assert jobs[2].result() == 2


def test_a_slower_rate_refuses_who_would_wait_too_long(
    people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=5.0)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    jobs = people.queue(3, bus, Add, limit)
    limit.update(window=100.0)
    assert all(isinstance(job.error(), RateLimitExceededError) for job in jobs)
    assert limit.snapshot().waiting == 0


def waiting_in_a_closed_loop(bus: CommandBus) -> Any:
    """Let a task wait, then close its loop under it; return the task."""
    loop = asyncio.new_event_loop()

    async def one() -> Any:
        return await bus.execute_async(Add(1))

    task = loop.create_task(one())
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task


@pytest.mark.parametrize("first", [True, False])
def test_who_waits_in_a_closed_loop_is_passed_over(
    clock: ManualClock, first: bool
) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=10.0)
    bus = bus_of(clock, limit)
    bus.execute(Add())
    with crowd(False) as people:
        ahead = [] if first else people.queue(1, bus, Add, limit)
        lost = waiting_in_a_closed_loop(bus)
        assert limit.snapshot().waiting == len(ahead) + 1
        behind = people.queue(2, bus, Add, limit)
        if ahead:
            eventually(lambda: clock.waiting >= 1)
            clock.advance(1)
            assert ahead[0].result() == 0
        else:
            clock.advance(1.5)
            late = people.start(bus, Add(5))
            # The late one finds that the first should have gone, and wakes the next.
            assert behind[0].result() == 0
            behind.append(late)
        for job in behind:
            while not job.done:
                if clock.waiting:
                    clock.advance(0.25)
            job.result()
        assert limit.snapshot().waiting == 0
    del lost


def test_a_clock_that_fails_during_a_wait_fails_the_dispatch_only() -> None:
    readings: list[int] = []
    failing: list[int] = []

    def read() -> int:
        readings.append(1)
        if failing and len(readings) >= failing[0]:
            raise OSError("no time")
        return 1

    limit = RateLimitingMiddleware(1000, 1.0, burst=1, max_wait=10.0, clock=read)
    bus = CommandBus(middleware=[limit])
    bus.register_handler(Add, lambda message: message.number)
    bus.execute(Add())
    failing.append(len(readings) + 2)
    with pytest.raises(OSError, match="no time"):
        bus.execute(Add())
    assert failing.pop()
    assert limit.snapshot().waiting == 0
    limit.reset()
    assert bus.execute(Add(3)) == 3


def test_only_a_pipeline_with_a_wait_may_wait() -> None:
    def around(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)

    bus = CommandBus(middleware=[around, RateLimitingMiddleware(5, 1.0)])
    bus.register_handler(Add, lambda message: message.number)
    assert drive(bus.execute_async(Add(4))) == 4
    bus = CommandBus(middleware=[around, RateLimitingMiddleware(5, 1.0, max_wait=1)])
    bus.register_handler(Add, lambda message: message.number)
    with pytest.raises(AsyncHandlerError, match="may wait"):
        drive(bus.execute_async(Add(4)))
    limit = RateLimitingMiddleware(5, 1.0)
    bus = CommandBus(middleware=[limit])
    bus.register_handler(Add, lambda message: message.number)
    assert bus.execute(Add(4)) == 4
    with pytest.raises(ValueError, match="max_wait must stay 0, got"):
        limit.update(requests_per_window=7, max_wait=0.5)
    assert limit.settings()["requests_per_window"] == 5


def test_what_is_in_no_bus_yet_may_learn_to_wait() -> None:
    clock = ManualClock(auto_advance=True)
    limit = RateLimitingMiddleware(1, 1.0)
    limit.update(max_wait=2.0)
    bus = bus_of(clock, limit)
    assert [bus.execute(Add(number)) for number in range(3)] == [0, 1, 2]
    assert clock() == 2_000_000_000


# New limits for a bus that is built anew: see Stage.revise


def test_revised_limits_wait_for_apply_and_keep_the_share_of_the_burst(
    revise: Any, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(10, 1.0)
    bus = bus_of(clock, limit)
    assert admitted(bus, 5) == 5
    shown = limit.settings()
    change = revise(limit, requests_per_window=100, max_keys=7)
    assert change.stage is limit
    assert limit.settings() == shown
    assert limit.remaining_tokens() == 5
    clock.advance(0.1)
    change.apply()
    change.settle()
    assert limit.remaining_tokens() == 60
    assert limit.settings() == shown | {
        "requests_per_window": 100,
        "burst": 100,
        "max_keys": 7,
    }
    assert limit.snapshot().admitted == 5


def test_revised_limits_hold_for_every_key(revise: Any, clock: ManualClock) -> None:
    limit = RateLimitingMiddleware(
        2, 1.0, max_keys=2, key=lambda ctx, message: message.number
    )
    bus = bus_of(clock, limit)
    for number in (1, 2, 3):
        bus.execute(Add(number))
    change = revise(limit, requests_per_window=4, burst=8)
    change.apply()
    assert [limit.remaining_tokens(key) for key in (1, 2, 3, None)] == [4, 4, 4, 8]


def test_a_key_that_comes_in_during_a_change_has_the_new_rate(
    revise: Any, clock: ManualClock
) -> None:
    class Key:
        """Change the rate while the bucket is put in."""

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            if changes:
                changes.pop().apply()
            return self is other

    limit = RateLimitingMiddleware(2, 1.0, key=lambda ctx, message: next(keys))
    bus = bus_of(clock, limit)
    changes: list[Any] = []
    first, second = Key(), Key()
    keys = iter([first, second])
    bus.execute(Add())
    changes.append(revise(limit, requests_per_window=50))
    bus.execute(Add())
    assert not changes
    assert [limit.remaining_tokens(key) for key in (first, second)] == [25, 49]


def test_revised_limits_may_turn_waiting_on_for_new_routes(
    revise: Any, people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(1, 1.0)
    old = bus_of(clock, limit)
    change = revise(limit, max_wait=10.0)
    new = bus_of(clock, change.element, people=people)
    assert old.execute(Add(1)) == 1
    change.apply()
    jobs = people.queue(2, new, Add, limit)
    # Who cannot wait does not overtake who does.
    clock.advance(0.5)
    with pytest.raises(RateLimitExceededError) as caught:
        old.execute(Add())
    assert caught.value.retry_after == 2.5
    later = bus_of(clock, limit, people=people)
    jobs += people.queue(1, later, lambda number: Add(2), limit)
    for number, job in enumerate(jobs):
        eventually(lambda: clock.waiting == limit.snapshot().waiting)
        clock.advance(1 - 0.5 * (number == 0))
        assert job.result() == number
    assert limit.snapshot().waiting == 0


def test_revised_limits_may_turn_waiting_off_for_new_routes(
    revise: Any, people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(1, 1.0, max_wait=10.0)
    old = bus_of(clock, limit, people=people)
    people.run(old, Add())
    jobs = people.queue(2, old, Add, limit)
    change = revise(limit, max_wait=0.0)
    new = bus_of(clock, change.element)
    change.apply()
    change.settle()
    assert admitted(new, 1) == 0
    assert isinstance(people.start(old, Add()).error(), RateLimitExceededError)
    for number, job in enumerate(jobs):
        eventually(lambda: clock.waiting == limit.snapshot().waiting)
        clock.advance(1)
        assert job.result() == number
    with pytest.raises(ValueError, match="max_wait must stay 0"):
        limit.update(max_wait=1.0)
    clock.advance(1)
    assert admitted(new, 2) == 1


def test_a_faster_revised_rate_is_felt_by_who_waits(
    revise: Any, people: Crowd, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(1, 100.0, max_wait=1000.0)
    bus = bus_of(clock, limit, people=people)
    people.run(bus, Add())
    jobs = people.queue(2, bus, Add, limit)
    change = revise(limit, window=1.0)
    change.apply()
    change.settle()
    for number, job in enumerate(jobs):
        eventually(lambda: clock.waiting == limit.snapshot().waiting)
        clock.advance(1)
        assert job.result() == number


def test_a_limit_that_takes_a_new_clock_before_it_changes_keeps_its_credit(
    revise: Any, clock: ManualClock
) -> None:
    limit = RateLimitingMiddleware(10, 1.0)
    change = revise(limit, requests_per_window=20)
    bus = bus_of(clock, change.element)
    change.apply()
    assert admitted(bus, 30) == 20
    clock.advance(0.5)
    assert admitted(bus, 30) == 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"colour": 1}, "RateLimitingMiddleware.update() has no setting 'colour'"),
        ({"clock": None}, "RateLimitingMiddleware.update() has no setting 'clock'"),
        ({"max_waiters": 0}, "max_waiters must be from 1 to 1000000, got 0"),
        ({"window": 0}, "window must be"),
    ],
)
def test_senseless_revised_limits_are_refused(
    revise: Any, wrong: dict[str, Any], message: str
) -> None:
    limit = RateLimitingMiddleware(5, 1.0)
    shown = limit.settings()
    with pytest.raises((TypeError, ValueError)) as caught:
        revise(limit, requests_per_window=9, **wrong)
    assert str(caught.value).startswith(message)
    assert limit.settings() == shown


# The rule of the line, against a model


class Line:
    """Dispatches on an event loop in virtual time, against a plain list."""

    def __init__(self, limit: int, window: float, burst: int, max_wait: float) -> None:
        self.clock = ManualClock()
        self.limit = RateLimitingMiddleware(
            limit, window, burst=burst, max_wait=max_wait, max_waiters=6
        )
        self.bus = CommandBus(middleware=[self.limit], clock=self.clock)
        self.bus.register_handler(Add, self.note)
        self.started: list[tuple[int, int]] = []
        self.tasks: dict[int, asyncio.Task[Any]] = {}

    def note(self, message: Add) -> None:
        self.started.append((message.number, self.clock()))

    async def settle(self) -> None:
        loop: Any = asyncio.get_running_loop()
        await asyncio.sleep(0)
        while loop._ready:
            await asyncio.sleep(0)

    async def play(self, steps: list[tuple[str, int]]) -> None:
        for number, (what, value) in enumerate(steps):
            if what == "call":
                task = asyncio.ensure_future(self.bus.execute_async(Add(number)))
                self.tasks[number] = task
            elif what == "cancel" and self.tasks:
                list(self.tasks.values())[value % len(self.tasks)].cancel()
            else:
                self.clock.advance(value / 1000)
            await asyncio.sleep(0)
            if value % 3 == 0:
                await self.settle()
        await self.settle()
        for _ in range(40):
            if self.clock.waiting == 0:
                break
            self.clock.advance(0.5)
            await self.settle()
        assert all(task.done() for task in self.tasks.values())
        assert self.limit.snapshot().waiting == 0
        assert self.clock.waiting == 0

    def check(self, limit: int, window_ns: int, burst: int) -> None:
        # First come, first served.
        numbers = [number for number, _ in self.started]
        assert numbers == sorted(numbers)
        least = Fraction(0)
        for count, (_, at) in enumerate(self.started):
            before = count - Fraction(at * limit, window_ns)
            least = min(least, before)
            assert before + 1 - least <= burst
        for number, task in self.tasks.items():
            if task.cancelled():
                continue
            error = task.exception()
            assert error is None or isinstance(error, RateLimitExceededError)
            assert (error is None) == (number in numbers)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 8)),
        st.tuples(st.just("call"), st.integers(0, 8)),
        st.tuples(st.just("cancel"), st.integers(0, 8)),
        st.tuples(st.just("pass"), st.integers(0, 400)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(steps=STEPS, limit=st.integers(1, 5), burst=st.integers(1, 4))
def test_any_schedule_keeps_the_rate_and_the_order(
    steps: list[tuple[str, int]], limit: int, burst: int
) -> None:
    line = Line(limit, 0.5, burst, 2.0)
    asyncio.run(line.play(steps))
    line.check(limit, 500_000_000, burst)


@pytest.mark.slow
def test_a_hundred_thousand_schedules_keep_the_rate_and_the_order() -> None:
    with asyncio.Runner() as runner:
        for seed in range(100_000):
            play_one(runner, random.Random(seed))


def play_one(runner: asyncio.Runner, chance: random.Random) -> None:
    steps = [
        (
            chance.choice(["call", "call", "cancel", "pass"]),
            chance.randrange(400 if chance.random() < 0.4 else 9),
        )
        for _ in range(chance.randrange(1, 20))
    ]
    limit, burst = chance.randrange(1, 6), chance.randrange(1, 5)
    line = Line(limit, 0.5, burst, 2.0)
    runner.run(line.play(steps))
    line.check(limit, 500_000_000, burst)


def hammer_line(threads: int, calls: int, people: Crowd) -> None:
    limit = RateLimitingMiddleware(
        2000, 1.0, burst=5, max_wait=0.02, max_waiters=threads // 2
    )
    bus = CommandBus(middleware=[limit])
    ran: list[int] = []
    bus.register_handler(Add, people.handler(lambda message: ran.append(1)))
    outcomes: list[type | None] = []

    def call(chance: random.Random) -> None:
        for _ in range(calls):
            ctx = Context.background().with_cancel()
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
    allowed = {RateLimitExceededError, DeadlineExceededError, *CANCELLED, None}
    assert set(outcomes) <= allowed
    eventually(lambda: limit.snapshot().waiting == 0)
    assert limit.snapshot().admitted >= len(ran) > 0
    # Nothing is stuck: the next one gets through.
    eventually(lambda: limit.remaining_tokens() > 0)
    assert people.start(bus, Add()).error() is None


def test_threads_that_cancel_leave_nobody_in_the_line(people: Crowd) -> None:
    hammer_line(8, 30, people)


@pytest.mark.slow
def test_many_threads_that_cancel_leave_nobody_in_the_line(people: Crowd) -> None:
    hammer_line(16, 2000, people)


# Settings


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    for max_wait in (0.0, 2.0):
        limit = RateLimitingMiddleware(5, 2.0, burst=3, max_wait=max_wait)
        bus = CommandBus(middleware=[limit])
        bus.register_handler(Add, lambda message: None)
        (info,) = bus.describe()[0].stages
        assert info.kind == "RateLimitingMiddleware"
        assert info.settings == {
            "requests_per_window": 5,
            "window": 2.0,
            "burst": 3,
            "key": None,
            "scope": "bus",
            "max_keys": 10000,
            "max_wait": max_wait,
            "max_waiters": 1000,
        }
        limit.update(requests_per_window=50, burst=None)
        assert limit.settings()["burst"] == 50


def test_a_snapshot_is_plain_numbers(clock: ManualClock) -> None:
    limit = RateLimitingMiddleware(4, 2)
    bus = bus_of(clock, limit)
    admitted(bus, 6)
    stats = limit.snapshot()
    assert (stats.limit, stats.window, stats.burst) == (4, 2.0, 4)
    assert (stats.admitted, stats.rejected, stats.remaining) == (4, 2, 0)
    assert (stats.waiting, stats.keys, stats.overflowed) == (0, 0, 0)


async def async_key(ctx: Context, message: Any) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"requests_per_window": 0}, ValueError, "requests_per_window .* got 0"),
        ({"window": True}, TypeError, "window .* got True"),
        ({"burst": -1}, ValueError, "burst .* got -1"),
        ({"max_keys": 0}, ValueError, "max_keys .* got 0"),
        ({"max_wait": -1}, ValueError, "max_wait .* got -1"),
        ({"max_wait": float("nan")}, ValueError, "max_wait .* got nan"),
        ({"max_wait": float("inf")}, ValueError, "max_wait .* got inf"),
        ({"max_wait": None}, TypeError, "max_wait .* got None"),
        ({"max_waiters": 0}, ValueError, "max_waiters .* got 0"),
        ({"max_waiters": 1.0}, TypeError, "max_waiters .* got 1.0"),
        ({"max_waiters": 10**7}, ValueError, "max_waiters .* got 10000000"),
        ({"key": 7}, TypeError, "key .*7"),
        ({"key": async_key}, TypeError, "key .*async"),
        ({"clock": "now"}, TypeError, "clock .* got 'now'"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        RateLimitingMiddleware(**arguments)
    limit = RateLimitingMiddleware(5, 1.0, max_wait=1.0)
    before = limit.settings()
    with pytest.raises((error, TypeError)):
        limit.update(**{"requests_per_window": 9, **arguments})
    assert limit.settings() == before
