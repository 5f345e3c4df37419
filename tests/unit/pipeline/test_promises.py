"""Promises of work are no results: who makes one is told so, and it is put to rest."""

from __future__ import annotations

import asyncio
import functools
import gc
import types
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from cqrs_fast import (
    AsyncHandlerError,
    AuditMiddleware,
    CachingMiddleware,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    FallbackMiddleware,
    PooledHandler,
    Query,
    QueryBus,
    ResultTypeError,
    RetryPolicy,
)
from cqrs_fast.base.promises import generator_kind


class Rows(Query[object]):
    pass


def rows(*_: Any) -> Iterator[int]:
    yield 1
    raise OSError


async def async_rows(*_: Any) -> AsyncIterator[int]:
    yield 1


def made(*_: Any) -> Any:
    """A plain function that returns a generator."""
    return rows()


@functools.wraps(rows)
def collected(*arguments: Any) -> Any:
    try:
        return list(rows(*arguments))
    except OSError:
        return [1]


@types.coroutine
def old_coroutine(*_: Any) -> Any:
    yield from asyncio.sleep(0).__await__()
    return [1]


class Called:
    def __call__(self, query: Any) -> Iterator[int]:
        yield 1


class AsyncCalled:
    async def __call__(self, query: Any) -> AsyncIterator[int]:
        yield 1


class CalledStatically:
    @staticmethod
    def __call__(query: Any) -> Iterator[int]:
        yield 1


class Handling:
    def handle(self, query: Any) -> Iterator[int]:
        yield 1


class Methods:
    def rows(self, query: Any) -> Iterator[int]:
        yield 1

    @classmethod
    def by_class(cls, query: Any) -> Iterator[int]:
        yield 1

    @staticmethod
    def static(query: Any) -> Iterator[int]:
        yield 1


GENERATORS: dict[str, Any] = {
    "function": rows,
    "lambda": lambda query: (yield),
    "async": async_rows,
    "partial": functools.partial(rows, 1),
    "partial of a partial": functools.partial(functools.partial(rows, 1), 2),
    "async partial": functools.partial(async_rows, 1),
    "method": Methods().rows,
    "class method": Methods.by_class,
    "static method": Methods.static,
    "staticmethod object": staticmethod(rows),
    "partial of a method": functools.partial(Methods().rows),
    "callable": Called(),
    "async callable": AsyncCalled(),
    "callable by a static method": CalledStatically(),
    "handle": Handling(),
}

PLAIN: dict[str, Any] = {
    "wrapper that collects": collected,
    "function that returns one": made,
    "builtin": len,
    "old coroutine": old_coroutine,
    "class": list,
}


