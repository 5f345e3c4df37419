"""Row 20: a timeout's own expiry, the caller's cancellation and the result race."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from reliability.parts import Get, assert_at_rest, bus_of, seeded
from virtual_time import VirtualTimeLoop, clock, run_virtual

from cqrs_fast import Context, DeadlineExceededError, TimeoutMiddleware

TICK = 0.01
NEVER = 1_000


class Caller(NamedTuple):
    """All in ticks, from the same moment on."""

    works: int
    timeout: int
    outer: int  # a second timeout around the first
    cancelled: int
    manner: str  # what the handler does with a cancellation


class Run:
    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers
        self.buses: dict[tuple[int, int], Any] = {}

    def bus_for(self, caller: Caller) -> Any:
        key = caller.outer, caller.timeout
        if key not in self.buses:
            middleware = [TimeoutMiddleware(ticks * TICK) for ticks in key]
            self.buses[key] = bus_of(middleware, Get, self.handle, clock=clock)
        return self.buses[key]

    async def handle(self, ctx: Context, get: Get) -> str:
        caller = self.callers[get.number]
        try:
            await asyncio.sleep(caller.works * TICK)
        except asyncio.CancelledError:
            if caller.manner == "keeps on":
                return "late"
            if caller.manner == "tidies up":
                await asyncio.sleep(TICK / 2)
            raise
        return "done"

    async def call(self, number: int, caller: Caller) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        cancel = None
        if caller.cancelled != NEVER:
            cancel = loop.call_later(caller.cancelled * TICK, task.cancel)
        try:
            outcome: Any = await self.bus_for(caller).execute_async(Get(number))
        except BaseException as error:
            outcome = type(error)
        if cancel is not None:
            cancel.cancel()
        allowed = self.allowed(caller)
        assert outcome in allowed, f"{caller}: {outcome} is not in {allowed}"
        if outcome is DeadlineExceededError:
            assert task.cancelling() == 0, "its own cancellation was left behind"

    def allowed(self, caller: Caller) -> list[Any]:
        expires = min(caller.timeout, caller.outer)
        first = min(caller.works, expires, caller.cancelled)
        kept = caller.manner == "keeps on"
        found: list[Any] = []
        if caller.works == first:
            found.append("done")
        if caller.cancelled == first:
            found.append("late" if kept else asyncio.CancelledError)
        elif expires == first:
            found.append("late" if kept else DeadlineExceededError)
            if caller.manner == "tidies up" and caller.cancelled == first:
                found.append(asyncio.CancelledError)
        if caller.cancelled == first == expires and kept:
            found.append(asyncio.CancelledError)
        return found

    async def main(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        calls = [self.call(n, caller) for n, caller in enumerate(self.callers)]
        await asyncio.gather(*map(asyncio.ensure_future, calls))
        await asyncio.sleep(0)
        assert loop.timers() == []
        for bus in self.buses.values():
            assert_at_rest(bus)


def drawn(seed: int) -> list[Caller]:
    random = seeded(seed)
    times = (1, 1, 2, 2, 3, 4)
    manners = ("gives in", "gives in", "keeps on", "tidies up")
    return [
        Caller(
            random.choice(times),
            random.choice(times),
            random.choice((*times, NEVER)),
            random.choice((*times, NEVER, NEVER)),
            random.choice(manners),
        )
        for _ in range(50)
    ]


def schedule(seed: int) -> int:
    """Draw 50 calls at once, with many ties."""
    callers = drawn(seed)
    run_virtual(Run(callers).main, most_idle_seconds=2.0)
    return len(callers)
