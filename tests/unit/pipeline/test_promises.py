"""Promises of work are no results: who makes one is told so, and it is put to rest."""

from __future__ import annotations

import asyncio
import functools
import gc
import types
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cqrs_fast import (
    AsyncHandlerError,
    AuditMiddleware,
    CachingMiddleware,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    ConfigManager,
    DeadlineExceededError,
    FallbackMiddleware,
    PooledHandler,
    Query,
    QueryBus,
    ResultTypeError,
    RetryPolicy,
    TimeoutMiddleware,
    middleware,
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


def collecting(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return list(function(*arguments))

    return wrapper


@functools.singledispatch
def chosen_again(query: Any) -> Any:
    return [query]


chosen_again.register(int, chosen_again)


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


class CalledPartially:
    def rows(self, query: Any) -> Iterator[int]:
        yield 1

    __call__ = functools.partialmethod(rows)


class AsyncCalledPartially:
    async def rows(self, first: Any, query: Any) -> AsyncIterator[int]:
        yield 1

    __call__ = functools.partialmethod(rows, "first")


class CalledByClass:
    @classmethod
    def __call__(cls, query: Any) -> Iterator[int]:
        yield 1


class CalledByAnother:
    __call__ = Called()


class CalledByChoice:
    @functools.singledispatchmethod
    def __call__(self, query: Any) -> Any:
        return [query]

    @__call__.register(int)
    @__call__.register(Rows)
    def _(self, query: Any) -> Iterator[int]:
        yield 1


@functools.singledispatch
def chosen(query: Any) -> Any:
    return [query]


@chosen.register(int)
@chosen.register(Rows)
def _(query: Any) -> Iterator[int]:
    yield 1


@functools.singledispatch
def async_chosen(query: Any) -> Any:
    return [query]


@async_chosen.register(int)
@async_chosen.register(Rows)
async def _(query: Any) -> AsyncIterator[int]:
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

    part = functools.partialmethod(rows)
    part_of_object = functools.partialmethod(Called())

    @functools.singledispatchmethod
    def chosen(self, query: Any) -> Any:
        return [query]

    @chosen.register(int)
    @chosen.register(Rows)
    def _(self, query: Any) -> Iterator[int]:
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
    "callable by a class method": CalledByClass(),
    "callable by another object": CalledByAnother(),
    "callable by a partial method": CalledPartially(),
    "async callable by a partial method": AsyncCalledPartially(),
    "callable by singledispatchmethod": CalledByChoice(),
    "singledispatch": chosen,
    "async singledispatch": async_chosen,
    "partial of singledispatch": functools.partial(chosen),
    "singledispatchmethod": Methods().chosen,
    "partial method": Methods().part,
    "partial method by its class": functools.partial(Methods.part, Methods()),
    "partial method of an object": functools.partial(Methods.part_of_object),
    "handle": Handling(),
}

PLAIN: dict[str, Any] = {
    "wrapper that collects": collected,
    "function that returns one": made,
    "builtin": len,
    "old coroutine": old_coroutine,
    "class": list,
    "wrapper of singledispatch that collects": collecting(chosen),
    "wrapper of a method that collects": collecting(Methods().chosen),
    "wrapper of a partial method that collects": collecting(Methods.part),
    "singledispatch that chooses itself": chosen_again,
    "metaclass": type,
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

    breaker = CircuitBreakerMiddleware(1, failure_on=Exception)
    bus = QueryBus(middleware=[breaker], enable_metrics=True)
    bus.register_handler(Rows, handle)

    async def main() -> None:
        with pytest.raises(ResultTypeError, match="is an async generator, expected"):
            await bus.execute_async(Rows())

    asyncio.run(main())
    # No success for those outside of the handler.
    assert breaker.get_state() == "open"
    assert bus.stats().total.errors == 1


class Awaitable:
    def __await__(self) -> Iterator[Any]:
        return iter(())


def started() -> Any:
    return asyncio.ensure_future(asyncio.sleep(60))


PROMISES: dict[str, Callable[[], Any]] = {
    "coroutine": lambda: asyncio.sleep(60),
    "task": started,
    "Future": lambda: asyncio.get_running_loop().create_future(),
    "generator": lambda: old_coroutine(),
    "Awaitable": Awaitable,
    "Dispatch": lambda: QueryBus().execute_async(Rows()),
    "async generator": async_rows,
}


def is_at_rest(promise: Any) -> bool:
    if isinstance(promise, asyncio.Future):
        return promise.cancelled() or bool(promise.cancelling())  # type: ignore[attr-defined] # of a task
    if isinstance(promise, types.GeneratorType):
        return promise.gi_frame is None
    if isinstance(promise, types.CoroutineType):
        return promise.cr_frame is None
    return "finished" in repr(promise) or isinstance(
        promise, Awaitable | types.AsyncGeneratorType
    )


@pytest.mark.parametrize("make", PROMISES.values(), ids=PROMISES)
@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("with_stages", [False, True])
@pytest.mark.parametrize("is_plain", [False, True])
def test_what_an_awaited_handler_leaves_unawaited_is_no_result(
    make: Any, suspends: bool, with_stages: bool, is_plain: bool
) -> None:
    made: list[Any] = []

    async def handle(query: Rows) -> Any:
        if suspends:
            await asyncio.sleep(0)
        made.append(make())
        return made[-1]

    def plain(query: Rows) -> Any:
        return handle(query)

    cache = CachingMiddleware(60.0)
    breaker = CircuitBreakerMiddleware(1, failure_on=Exception)
    bus = QueryBus(middleware=[breaker, cache] if with_stages else [])
    bus.register_handler(Rows, plain if is_plain else handle)

    async def main() -> ResultTypeError:
        with pytest.raises(ResultTypeError) as caught:
            await bus.execute_async(Rows())
        return caught.value

    error = asyncio.run(main())
    assert error.name == "Rows"
    if type(made[0]) is types.AsyncGeneratorType:
        assert error.expected == "one whose work is done, such as a list"
    else:
        where = (plain if is_plain else handle).__qualname__
        assert error.expected == (
            f"one whose work is done: write `return await ...` in {__name__}.{where}"
        )
        assert error.actual.startswith("an awaitable, a ")
    assert is_at_rest(made[0])
    assert len(cache) == 0
    assert breaker.get_state() == ("open" if with_stages else "closed")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_result_that_only_holds_a_promise_passes(is_async: bool) -> None:
    future = asyncio.new_event_loop().create_future()

    async def handle(query: Rows) -> Any:
        return [future]

    bus = QueryBus()
    bus.register_handler(Rows, handle if is_async else lambda query: [future])

    async def main() -> Any:
        return await bus.execute_async(Rows())

    assert asyncio.run(main()) == [future]
    future.get_loop().close()


@middleware(returns_awaitable=True)
def pass_on(ctx: Any, message: Any, next: Any) -> Any:
    return next(ctx, message)


async def pass_on_unawaited(ctx: Any, message: Any, next: Any) -> Any:
    return next(ctx, message)


async def pass_on_late(ctx: Any, message: Any, next: Any) -> Any:
    await asyncio.sleep(0)
    return next(ctx, message)


AROUNDS = pytest.mark.parametrize("around", [pass_on, pass_on_unawaited, pass_on_late])
SUSPENDS = pytest.mark.parametrize("suspends", [False, True])


@SUSPENDS
@AROUNDS
@pytest.mark.parametrize("times", [1, 3])
def test_what_an_around_leaves_unawaited_is_awaited(
    around: Any, suspends: bool, times: int
) -> None:
    async def handle(query: Rows) -> Any:
        if suspends:
            await asyncio.sleep(0)
        return [1]

    bus = QueryBus(middleware=[around] * times, enable_metrics=True)
    bus.register_handler(Rows, handle)

    async def main() -> Any:
        return await bus.execute_async(Rows())

    assert asyncio.run(main()) == [1]
    assert bus.stats().total.in_flight == 0


@AROUNDS
def test_a_deadline_interrupts_what_an_around_leaves_unawaited(around: Any) -> None:
    async def handle(query: Rows) -> Any:
        await asyncio.Event().wait()

    bus = QueryBus(middleware=[TimeoutMiddleware(0.02), around], enable_metrics=True)
    bus.register_handler(Rows, handle)

    async def main() -> None:
        with pytest.raises(DeadlineExceededError):
            await bus.execute_async(Rows())

    asyncio.run(main())
    assert bus.stats().total.in_flight == 0


@AROUNDS
@pytest.mark.parametrize("end", ["cancel", "close", "collect"])
def test_an_end_reaches_what_an_around_leaves_unawaited(around: Any, end: str) -> None:
    ended: list[type[BaseException]] = []

    async def handle(query: Rows) -> Any:
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ended.append(type(error))
            raise

    bus = QueryBus(middleware=[around], enable_metrics=True)
    bus.register_handler(Rows, handle)

    async def main() -> None:
        dispatch = bus.execute_async(Rows())
        if end == "cancel":
            task = asyncio.ensure_future(dispatch)
            for _ in range(3):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return
        dispatch.send(None)
        if around is pass_on_late:
            dispatch.send(None)
        if end == "close":
            dispatch.close()
        del dispatch
        gc.collect()

    asyncio.run(main())
    expected = asyncio.CancelledError if end == "cancel" else GeneratorExit
    assert ended == [expected]
    assert bus.stats().total.in_flight == 0


def test_an_around_that_returns_what_it_awaited_is_told_so() -> None:
    async def around(ctx: Any, message: Any, next: Any) -> Any:
        dispatch = next(ctx, message)
        await dispatch
        return dispatch

    bus = QueryBus(middleware=[around])
    bus.register_handler(Rows, lambda query: [1])

    async def main() -> None:
        with pytest.raises(RuntimeError, match="cannot reuse an already awaited"):
            await bus.execute_async(Rows())

    asyncio.run(main())


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


def test_an_awaitable_that_closes_asynchronously_is_refused_without_a_warning() -> None:
    class Connection:
        def __await__(self) -> Iterator[Any]:
            return iter(())

        async def close(self) -> None:
            raise AssertionError("nobody awaits this")

    bus = QueryBus()
    bus.register_handler(Rows, lambda query: Connection())
    with pytest.raises(AsyncHandlerError, match="returned an awaitable, a Connection"):
        bus.execute(Rows())
    gc.collect()  # a RuntimeWarning would fail the test


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


class AwaitedPartially:
    async def late(self, *_: Any) -> None: ...

    __call__ = functools.partialmethod(late)


@functools.singledispatch
def chosen_late(*_: Any) -> None: ...


@chosen_late.register(int)
async def _(*_: Any) -> None: ...


LATE: dict[str, Any] = {
    "partial method": AwaitedPartially(),
    "singledispatch": chosen_late,
    "generators of singledispatch": chosen,
    "partial method that yields": CalledPartially(),
    "callable": Called(),
}


@pytest.mark.parametrize("function", LATE.values(), ids=LATE)
def test_every_callback_is_looked_into_alike(function: Any, tmp_path: Path) -> None:
    told = r" must be (no async function|a plain function, not a generator function)"
    with pytest.raises(TypeError, match=f"^on_retry{told}, got "):
        RetryPolicy(on_retry=function)
    with pytest.raises(TypeError, match=f"^is_failure{told}, got "):
        CircuitBreaker(is_failure=function)
    with pytest.raises(TypeError, match=f"^on_event{told}, got "):
        CircuitBreaker(on_event=function)
    with pytest.raises(TypeError, match=f"^fallback{told}: "):
        FallbackMiddleware(function)
    file = tmp_path / "config.json"
    file.write_text("{}")
    told = f"^callback{told}, got "
    with ConfigManager(file) as manager, pytest.raises(TypeError, match=told):
        manager.on_change(function)


def test_a_coroutine_function_behind_a_partial_method_is_async() -> None:
    bus = QueryBus()
    bus.register_handler(Rows, AwaitedPartially(), with_context=False)
    assert bus.describe()[0].is_async


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
