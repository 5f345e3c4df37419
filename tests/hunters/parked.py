"""Stages that are initialised again while dispatches are parked in them.

A situation makes an object, parks calls in it, and gives: the calls, the object, the
arguments of its first `__init__` and those of others. A second `__init__` is refused,
or changes nothing for whom is parked: all calls end in time, and nothing is held after.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from reliability.parts import Get, Put, assert_at_rest, bus_of
from support import suspend

import cqrs_fast as c
from cqrs_fast.base.clock import ManualClock


class Situation(NamedTuple):
    """What is parked.

    Attributes:
        make: makes the object that is initialised again.
        others: further arguments of `__init__`, as (args, kwargs).
        message: what is dispatched.
        calls: how many at a time; where they wait, all but the first do.
        fails: how many of the first runs of the handler fail.
        suspends: whether the handler suspends, once.
    """

    make: Callable[[], Any]
    others: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = ()
    message: Any = Get
    calls: int = 3
    fails: int = 0
    suspends: bool = True


async def around(ctx: Any, message: Any, next: Any) -> Any:
    return await next(ctx, message)


def other(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


SITUATIONS: dict[str, Situation] = {
    "limiter": Situation(
        lambda: c.RateLimitingMiddleware(200, 1.0, burst=1, max_wait=0.2),
        (other(), other(9, 1.0, max_wait=0.1), other(5, 1.0, clock=ManualClock())),
    ),
    "keyed limiter": Situation(
        lambda: c.RateLimitingMiddleware(
            200, 1.0, burst=1, max_wait=0.2, key=lambda ctx, message: 1
        ),
        (other(), other(9, 1.0, max_wait=0.1, key=lambda ctx, message: 2)),
    ),
    "bulkhead": Situation(
        lambda: c.BulkheadMiddleware(1, max_queue=9, max_wait=0.2),
        (other(2), other(3, max_queue=2, max_wait=0.1), other(1, clock=ManualClock())),
    ),
    "cache": Situation(
        lambda: c.CachingMiddleware(5.0, flight_wait_max=0.2),
        (other(), other(1.0, max_size=1, clock=ManualClock())),
    ),
    "idempotency": Situation(
        lambda: c.IdempotencyMiddleware(key=lambda message: "a", lease=0.2),
        (other(), other(lambda message: "b", ttl=1.0, clock=ManualClock())),
        message=Put,
    ),
    "retry": Situation(
        lambda: c.RetryMiddleware(5, 0.02, retry_commands=True, budget=50),
        (other(), other(2, 0.01, clock=ManualClock()), other(9, 0.0, budget=None)),
        fails=2,
        suspends=False,
    ),
    "breaker": Situation(
        lambda: c.CircuitBreakerMiddleware(2, 0.02, half_open_max_calls=1),
        (other(), other(1, 1.0, per="bus", clock=ManualClock())),
    ),
    "timeout": Situation(
        lambda: c.TimeoutMiddleware(0.05),
        (other(1.0), other(0.01, clock=ManualClock())),
    ),
    "fallback": Situation(
        lambda: c.FallbackMiddleware(lambda ctx, message, error: -1),
        (other(len), other(print, on=(KeyError,))),
        fails=3,
    ),
    "audit": Situation(lambda: c.AuditMiddleware(lambda event: None), (other(len),)),
    "authentication": Situation(
        lambda: c.AuthenticationMiddleware(lambda ctx, message: "me"), (other(len),)
    ),
    "logging": Situation(lambda: c.LoggingMiddleware(level=1), (other("b", level=2),)),
    "debug": Situation(lambda: c.DebugMiddleware(level=1), (other("cqrs", 2),)),
    "slow call": Situation(lambda: c.SlowCallMiddleware(9.0), (other(8.0),)),
    "validation": Situation(lambda: c.ValidationMiddleware(), (other(),)),
}
HOWS = ("same arguments", "other arguments", "from a thread", "again and again")
ENDINGS = tuple(
    f"{how}, {ending}"
    for how in HOWS
    for ending in ("served", "cancelled", "dropped", "closed", "in threads")
)
SHORT_ENDINGS = (
    "other arguments, served",
    "other arguments, closed",
    "other arguments, in threads",
    "from a thread, cancelled",
    "again and again, dropped",
)
MOST_SECONDS = 1.5


class Handler:
    def __init__(self, situation: Situation) -> None:
        self.fails = situation.fails
        self.suspends = situation.suspends
        self.release = asyncio.Event()

    async def serve(self, ctx: Any, message: Any) -> int:
        if self.suspends:
            await self.release.wait()
            await suspend()
        return self.serve_now(ctx, message)

    def serve_now(self, ctx: Any, message: Any) -> int:
        if self.fails > 0:
            self.fails -= 1
            raise ConnectionError
        return 1


def run(scenario: str) -> None:
    """Run `SITUATION, HOW, ENDING`."""
    name, how, ending = scenario.split(", ")
    situation = SITUATIONS[name]
    stage = situation.make()
    again = initialiser(situation, stage, how)
    if ending == "in threads":
        in_threads(situation, stage, again)
    else:
        asyncio.run(on_a_loop(situation, stage, again, ending))
    gc.collect()


def initialiser(situation: Situation, stage: Any, how: str) -> Callable[[], None]:
    """Return what initialises the stage again."""

    def initialise(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Refused, or harmless.
        with suppress(TypeError, RuntimeError, ValueError):
            stage.__init__(*args, **kwargs)

    given = list(situation.others)
    if how == "same arguments":
        given = given[:1]
    rounds = 50 if how == "again and again" else 1

    def again() -> None:
        for args, kwargs in itertools.chain.from_iterable([given] * rounds):
            initialise(args, kwargs)

    def in_a_thread() -> None:
        thread = threading.Thread(target=again)
        thread.start()
        thread.join()

    return in_a_thread if how == "from a thread" else again


def message_of(situation: Situation) -> Any:
    return situation.message(1, *(("a",) if situation.message is Put else ()))


async def on_a_loop(
    situation: Situation, stage: Any, again: Callable[[], None], ending: str
) -> None:
    handler = Handler(situation)
    bus = bus_of([stage], situation.message, handler.serve)
    tasks = [
        asyncio.ensure_future(bus.execute_async(message_of(situation)))
        for _ in range(situation.calls)
    ]
    await asyncio.sleep(0.002)
    again()
    await asyncio.sleep(0.002)
    again()
    if ending == "cancelled":
        for task in tasks:
            task.cancel()
    elif ending == "dropped":
        tasks.clear()
        gc.collect()
    elif ending == "closed":
        bus.close(0)
    handler.release.set()
    began = time.monotonic()
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=MOST_SECONDS)
        assert not pending, f"parked for ever: {pending}"
        for task in tasks:
            assert task.cancelled() or is_an_answer(task)
    del tasks
    gc.collect()
    while time.monotonic() - began < MOST_SECONDS:
        await asyncio.sleep(0.005)
        if not held(bus):
            break
    assert_at_rest(bus)
    report = await bus.close_async(0.5)
    assert report.drained, report


def is_an_answer(task: Any) -> bool:
    error = task.exception()
    if error is None:
        return task.result() in (1, -1)
    return isinstance(error, c.CQRSError | ConnectionError | TypeError | RuntimeError)


def held(bus: Any) -> bool:
    try:
        assert_at_rest(bus)
    except AssertionError:
        return True
    return False


def in_threads(situation: Situation, stage: Any, again: Callable[[], None]) -> None:
    handler = Handler(situation)
    bus = bus_of([stage], situation.message, slow(handler))
    outcomes: list[Any] = []

    def call() -> None:
        try:
            outcomes.append(bus.execute(message_of(situation)))
        except Exception as error:
            outcomes.append(error)

    threads = [
        threading.Thread(target=call, daemon=True) for _ in range(situation.calls)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.002)
    again()
    for thread in threads:
        thread.join(MOST_SECONDS)
        assert not thread.is_alive(), "a thread is parked for ever"
    for outcome in outcomes:
        assert not isinstance(outcome, SystemError), repr(outcome)
    assert_at_rest(bus)
    report = bus.close(0.5)
    assert report.drained, report


def slow(handler: Handler) -> Callable[[Any, Any], int]:
    def serve(ctx: Any, message: Any) -> int:
        time.sleep(0.005)
        return handler.serve_now(ctx, message)

    return serve
