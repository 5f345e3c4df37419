# type: ignore
"""Wrong uses, each line marked with the kind of error that both type checkers report.

A line without a mark has none. test_samples.py says what each means to mypy (strict)
and to pyright. It checks a copy without the first line, which keeps this file out of
`make types`.
"""

from __future__ import annotations

import msgspec

from cqrs_fast import (
    CachingMiddleware,
    CircuitBreakerMiddleware,
    Command,
    CommandBus,
    Context,
    DomainError,
    Query,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    handles,
)


class User(msgspec.Struct, frozen=True):
    user_id: int


class CreateUser(Command[int]):
    name: str


class GetUser(Query[User]):
    user_id: int


commands = CommandBus()
queries = QueryBus()
ctx = Context.background()


# The other bus


def other_bus() -> None:
    commands.execute(GetUser(1))  # E: argument
    queries.execute(CreateUser("ann"))  # E: argument
    commands.bind(GetUser)  # E: argument
    queries.bind(CreateUser)  # E: argument
    commands.execute_many([GetUser(1)])  # E: argument
    commands.register_handler(GetUser, get_user)  # E: argument
    reachable: int = "the lines after a wrong call are checked too"  # E: assignment
    print(reachable)


async def other_bus_async() -> None:
    await commands.execute_async(GetUser(1))  # E: argument
    await queries.execute_async(CreateUser("ann"))  # E: argument
    text: str = await commands.execute_async(CreateUser("ann"))  # E: assignment
    print(text)


def swapped() -> None:
    commands.execute(ctx, CreateUser("ann"))  # E: argument
    text: str = commands.execute(CreateUser("ann"))  # E: assignment
    number: int = queries.execute(GetUser(1))  # E: assignment
    print(text, number)


# A handler whose result is not that of its message


def get_user(query: GetUser) -> User:
    return User(query.user_id)


def create_as_text(command: CreateUser) -> str:
    return command.name


async def create_as_text_async(command: CreateUser) -> str:
    return command.name


def create_with_context(ctx: Context, command: CreateUser) -> str:
    return command.name


def create_or_nothing(command: CreateUser) -> int | None:
    return None


class TextHandler:
    def handle(self, command: CreateUser) -> str:
        return command.name


@commands.handler(CreateUser)  # E: argument
def decorated(command: CreateUser) -> str:
    return command.name


@commands.handler(CreateUser, offload=True)  # E: argument
def decorated_with_context(ctx: Context, command: CreateUser) -> str:
    return command.name


@queries.handler(GetUser)  # E: argument
async def decorated_async(query: GetUser) -> int:
    return query.user_id


class Users:
    @handles(CreateUser)  # E: argument
    def create(self, command: CreateUser) -> str:
        return command.name

    @handles(GetUser)  # E: argument
    async def get(self, ctx: Context, query: GetUser) -> int:
        return query.user_id

    @handles(CreateUser)  # E: argument
    def of_another_message(self, query: GetUser) -> int:
        return query.user_id


def registered() -> None:
    commands.register_handler(CreateUser, create_as_text)  # E: argument
    commands.register_handler(CreateUser, create_as_text_async)  # E: argument
    commands.register_handler(CreateUser, create_with_context)  # E: argument
    commands.register_handler(CreateUser, create_or_nothing)  # E: argument
    commands.register_handler(CreateUser, TextHandler())  # E: argument
    commands.register_handler(CreateUser, get_user)  # E: argument
    with commands.override(CreateUser, create_as_text):  # E: argument
        pass


# Options


class Options:
    @handles(GetUser, midleware=[])  # E: keyword
    def misspelt(self, query: GetUser) -> User:
        return User(query.user_id)

    @handles(GetUser, middleware=3)  # E: argument
    def no_list(self, query: GetUser) -> User:
        return User(query.user_id)

    @handles(GetUser, offload="yes")  # E: argument
    def no_flag(self, query: GetUser) -> User:
        return User(query.user_id)

    @handles(GetUser(1))  # E: argument
    def no_class(self, query: GetUser) -> User:
        return User(query.user_id)


def options() -> None:
    CommandBus(enable_metric=True)  # E: keyword
    CommandBus(middleware=CachingMiddleware())  # E: argument
    CommandBus(middleware=[CachingMiddleware])  # E: argument
    CommandBus(domain_errors=(5,))  # E: argument
    QueryBus(domain_errors=(KeyboardInterrupt,))  # E: argument
    RateLimitingMiddleware(scope="user")  # E: argument
    CircuitBreakerMiddleware(fail_max=3)  # E: keyword
    RetryMiddleware(retry_on="OSError")  # E: argument
    queries.cache.invalidate_type(GetUser(1))  # E: argument
    queries.cache.invalidate(GetUser(1), "ann")  # E: argument
    queries.explain(GetUser, verbos=True)  # E: keyword


class Broken(DomainError):
    status = "404"  # E: assignment
