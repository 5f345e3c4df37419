"""Promises of work: what a callable returns in the place of having done it.

Coroutines and other awaitables, async generators, and the generators that a generator
function returns: nothing of their work is done yet, so they are no results.
"""

from __future__ import annotations

from functools import partial, partialmethod, singledispatch, singledispatchmethod
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodType,
)
from typing import Any

from cqrs_fast.base.callbacks import report_callback_error

# Flags of code objects. `inspect` tells the same, and takes long to import.
_GENERATOR = 0x20
_ITERABLE_COROUTINE = 0x100
_ASYNC_GENERATOR = 0x200


class _Samples:
    part: Any = partialmethod(len)
    chosen: Any = singledispatchmethod(len)


# What functools makes is known by its code: `functools.wraps` copies the attributes.
_CHOOSING = singledispatch(len).__code__  # type: ignore[attr-defined] # a function
_CHOOSING_METHOD = _Samples.chosen.__code__
_PARTIAL_METHOD = _Samples.part.__code__


def functions_of(call: object) -> list[Any]:
    """Return what may run when it is called, as far as definitions tell.

    It sees through partials, methods, static methods, `__call__`, and through what
    `singledispatch` chooses from. Not through wrappers: these may have collected, or
    awaited, what is inside.
    """
    found: dict[int, Any] = {}
    left = [call]
    while left:
        one = _inside(left.pop())
        if id(one) in found:
            continue
        found[id(one)] = one
        if isinstance(one, FunctionType):
            left += choices(one)
        elif isinstance(one, singledispatchmethod):
            left += one.dispatcher.registry.values()
        else:
            left += _calls_of(type(one))
    return list(found.values())


def choices(function: object) -> list[Any]:
    """Return the functions that one with `singledispatch` chooses from."""
    if not isinstance(function, FunctionType):
        return []
    method = choosing_method(function)
    if method is None and function.__code__ is not _CHOOSING:
        return []
    registry = vars(function if method is None else method.dispatcher).get("registry")
    return list(registry.values()) if isinstance(registry, MappingProxyType) else []


def choosing_method(function: object) -> Any:
    """Return the singledispatchmethod that this is the bound function of, or None."""
    if type(function) is not FunctionType or function.__code__ is not _CHOOSING_METHOD:
        return None
    found = getattr(vars(function).get("register"), "__self__", None)
    return found if isinstance(found, singledispatchmethod) else None


def _inside(call: Any) -> Any:
    """Return what a partial or a method calls."""
    while True:
        kind = type(call)
        if issubclass(kind, partial | partialmethod):
            call = call.func
        elif kind in (MethodType, staticmethod, classmethod):
            call = call.__func__
        elif kind is FunctionType and call.__code__ is _PARTIAL_METHOD:
            names = vars(call)
            call = names.get("__partialmethod__") or names["_partialmethod"]
        else:
            return call


def _calls_of(cls: type) -> list[Any]:
    """Return the `__call__` of a class as it is defined: at most one."""
    defined = (vars(base) for base in type.mro(cls))
    return [names["__call__"] for names in defined if "__call__" in names][:1]


def generator_kind(call: object) -> str | None:
    """Tell which kind of generator function it is, by its definition; None: of none."""
    kind = None
    for one in functions_of(call):
        code = getattr(one, "__code__", None)
        if type(code) is not CodeType or code.co_flags & _ITERABLE_COROUTINE:
            continue
        if code.co_flags & _ASYNC_GENERATOR:
            return "an async generator function"
        if code.co_flags & _GENERATOR:
            kind = "a generator function"
    return kind


def is_coroutine_function(call: object) -> bool:
    """Tell whether calling it gives a coroutine, as far as its definition says."""
    from inspect import iscoroutinefunction

    for one in functions_of(call):
        try:
            if iscoroutinefunction(one):
                return True
        except TypeError:
            # A mock of a function has a mock for its code, too.
            continue
    return False


def check_plain(
    argument: str, function: object, told: str, *, yields: bool = False
) -> None:
    """Raise TypeError for a callback whose work begins after its call.

    Parameters:
        told: ends the text of the error.
        yields: whether it may be a generator function.
    """
    if is_coroutine_function(function):
        raise TypeError(f"{argument} must be no async function{told}")
    kind = generator_kind(function)
    if kind is not None and not yields:
        raise TypeError(f"{argument} must be a plain function, not {kind}{told}")


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
        ended = None if end is None else end()
        if type(ended) is CoroutineType:
            # Of a class of users' that closes asynchronously, which nobody awaits here.
            ended.close()
    except Exception as error:
        report_callback_error("closing an awaitable", name, error)


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
