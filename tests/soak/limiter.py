"""Row 4: a limiter that lets callers wait keeps its bound and their order."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, NamedTuple

from reliability.parts import Get, assert_at_rest, bus_of, seeded
from virtual_time import VirtualTimeLoop, clock, run_virtual

from cqrs_fast import (
    Context,
    DeadlineExceededError,
    RateLimitExceededError,
    RateLimitingMiddleware,
)

MILLISECOND = 1_000_000


class Caller(NamedTuple):
    """When a caller comes, and when it goes: milliseconds, counted from its coming."""

    at: int
    cancelled_after: int | None
    deadline_after: int | None


class Schedule(NamedTuple):
    limit: int
    window: int  # in milliseconds
    burst: int
    max_wait: int  # in milliseconds
    max_waiters: int
    callers: list[Caller]


def drawn(seed: int) -> Schedule:
    random = seeded(seed)
    span = random.choice((1, 500, 3000))

    def some(probability: float) -> int | None:
        return random.randrange(1, 4000) if random.random() < probability else None

    callers = [
        Caller(random.randrange(span), some(0.3), some(0.2))
        for _ in range(random.randrange(2, 40))
    ]
    return Schedule(
        random.randrange(1, 6),
        random.randrange(1, 3000),
        random.randrange(1, 5),
        random.randrange(1, 8000),
        random.choice((1, 3, 1000)),
        sorted(callers, key=lambda caller: caller.at),
    )


class Run:
    """One schedule on the virtual-time loop."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.came: list[int] = []
        self.started: list[tuple[int, int]] = []  # number, time
        self.ended: dict[int, tuple[Any, int]] = {}  # outcome, how long it took
        limiter = RateLimitingMiddleware(
            schedule.limit,
            schedule.window / 1000,
            burst=schedule.burst,
            max_wait=schedule.max_wait / 1000,
            max_waiters=schedule.max_waiters,
        )
        self.bus = bus_of([limiter], Get, self.handle, clock=clock)

    def handle(self, ctx: Context, get: Get) -> int:
        self.started.append((get.number, clock()))
        return get.number

    async def call(self, number: int, caller: Caller) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(caller.at / 1000)
        ctx = None
        if caller.deadline_after is not None:
            deadline = (clock() + caller.deadline_after * MILLISECOND) / 1e9
            ctx = Context.background().with_deadline(deadline)
        task = asyncio.current_task()
        assert task is not None
        cancel = None
        if caller.cancelled_after is not None:
            cancel = loop.call_later(caller.cancelled_after / 1000, task.cancel)
        self.came.append(number)
        before = clock()
        try:
            outcome: Any = await self.bus.execute_async(Get(number), ctx)
        except BaseException as error:
            outcome = type(error)
        finally:
            if cancel is not None:
                cancel.cancel()
        self.ended[number] = outcome, clock() - before

    async def main(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        callers = self.schedule.callers
        await asyncio.gather(*(self.call(n, one) for n, one in enumerate(callers)))
        await asyncio.sleep(0)
        assert loop.timers() == []

    def check(self) -> None:
        limit, window = self.schedule.limit, self.schedule.window * MILLISECOND
        times = [when for _, when in self.started]
        for first, begin in enumerate(times):
            for last in range(first, len(times)):
                admitted = last - first + 1
                allowed = self.schedule.burst * window + limit * (times[last] - begin)
                assert admitted * window <= allowed, "the bound of an interval"
        admitted_ones = [number for number, _ in self.started]
        places = {number: place for place, number in enumerate(self.came)}
        assert admitted_ones == sorted(admitted_ones, key=places.__getitem__), "FIFO"
        for number, caller in enumerate(self.schedule.callers):
            self.check_end(number, caller)
        assert_at_rest(self.bus)

    def check_end(self, number: int, caller: Caller) -> None:
        outcome, took = self.ended[number]
        most = self.schedule.max_wait * MILLISECOND
        if outcome is asyncio.CancelledError:
            assert caller.cancelled_after is not None
        elif outcome is DeadlineExceededError:
            assert caller.deadline_after is not None
            most = min(most, caller.deadline_after * MILLISECOND)
        elif outcome is not RateLimitExceededError:
            assert outcome == number
        # Timers of a loop are floats of seconds.
        assert took <= most + 1000, f"caller {number} waited {took} ns"


def tasks(seed: int) -> int:
    """Draw callers that come, wait, are cancelled and run out of time; run them."""
    schedule = drawn(seed)
    try:
        run = Run(schedule)
        run_virtual(run.main, most_idle_seconds=2.0)
        run.check()
    except Exception as error:
        error.add_note(str(schedule))
        raise
    return len(schedule.callers)


def threads(seed: int) -> int:
    """Let threads wait in real time: nobody is left, the bound holds over all."""
    random = seeded(seed)
    burst, count, calls = random.randrange(1, 6), random.randrange(2, 8), 20
    limiter = RateLimitingMiddleware(
        2000, 1.0, burst=burst, max_wait=random.choice((0.001, 5.0))
    )
    bus = bus_of([limiter], Get, lambda ctx, get: get.number)
    admitted: list[int] = []
    waits = [[random.random() * 0.001 for _ in range(calls)] for _ in range(count)]

    def work(number: int) -> None:
        for wait in waits[number]:
            time.sleep(wait)
            try:
                bus.execute(Get(number))
            except RateLimitExceededError:
                continue
            admitted.append(number)

    started = time.monotonic_ns()
    callers = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for caller in callers:
        caller.daemon = True
        caller.start()
    for caller in callers:
        caller.join(20.0)
        assert not caller.is_alive(), "a wake-up was lost"
    elapsed = time.monotonic_ns() - started
    assert (len(admitted) - burst) * 1_000_000_000 <= 2000 * elapsed
    assert_at_rest(bus)
    return count * calls
