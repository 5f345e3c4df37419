"""Every form of handler that the contract takes, and every refusal."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from support import Add, Ask

from cqrs_fast import (
    AsyncHandlerError,
    Command,
    CommandBus,
    Context,
    Event,
    HandlerAlreadyRegisteredError,
    HandlerNotFoundError,
    QueryBus,
)

ANY = Add(1)


def form_of(handler: Any, **options: Any) -> str:
    """Register, dispatch and tell what the handler was called with."""
    bus = CommandBus()
    bus.register_handler(Add, handler, **options)
    if bus.describe()[0].is_async:
        with pytest.raises(AsyncHandlerError, match="execute_async"):
            bus.execute(ANY)
        return "async " + named(asyncio.run(bus.execute_async(ANY)))
    assert asyncio.run(bus.execute_async(ANY)) is not None
    return named(bus.execute(ANY))


def named(args: tuple[Any, ...]) -> str:
    return " ".join(type(one).__name__ for one in args)


def one(cmd):
    return (cmd,)


def two(ctx, cmd):
    return ctx, cmd


async def async_one(cmd):
    return (cmd,)


async def async_two(ctx, cmd):
    return ctx, cmd


def with_default(cmd, extra=None):
    return (cmd,) if extra is None else (cmd, extra)


def two_with_default(ctx, cmd, extra=None, *, more=None):
    return (ctx, cmd) if extra is more is None else (extra,)


def anything(*args):
    return args


def one_and_anything(cmd, *rest):
    return cmd, *rest


def annotated(context: Context, message: Add) -> Any:
    return context, message


class Methods:
    def one(self, cmd):
        return (cmd,)

    async def two(self, ctx, cmd):
        return ctx, cmd

    @classmethod
    def of_class(cls, ctx, cmd):
        return ctx, cmd

    @staticmethod
    def static(cmd):
        return (cmd,)


class Callee:
    def __call__(self, ctx, cmd):
        return ctx, cmd


class AsyncCallee:
    async def __call__(self, cmd):
        return (cmd,)


class WithHandle:
    def handle(self, ctx, cmd):
        return ctx, cmd


class WithAsyncHandle:
    async def handle(self, cmd):
        return (cmd,)


def passing(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def narrowing(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(cmd):
        return function(None, cmd)[1:]

    return wrapper


def keyworded(cmd, tag):
    return (cmd,)


FORMS = {
    "message": (one, "Add"),
    "context and message": (two, "Context Add"),
    "async message": (async_one, "async Add"),
    "async context and message": (async_two, "async Context Add"),
    "a default is never filled": (with_default, "Add"),
    "two and defaults": (two_with_default, "Context Add"),
    "*args alone": (anything, "Context Add"),
    "one and *args": (one_and_anything, "Add"),
    "lambda": (lambda m: (m,), "Add"),
    "string annotations": (annotated, "Context Add"),
    "method": (Methods().one, "Add"),
    "async method": (Methods().two, "async Context Add"),
    "class method": (Methods.of_class, "Context Add"),
    "static method": (Methods.static, "Add"),
    "callable object": (Callee(), "Context Add"),
    "async callable object": (AsyncCallee(), "async Add"),
    "handle object": (WithHandle(), "Context Add"),
    "async handle object": (WithAsyncHandle(), "async Add"),
    "partial of the first": (functools.partial(lambda repo, m: (m,), "repo"), "Add"),
    "wrapper with *args": (passing(two), "Context Add"),
    "wrapper with *args of one": (passing(one), "Add"),
    "wrapper's own signature decides": (narrowing(two), "Add"),
    "wrapped method": (passing(Methods().one), "Add"),
}


@pytest.mark.parametrize("form", FORMS)
def test_form(form: str) -> None:
    handler, expected = FORMS[form]
    assert form_of(handler) == expected


def test_partials() -> None:
    assert form_of(functools.partial(async_two, None)) == "async NoneType Add"
    deep = functools.partial(functools.partial(lambda a, b, ctx, m: (ctx, m), 1), 2)
    assert form_of(deep) == "Context Add"
    assert form_of(functools.partial(keyworded, tag=1)) == "Add"


def test_a_builtin_without_a_signature_takes_the_message() -> None:
    seen: list[Any] = []
    bus = CommandBus()
    bus.register_handler(Add, seen.append)
    assert bus.execute(ANY) is None
    assert seen == [ANY]
    assert "append" in bus.explain(Add)


@pytest.mark.parametrize("mock", [Mock, AsyncMock])
def test_mocks_serve_as_handlers(mock: Any) -> None:
    handler = mock(spec=["__call__"], return_value=3)
    bus = CommandBus()
    bus.register_handler(Add, handler, with_context=False)
    assert asyncio.run(bus.execute_async(ANY)) == 3
    handler.assert_called_once_with(ANY)


def test_overrides() -> None:
    assert form_of(anything, with_context=False) == "Add"
    assert form_of(lambda m: async_one(m), is_async=True) == "async Add"
    bus = CommandBus()
    bus.register_handler(Add, lambda a, b=None: (a, b), with_context=True)
    assert named(bus.execute(ANY)) == "Context Add"


class NoHandle:
    handle = 3


REFUSED = {
    "no parameter": lambda: 1,
    "three parameters": lambda a, b, c: 1,
    "a required keyword": lambda m, *, key: 1,
    "a class": WithHandle,
    "no callable": object(),
    "a handle that is none": NoHandle(),
    "a string": "handler",
    "None": None,
}


@pytest.mark.parametrize("refused", REFUSED)
def test_refused_with_the_forms_that_are_taken(refused: str) -> None:
    bus = CommandBus()
    with pytest.raises(TypeError, match=r"\(message\).*\(ctx, message\)"):
        bus.register_handler(Add, REFUSED[refused])
    assert bus.registered_commands() == []


def test_swapped_parameters_are_told() -> None:
    def swapped(cmd: Add, ctx: Context) -> None: ...

    def quoted(cmd: "Add", other: Any) -> None: ...  # noqa: UP037

    class SessionQuery:
        """A context by another name."""

    def fine(session: SessionQuery, cmd: Add) -> int:
        return 1

    for wrong in (swapped, quoted):
        with pytest.raises(TypeError, match="swapped"):
            CommandBus().register_handler(Add, wrong)
    bus = CommandBus()
    bus.register_handler(Add, fine)
    assert bus.execute(ANY) == 1


@pytest.mark.parametrize("message", [1, None, ANY, "", b"Add"])
def test_what_is_no_message(message: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        CommandBus().register_handler(message, one)


# Kinds


class Happened(Event):
    pass


@dataclass(frozen=True)
class OrderQuery:
    number: int = 0


class Named:
    def command_name(self) -> str:
        return "Named"


@pytest.mark.parametrize("message", [Ask, Happened, OrderQuery])
def test_another_kind_is_refused_on_a_command_bus(message: type) -> None:
    with pytest.raises(TypeError, match="CommandBus"):
        CommandBus().register_handler(message, one)


@pytest.mark.parametrize("message", [Add, Happened, Named])
def test_another_kind_is_refused_on_a_query_bus(message: type) -> None:
    with pytest.raises(TypeError, match="QueryBus"):
        QueryBus().register_handler(message, one)


def test_the_error_says_which_bus_takes_it() -> None:
    with pytest.raises(HandlerNotFoundError, match="query bus takes it"):
        CommandBus().execute(Ask())
    with pytest.raises(HandlerNotFoundError, match="command bus takes it"):
        QueryBus().execute(ANY)
    with pytest.raises(HandlerNotFoundError, match="instance"):
        CommandBus().execute(Add)


# Registration


def test_a_second_handler_keeps_the_first() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda m: 1)
    for again in (Add, "Add"):
        with pytest.raises(HandlerAlreadyRegisteredError, match="replace=True"):
            bus.register_handler(again, lambda m: 2)
    assert bus.execute(ANY) == 1
    bus.register_handler(Add, lambda m: 3, replace=True)
    assert bus.execute(ANY) == 3
    bus.register_handler("Add", lambda m: 4, replace=True)
    assert bus.execute(ANY) == 4
    assert bus.registered_commands() == ["Add"]


def test_two_classes_of_one_name_clash_where_they_meet() -> None:
    other = type("Add", (Command,), {})
    bus = CommandBus()
    bus.register_handler(Add, lambda m: 1)
    with pytest.raises(HandlerAlreadyRegisteredError):
        bus.register_handler(other, lambda m: 2)
    CommandBus().register_handler(other, lambda m: 2)
    bus.register_handler(other, lambda m: 2, replace=True)
    assert bus.execute(other()) == 2
    with pytest.raises(HandlerNotFoundError):
        bus.execute(ANY)


def test_a_class_does_not_unregister_its_namesake() -> None:
    other = type("Add", (Command,), {})
    bus = CommandBus()
    bus.register_handler(Add, lambda m: 1)
    with pytest.raises(HandlerNotFoundError):
        bus.unregister_handler(other)
    assert bus.execute(ANY) == 1


@pytest.mark.parametrize("by", [Add, "Add"])
def test_unregister(by: Any) -> None:
    bus = CommandBus()
    with pytest.raises(HandlerNotFoundError):
        bus.unregister_handler(by)
    for registered in (Add, "Add"):
        bus.register_handler(registered, lambda m: 1)
        bus.unregister_handler(by)
        assert bus.registered_commands() == []
        with pytest.raises(HandlerNotFoundError):
            bus.execute(ANY)


def test_names_are_sorted() -> None:
    bus = QueryBus()
    for name in ("b", "a", "c"):
        bus.register_handler(name, one)
    assert bus.registered_queries() == ["a", "b", "c"]


def test_not_found_shows_close_matches() -> None:
    bus = CommandBus()
    bus.register_handler("Ad", one)
    bus.register_handler("Remove", one)
    with pytest.raises(HandlerNotFoundError, match="Did you mean 'Ad'") as caught:
        bus.execute(ANY)
    assert caught.value.name == "Add"
    assert caught.value.registered == ["Ad", "Remove"]
    assert isinstance(caught.value, LookupError)
