"""Promises of work: what a callable returns in the place of having done it.

Coroutines and other awaitables, async generators, and the generators that a generator
function returns: nothing of their work is done yet, so they are no results.
"""

from __future__ import annotations

from functools import partial
from types import (
    AsyncGeneratorType,
    CodeType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any

from cqrs_fast.base.callbacks import report

# Flags of code objects. `inspect` tells the same, and takes long to import.
_GENERATOR = 0x20
_ITERABLE_COROUTINE = 0x100
_ASYNC_GENERATOR = 0x200


def generator_kind(call: object) -> str | None:
    """Tell which kind of generator function it is, by its definition; None: of none.

    It sees through partials, methods, static methods and `__call__`. Not through
    wrappers: these may have collected what is inside.
    """
    call = _inside(call)
    if not isinstance(call, FunctionType):
        call = _inside(getattr(type(call), "__call__", call))  # noqa: B004 - to look in
    code = getattr(call, "__code__", None)
    if type(code) is not CodeType or code.co_flags & _ITERABLE_COROUTINE:
        return None
    if code.co_flags & _ASYNC_GENERATOR:
        return "an async generator function"
    return "a generator function" if code.co_flags & _GENERATOR else None


def _inside(call: Any) -> Any:
    """Return what a partial or a method calls."""
    while True:
        kind = type(call)
        if issubclass(kind, partial):
            call = call.func
        elif kind is MethodType or kind is staticmethod:
            call = call.__func__
        else:
            return call


def kind_of(promise: object) -> str:
    """Name what was returned, with its article."""
    if type(promise) is AsyncGeneratorType:
        return "an async generator"
    if _is_generator(promise):
        return "a generator"
    return f"an awaitable, a {type(promise).__name__}"


def _is_generator(value: Any) -> bool:
    # One that `types.coroutine` made is awaited.
    return type(value) is GeneratorType and not (
        value.gi_code.co_flags & _ITERABLE_COROUTINE
    )


def put_to_rest(promise: Any, name: str) -> None:
    """Close what will not be used, so that it never warns; cancel a future or a task.

    What that raises is reported under `name`.
    """
    try:
        end = getattr(promise, "close", None) or getattr(promise, "cancel", None)
        if end is not None:
            end()
    except Exception as error:
        report("closing an awaitable", name, error)


def promise_error(argument: str, promise: object, instead: str) -> TypeError:
    """Put to rest what a plain-looking callable returned; return what tells of it."""
    put_to_rest(promise, argument)
    return TypeError(f"{argument} returned {kind_of(promise)}: {instead}")


def unfinished(function: object, result: object, *, awaits: bool) -> TypeError | None:
    """Return the refusal of a result, put to rest, of which no work is done yet.

    None for any other, such as a generator that a plain function returns.

    Parameters:
        function: what returned it.
        awaits: whether the caller awaits what is awaitable.
    """
    if type(result) is AsyncGeneratorType:
        instead = "its work begins when it is iterated: return a list of it"
    elif _is_generator(result):
        if generator_kind(function) is None:
            return None
        instead = "its work begins when it is iterated: return a list of it"
    elif awaits:
        return None
    else:
        instead = "use call_async"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return promise_error(name, result, instead)
