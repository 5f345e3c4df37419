"""Every form of callable by every form of registration, each with what must come."""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NewType, TypeVar
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest
from support import Add, Ask
from typing_extensions import TypeAliasType

from cqrs_fast import AsyncHandlerError, CommandBus, Context, handles

if TYPE_CHECKING:
    from nowhere import Unimported

AddToo = NewType("AddToo", Add)
AddAlias = TypeAliasType("AddAlias", "Annotated[Add, 'an alias']")
LateAlias = TypeAliasType("LateAlias", Annotated[AddToo, "of another name"])
AnyMessage = TypeVar("AnyMessage", bound=Add)


def one(cmd: Add) -> Any:
    return (cmd,)


def two(ctx: Context, cmd: Add) -> Any:
    return ctx, cmd


async def async_one(cmd: Add) -> Any:
    return (cmd,)


async def async_two(ctx: Context, cmd: Add) -> Any:
    return ctx, cmd


def bare(cmd):
    return (cmd,)


def with_default(cmd: Add, extra=None):
    return (cmd,) if extra is None else (cmd, extra)


def two_with_default(ctx, cmd: Add, extra=None):
    return (ctx, cmd) if extra is None else (extra,)


def anything(*args):
    return args


def one_and_anything(cmd: Add, *rest):
    return cmd, *rest


def options(cmd: Add, *, more=None, **others):
    return (cmd,) if more is None and not others else (others,)


def positional(ctx, cmd: Add, /):
    return ctx, cmd


def annotated(cmd: Annotated[Add, "said of it"]):
    return (cmd,)


def new_type(cmd: AddToo):
    return (cmd,)


def alias(ctx: Context, cmd: LateAlias):
    return ctx, cmd


def either(cmd: Add | Ask):
    return (cmd,)


def unimported(cmd: Unimported):
    return (cmd,)


def unimported_context(ctx: Unimported, cmd: Add):
    return ctx, cmd


def variable(cmd: AnyMessage):
    return (cmd,)


def swapped(cmd: Add, ctx: Context):
    return cmd, ctx


def no_parameter():
    return ()


def three(a, b, cmd: Add):
    return ()


def keyword(cmd: Add, *, key):
    return (cmd,)


async def generator(cmd: Add):
    yield cmd


def sync_generator(cmd: Add):
    yield cmd


@functools.singledispatch
def yields_for_add(cmd: Add):
    return (cmd,)


@yields_for_add.register
def _(cmd: Add):
    yield cmd


class YieldingCall:
    def __call__(self, cmd: Add):
        yield cmd


class PartlyYieldingCall:
    def yielding(self, prefix, cmd: Add):
        yield cmd

    __call__ = functools.partialmethod(yielding, "prefix")


class Methods:
    def one(self, cmd: Add):
        return (cmd,)

    async def two(self, ctx, cmd: Add):
        return ctx, cmd

    @classmethod
    def of_class(cls, ctx, cmd: Add):
        return ctx, cmd

    @staticmethod
    def static(cmd: Add):
        return (cmd,)

    def many(self, prefix, cmd: Add):
        return (cmd,)

    part = functools.partialmethod(many, "prefix")

    @functools.singledispatchmethod
    def chosen(self, cmd: Add):
        raise NotImplementedError

    @chosen.register
    def _(self, cmd: Add):
        return (cmd,)

    @functools.singledispatchmethod
    def chosen_async(self, cmd: Add):
        raise NotImplementedError

    @chosen_async.register
    async def _(self, cmd: Add):
        return (cmd,)

    @functools.singledispatchmethod
    @classmethod
    def chosen_of_class(cls, cmd: Add):
        return (cmd,)

    @functools.singledispatchmethod
    @staticmethod
    def chosen_static(cmd: Add):
        return (cmd,)

    @functools.singledispatchmethod
    def by_context(self, ctx, cmd: Add):
        return ctx, cmd


@functools.singledispatch
def chosen(cmd: Add):
    return (cmd,)


@functools.singledispatch
def chosen_by_context(ctx, cmd: Add):
    return ctx, cmd


class Callee:
    def __call__(self, ctx, cmd: Add):
        return ctx, cmd


class AsyncCallee:
    async def __call__(self, cmd: Add):
        return (cmd,)


@dataclass
class DataCallee:
    repository: str = "repository"

    def __call__(self, cmd: Add):
        return (cmd,)


class SlottedCallee:
    __slots__ = ()

    def __call__(self, cmd: Add):
        return (cmd,)


