"""Row 7: random pipelines whose calls are ended at random steps hold nothing after."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from reliability.parts import (
    Closed,
    Cut,
    Get,
    Put,
    assert_at_rest,
    bus_of,
    cancel_task,
    close,
    seeded,
)
from virtual_time import VirtualTimeLoop, clock, run_virtual

from cqrs_fast import (
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    Context,
    CQRSError,
    FallbackMiddleware,
    IdempotencyMiddleware,
    RateLimitingMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
)


async def around(ctx: Context, message: Any, next: Any) -> Any:
    await asyncio.sleep(0)
    return await next(ctx, message)


MAKERS: dict[str, Any] = {
    "limiter": lambda: RateLimitingMiddleware(3, 1.0, burst=2, max_wait=9.0),
    "keyed limiter": lambda: RateLimitingMiddleware(
        2, 1.0, burst=1, max_wait=9.0, key=lambda ctx, message: message.number
    ),
    "cache": lambda: CachingMiddleware(1.0),
    "idempotency": lambda: IdempotencyMiddleware(ttl=1.0),
    "retry": lambda: RetryMiddleware(3, 0.1, retry_commands=True),
    "breaker": lambda: CircuitBreakerMiddleware(2, 0.5),
    "bulkhead": lambda: BulkheadMiddleware(2, max_queue=4, max_wait=3.0),
    "short timeout": lambda: TimeoutMiddleware(0.3),
    "timeout": lambda: TimeoutMiddleware(5.0),
    "fallback": lambda: FallbackMiddleware(lambda ctx, message, error: -1),
    "around": lambda: around,
}


class Caller(NamedTuple):
    at: float
    number: int
    cut_at: int | None
    how: str


class Schedule(NamedTuple):
    names: list[str]
    attempts: list[tuple[float, bool]]  # how long each takes, and whether it fails
    callers: list[Caller]


def drawn(seed: int) -> Schedule:
    random = seeded(seed)
    left_out = random.choice(("cache", "idempotency"))
    names = [name for name in MAKERS if name != left_out and random.random() < 0.5]
    random.shuffle(names)
    attempts = [
        (random.choice((0.0, 0.1, 0.3, 1.0)), random.random() < 0.3) for _ in range(20)
    ]
    callers = [
        Caller(
            random.choice((0.0, 0.0, 0.1, random.random() * 2)),
            random.randrange(3),
            random.randrange(12) if random.random() < 0.5 else None,
            random.choice(("task", "close", "context")),
        )
        for _ in range(random.randrange(1, 8))
    ]
    return Schedule(names, attempts, callers)


class Run:
    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.attempts = 0
        self.message: Any = Put if "idempotency" in schedule.names else Get
        middleware = [MAKERS[name]() for name in schedule.names]
        self.bus = bus_of(middleware, self.message, self.handle, clock=clock)

    async def handle(self, ctx: Context, message: Any) -> int:
        seconds, fails = self.schedule.attempts[self.attempts % 20]
        self.attempts += 1
        if seconds:
            await asyncio.sleep(seconds)
        if fails:
            raise ConnectionError
        return 1

    async def call(self, caller: Caller) -> None:
        await asyncio.sleep(caller.at)
        key = (f"key {caller.number}",) if self.message is Put else ()
        message = self.message(caller.number, *key)
        ctx = Context.background().with_cancel()
        hows: dict[str, Any] = {
            "task": cancel_task,
            "close": close,
            "context": lambda steps: ctx.cancel(),
        }
        dispatch = self.bus.execute_async(message, ctx)
        at = -1 if caller.cut_at is None else caller.cut_at
        cut = Cut(dispatch, at, hows[caller.how])
        try:
            assert await cut.run() in (1, -1)
        except (CQRSError, ConnectionError):
            pass
        except (asyncio.CancelledError, Closed):
            assert cut.was_cut, "it got the cancellation of another"

    async def main(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        await asyncio.gather(*(self.call(one) for one in self.schedule.callers))
        await asyncio.sleep(0)
        assert_at_rest(self.bus)
        assert loop.timers() == []
        # All that was held is free: as many calls as before are served again.
        await asyncio.sleep(100)
        free = Caller(0.0, 1, None, "task")
        await asyncio.gather(*(self.call(free) for _ in range(3)))
        await asyncio.sleep(0)
        assert_at_rest(self.bus)
        assert self.bus.close(0).drained


def schedule(seed: int) -> int:
    """Draw a pipeline and callers, some of which are cut off; run them."""
    one = drawn(seed)
    try:
        run_virtual(Run(one).main, most_idle_seconds=2.0)
    except Exception as error:
        error.add_note(str(one))
        raise
    return len(one.callers) + 3