@pytest.mark.parametrize("handler", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("is_async", [None, True, False])
def test_generator_functions_are_no_handlers(handler: Any, is_async: Any) -> None:
    bus = QueryBus()
    with pytest.raises(TypeError, match=r"is an? (async )?generator function, whose"):
        bus.register_handler(Rows, handler, is_async=is_async)
    with pytest.raises(TypeError, match="after the pipeline: return a list of it"):
        bus.register_handler(Rows, handler, with_context=False)
    assert not bus.describe()


def test_nor_are_those_of_a_pool() -> None:
    with pytest.raises(TypeError, match="is a generator function"):
        PooledHandler(Handling, 1)
    with pytest.raises(TypeError, match="is an async generator function"):
        PooledHandler(AsyncCalled, 1)


@pytest.mark.parametrize("call", PLAIN.values(), ids=PLAIN)
def test_other_callables_are_told_from_them(call: Any) -> None:
    assert generator_kind(call) is None


def test_a_generator_that_a_plain_function_returns_is_a_result() -> None:
    bus = QueryBus()
    bus.register_handler(Rows, made)
    result = bus.execute(Rows())
    assert next(result) == 1

    async def main() -> Any:
        return await bus.execute_async(Rows())

    assert next(asyncio.run(main())) == 1


@pytest.mark.parametrize("with_stages", [False, True])
def test_an_async_generator_is_no_result(with_stages: bool) -> None:
    bus = QueryBus(middleware=[CachingMiddleware(60.0)] if with_stages else [])
    bus.register_handler(Rows, lambda query: async_rows())
    told = (
        "the result of Rows is an async generator, expected one whose work is done, "
        "such as a list"
    )
    with pytest.raises(ResultTypeError) as caught:
        bus.execute(Rows())
    assert str(caught.value) == told

    async def plain() -> Any:
        with pytest.raises(ResultTypeError) as caught:
            await bus.execute_async(Rows())
        return str(caught.value)

    assert asyncio.run(plain()) == told


@pytest.mark.parametrize("suspends", [False, True])
def test_nor_is_one_that_a_coroutine_returns(suspends: bool) -> None:
    async def handle(query: Rows) -> Any:
        if suspends:
            await asyncio.sleep(0)
        return async_rows()

    breaker = CircuitBreakerMiddleware(1)
    bus = QueryBus(middleware=[breaker], enable_metrics=True)
    bus.register_handler(Rows, handle)

    async def main() -> None:
        with pytest.raises(ResultTypeError, match="is an async generator, expected"):
            await bus.execute_async(Rows())

    asyncio.run(main())
    # No success for those outside of the handler.
    assert breaker.get_state() == "open"
    assert bus.stats().total.errors == 1


def test_an_awaitable_whose_close_raises_is_refused_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Sticky:
        def __await__(self) -> Iterator[Any]:
            return iter(())

        def close(self) -> None:
            raise OSError("stuck")

    bus = QueryBus()
    bus.register_handler(Rows, lambda query: Sticky())
    with pytest.raises(AsyncHandlerError, match="returned an awaitable, a Sticky"):
        bus.execute(Rows())
    with pytest.raises(TypeError, match="returned an awaitable, a Sticky: use call_a"):
        CircuitBreaker().call(Sticky)
    assert "closing an awaitable" in caplog.text


# Policies alone


def by_retry(runs: list[Any]) -> tuple[Any, Callable[[], Any]]:
    policy = RetryPolicy(3, 0, on_retry=lambda *seen: runs.append(seen))
    return policy, lambda: (policy.snapshot().failed, len(runs))


def by_breaker(runs: list[Any]) -> tuple[Any, Callable[[], Any]]:
    breaker = CircuitBreaker(1)
    return breaker, lambda: (breaker.snapshot().failures, len(runs))


POLICIES = pytest.mark.parametrize("make", [by_retry, by_breaker])


@POLICIES
@pytest.mark.parametrize("function", GENERATORS.values(), ids=GENERATORS)
def test_policies_refuse_generator_functions(make: Any, function: Any) -> None:
    policy, counts = make([])
    function = getattr(function, "handle", function)
    told = r"returned an? (async )?generator: its work begins when it is iterated: ret"
    with pytest.raises(TypeError, match=told):
        policy.call(function, 1)
    with pytest.raises(TypeError, match=told):
        asyncio.run(policy.call_async(function, 1))
    assert counts() == (0, 0)
    assert policy.call(lambda: 7) == 7


@POLICIES
def test_policies_let_a_generator_of_a_plain_function_pass(make: Any) -> None:
    policy, _ = make([])
    assert next(policy.call(made)) == 1
    assert next(asyncio.run(policy.call_async(made))) == 1
    assert policy.call(collected) == [1]


@POLICIES
def test_policies_refuse_async_generators_that_a_coroutine_returns(make: Any) -> None:
    async def function() -> Any:
        return async_rows()

    policy, counts = make([])
    with pytest.raises(TypeError, match="function returned an async generator: its"):
        asyncio.run(policy.call_async(function))
    assert counts() == (0, 0)


@POLICIES
@pytest.mark.parametrize("function", [old_coroutine, lambda: asyncio.sleep(0, [1])])
def test_policies_await_what_is_awaitable(make: Any, function: Any) -> None:
    policy, counts = make([])
    with pytest.raises(TypeError, match=r"returned an awaitable, a .*: use call_async"):
        policy.call(function)
    assert asyncio.run(policy.call_async(function)) == [1]
    assert counts() == (0, 0)


@POLICIES
def test_what_policies_refuse_is_closed(make: Any) -> None:
    kept: list[Any] = []

    def keep(promise: Any) -> Any:
        kept.append(promise)
        return promise

    class Keeping(functools.partial[Any]):
        def __call__(self, *args: Any) -> Any:
            return keep(super().__call__(*args))

    policy, _ = make([])
    with pytest.raises(TypeError, match="returned an awaitable, a coroutine: use call"):
        policy.call(lambda: keep(asyncio.sleep(0)))
    assert kept.pop().cr_frame is None
    with pytest.raises(TypeError, match="Keeping returned a generator: its work"):
        policy.call(Keeping(rows))
    assert kept.pop().gi_frame is None


def test_a_probe_that_gives_a_generator_gives_its_permit_back() -> None:
    now = [0]
    breaker = CircuitBreaker(1, 1.0, half_open_max_calls=1, clock=lambda: now[0])
    with pytest.raises(OSError, match="down"):
        breaker.call(fail)
    now[0] = 2_000_000_000
    for _ in range(3):
        with pytest.raises(TypeError, match="returned a generator"):
            breaker.call(rows)
        with pytest.raises(TypeError, match="returned an awaitable"):
            breaker.call(lambda: asyncio.sleep(0))
        assert breaker.get_state() == "half-open"
    assert breaker.call(lambda: 7) == 7
    assert breaker.get_state() == "closed"


def fail() -> None:
    raise OSError("down")


def test_a_refusal_keeps_nothing_alive() -> None:
    class Argument:
        pass

    argument = Argument()
    gone = weakref.ref(argument)
    with pytest.raises(TypeError):
        RetryPolicy().call(rows, argument)
    del argument
    gc.collect()
    assert gone() is None


# Callbacks


def test_callbacks_that_would_do_nothing_are_refused() -> None:
    told = "must be a plain function, not a generator function"
    with pytest.raises(TypeError, match=f"fallback {told}"):
        FallbackMiddleware(lambda ctx, message, error: (yield))
    with pytest.raises(TypeError, match=f"sink {told}"):
        AuditMiddleware(rows)
    with pytest.raises(TypeError, match="key must be a plain function, not an async"):
        CachingMiddleware(key=async_rows)


def test_tags_may_come_one_by_one() -> None:
    def tags(query: Rows) -> Iterator[str]:
        yield "rows"

    cache = CachingMiddleware(60.0, tags=tags)
    bus = QueryBus(middleware=[cache])
    bus.register_handler(Rows, lambda query: 7)
    bus.execute(Rows())
    assert len(cache) == 1
    cache.invalidate_tags("rows")
    assert len(cache) == 0


def test_a_fallback_gives_no_async_generator() -> None:
    fallback = FallbackMiddleware(lambda ctx, message, error: async_rows())
    bus = QueryBus(middleware=[fallback])
    bus.register_handler(Rows, lambda query: fail())
    with pytest.raises(TypeError, match="fallback returned an async generator"):
        bus.execute(Rows())
