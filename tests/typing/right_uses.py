"""Uses that mypy (strict) and pyright must accept and infer as written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, assert_type

import msgspec

from cqrs_fast import (
    DETERMINISTIC,
    AnyMiddleware,
    Call,
    Command,
    CommandBus,
    Context,
    DomainError,
    Handler,
    Invalidation,
    Middleware,
    Next,
    Query,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    Tag,
    default_config,
    handles,
    middleware,
)

T = TypeVar("T")


class User(msgspec.Struct, frozen=True):
    user_id: int


class CreateUser(Command[int]):
    name: str

    def invalidates(self) -> Iterable[Query[Any] | type[Query[Any]] | Tag]:
        return [GetUser(1), GetPage, Tag("users")]


class Rename(Command[None]):
    invalidates: ClassVar[tuple[type, ...]] = ()


class GetUser(Query[User]):
    user_id: int
    cache_ttl: ClassVar[float] = 5.0


class GetPage(Query[list[T]], Generic[T]):
    size: int = 10


@dataclass(frozen=True)
class PlainCommand:
    """A message that derives from nothing; its name tells checkers what it is."""

    number: int = 0

    def command_name(self) -> str:
        return "Plain"


commands = CommandBus(domain_errors=(KeyError,), offload=False)
queries = QueryBus.from_config(default_config(), domain_errors=KeyError)


# Handlers of every form; a result may be narrower than the message's


def create(command: CreateUser) -> bool:
    return True


@commands.handler(CreateUser)
async def create_async(ctx: Context, command: CreateUser) -> int:
    return 1


@queries.handler(GetUser, offload=True)
def get(query: GetUser) -> User:
    return User(query.user_id)


@commands.handler
def bare(command: Rename) -> None:
    return None


@commands.handler(Rename)
def unannotated(command):  # type: ignore[no-untyped-def]
    return None


def anything(command: CreateUser) -> Any:
    return command.name


class Renamer:
    async def handle(self, ctx: Context, command: Rename) -> None:
        return None


class Users:
    @handles(CreateUser, middleware=[RetryMiddleware()], offload=True)
    def create(self, command: CreateUser) -> int:
        return 1

    @handles(GetUser)
    async def get(self, ctx: Context, query: GetUser) -> User:
        return User(query.user_id)

    @handles(GetUser)
    @staticmethod
    def get_static(query: GetUser) -> User:
        return User(query.user_id)


def register(handler: Handler[CreateUser], stage: AnyMiddleware) -> None:
    commands.register_handler(CreateUser, create)
    commands.register_handler(CreateUser, create_async, replace=True)
    commands.register_handler(CreateUser, anything)
    commands.register_handler(CreateUser, handler)
    commands.register_handler(Rename, Renamer())
    commands.register_handler("CreateUser", create)
    assert_type(commands.register(Users()), list[str])
    commands.add_middleware(stage)
    with commands.override(CreateUser, lambda command: 1):
        pass
    with queries.override(GetUser, get):
        pass


# The decorator leaves the function as it was


async def decorated(ctx: Context) -> None:
    assert_type(await create_async(ctx, CreateUser("ann")), int)
    assert_type(get(GetUser(1)), User)
    assert_type(Users().create(CreateUser("ann")), int)


# Dispatch


async def dispatch(command: Command[T], ctx: Context) -> T:
    assert_type(commands.execute(CreateUser("ann")), int)
    assert_type(await commands.execute_async(CreateUser("ann"), ctx), int)
    assert_type(queries.execute(GetUser(1)), User)
    assert_type(queries.execute(GetPage[int]()), list[int])
    commands.execute(Rename())
    assert_type(commands.execute(PlainCommand()), Any)
    assert_type(commands.bind(CreateUser)(CreateUser("ann")), int)
    return commands.execute(command)


# Middleware


@middleware
def around(ctx: Context, message: Any, next: Next) -> Any:
    return next(ctx, message)


@middleware
def transaction(ctx: Context, message: Any) -> Generator[Any, Any, Any]:
    result = yield
    return result


@middleware
async def transaction_async(ctx: Context, message: Any) -> AsyncIterator[Any]:
    yield


@middleware(blocking=True)
def blocking(ctx: Context, message: Any, next: Next) -> Any:
    return next(ctx, message)


@middleware(returns_awaitable=True)
def passing(ctx: Context, message: Any, next: Next) -> Any:
    return next(ctx, message)


class Audit(Middleware):
    def after(self, call: Call) -> None:
        assert_type(call.name, str)


stages: list[AnyMiddleware] = [
    around,
    transaction,
    transaction_async,
    blocking,
    passing,
    Audit(),
    RateLimitingMiddleware(scope="principal"),
]


# Domain errors and caches


class OutOfStock(DomainError):
    status: ClassVar[int] = 410
    code: ClassVar[str] = "gone"

    def public(self) -> dict[str, Any]:
        return {**super().public(), "sku": 1}


def told(invalidation: Invalidation) -> None:
    print(invalidation.queries, invalidation.classes, invalidation.tags)


def caches(ctx: Context) -> None:
    queries.cache.on_invalidate(told)
    queries.cache.invalidate(GetUser(1), ctx)
    queries.cache.invalidate_type(GetUser)
    queries.cache.invalidate_tags("users", 5)
    queries.cache.clear()
    assert_type(OutOfStock("no").public(), dict[str, Any])
    RetryMiddleware(never_on=DETERMINISTIC)
    assert_type(queries.explain(), str)
    assert_type(queries.explain(GetUser, verbose=True), str)
