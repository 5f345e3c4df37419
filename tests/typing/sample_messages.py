"""Samples that mypy (strict) and pyright must accept and infer as written."""

from __future__ import annotations

from typing import Annotated, ClassVar, Generic, TypeVar, assert_type

import msgspec
from msgspec import Meta

from cqrs_fast.base.message_names import message_kind
from cqrs_fast.messages import (
    Command,
    Event,
    Query,
    Secret,
    message_name,
)

R = TypeVar("R")
T = TypeVar("T")


class User(msgspec.Struct, frozen=True):
    user_id: int
    name: str


class CreateUser(Command[int]):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    email: str


class GetUser(Query[User]):
    user_id: int


class UserCreated(Event):
    user_id: int


class Login(Command[None], kw_only=True, gc=False, cache_hash=True, tag="sign-in"):
    user: str
    password: Secret[str]
    pin: Annotated[Secret[str], Meta(min_length=4)] | None = None
    idempotent: ClassVar[bool] = True


class Page(Query[list[T]], Generic[T]):
    size: int = 10
    tags: list[str] = msgspec.field(default_factory=list)


class Users(Page[User]):
    pass


def execute(message: Command[R]) -> R:
    raise NotImplementedError


def ask(message: Query[R]) -> R:
    raise NotImplementedError


def check(create: CreateUser) -> None:
    assert_type(execute(CreateUser("ann", "ann@example.org")), int)
    assert_type(execute(CreateUser(name="ann", email="ann@example.org")), int)
    assert_type(ask(GetUser(1)), User)
    assert_type(ask(Page[User](size=3)), list[User])
    assert_type(ask(Users()), list[User])
    execute(Login(user="ann", password="hunter2"))
    assert_type(Login(user="ann", password="hunter2").password, str)
    assert_type(create.email, str)
    assert_type(CreateUser.command_name(), str)
    assert_type(GetUser.query_name(), str)
    assert_type(UserCreated.event_name(), str)
    assert_type(message_name(create), str)
    message_kind(CreateUser)
    hash(create)
    create.email = "x"  # pyright: ignore[reportAttributeAccessIssue]
    ask(create)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
