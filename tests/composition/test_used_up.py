"""Results that their use consumes: neither stored nor handed to anybody else."""

from __future__ import annotations

import asyncio
import atexit
import csv
import io
import itertools
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from support import eventually

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    IdempotencyMiddleware,
    Query,
    QueryBus,
    ResultTypeError,
)


class Rows(Query[object]):
    n: int = 3


class Export(Command[object]):
    idempotency_key: str


class Cursor:
    """Its own iterator, by Python code."""

    def __init__(self) -> None:
        self.left = 3

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left


class NextOnly:
    def __next__(self) -> int:
        return 1


class BadIter(Cursor):
    def __iter__(self) -> Cursor:
        raise RuntimeError("closed")


class AsyncCursor:
    def __aiter__(self) -> AsyncCursor:
        return self

    async def __anext__(self) -> int:
        raise StopAsyncIteration


class Again:
    """An iterable that begins anew each time, though it has a `__next__`."""

    def __iter__(self) -> Iterator[int]:
        return iter((1, 2))

    def __next__(self) -> int:
        return 0


class AsyncAgain:
    def __aiter__(self) -> AsyncIterator[int]:
        return AsyncCursor()

    async def __anext__(self) -> int:
        return 0


def rows() -> Iterator[int]:
    yield 1


# For cursors of all threads; from 3.13 on one that is not closed warns.
DATABASE = sqlite3.connect(":memory:", check_same_thread=False)
atexit.register(DATABASE.close)

USED_UP: dict[str, Callable[[], Any]] = {
    "range_iterator": lambda: iter(range(3)),
    "generator": rows,
    "generator expression": lambda: (n for n in range(3)),
    "map": lambda: map(str, range(3)),
    "zip": lambda: zip(range(3), range(3), strict=True),
    "chain": lambda: itertools.chain([1], [2]),
    "Cursor": Cursor,
    "NextOnly": NextOnly,
    "BadIter": BadIter,
    "AsyncCursor": AsyncCursor,
    "BytesIO": lambda: io.BytesIO(b"a\nb"),
    "file": lambda: Path(__file__).open("rb"),  # noqa: SIM115 - closed below
    "reader": lambda: csv.reader(["a,b"]),
    "cursor": lambda: DATABASE.execute("select 1"),
}

LASTING: dict[str, Callable[[], Any]] = {
    "list": lambda: [1],
    "range": lambda: range(3),
    "dict": dict,
    "str": lambda: "abc",
    "None": lambda: None,
    "Again": Again,
    "AsyncAgain": AsyncAgain,
    "Mock": Mock,
    "MagicMock": MagicMock,
    "Struct": Rows,
    "class": lambda: Cursor,
    "list of one": lambda: [iter(())],
}


def close(value: Any) -> None:
    if isinstance(value, io.IOBase | sqlite3.Cursor):
        value.close()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[[Any, Any], Any]:
    if request.param == "sync":
        return lambda bus, message: bus.execute(message)

    async def main(bus: Any, message: Any) -> Any:
        return await bus.execute_async(message)

    return lambda bus, message: asyncio.run(main(bus, message))


