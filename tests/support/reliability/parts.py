"""What the rows of the reliability bar share: messages, middleware, checks of rest."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import resource
import sys
import types
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from cqrs_fast import (
    BulkheadMiddleware,
    CircuitBreakerMiddleware,
    Command,
    CommandBus,
    IdempotencyMiddleware,
    LoadSheddingMiddleware,
    Query,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    build_info,
)
from cqrs_fast.stages.catalog import CATALOG, middleware_rows


class Get(Query[int]):
    number: int = 0


class Put(Command[int]):
    number: int = 0
    idempotency_key: str | None = None

    idempotent: ClassVar[bool] = True


def keyed(put: Put) -> str:
    """Return an idempotency key, where a command brings none too."""
    return put.idempotency_key or str(put.number)


# Each middleware as it is of no further effect on a call that succeeds: those of the
# catalog, some of them so that a failure would show, and others that wait or have keys.
MAKERS: dict[str, Callable[..., Any]] = {
    **{
        row.label: functools.partial(row.load(), **row.passing)
        for row in middleware_rows()
    },
    "waiting limiter": lambda: RateLimitingMiddleware(1_000_000, 1.0, max_wait=60.0),
    "keyed limiter": lambda: RateLimitingMiddleware(
        1_000_000, 1.0, key=lambda ctx, message: message.number
    ),
    "idempotency": lambda: IdempotencyMiddleware(keyed),
    "retry": lambda: RetryMiddleware(3, 0.001, jitter="none"),
    "circuit breaker": lambda: CircuitBreakerMiddleware(1, 30.0),
    "bulkhead": lambda: BulkheadMiddleware(3, max_queue=100, max_wait=60.0),
    "load shedding": lambda: LoadSheddingMiddleware(min_samples=1),
}
_NAMES = [row.name for row in CATALOG]
DEFAULT_ORDER = (
    "validation",
    *[row.label for row in CATALOG[_NAMES.index("RateLimitingMiddleware") :]],
)
ONE_KIND = {row.label: row.kinds[0] for row in CATALOG if len(row.kinds) == 1}


def message_for(names: tuple[str, ...]) -> type[Any]:
    """Return the class of message that all these middlewares serve."""
    return Put if "idempotency" in names else Get


def default_order(kind: str) -> tuple[str, ...]:
    """Return the middlewares of the default order that serve a "query" or "command"."""
    return tuple(name for name in DEFAULT_ORDER if ONE_KIND.get(name, kind) == kind)


PIPELINES: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in MAKERS},
    "default order, query": default_order("query"),
    "default order, command": default_order("command"),
}


def bus_of(middleware: Any, message: type[Any], handler: Any, **options: Any) -> Any:
    """Return a bus of the right kind with metrics, the middleware and one handler."""
    is_command = issubclass(message, Command)
    make: Any = CommandBus if is_command else QueryBus
    bus = make(middleware=middleware, enable_metrics=True, **options)
    bus.register_handler(message, handler)
    return bus


# Rest

# Fields of the statistics that are 0 while nobody calls.
GAUGES = (
    "flights",
    "in_flight",
    "in_progress",
    "probes",
    "queued",
    "waiters",
    "waiting",
)


def gauges(value: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    """Find all gauges in statistics."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in GAUGES and isinstance(inner, int):
                yield f"{path}.{key}", inner
            else:
                yield from gauges(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from gauges(inner, f"{path}[{index}]")


def assert_at_rest(bus: Any) -> None:
    """Assert that nothing is held: no dispatch, permit, flight, place in a queue."""
    held = {path: value for path, value in gauges(bus.stats()) if value != 0}
    assert held == {}
    for one in bus.middleware:
        assert_whole(one)


def assert_whole(middleware: Any) -> None:
    """Let the structural validator of a middleware look at it, where it has one."""
    check = getattr(middleware, "_check", None)
    if check is not None:
        check()


# Steps


class Cut:
    """Await something and end it from outside at one of its suspensions.

    Parameters:
        at: the number of the suspension, from 0; one that never comes cuts nothing.
        how: given the iterator that is stepped, ends it: cancels the task or the
            context, or closes the iterator.
    """

    def __init__(self, awaitable: Any, at: int, how: Callable[[Any], None]) -> None:
        self.awaitable = awaitable
        self.at = at
        self.how = how
        self.steps = 0
        self.was_cut = False

    @types.coroutine
    def run(self) -> Generator[Any, Any, Any]:
        steps = self.awaitable.__await__()
        try:
            yielded = steps.send(None)
            while True:
                if self.steps == self.at:
                    self.was_cut = True
                    self.how(steps)
                self.steps += 1
                try:
                    sent = yield yielded
                except BaseException as error:
                    yielded = steps.throw(error)
                else:
                    yielded = steps.send(sent)
        except StopIteration as stop:
            return stop.value


class Closed(BaseException):
    """Tell that a Cut closed what it awaited."""


def cancel_task(steps: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def close(steps: Any) -> None:
    steps.close()
    raise Closed


# Processes and time


measures_memory = pytest.mark.skipif(
    build_info()["mode"] == "asan",
    reason="the address sanitizer keeps what is freed for a while",
)


def rss_bytes() -> int:
    """Return the resident memory; its peak where the system tells only that."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def quick_switches(seconds: float = 1e-5) -> Iterator[None]:
    """Let threads take turns much more often than usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def seeded(seed: int) -> random.Random:
    """Return the randomness of one schedule."""
    return random.Random(seed)
