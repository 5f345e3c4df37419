"""A sync around or factory over an async inside: refused before anything runs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from support import Add, Trace, drive

from cqrs_fast import (
    AsyncHandlerError,
    CommandBus,
    Context,
    RateLimitingMiddleware,
    middleware,
)


def around(ctx: Any, message: Any, next: Any) -> Any:
    return next(ctx, message)


def factory(next: Any) -> Any:
    def handle(ctx: Any, message: Any) -> Any:
        return next(ctx, message)

    return handle


async def async_around(ctx: Any, message: Any, next: Any) -> Any:
    return await next(ctx, message)


async def async_generator(ctx: Any, message: Any) -> Any:
    yield


async def async_handler(add: Add) -> int:
    await asyncio.sleep(0)
    return add.number


def sync_handler(add: Add) -> int:
    return add.number


# what lies inside, by the middleware between and the handler
INSIDES: dict[str, tuple[list[Any], Callable[..., Any]]] = {
    "async handler": ([], async_handler),
    "async around": ([async_around], sync_handler),
    "async generator": ([async_generator], sync_handler),
    "further in": ([Trace("A", []), around, Trace("B", [])], async_handler),
}
insides = pytest.mark.parametrize("inside", INSIDES)
forms = pytest.mark.parametrize("form", [around, factory], ids=["around", "factory"])


def bus_of(inside: str, *outside: Any) -> CommandBus:
    between, handler = INSIDES[inside]
    bus = CommandBus(middleware=[*outside, *between])
    bus.register_handler(Add, handler)
    return bus


@insides
@forms
def test_execute_async_refuses_it_before_anything_runs(inside: str, form: Any) -> None:
    log: list[str] = []
    bus = bus_of(inside, Trace("O", log), form)
    with pytest.raises(AsyncHandlerError) as refused:
        asyncio.run(bus.execute_async(Add(4)))
    assert log == []
    assert refused.value.name == "Add"
    text = str(refused.value)
    for part in ("would end before it has run", "generator (ctx, message)", "yield"):
        assert part in text
    assert "@middleware(returns_awaitable=True)" in text
    if inside != "further in":
        assert f"{form.__module__}.{form.__qualname__}" in text
    assert bus.stats().total.in_flight == 0


@insides
@forms
def test_execute_says_that_it_is_async(inside: str, form: Any) -> None:
    with pytest.raises(AsyncHandlerError, match=r"is async; await bus\.execute_async"):
        bus_of(inside, form).execute(Add(4))


@forms
def test_describe_and_explain_say_so_beforehand(form: Any) -> None:
    bus = bus_of("async handler", form)
    (route,) = bus.describe()
    assert route.refusal is not None
    assert "would end before" in route.refusal
    lines = bus.explain(Add).splitlines()
    (first,) = [line for line in lines if line.startswith("  !! ")]
    assert first.startswith("  !! execute_async raises AsyncHandlerError: what lies")
    told = " ".join(line.strip() for line in lines[lines.index(first) :])
    assert told.endswith(route.refusal)
    assert max(map(len, lines[1:])) <= 80


@forms
def test_what_returns_the_awaitable_of_next_is_declared(form: Any) -> None:
    def make() -> Any:
        if form is around:
            return lambda ctx, message, next: next(ctx, message)
        return lambda next: lambda ctx, message: next(ctx, message)

    declared = middleware(returns_awaitable=True)(make())
    bus = CommandBus(middleware=[declared])
    bus.register_handler(Add, async_handler)
    assert asyncio.run(bus.execute_async(Add(4))) == 4
    assert bus.describe()[0].refusal is None
    assert "!!" not in bus.explain(Add)
    bus.register_handler(Add, sync_handler, replace=True)
    assert bus.execute(Add(5)) == 5


def test_a_declaration_of_one_does_not_help_the_others() -> None:
    declared = middleware(returns_awaitable=True)(
        lambda ctx, message, next: next(ctx, message)
    )
    for elements in ([declared, around], [around, declared]):
        bus = CommandBus(middleware=elements)
        bus.register_handler(Add, async_handler)
        with pytest.raises(AsyncHandlerError, match=r"test_sync_arounds\.around"):
            asyncio.run(bus.execute_async(Add()))


def test_an_async_factory_and_an_async_around_are_taken() -> None:
    def make(next: Any) -> Any:
        async def handle(ctx: Any, message: Any) -> Any:
            return await next(ctx, message)

        return handle

    bus = CommandBus(middleware=[make, async_around])
    bus.register_handler(Add, async_handler)
    assert asyncio.run(bus.execute_async(Add(4))) == 4
    assert bus.describe()[0].refusal is None


@forms
def test_a_live_change_decides_anew(form: Any) -> None:
    bus = CommandBus(middleware=[form])
    bus.register_handler(Add, sync_handler)
    assert asyncio.run(bus.execute_async(Add(4))) == 4
    bus.add_middleware(async_around)
    with pytest.raises(AsyncHandlerError):
        asyncio.run(bus.execute_async(Add(4)))
    bus.remove_middleware(form)
    assert asyncio.run(bus.execute_async(Add(4))) == 4


@forms
@pytest.mark.parametrize("way", ["execute", "execute_async"])
def test_an_awaitable_of_a_sync_looking_handler_is_closed_under_it(
    form: Any, way: str
) -> None:
    made: list[Any] = []
    failed: list[BaseException] = []

    @middleware
    def watching(ctx: Any, message: Any, next: Any) -> Any:
        try:
            return next(ctx, message)
        except BaseException as error:
            failed.append(error)
            raise

    def handler(add: Add) -> Any:
        made.append(async_handler(add))
        return made[-1]

    bus = CommandBus(middleware=[watching, form])
    bus.register_handler(Add, handler)
    call = (
        bus.execute if way == "execute" else lambda add: drive(bus.execute_async(add))
    )
    with pytest.raises(AsyncHandlerError) as refused:
        call(Add())
    assert inspect.getcoroutinestate(made[0]) == inspect.CORO_CLOSED
    assert failed == [refused.value]
    assert "is_async=True" in str(refused.value)
    assert "a sync around or factory outside of it ends before it runs" in str(
        refused.value
    )


def test_a_stage_that_may_wait_under_one_says_what_to_write() -> None:
    limiter = RateLimitingMiddleware(1000, 1.0, max_wait=1.0)
    bus = CommandBus(middleware=[around, limiter])
    bus.register_handler(Add, sync_handler)
    text = r"inside the sync around .*around may wait.*blocking=True"
    with pytest.raises(AsyncHandlerError, match=text):
        drive(bus.execute_async(Add()))
    blocking = middleware(blocking=True)(lambda next: lambda ctx, m: next(ctx, m))
    bus = CommandBus(middleware=[blocking, limiter])
    bus.register_handler(Add, sync_handler)
    assert drive(bus.execute_async(Add(3))) == 3


def test_a_transaction_as_a_generator_is_right_for_both() -> None:
    log: list[str] = []

    @middleware
    def transaction(ctx: Context, message: Any) -> Any:
        log.append("begin")
        try:
            yield
        except BaseException:
            log.append("rollback")
            raise
        log.append("commit")

    async def failing(add: Add) -> None:
        await asyncio.sleep(0)
        log.append("row")
        raise OSError("no")

    bus = CommandBus(middleware=[transaction])
    bus.register_handler(Add, failing)
    with pytest.raises(OSError, match="no"):
        asyncio.run(bus.execute_async(Add()))
    assert log == ["begin", "row", "rollback"]


@pytest.mark.parametrize("option", ["blocking", "returns_awaitable"])
def test_a_declaration_needs_an_object_that_can_carry_it(option: str) -> None:
    class Slotted:
        __slots__ = ()

        def __call__(self, ctx: Any, message: Any, next: Any) -> Any:
            return next(ctx, message)

    with pytest.raises(
        TypeError, match=f"{option}=True needs an object with attributes"
    ):
        middleware(**{option: True})(Slotted())


def test_what_has_no_form_names_them_all() -> None:
    text = (
        r"no middleware: .*\(ctx, message, next\).*generator function.*factory \(next\)"
    )
    for other in (lambda a, b, c, d: None, Context, 3):
        with pytest.raises(TypeError, match=text):
            CommandBus(middleware=[other])
        with pytest.raises(TypeError, match=text):
            middleware(other)
