"""What a team writes for itself in place of a library: dicts, decorators and closures.

The protections are those of the compiled pipeline and behave alike where a duel looks:
the same limits, one lock for each state that threads share, one clock reading wherever
one is needed.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.rivals.duel import passing
from benchmarks.rivals.messages import (
    LONGEST_NAME,
    PERMITS,
    TIMEOUT,
    PlainOrder,
    answer,
    answer_async,
)

Call = Callable[[Any], Any]
AsyncCall = Callable[[Any], Awaitable[Any]]
RATE = 1_000_000
THRESHOLD = 5
ATTEMPTS = 3
BASE_DELAY = 0.1


class Refused(Exception):
    """What a protection raises that lets a call not through."""


def registry(kind: type, function: Call) -> dict[type, Call]:
    """Return a dict of handlers that a decorator filled."""
    handlers: dict[type, Call] = {}

    def handles(kind: type) -> Callable[[Call], Call]:
        def register(function: Call) -> Call:
            handlers[kind] = function
            return function

        return register

    handles(kind)(function)
    return handlers


def dispatching(handlers: dict[type, Call]) -> Call:
    return lambda message: handlers[type(message)](message)


def dispatching_async(handlers: dict[type, AsyncCall]) -> AsyncCall:
    async def dispatch(message: Any) -> Any:
        return await handlers[type(message)](message)

    return dispatch


def bare_closures() -> Call:
    return dispatching(registry(PlainOrder, answer))


def bare_closures_async() -> AsyncCall:
    return dispatching_async(registry(PlainOrder, answer_async))


def passing_closures(count: int) -> Call:
    def wrapped(next: Call) -> Call:
        @passing
        def call(message: Any) -> Any:
            return next(message)

        return call

    inner: Call = answer
    for _ in range(count):
        inner = wrapped(inner)
    return dispatching(registry(PlainOrder, inner))


def passing_closures_async(count: int) -> AsyncCall:
    def wrapped(next: AsyncCall) -> AsyncCall:
        @passing
        async def call(message: Any) -> Any:
            return await next(message)

        return call

    inner: AsyncCall = answer_async
    for _ in range(count):
        inner = wrapped(inner)
    return dispatching_async(registry(PlainOrder, inner))


# The protections


class Counts:
    """How often a message was handled, how often in vain, and how long it took."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls = 0
        self.errors = 0
        self.nanoseconds = 0
        self.slowest = 0

    def add(self, nanoseconds: int, failed: bool) -> None:
        with self.lock:
            self.calls += 1
            self.errors += failed
            self.nanoseconds += nanoseconds
            if nanoseconds > self.slowest:
                self.slowest = nanoseconds


def validate(order: PlainOrder) -> None:
    if not isinstance(order.name, str) or not 1 <= len(order.name) <= LONGEST_NAME:
        raise Refused("name")
    if not isinstance(order.quantity, int) or order.quantity < 1:
        raise Refused("quantity")


class Bucket:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tokens = float(PERMITS)
        self.filled = time.monotonic()

    def take(self) -> None:
        with self.lock:
            now = time.monotonic()
            tokens = self.tokens + (now - self.filled) * RATE
            self.tokens = tokens if tokens < PERMITS else float(PERMITS)
            self.filled = now
            if self.tokens < 1:
                raise Refused("too many")
            self.tokens -= 1


class Breaker:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.failures = 0
        self.open_until = 0.0
        self.probing = False

    def enter(self) -> None:
        if self.failures < THRESHOLD:
            return
        with self.lock:
            if self.probing or time.monotonic() < self.open_until:
                raise Refused("open")
            self.probing = True

    def leave(self, failed: bool) -> None:
        if not failed and not self.failures:
            return
        with self.lock:
            self.probing = False
            self.failures = self.failures + 1 if failed else 0
            if self.failures >= THRESHOLD:
                self.open_until = time.monotonic() + TIMEOUT


def delay(attempt: int) -> float:
    return random.uniform(0, BASE_DELAY * 2**attempt)


def measured(next: Call) -> Call:
    counts = Counts()
    clock = time.perf_counter_ns

    def call(message: Any) -> Any:
        started = clock()
        try:
            result = next(message)
        except BaseException:
            counts.add(clock() - started, True)
            raise
        counts.add(clock() - started, False)
        return result

    return call


def validated(next: Call) -> Call:
    def call(message: Any) -> Any:
        validate(message)
        return next(message)

    return call


def limited(next: Call) -> Call:
    bucket = Bucket()

    def call(message: Any) -> Any:
        bucket.take()
        return next(message)

    return call


def retried(next: Call) -> Call:
    def call(message: Any) -> Any:
        attempt = 1
        while True:
            try:
                return next(message)
            except (ConnectionError, TimeoutError):
                if attempt == ATTEMPTS:
                    raise
            time.sleep(delay(attempt))
            attempt += 1

    return call


def broken(next: Call) -> Call:
    breaker = Breaker()

    def call(message: Any) -> Any:
        breaker.enter()
        try:
            result = next(message)
        except Exception:
            breaker.leave(True)
            raise
        breaker.leave(False)
        return result

    return call


def timed(next: Call) -> Call:
    def call(message: Any) -> Any:
        deadline = time.monotonic() + TIMEOUT
        result = next(message)
        if time.monotonic() > deadline:
            late.append(message)
        return result

    late: list[Any] = []
    return call


def protected_closures() -> Call:
    """Return metrics, validation, limiter, retry, breaker and timeout as closures."""
    inner: Call = answer
    for wrap in (timed, broken, retried, limited, validated, measured):
        inner = wrap(inner)
    return dispatching(registry(PlainOrder, inner))


def measured_async(next: AsyncCall) -> AsyncCall:
    counts = Counts()
    clock = time.perf_counter_ns

    async def call(message: Any) -> Any:
        started = clock()
        try:
            result = await next(message)
        except BaseException:
            counts.add(clock() - started, True)
            raise
        counts.add(clock() - started, False)
        return result

    return call


def validated_async(next: AsyncCall) -> AsyncCall:
    async def call(message: Any) -> Any:
        validate(message)
        return await next(message)

    return call


def limited_async(next: AsyncCall) -> AsyncCall:
    bucket = Bucket()

    async def call(message: Any) -> Any:
        bucket.take()
        return await next(message)

    return call


def retried_async(next: AsyncCall) -> AsyncCall:
    async def call(message: Any) -> Any:
        attempt = 1
        while True:
            try:
                return await next(message)
            except (ConnectionError, TimeoutError):
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(delay(attempt))
            attempt += 1

    return call


def broken_async(next: AsyncCall) -> AsyncCall:
    breaker = Breaker()

    async def call(message: Any) -> Any:
        breaker.enter()
        try:
            result = await next(message)
        except Exception:
            breaker.leave(True)
            raise
        breaker.leave(False)
        return result

    return call


def timed_async(next: AsyncCall) -> AsyncCall:
    async def call(message: Any) -> Any:
        async with asyncio.timeout(TIMEOUT):
            return await next(message)

    return call


def protected_closures_async() -> AsyncCall:
    inner: AsyncCall = answer_async
    for wrap in (
        timed_async,
        broken_async,
        retried_async,
        limited_async,
        validated_async,
        measured_async,
    ):
        inner = wrap(inner)
    return dispatching_async(registry(PlainOrder, inner))
