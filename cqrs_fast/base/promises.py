"""Promises: objects that a callable returns before it has done its work.

These are coroutines and other awaitables, async generators, and the generators that a
generator function returns. Their work has not begun, so they are no results.
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

# Flags of code objects. They are in `inspect` too, which takes long to import.
_GENERATOR = 0x20
_ITERABLE_COROUTINE = 0x100
_ASYNC_GENERATOR = 0x200


class _Samples:
    part: Any = partialmethod(len)
    chosen: Any = singledispatchmethod(len)


# Identifies wrappers of functools by their code: `functools.wraps` copies attributes.
_CHOOSING = singledispatch(len).__code__  # type: ignore[attr-defined] # a function
_CHOOSING_METHOD = _Samples.chosen.__code__
_PARTIAL_METHOD = _Samples.part.__code__


def functions_of(call: object) -> list[Any]:
    """Return the functions that a call may run, as far as definitions show.

    Resolves partials, methods, static methods, `__call__` and the implementations of
    `singledispatch`, but no wrappers: these may collect or await the inner result.
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
    """Return the implementations of a function with `singledispatch`."""
    if not isinstance(function, FunctionType):
        return []
    method = choosing_method(function)
    if method is None and function.__code__ is not _CHOOSING:
        return []
    registry = vars(function if method is None else method.dispatcher).get("registry")
    return list(registry.values()) if isinstance(registry, MappingProxyType) else []


def choosing_method(function: object) -> Any:
    """Return the singledispatchmethod behind its bound function, or None."""
    if type(function) is not FunctionType or function.__code__ is not _CHOOSING_METHOD:
        return None
    found = getattr(vars(function).get("register"), "__self__", None)
    return found if isinstance(found, singledispatchmethod) else None


def _inside(call: Any) -> Any:
    """Return the callable inside a partial or a method."""
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
    """Return the `__call__` that a class defines: at most one."""
    defined = (vars(base) for base in type.mro(cls))
    return [names["__call__"] for names in defined if "__call__" in names][:1]


def generator_kind(call: object) -> str | None:
    """Return the kind of a generator function, by its definition; else None."""
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
    """Return whether a call returns a coroutine, as far as the definition shows."""
    from inspect import iscoroutinefunction

    for one in functions_of(call):
        try:
            if iscoroutinefunction(one):
                return True
        except TypeError:
            # The code of a mock is a mock too.
            continue
    return False


def check_plain(
    argument: str, function: object, remedy: str, *, yields: bool = False
) -> None:
    """Raise TypeError for a callback whose work begins after its call.

    Parameters:
        remedy: the end of the error text.
        yields: whether it may be a generator function.
    """
    if is_coroutine_function(function):
        raise TypeError(f"{argument} must be no async function{remedy}")
    kind = generator_kind(function)
    if kind is not None and not yields:
        raise TypeError(f"{argument} must be a plain function, not {kind}{remedy}")


def kind_of(promise: object) -> str:
    """Return the kind of a promise, with its article."""
    if type(promise) is AsyncGeneratorType:
        return "an async generator"
    if _is_generator(promise):
        return "a generator"
    return f"an awaitable, a {type(promise).__name__}"


def _is_generator(value: Any) -> bool:
    # A generator of `types.coroutine` is awaited instead.
    return type(value) is GeneratorType and not (
        value.gi_code.co_flags & _ITERABLE_COROUTINE
    )


def put_to_rest(promise: Any, name: str) -> None:
    """Close an unused promise, so that it never warns; cancel a future or a task.

    An error of that is logged under `name`.
    """
    try:
        end = getattr(promise, "close", None) or getattr(promise, "cancel", None)
        ended = None if end is None else end()
        if type(ended) is CoroutineType:
            # From an async `close` of a user's class, which nobody awaits here.
            ended.close()
    except Exception as error:
        report_callback_error("closing an awaitable", name, error)


def promise_error(argument: str, promise: object, instead: str) -> TypeError:
    """Close the promise that a callback returned; return the error to raise."""
    put_to_rest(promise, argument)
    return TypeError(f"{argument} returned {kind_of(promise)}: {instead}")


def unfinished(function: object, result: object, *, awaits: bool) -> TypeError | None:
    """Close a result whose work has not begun, and return the error to raise.

    None for any other result, such as a generator that a plain function returns.

    Parameters:
        function: the callable that returned it.
        awaits: whether the caller awaits an awaitable.
    """
    instead = "its work begins when it is iterated: return a list of it"
    if _is_generator(result):
        if generator_kind(function) is None:
            return None
    elif type(result) is not AsyncGeneratorType:
        if awaits:
            return None
        instead = "use call_async"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return promise_error(name, result, instead)
