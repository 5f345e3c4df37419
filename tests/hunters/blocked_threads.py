"""Schedules of waiters in real time: threads and event loops whose handlers block."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

from reliability.parts import Get, assert_at_rest, bus_of

import cqrs_fast as c

# A machine that does a lot beside this wakes threads late. Who waits for a loop that
# blocks waits for much longer.
SLACK_SECONDS = 0.4
MOST_SECONDS = 8.0


class Schedule(NamedTuple):
    seed: int
    stage: str
    max_wait: float
    blocks: float
    threads: int
    tasks: int
    nests: bool
    closes: bool


def drawn(seed: int) -> Schedule:
    rng = random.Random(seed)
    return Schedule(
        seed,
        rng.choice(("limiter", "keyed limiter", "bulkhead", "pool")),
        rng.choice((0.01, 0.03)),
        rng.choice((0.8, 1.0)),
        rng.randrange(1, 4),
        rng.randrange(1, 4),
        rng.random() < 0.5,
        rng.random() < 0.3,
    )


def made(schedule: Schedule) -> Any:
    if schedule.stage == "bulkhead":
        return c.BulkheadMiddleware(1, max_queue=50, max_wait=schedule.max_wait)
    key = {"key": lambda ctx, message: 1} if schedule.stage == "keyed limiter" else {}
    return c.RateLimitingMiddleware(
        100, 1.0, burst=1, max_wait=schedule.max_wait, **key
    )


class Run:
    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.waits: list[float] = []
        self.pool: c.ObjectPool[list[int]] = c.ObjectPool(
            list, 1, max_wait=schedule.max_wait
        )
        stages = [] if schedule.stage == "pool" else [made(schedule)]
        self.bus = bus_of(stages, Get, self.handle)
        self.sync = bus_of(stages, Get, self.handle_now)
        self.blocked = threading.Event()

    async def handle(self, ctx: Any, message: Any) -> int:
        return self.handle_now(ctx, message)

    def handle_now(self, ctx: Any, message: Any) -> int:
        time.sleep(0.001)
        return 1

    def loop(self) -> None:
        """Let tasks wait on a loop, then block it, or close it with them."""
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)

        async def main() -> None:
            waits = [self.wait() for _ in range(self.schedule.tasks)]
            tasks = [asyncio.ensure_future(one) for one in waits]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.blocked.set()
            if self.schedule.closes:
                loop.stop()
                await asyncio.sleep(0)
                return
            if self.schedule.nests:
                self.measured(lambda: self.sync.execute(Get(1)), 0.0)
            time.sleep(self.schedule.blocks)
            await asyncio.wait(tasks)

        try:
            loop.run_until_complete(main())
        except RuntimeError:
            assert self.schedule.closes
        finally:
            loop.close()

    async def wait(self) -> None:
        try:
            if self.schedule.stage == "pool":
                async with self.pool.lease_async():
                    await asyncio.sleep(0)
            else:
                await self.bus.execute_async(Get(1))
        except c.CQRSError:
            pass

    def work(self) -> None:
        """Wait in a thread, and measure for how long."""
        self.blocked.wait(MOST_SECONDS)
        for _ in range(3):
            self.measured(self.call, self.schedule.max_wait)

    def call(self) -> None:
        if self.schedule.stage == "pool":
            with self.pool.lease():
                pass
        else:
            self.sync.execute(Get(1))

    def measured(self, call: Any, most: float) -> None:
        began = time.monotonic()
        with suppress(c.CQRSError):
            call()
        self.waits.append(time.monotonic() - began - most)


def run(schedule: Schedule) -> None:
    one = Run(schedule)
    threads = [threading.Thread(target=one.loop, daemon=True)]
    threads += [
        threading.Thread(target=one.work, daemon=True) for _ in range(schedule.threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(MOST_SECONDS)
        assert not thread.is_alive(), "a thread waits for ever"
    late = max(one.waits)
    assert late <= SLACK_SECONDS, f"a waiter waited {late:.3f} s longer than it said"
    gc.collect()
    for bus in (one.bus, one.sync):
        assert_at_rest(bus)
        report = bus.close(0)
        assert report.drained, report
    assert one.pool.stats().in_use == 0, one.pool.stats()