class Proxy:
    """Has every attribute that it is asked for."""

    def __init__(self, handler):
        self.handler = handler

    def __call__(self, cmd: Add):
        return self.handler(cmd)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args: "not this"


class Signed:
    __signature__ = inspect.Signature(
        [inspect.Parameter("cmd", inspect.Parameter.POSITIONAL_ONLY, annotation=Add)]
    )

    def __call__(self, *args):
        return args


class WithHandle:
    def handle(self, ctx, cmd: Add):
        return ctx, cmd


class WithAsyncHandle:
    async def handle(self, cmd: Add):
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


def answering(mock: Any) -> Any:
    mock.side_effect = lambda *args: args
    return mock


COLUMNS = ("class", "name", "bare", "given", "handles")
UNKNOWN = "cannot tell which message"
FORMS = "a handler is a callable (message) or (ctx, message)"


def named_only(result: str, reason: str = UNKNOWN) -> tuple[str, ...]:
    """Return what comes where the bare decorator alone cannot know the message."""
    return result, result, reason, result, result


def everywhere(result: str) -> tuple[str, ...]:
    return (result,) * 5


MATRIX: dict[str, tuple[Any, tuple[str, ...]]] = {
    # Functions
    "message": (one, everywhere("Add")),
    "context and message": (two, everywhere("Context Add")),
    "async message": (async_one, everywhere("async Add")),
    "async context and message": (async_two, everywhere("async Context Add")),
    "no annotation": (bare, named_only("Add", "annotate its last parameter")),
    "lambda": (lambda cmd: (cmd,), named_only("Add")),
    "a default": (with_default, everywhere("Add")),
    "two and a default": (two_with_default, everywhere("Context Add")),
    "*args": (anything, named_only("Context Add")),
    "one and *args": (one_and_anything, everywhere("Add")),
    "optional keywords": (options, everywhere("Add")),
    "positional only": (positional, everywhere("Context Add")),
    "Annotated": (annotated, everywhere("Add")),
    "NewType": (new_type, everywhere("Add")),
    "alias": (alias, everywhere("Context Add")),
    "union": (either, named_only("Add", "is a union: register each of its classes")),
    "annotation of type checkers": (
        unimported, named_only("Add", "cannot be resolved (name 'Unimported'"),
    ),
    "context of type checkers": (unimported_context, everywhere("Context Add")),
    "type variable": (variable, named_only("Add", "~AnyMessage is no class")),
    "swapped": (swapped, everywhere("swapped")),
    "no parameter": (no_parameter, everywhere(f"takes (); {FORMS}")),
    "three parameters": (three, everywhere(f"takes (a, b, cmd); {FORMS}")),
    "required keyword": (keyword, everywhere("needs the keyword 'key'")),
    "async generator": (generator, everywhere("is an async generator")),
    "generator": (sync_generator, everywhere("is a generator function")),
    "partial of a generator": (
        functools.partial(sync_generator), everywhere("is a generator function"),
    ),
    "object that yields": (YieldingCall(), everywhere("is a generator function")),
    "object that yields by a partialmethod": (
        PartlyYieldingCall(), named_only("is a generator function", "name the message"),
    ),
    "generator behind partialmethod": (
        PartlyYieldingCall().__call__, everywhere("is a generator function"),
    ),
    "generator behind singledispatch": (
        yields_for_add, everywhere("is a generator function"),
    ),
    # Methods
    "method": (Methods().one, everywhere("Add")),
    "async method": (Methods().two, everywhere("async Context Add")),
    "class method": (Methods.of_class, everywhere("Context Add")),
    "static method": (Methods.static, everywhere("Add")),
    "method without its object": (
        Methods.one, everywhere("Methods.one is a method without its object"),
    ),
    "partialmethod": (Methods().part, everywhere("Add")),
    "singledispatchmethod": (Methods().chosen, everywhere("Add")),
    "async singledispatchmethod": (Methods().chosen_async, everywhere("async Add")),
    "singledispatchmethod of the class": (
        Methods().chosen_of_class, everywhere("Add"),
    ),
    "static singledispatchmethod": (Methods().chosen_static, everywhere("Add")),
    "singledispatchmethod by the context": (
        Methods().by_context, everywhere("dispatches by its first parameter"),
    ),
    "singledispatch": (chosen, everywhere("Add")),
    "singledispatch by the context": (
        chosen_by_context, everywhere("dispatches by its first parameter"),
    ),
    # Objects
    "callable object": (Callee(), everywhere("Context Add")),
    "async callable object": (AsyncCallee(), everywhere("async Add")),
    "dataclass": (DataCallee(), everywhere("Add")),
    "slots": (SlottedCallee(), everywhere("Add")),
    "proxy": (Proxy(one), everywhere("Add")),
    "__signature__": (Signed(), everywhere("Add")),
    "handle object": (WithHandle(), everywhere("Context Add")),
    "async handle object": (WithAsyncHandle(), everywhere("async Add")),
    "class with handle": (
        WithHandle, named_only("is a class, not an instance", "@bus.handler takes"),
    ),
    "class with __call__": (
        Callee, named_only("is a class, not an instance", "@bus.handler takes"),
    ),
    "object": (object(), everywhere("is no handler")),
    "number": (5, everywhere("5 is no handler")),
    "Mock": (answering(Mock()), named_only("Context Add")),
    "MagicMock": (answering(MagicMock()), named_only("Context Add")),
    "AsyncMock": (answering(AsyncMock()), named_only("async Context Add")),
    "mock of a function": (
        answering(Mock(spec=one)), named_only("Add"),
    ),
    # Wrappers
    "partial": (functools.partial(Methods.many, None, "prefix"), everywhere("Add")),
    "partial by keyword": (functools.partial(keyword, key=1), everywhere("Add")),
    "partial of a partial": (
        functools.partial(functools.partial(lambda a, b, cmd: (cmd,), 1), 2),
        named_only("Add"),
    ),
    "partial of async": (functools.partial(async_two, None), everywhere(
        "async NoneType Add"
    )),
    "wraps": (passing(two), everywhere("Context Add")),
    "wraps a method": (passing(Methods().one), everywhere("Add")),
    "wraps with fewer parameters": (narrowing(two), everywhere("Add")),
    "lru_cache": (functools.lru_cache(one), everywhere("Add")),
    "lru_cache with the context": (functools.lru_cache(two), everywhere("Context Add")),
    "cached method": (functools.cache(Methods().one), everywhere("Add")),
    # Of C
    "builtin method without its object": (
        list.append, everywhere("list.append is a method without its object"),
    ),
    "compiled method without its object": (
        CommandBus.execute, everywhere("is a method without its object"),
    ),
    "builtin method": ([].append, named_only("None")),
    "builtin function": (id, named_only("int")),
    "compiled method": (CommandBus().registered_names, everywhere("takes ()")),
}  # fmt: skip