@pytest.mark.parametrize("make", USED_UP.values(), ids=USED_UP)
@pytest.mark.parametrize("copy", ["none", "deep"])
def test_what_is_used_up_is_not_cached(
    make: Any, copy: str, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CachingMiddleware(60.0, copy=copy)
    bus = QueryBus(middleware=[cache])
    bus.register_handler(Rows, lambda query: make())
    first, second = ask(bus, Rows()), ask(bus, Rows())
    assert first is not second
    stats = cache.stats()
    assert (stats.size, stats.uncacheable, stats.misses, stats.hits) == (0, 2, 2, 0)
    assert stats.loading == 0
    # Told once, by name, and what to do.
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cqrs_fast", logging.WARNING)
    text = record.getMessage()
    assert f"the handler of Rows returned a {type(first).__name__}, which is" in text
    assert "it is neither cached nor shared; return a list, for example (log" in text
    close(first)
    close(second)


@pytest.mark.parametrize("make", LASTING.values(), ids=LASTING)
def test_whatever_else_is_cached(make: Any, ask: Any) -> None:
    cache = CachingMiddleware(60.0)
    bus = QueryBus(middleware=[cache])
    bus.register_handler(Rows, lambda query: make())
    assert ask(bus, Rows()) is ask(bus, Rows())
    assert (cache.stats().hits, cache.stats().uncacheable) == (1, 0)


def test_looking_into_a_result_stops_at_an_interruption() -> None:
    class Interrupting(Cursor):
        def __iter__(self) -> Cursor:
            raise KeyboardInterrupt

    cache = CachingMiddleware(60.0)
    bus = QueryBus(middleware=[cache])
    bus.register_handler(Rows, lambda query: Interrupting())
    with pytest.raises(KeyboardInterrupt):
        bus.execute(Rows())
    assert (len(cache), cache.stats().loading) == (0, 0)


def test_a_log_that_fails_costs_nobody_the_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.WARNING:
                raise OSError("disk full")

    handler = Broken()
    logging.getLogger("cqrs_fast").addHandler(handler)
    try:
        bus = QueryBus(middleware=[CachingMiddleware(60.0)])
        bus.register_handler(Rows, lambda query: iter(range(query.n)))
        assert list(bus.execute(Rows())) == [0, 1, 2]
    finally:
        logging.getLogger("cqrs_fast").removeHandler(handler)


# Flights


def test_those_who_wait_in_threads_compute_for_themselves() -> None:
    cache = CachingMiddleware(60.0)
    bus = QueryBus(middleware=[cache])
    go = threading.Event()
    runs: list[int] = []

    def handle(query: Rows) -> Any:
        runs.append(1)
        assert go.wait(10)
        return iter(range(query.n))

    bus.register_handler(Rows, handle)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(bus.execute, Rows()) for _ in range(4)]
        eventually(lambda: cache.stats().loading == 4)
        go.set()
        assert [list(call.result()) for call in calls] == [[0, 1, 2]] * 4
    assert len(runs) == 4
    stats = cache.stats()
    assert (stats.uncacheable, stats.shared, stats.loading) == (4, 0, 0)


def test_those_who_wait_in_tasks_compute_for_themselves_at_once() -> None:
    cache = CachingMiddleware(60.0)
    bus = QueryBus(middleware=[cache])

    async def main() -> None:
        inside: list[asyncio.Future[Any]] = []

        async def handle(query: Rows) -> Any:
            future = asyncio.get_running_loop().create_future()
            inside.append(future)
            return await future

        bus.register_handler(Rows, handle)
        calls = [asyncio.ensure_future(bus.execute_async(Rows())) for _ in range(4)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(inside) == 1
        inside[0].set_result(iter([0]))
        for _ in range(5):
            await asyncio.sleep(0)
        # Nobody stands in line for another one any more.
        assert len(inside) == 4
        for number, future in enumerate(inside[1:], 1):
            future.set_result([number])
        assert [list(await call) for call in calls] == [[0], [1], [2], [3]]

    asyncio.run(main())
    stats = cache.stats()
    assert (stats.uncacheable, stats.loading, stats.size) == (1, 0, 1)


# Idempotency


@pytest.mark.parametrize("make", USED_UP.values(), ids=USED_UP)
def test_a_duplicate_is_told_that_the_first_result_is_used_up(
    make: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage = IdempotencyMiddleware()
    bus = CommandBus(middleware=[stage])
    runs: list[Any] = []

    def handle(command: Export) -> Any:
        runs.append(command)
        return make()

    bus.register_handler(Export, handle)
    first = ask(bus, Export("k"))
    for _ in range(2):
        with pytest.raises(ResultTypeError) as caught:
            ask(bus, Export("k"))
    kind = type(first).__name__
    assert str(caught.value) == (
        f"the result of Export is a {kind}, which its first caller has used up, "
        "expected one that can be given twice, such as a list"
    )
    assert caught.value.name == "Export"
    assert len(runs) == 1
    assert stage.stats().replayed == 2
    close(first)
    close(ask(bus, Export("other")))
    (record,) = caplog.records
    assert "used up by its first use: a duplicate gets an error;" in record.getMessage()


def test_a_duplicate_that_waits_is_told_too() -> None:
    stage = IdempotencyMiddleware()
    bus = CommandBus(middleware=[stage], enable_metrics=True)
    go = threading.Event()

    def handle(command: Export) -> Any:
        assert go.wait(10)
        return iter([1])

    def send() -> Any:
        try:
            return list(bus.execute(Export("k")))
        except ResultTypeError as error:
            return error

    bus.register_handler(Export, handle)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(send) for _ in range(3)]
        eventually(lambda: bus.stats().total.in_flight == 3)
        threading.Event().wait(0.01)
        go.set()
        got = [call.result() for call in calls]
    assert sum(one == [1] for one in got) == 1
    errors = [one for one in got if isinstance(one, ResultTypeError)]
    assert len({id(one) for one in errors}) == 2
    assert stage.stats().in_progress == 0
