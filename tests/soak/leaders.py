"""Rows 12 and 13: one run per key, also where leaders die; no error spreads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

from reliability.parts import Get, assert_at_rest, bus_of, quick_switches, seeded
from support import Halt
from virtual_time import clock, run_virtual

from cqrs_fast import CachingMiddleware, Context


class Caller(NamedTuple):
    at: float
    number: int
    cancelled_after: float | None


class Schedule(NamedTuple):
    runs: list[tuple[float, str]]  # how long each run takes, and how it ends
    callers: list[Caller]


def drawn(seed: int) -> Schedule:
    random = seeded(seed)
    ends = ("answer", "answer", "error", "halt")
    runs = [(random.choice((0.1, 0.2, 0.5)), random.choice(ends)) for _ in range(30)]
    callers = [
        Caller(
            random.choice((0.0, 0.1, 0.2, random.random())),
            random.randrange(2),
            random.choice((0.1, 0.2, 0.5)) if random.random() < 0.5 else None,
        )
        for _ in range(random.randrange(2, 12))
    ]
    return Schedule(runs, callers)


class Run:
    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.runs = 0
        self.running: Counter[int] = Counter()
        self.ran: set[asyncio.Task[Any] | None] = set()
        self.bus = bus_of([CachingMiddleware(60.0)], Get, self.handle, clock=clock)

    async def handle(self, ctx: Context, get: Get) -> int:
        seconds, end = self.schedule.runs[self.runs]
        self.runs += 1
        self.ran.add(asyncio.current_task())
        self.running[get.number] += 1
        assert self.running[get.number] == 1, "two leaders at once"
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running[get.number] -= 1
        if end == "error":
            raise ConnectionError
        if end == "halt":
            raise Halt
        return get.number

    async def call(self, caller: Caller) -> None:
        await asyncio.sleep(caller.at)
        task = asyncio.current_task()
        assert task is not None
        cancel = None
        if caller.cancelled_after is not None:
            loop = asyncio.get_running_loop()
            cancel = loop.call_later(caller.cancelled_after, task.cancel)
        try:
            assert await self.bus.execute_async(Get(caller.number)) == caller.number
        except ConnectionError:
            pass
        except Halt:
            assert task in self.ran, "it got the end of another"
        except asyncio.CancelledError:
            assert caller.cancelled_after is not None, "it got another's cancellation"
        finally:
            if cancel is not None:
                cancel.cancel()

    async def main(self) -> None:
        calls = (self.call(caller) for caller in self.schedule.callers)
        await asyncio.gather(*map(asyncio.ensure_future, calls))
        assert_at_rest(self.bus)


def tasks(seed: int) -> int:
    """Draw callers of two keys, whose leaders fail, halt and are cancelled."""
    schedule = drawn(seed)
    try:
        run_virtual(Run(schedule).main, most_idle_seconds=2.0)
    except Exception as error:
        error.add_note(str(schedule))
        raise
    return len(schedule.callers)


def threads(seed: int) -> int:
    """Let leaders in threads end by a BaseException, half of the time."""
    random = seeded(seed)
    ends = [random.random() < 0.5 for _ in range(400)]
    running: Counter[int] = Counter()
    own = threading.local()
    problems: list[str] = []
    runs = iter(range(400))

    def handler(ctx: Context, get: Get) -> int:
        own.ran = True
        running[get.number] += 1
        if running[get.number] != 1:
            problems.append("two leaders at once")
        time.sleep(0.0002)
        running[get.number] -= 1
        if ends[next(runs)]:
            raise Halt
        return get.number

    bus = bus_of([CachingMiddleware(60.0)], Get, handler)
    count, bursts = 6, 30
    barrier = threading.Barrier(count)

    def work() -> None:
        for number in range(bursts):
            barrier.wait()
            own.ran = False
            try:
                if bus.execute(Get(number)) != number:
                    problems.append("a wrong value")
            except Halt:
                if not own.ran:
                    problems.append("it got the end of another")

    with quick_switches():
        callers = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(20.0)
            assert not caller.is_alive(), "a follower was left behind"
    assert problems == []
    assert_at_rest(bus)
    return count * bursts


def bursts(seed: int) -> int:
    """Let 16 threads miss the same keys at once; each is computed once."""
    count, keys = 16, 50
    runs: Counter[int] = Counter()

    def handler(ctx: Context, get: Get) -> int:
        runs[get.number] += 1
        time.sleep(0.0001)
        return get.number

    bus = bus_of([CachingMiddleware(60.0)], Get, handler)
    barrier = threading.Barrier(count)
    problems: list[int] = []

    def work() -> None:
        for number in range(keys):
            barrier.wait()
            if bus.execute(Get(number)) != number:
                problems.append(number)

    with quick_switches(1e-6 * (1 + seed % 10)):
        callers = [threading.Thread(target=work) for _ in range(count)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert problems == []
    assert runs == Counter(range(keys))
    assert_at_rest(bus)
    return count * keys