def by_class(bus: CommandBus, handler: Any) -> None:
    bus.register_handler(Add, handler)


def by_name(bus: CommandBus, handler: Any) -> None:
    bus.register_handler("Add", handler)


def by_annotation(bus: CommandBus, handler: Any) -> None:
    assert bus.handler(handler) is handler


def by_decorator(bus: CommandBus, handler: Any) -> None:
    assert bus.handler(Add)(handler) is handler


def by_mark(bus: CommandBus, handler: Any) -> None:
    marked = handles(Add)(staticmethod(handler))
    composite = type("Composite", (), {"method": marked})()
    assert bus.register(composite) == ["Add"]


WAYS = dict(
    zip(COLUMNS, (by_class, by_name, by_annotation, by_decorator, by_mark), strict=True)
)


def outcome(bus: CommandBus) -> str:
    """Dispatch, and tell what the handler was called with."""
    found = asyncio.run(bus.execute_async(Add(1)))
    if bus.describe()[0].is_async:
        with pytest.raises(AsyncHandlerError, match="execute_async"):
            bus.execute(Add(1))
        return "async " + text_of(found)
    assert text_of(bus.execute(Add(1))) == text_of(found)
    return text_of(found)


def text_of(result: Any) -> str:
    if isinstance(result, tuple):
        return " ".join(type(one).__name__ for one in result)
    return "None" if result is None else type(result).__name__


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("form", MATRIX)
def test_cell(form: str, column: str) -> None:
    handler, row = MATRIX[form]
    expected = row[COLUMNS.index(column)]
    bus = CommandBus()
    if expected in ("None", "int") or expected.split()[-1] == "Add":
        WAYS[column](bus, handler)
        assert bus.registered_commands() == ["Add"]
        assert outcome(bus) == expected
    else:
        with pytest.raises(TypeError, match=re.escape(expected)):
            WAYS[column](bus, handler)
        assert bus.registered_commands() == []
