"""Dispatch with the result checked against a type."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from cqrs_fast.base.message_names import message_name
from cqrs_fast.errors import ResultTypeError

if TYPE_CHECKING:
    from cqrs_fast.buses.bus import Bus
    from cqrs_fast.context import Context

T = TypeVar("T")


def execute_typed(
    bus: Bus, message: Any, expected: type[T], ctx: Context | None = None
) -> T:
    """Dispatch `message` and return its result, which must be an `expected`.

    Parameters:
        expected: a class, checked by isinstance; or a container of classes, checked by
            element: `list[User]`, `dict[str, User]`, `tuple[int, ...]`, `User | None`.

    Returns the handler's own object. Raises ResultTypeError for another type, and what
    `bus.execute` raises; TypeError, before the dispatch, for a type it cannot check.
    """
    _check_checkable(expected)
    result: T = _checked(bus.execute(message, ctx), expected, message)
    return result


async def execute_typed_async(
    bus: Bus, message: Any, expected: type[T], ctx: Context | None = None
) -> T:
    """Do what `execute_typed` does, on an event loop."""
    _check_checkable(expected)
    result: T = _checked(await bus.execute_async(message, ctx), expected, message)
    return result


def _checked(result: Any, expected: Any, message: object) -> Any:
    if (mismatch := _mismatch(result, expected, "$")) is not None:
        where, wanted, given = mismatch
        name = wanted.__qualname__ if type(wanted) is type else str(wanted)
        given_name = type(given).__qualname__
        raise ResultTypeError(name, given_name, message_name(message), where)
    return result


def _mismatch(value: Any, expected: Any, path: str) -> tuple[str, Any, Any] | None:
    """Return (path, expected type, value) of the first mismatch, or None."""
    if expected is Any:
        return None
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Annotated:
        return _mismatch(value, args[0], path)
    if origin in (typing.Union, types.UnionType):
        if any(_mismatch(value, one, path) is None for one in args):
            return None
        return path, expected, value
    if origin is typing.Literal:
        same = any(type(value) is type(one) and value == one for one in args)
        return None if same else (path, expected, value)
    if not isinstance(value, _class_of(expected)):
        return path, expected, value
    for place, element, wanted in _elements(value, origin, args):
        if found := _mismatch(element, wanted, f"{path}{place}"):
            return found
    return None


def _elements(value: Any, origin: Any, args: tuple[Any, ...]) -> Any:
    """Yield (place, element, expected type) for the elements of a container."""
    if not args or not isinstance(origin, type):
        return
    if issubclass(origin, Mapping):
        for key, element in value.items():
            yield "[key]", key, args[0]
            yield "[...]", element, args[1]
    elif issubclass(origin, tuple) and args[-1] is not Ellipsis:
        if len(value) != len(args):
            yield "", value, typing.Never
        for index, (element, wanted) in enumerate(zip(value, args, strict=False)):
            yield f"[{index}]", element, wanted
    elif issubclass(origin, Collection):
        for index, element in enumerate(value):
            yield f"[{index}]", element, args[0]


def _class_of(expected: Any) -> Any:
    if expected is None:
        return type(None)
    if expected is typing.Never:
        return ()
    return typing.get_origin(expected) or expected


def _check_checkable(expected: Any) -> None:
    """Raise TypeError unless every part of `expected` can be checked."""
    if expected is Any or expected is None or expected is Ellipsis:
        return
    origin = typing.get_origin(expected)
    if origin is typing.Literal:
        return
    if origin is None:
        if not isinstance(expected, type):
            raise TypeError(f"execute_typed cannot check {expected!r}: pass a class")
        try:
            isinstance(None, expected)
        except TypeError as error:  # such as a plain Protocol
            raise TypeError(
                f"execute_typed cannot check {expected.__qualname__}: {error}"
            ) from error
        return
    args = typing.get_args(expected)
    if (
        isinstance(origin, type)
        and origin not in (types.UnionType, typing.Annotated)
        and not issubclass(origin, Collection)
        and any(one not in (Any, ...) for one in args)
    ):
        raise TypeError(
            f"execute_typed cannot check the arguments of {expected!r}: write Any for "
            "each of them"
        )
    for part in args[:1] if origin is typing.Annotated else args:
        _check_checkable(part)
