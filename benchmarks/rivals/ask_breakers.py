"""Circuit breakers: half-open floods, cancellation, interrupts, locks and clocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks.rivals.breakers import ASYNC, SYNC, Breaker
from benchmarks.rivals.clocks import set_wall_clock_back
from benchmarks.rivals.crowd import Inside, together
from benchmarks.rivals.question import Question, at_most, exactly

CALLERS = 16
TIMEOUT = 0.05
"""Seconds for which an open breaker lets nobody in."""


class Down(Exception):
    """What a service raises that is not there."""


def fail() -> None:
    raise Down


async def fail_async() -> None:
    raise Down


def half_open(kind: type[Breaker]) -> Breaker:
    """Return a breaker that opened, and whose timeout is over."""
    breaker = opened(kind)
    time.sleep(1.5 * TIMEOUT)
    return breaker


def opened(kind: type[Breaker]) -> Breaker:
    breaker = kind(1, TIMEOUT)
    ignore_errors(partial(breaker.call, fail))
    service = Inside(0.0)
    ignore_errors(partial(breaker.call, service))
    return checked(breaker, service)


def checked(breaker: Breaker, service: Inside) -> Breaker:
    """Return a breaker that let nobody in: else it is not what is asked about."""
    if service.calls:
        raise RuntimeError("the breaker does not open")
    return breaker


async def half_open_async(kind: type[Breaker]) -> Breaker:
    breaker = kind(1, TIMEOUT)
    await ignore_errors_async(breaker.call_async(fail_async))
    service = Inside(0.0)
    await ignore_errors_async(breaker.call_async(service.suspending))
    await asyncio.sleep(1.5 * TIMEOUT)
    return checked(breaker, service)


def ignore_errors(function: Callable[[], Any]) -> None:
    try:
        function()
    except Exception:
        return


async def ignore_errors_async(awaitable: Awaitable[Any]) -> None:
    try:
        await awaitable
    except Exception:
        return


def flood(kind: type[Breaker]) -> float:
    breaker = half_open(kind)
    service = Inside(0.05)
    together([partial(breaker.call, service)] * CALLERS)
    return service.most


def flood_async(kind: type[Breaker]) -> float:
    async def run() -> float:
        breaker = await half_open_async(kind)
        service = Inside(0.02)
        calls = [breaker.call_async(service.suspending) for _ in range(CALLERS)]
        await asyncio.gather(*calls, return_exceptions=True)
        return service.most

    return asyncio.run(run())


async def cancelled_call(breaker: Breaker) -> None:
    """Cancel a call while the service is at work."""
    task = asyncio.ensure_future(breaker.call_async(Inside(5.0).suspending))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])


def cancelled_probe(kind: type[Breaker]) -> float:
    async def run() -> float:
        breaker = await half_open_async(kind)
        await cancelled_call(breaker)
        service = Inside(0.02)
        calls = [breaker.call_async(service.suspending) for _ in range(CALLERS)]
        await asyncio.gather(*calls, return_exceptions=True)
        return service.most

    return asyncio.run(run())


def cancelled_between_failures(kind: type[Breaker]) -> float:
    async def run() -> float:
        breaker = kind(3, 60.0)
        for _ in range(2):
            await ignore_errors_async(breaker.call_async(fail_async))
        await cancelled_call(breaker)
        for failures in range(10):
            service = Inside(0.0)

            async def fail_inside(service: Inside = service) -> None:
                await service.suspending()
                raise Down

            await ignore_errors_async(breaker.call_async(fail_inside))
            if not service.calls:
                return failures
        return 10

    return asyncio.run(run())


def interrupted(kind: type[Breaker]) -> float:
    breaker = kind(1, 60.0)
    mine = KeyboardInterrupt()

    def interrupt() -> None:
        raise mine

    try:
        breaker.call(interrupt)
        seen: BaseException | None = None
    except BaseException as error:
        seen = error
    service = Inside(0.0)
    ignore_errors(partial(breaker.call, service))
    return (seen is not mine) + (service.calls == 0)


def serialised(kind: type[Breaker]) -> float:
    breaker = kind(5, 60.0)

    def once() -> float:
        service = Inside(0.04)
        started = time.monotonic()
        together([partial(breaker.call, service)] * 4)
        return (time.monotonic() - started) * 1_000

    # The best of several: another process may have the cores for a moment.
    return min(once() for _ in range(5))


def set_back(kind: type[Breaker]) -> float:
    breaker = opened(kind)
    set_wall_clock_back(kind.package, 3600)
    time.sleep(1.5 * TIMEOUT)
    service = Inside(0.0)
    ignore_errors(partial(breaker.call, service))
    return service.calls


QUESTIONS = (
    Question.of(
        "half-open-threads",
        f"{CALLERS} threads call a half-open breaker that allows one probe",
        exactly(1, "inside at once"),
        flood,
        SYNC,
    ),
    Question.of(
        "half-open-tasks",
        f"{CALLERS} tasks call a half-open breaker that allows one probe",
        exactly(1, "inside at once"),
        flood_async,
        ASYNC,
    ),
    Question.of(
        "cancelled-probe",
        f"the probe is cancelled; then {CALLERS} tasks call: it is half-open as before",
        exactly(1, "inside at once"),
        cancelled_probe,
        ASYNC,
    ),
    Question.of(
        "cancelled-streak",
        "2 failures of 3, a cancelled call, then failures until it is open",
        exactly(1, "failure more"),
        cancelled_between_failures,
        ASYNC,
    ),
    Question.of(
        "interrupt",
        "KeyboardInterrupt in a call: neither replaced by another nor counted",
        exactly(0, "faults of 2"),
        interrupted,
        SYNC,
    ),
    Question.of(
        "serialised",
        "4 threads, 40 ms each, through one closed breaker",
        at_most(60, "ms"),
        serialised,
        SYNC,
    ),
    Question.of(
        "breaker-clock",
        "the wall clock is set back an hour while the breaker is open",
        exactly(1, "call let in after the timeout"),
        set_back,
        SYNC,
    ),
)
