"""AuthenticationMiddleware: who a dispatch acts for, or that it may not."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cqrs_fast import (
    BusClosedError,
    Command,
    CommandBus,
    Context,
    Middleware,
    middleware,
)
from cqrs_fast.stages.authentication import AuthenticationMiddleware

Handler = Callable[[Context, Any], Any]


class Rename(Command[object]):
    name: str = "ann"


class Audited(Command[object]):
    pass


class World:
    """One way to dispatch: a sync handler and execute, or their async twins."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    def bus(self, *middleware: Any, handler: Handler | None = None) -> CommandBus:
        bus = CommandBus(middleware=middleware)
        bus.register_handler(Rename, self.handler(handler or principal_of))
        return bus

    def handler(self, function: Handler) -> Handler:
        async def handle(ctx: Context, message: Any) -> Any:
            await asyncio.sleep(0)
            result = function(ctx, message)
            return await result if inspect.isawaitable(result) else result

        return handle if self.is_async else function

    def dispatch(
        self, bus: CommandBus, ctx: Context | None = None, message: Any = None
    ) -> Any:
        message = Rename() if message is None else message
        if not self.is_async:
            return bus.execute(message, ctx)

        async def run() -> Any:
            return await bus.execute_async(message, ctx)

        return asyncio.run(run())


def principal_of(ctx: Context, message: Any) -> Any:
    return ctx.principal


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def by_token(ctx: Context, message: Any) -> Any:
    token = ctx.value("auth_token")
    if token is None:
        raise PermissionError("authentication required")
    return token.removeprefix("token-of-")


PRINCIPALS = [
    (None, "ann", "ann"),
    (None, None, None),
    ("root", "ann", "ann"),
    ("root", None, None),
    ("root", "root", "root"),
]


@pytest.mark.parametrize(("before", "found", "seen"), PRINCIPALS)
def test_what_authenticate_returns_is_the_principal_inside(
    world: World, before: Any, found: Any, seen: Any
) -> None:
    bus = world.bus(AuthenticationMiddleware(lambda ctx, message: found))
    context = Context.background().with_principal(before)
    assert world.dispatch(bus, context) == seen
    assert context.principal == before


def test_it_is_given_the_context_and_the_message(world: World) -> None:
    given = []

    def authenticate(ctx: Context, message: Any) -> Any:
        given.append((ctx.correlation_id, message))
        return by_token(ctx, message)

    bus = world.bus(AuthenticationMiddleware(authenticate))
    context = Context.background().with_correlation_id("c1")
    context = context.with_value("auth_token", "token-of-ann")
    assert world.dispatch(bus, context, Rename("bob")) == "ann"
    assert given == [("c1", Rename("bob"))]


def test_values_and_correlation_id_reach_the_handler_with_the_principal(
    world: World,
) -> None:
    bus = world.bus(
        AuthenticationMiddleware(lambda ctx, message: "ann"),
        handler=lambda ctx, message: (
            ctx.principal,
            ctx.value("k"),
            ctx.correlation_id,
        ),
    )
    context = Context.background().with_value("k", 1).with_correlation_id("c1")
    assert world.dispatch(bus, context) == ("ann", 1, "c1")


@pytest.mark.parametrize(
    "error", [PermissionError("no"), KeyboardInterrupt()], ids=["error", "base"]
)
def test_what_it_raises_refuses_the_dispatch_unchanged(
    world: World, error: BaseException
) -> None:
    ran = []

    def authenticate(ctx: Context, message: Any) -> Any:
        raise error

    def handle(ctx: Context, message: Any) -> Any:
        ran.append(message)

    bus = world.bus(AuthenticationMiddleware(authenticate), handler=handle)
    with pytest.raises(type(error)) as caught:
        world.dispatch(bus)
    assert caught.value is error
    assert ran == []


def test_the_context_it_was_given_stays_as_it_was(world: World) -> None:
    kept = []

    def authenticate(ctx: Context, message: Any) -> Any:
        kept.append(ctx)
        return "ann"

    bus = world.bus(AuthenticationMiddleware(authenticate))
    assert world.dispatch(bus) == "ann"
    assert kept[0].principal is None


def test_hooks_outside_see_the_principal_on_the_way_out(world: World) -> None:
    seen = []

    class Watch(Middleware):
        def before(self, call: Any) -> None:
            seen.append(call.context.principal)

        def after(self, call: Any) -> None:
            seen.append(call.context.principal)

    bus = world.bus(Watch(), AuthenticationMiddleware(lambda ctx, message: "ann"))
    world.dispatch(bus)
    assert seen == [None, "ann"]


def test_an_around_inside_is_given_the_principal(world: World) -> None:
    seen = []

    @middleware(returns_awaitable=True)
    def around(ctx: Context, message: Any, next: Any) -> Any:
        seen.append(ctx.principal)
        return next(ctx, message)

    bus = world.bus(AuthenticationMiddleware(lambda ctx, message: "ann"), around)
    assert world.dispatch(bus) == "ann"
    assert seen == ["ann"]


def test_the_inner_one_of_two_decides(world: World) -> None:
    bus = world.bus(
        AuthenticationMiddleware(lambda ctx, message: "ann"),
        AuthenticationMiddleware(lambda ctx, message: ctx.principal + "'s deputy"),
    )
    assert world.dispatch(bus) == "ann's deputy"


def test_a_dispatch_with_the_handlers_context_is_nested_while_it_runs(
    world: World,
) -> None:
    kept: list[Context] = []

    def authenticate(ctx: Context, message: Any) -> Any:
        kept.append(ctx)
        return "ann"

    def handle(ctx: Context, message: Any) -> Any:
        kept.append(ctx)
        if isinstance(message, Audited):
            return "nested"
        bus.close(timeout=0)
        execute = bus.execute_async if world.is_async else bus.execute
        return execute(Audited(), ctx.with_value("k", 1))

    bus = world.bus(AuthenticationMiddleware(authenticate), handler=handle)
    bus.register_handler(Audited, world.handler(handle))
    assert world.dispatch(bus) == "nested"
    assert len(kept) == 4
    # Once it has ended, none of the contexts that anybody saw counts as nested.
    for context in kept:
        for given in (context, context.with_principal("bob")):
            with pytest.raises(BusClosedError):
                world.dispatch(bus, given)


@pytest.mark.parametrize("late", [False, True])
def test_an_async_authenticate_is_never_taken_for_a_principal(
    world: World, late: bool
) -> None:
    async def authenticate(ctx: Context, message: Any) -> Any:
        return "ann"

    class Authenticator:
        async def __call__(self, ctx: Context, message: Any) -> Any:
            return "ann"

    if not late:
        for given in (authenticate, partial(authenticate), Authenticator()):
            with pytest.raises(TypeError, match=r"async middleware .*with_principal"):
                AuthenticationMiddleware(given)
        return
    stage = AuthenticationMiddleware(lambda ctx, message: authenticate(ctx, message))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match="returned an awaitable, a coroutine"):
            world.dispatch(world.bus(stage))


@pytest.mark.parametrize("given", [None, "token", 7])
def test_what_cannot_be_called_is_refused_by_name(given: Any) -> None:
    text = f"authenticate must be callable, got {given!r}"
    with pytest.raises(TypeError, match=text):
        AuthenticationMiddleware(given)


def test_settings_tell_where_authenticate_is_defined() -> None:
    bus = World(False).bus(AuthenticationMiddleware(by_token))
    (info,) = bus.describe()[0].stages
    assert info.kind == "AuthenticationMiddleware"
    assert info.settings == {"authenticate": f"{__name__}.by_token"}
