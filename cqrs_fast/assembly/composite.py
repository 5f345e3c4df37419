"""Composite handlers: one object whose methods handle several messages."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial, partialmethod, singledispatchmethod
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    NamedTuple,
    TypeVar,
    Unpack,
    get_origin,
    overload,
)

from cqrs_fast.base.arguments import listed
from cqrs_fast.base.message_names import message_kind, message_meant, message_name
from cqrs_fast.base.naming import unknown_keyword

if TYPE_CHECKING:
    from cqrs_fast.assembly.registry import (
        _CommandClass,
        _MethodDecorator,
        _Options,
        _QueryClass,
    )

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M")
R = TypeVar("R")

_HANDLES = "__cqrs_fast_handles__"
_OPTIONS = ("middleware", "is_async", "with_context", "offload")
_HOLDERS = (cached_property, partial, partialmethod, singledispatchmethod)
_MOST_WRAPPERS = 64  # nested in each other


class HandledMessage(NamedTuple):
    """One message of a method marked with `handles`."""

    message: Any  # a class, or a generic one with its arguments
    options: dict[str, Any]


@overload
def handles(
    message: _CommandClass[M, R], /, **options: Unpack[_Options]
) -> _MethodDecorator[M, R]: ...
@overload
def handles(
    message: _QueryClass[M, R], /, **options: Unpack[_Options]
) -> _MethodDecorator[M, R]: ...
@overload
def handles(*messages: type, **options: Unpack[_Options]) -> Callable[[F], F]: ...
def handles(*messages: Any, **options: Any) -> Any:
    """Mark a method of a composite handler as the handler of `messages`.

    Parameters:
        messages: command and query classes; `bus.register(obj)` takes those of its
            kind.
        options: `middleware`, `is_async`, `with_context` and `offload`, as in
            `register_handler`.

    Works above or below `staticmethod`, `classmethod`, `singledispatchmethod`,
    `partialmethod` and decorators that use `functools.wraps`. A subclass that overrides
    the method inherits the mark; a new mark replaces it, and `name = None` removes it.

    Raises TypeError for anything that is no message class, for an unknown option and
    for one of the wrong type; when applied, for an object that cannot be marked.
    """
    if not messages:
        raise TypeError("handles() needs at least one message class")
    handled = [HandledMessage(_checked(message), options) for message in messages]
    named = ", ".join(getattr(one, "__qualname__", str(one)) for one in messages)
    _check_options(f"@handles({named}) {_place()}", options)

    def mark(method: F) -> F:
        _check(method, named)
        try:
            setattr(method, _HANDLES, _own_marks(method) + handled)
        except AttributeError:
            raise TypeError(
                f"@handles cannot mark a {type(method).__name__}: put it on the "
                "function inside, under the other decorators"
            ) from None
        return method

    return mark


def _checked(message: Any) -> Any:
    """Return the class that `message` means."""
    meant = message_meant(message)
    if meant is None:
        raise TypeError(
            f"handles() takes message classes, got {message!r}; write "
            "@handles(CreateUser)"
        )
    cls = get_origin(meant) or meant
    if message_kind(cls) not in ("command", "query"):
        raise TypeError(
            f"{cls.__qualname__} is neither a command nor a query: derive it from "
            "Command or Query, give it a command_name or query_name, or end its name "
            "with Command or Query"
        )
    return meant


def handled_methods(
    obj: object, kind: str
) -> list[tuple[HandledMessage, Callable[..., Any]]]:
    """Return the messages of one kind that `obj` handles, each with its bound method.

    Raises TypeError if there are none, if two methods handle one message, and if a
    decorator hides the mark of a method.
    """
    cls = type(obj).__qualname__
    methods: dict[str, str] = {}
    others: list[str] = []
    found: list[tuple[HandledMessage, Callable[..., Any]]] = []
    for name, marks in _marked_names(obj):
        for handled in marks:
            message = message_name(handled.message)
            if message_kind(handled.message) != kind:
                others.append(message)
                continue
            if message in methods:
                raise TypeError(
                    f"{cls}.{methods[message]} and .{name} both handle {message}: "
                    "remove one of the marks"
                )
            methods[message] = name
            found.append((handled, getattr(obj, name)))
    if found:
        return found
    if others:
        raise TypeError(
            f"{cls} has no method that @handles a {kind}, only {', '.join(others)}: "
            "register it on the other bus"
        )
    raise TypeError(
        f"{cls} has no method that is marked with @handles: write @handles(CreateUser) "
        "above each that handles a message"
    )


def _marked_names(obj: object) -> Iterator[tuple[str, list[HandledMessage]]]:
    bases = type(obj).__mro__
    for name in sorted({name for base in bases for name in vars(base)}):
        defined = [(base, vars(base)[name]) for base in bases if name in vars(base)]
        if defined[0][1] is None:
            continue
        for base, attribute in defined:
            if marks := _marks(attribute):
                yield name, marks
                break
            _reject_hidden(base, name, attribute)
    # Functions of an instance or of a module.
    for name, attribute in _own_attributes(obj).items():
        if type(attribute) is FunctionType and not hasattr(type(obj), name):
            yield name, _own_marks(attribute)


def _own_attributes(obj: object) -> Mapping[str, Any]:
    try:
        return vars(obj)
    except TypeError:
        return {}


def _own_marks(attribute: object) -> list[HandledMessage]:
    # Not getattr: mocks and proxies have every attribute.
    marks = _own_attributes(attribute).get(_HANDLES)
    return marks if isinstance(marks, list) else []


def _marks(attribute: object) -> list[HandledMessage]:
    """Return the marks of a method or of the function inside its wrappers."""
    for _ in range(_MOST_WRAPPERS):
        if marks := _own_marks(attribute):
            return marks
        attribute = _inside(attribute)
        if attribute is None:
            break
    return []


def _inside(attribute: Any) -> object:
    """Return the function inside a descriptor or a wrapper, or None."""
    if isinstance(attribute, staticmethod | classmethod):
        return attribute.__func__
    if isinstance(attribute, property):
        return attribute.fget
    if isinstance(attribute, _HOLDERS):
        return attribute.func
    return _own_attributes(attribute).get("__wrapped__")


def _reject_hidden(base: type, name: str, attribute: object) -> None:
    """Raise if a decorator wraps a marked method of `base` without functools.wraps."""
    if isinstance(attribute, type):
        return
    held = list(_own_attributes(attribute).values())
    for cell in getattr(attribute, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty cell
            held.append(cell.cell_contents)
    for one in held:
        if (
            type(one) is FunctionType
            and _own_marks(one)
            and one.__qualname__.rpartition(".")[0] == base.__qualname__
        ):
            raise TypeError(
                f"{base.__qualname__}.{name} hides the @handles of what it decorates: "
                "put @handles above its decorators, or let them use functools.wraps"
            )


def _check(method: Any, named: str) -> None:
    """Raise if `method` cannot be marked."""
    if isinstance(method, type):
        raise TypeError(
            f"@handles({named}) marks methods, and {method.__qualname__} is a class: "
            "register an object of it"
        )


def _check_options(decorator: str, options: dict[str, Any]) -> None:
    """Raise for an option that is unknown or of the wrong type."""
    text = unknown_keyword(decorator, options, _OPTIONS)
    if text is not None:
        if "replace" in options:
            text += "; write bus.register(obj, replace=True)"
        raise TypeError(text)
    for name, value in options.items():
        if name == "middleware":
            listed(value)
        elif not (value is None or isinstance(value, bool)):
            raise TypeError(f"{decorator}: {name} must be a bool, got {value!r}")


def _place() -> str:
    """Return where the decorator is written: it does not see its method yet."""
    frame = sys._getframe(2)
    return f"in {frame.f_code.co_qualname}, line {frame.f_lineno},"
