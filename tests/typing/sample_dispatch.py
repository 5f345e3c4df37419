"""Dispatch samples that mypy (strict) and pyright must accept and infer as written."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

import msgspec

from cqrs_fast import (
    Command,
    CommandBus,
    Config,
    Context,
    DrainReport,
    Middleware,
    Query,
    QueryBus,
    RouteInfo,
    handles,
    middleware,
)
from cqrs_fast.pipeline.hooks import Call
from cqrs_fast.pipeline.stage import Stage


class User(msgspec.Struct, frozen=True):
    user_id: int
    name: str


class CreateUser(Command[int]):
    name: str


class DeleteUser(Command[None]):
    user_id: int


class GetUser(Query[User]):
    user_id: int


class FindUsers(Query[list[User]]):
    prefix: str = ""


class PlainCommand:
    """A message that derives from nothing."""


# The four forms of middleware


@middleware
def around(ctx: Context, message: Any, next: Callable[[Context, Any], Any]) -> Any:
    return next(ctx, message)


@middleware(blocking=True)
def blocking(ctx: Context, message: Any, next: Callable[[Context, Any], Any]) -> Any:
    return next(ctx, message)


async def awaiting(
    ctx: Context, message: Any, next: Callable[[Context, Any], Any]
) -> Any:
    return await next(ctx, message)


class Around:
    def __call__(
        self, ctx: Context, message: Any, next: Callable[[Context, Any], Any]
    ) -> Any:
        return next(ctx, message)


def factory(
    next: Callable[[Context, Any], Any],
) -> Callable[[Context, Any], Any]:
    def handle(ctx: Context, message: Any) -> Any:
        return next(ctx.with_principal("ann"), message)

    return handle


class Timing(Middleware):
    timed = True

    def before(self, call: Call) -> None:
        call.state["name"] = call.name

    def after(self, call: Call) -> None:
        assert_type(call.elapsed_ns, int | None)
        call.result = None

    def on_error(self, call: Call) -> None:
        assert_type(call.error, BaseException | None)
        call.error = ValueError("no")


def check_middleware(stage: Stage) -> None:
    bus = CommandBus(
        middleware=[around, blocking, awaiting, Around(), factory, Timing(), stage],
        enable_metrics=True,
        clock=lambda: 1,
    )
    QueryBus(middleware=(around, Timing()))
    bus.add_middleware(factory)
    bus.add_middleware(Timing(), 0)
    bus.add_middleware(stage, index=0)
    bus.remove_middleware(awaiting)
    bus.add_middleware(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Registration


def create(message: CreateUser) -> int:
    return len(message.name)


def create_with_context(ctx: Context, message: CreateUser) -> int:
    return len(message.name)


async def create_async(message: CreateUser) -> int:
    return len(message.name)


async def create_async_with_context(ctx: Context, message: CreateUser) -> int:
    return len(message.name)


class CreateHandler:
    def handle(self, ctx: Context, message: CreateUser) -> int:
        return len(message.name)


class AsyncCreateHandler:
    async def handle(self, message: CreateUser) -> int:
        return len(message.name)


class CallableHandler:
    def __call__(self, message: CreateUser) -> int:
        return len(message.name)


class UserHandler:
    @handles(CreateUser)
    def create(self, ctx: Context, message: CreateUser) -> int:
        return len(message.name)

    @handles(GetUser, middleware=[around])
    async def get(self, message: GetUser) -> User:
        return User(message.user_id, "ann")


def check_registration(commands: CommandBus, queries: QueryBus) -> None:
    commands.register_handler(CreateUser, create)
    commands.register_handler(CreateUser, create_with_context, replace=True)
    commands.register_handler(CreateUser, create_async, middleware=[Timing()])
    commands.register_handler(CreateUser, create_async_with_context)
    commands.register_handler(CreateUser, CreateHandler())
    commands.register_handler(CreateUser, AsyncCreateHandler())
    commands.register_handler(CreateUser, CallableHandler(), offload=True)
    commands.register_handler(DeleteUser, lambda message: None)
    commands.register_handler(DeleteUser, lambda ctx, message: None)
    commands.register_handler("CreateUser", create, is_async=False)
    commands.register_handler("CreateUser", CreateHandler())
    commands.register_handler(PlainCommand, lambda message: 1)
    assert_type(commands.register(UserHandler()), list[str])
    queries.register(UserHandler(), replace=True)
    commands.unregister_handler(CreateUser)
    commands.unregister_handler("CreateUser")
    assert_type(commands.registered_commands(), list[str])
    assert_type(queries.registered_queries(), list[str])

    # A handler of another message
    commands.register_handler(
        DeleteUser,  # type: ignore[arg-type]
        create,  # pyright: ignore[reportArgumentType]
    )


commands = CommandBus()
queries = QueryBus()


@commands.handler
def decorated(ctx: Context, message: CreateUser) -> int:
    return len(message.name)


@commands.handler(DeleteUser, middleware=[around], replace=True)
async def decorated_with_message(message: DeleteUser) -> None: ...


@queries.handler(offload=True)
def decorated_with_options(message: GetUser) -> User:
    return User(message.user_id, "ann")


@queries.handler("FindUsers")
def decorated_by_name(message: FindUsers) -> list[User]:
    return [User(1, message.prefix)]


def check_decorated(ctx: Context) -> None:
    assert_type(decorated(ctx, CreateUser("ann")), int)
    assert_type(decorated_with_options(GetUser(1)), User)
    assert_type(decorated_by_name(FindUsers()), list[User])


# Dispatch


def check_execute(ctx: Context) -> None:
    assert_type(commands.execute(CreateUser("ann")), int)
    assert_type(commands.execute(CreateUser("ann"), ctx), int)
    assert_type(commands.execute(CreateUser("ann"), ctx=None), int)
    assert_type(queries.execute(GetUser(1)), User)
    assert_type(queries.execute(FindUsers()), list[User])
    assert_type(commands.execute(PlainCommand()), Any)
    commands.execute(CreateUser("ann"), "ctx")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def check_execute_async(ctx: Context) -> None:
    assert_type(await commands.execute_async(CreateUser("ann")), int)
    assert_type(await queries.execute_async(GetUser(1), ctx), User)
    dispatch: Coroutine[Any, Any, User] = queries.execute_async(GetUser(1))
    assert_type(await dispatch, User)
    assert_type(await commands.execute_async(PlainCommand()), Any)
    # Nobody awaits it
    queries.execute_async(GetUser(1))  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def check_execute_many() -> None:
    creations = [CreateUser("ann"), CreateUser("bob")]
    assert_type(commands.execute_many(creations), list[int])
    assert_type(
        commands.execute_many(creations, return_exceptions=True),
        list[int | Exception],
    )
    assert_type(commands.execute_many([PlainCommand()]), list[Any])
    assert_type(queries.execute_many(GetUser(n) for n in range(3)), list[User])
    assert_type(await queries.execute_many_async([GetUser(1)]), list[User])
    assert_type(
        await queries.execute_many_async(
            [GetUser(1)], concurrency=4, return_exceptions=True
        ),
        list[User | Exception],
    )


def check_bind(ctx: Context) -> None:
    create_user = commands.bind(CreateUser)
    assert_type(create_user(CreateUser("ann")), int)
    assert_type(create_user(CreateUser("ann"), ctx), int)
    assert_type(queries.bind(FindUsers)(FindUsers()), list[User])
    commands.bind(PlainCommand)(PlainCommand())


async def check_wire(ctx: Context) -> None:
    assert_type(commands.execute_json(b"{}", ctx), bytes)
    assert_type(await commands.execute_json_async("{}"), bytes)
    assert_type(queries.execute_msgpack(b"\x80"), bytes)
    assert_type(await queries.execute_msgpack_async(b"\x80"), bytes)


async def check_lifecycle() -> None:
    with CommandBus() as command_bus:
        assert_type(command_bus, CommandBus)
    async with QueryBus() as query_bus:
        assert_type(query_bus, QueryBus)
    assert_type(commands.close(), DrainReport)
    assert_type(await commands.close_async(None), DrainReport)
    assert_type(commands.describe(), list[RouteInfo])
    assert_type(commands.explain(CreateUser), str)
    assert_type(commands.stats().total.count, int)
    assert_type(commands.closed, bool)


def check_context() -> None:
    ctx = Context.background().with_value("a", 1).with_timeout(2)
    assert_type(ctx, Context)
    assert_type(ctx.with_cancel(), Context)
    assert_type(ctx.remaining(), float | None)
    assert_type(ctx.deadline, float | None)
    assert_type(ctx.done, bool)
    assert_type(ctx.error, Exception | None)


# From a configuration


class ShopBus(CommandBus):
    """A bus of one's own."""


def from_config(config: Config) -> None:
    assert_type(CommandBus.from_config(config), CommandBus)
    assert_type(QueryBus.from_config(config, enable_metrics=True), QueryBus)
    assert_type(ShopBus.from_config(config, middleware=[around, blocking]), ShopBus)
    CommandBus.from_config({"middleware": {}})  # type: ignore[arg-type]
