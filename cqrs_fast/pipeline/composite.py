"""Composite handlers: one object whose methods handle several messages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from cqrs_fast.messages import message_kind

F = TypeVar("F", bound=Callable[..., Any])

_HANDLES = "__cqrs_fast_handles__"


class HandledMessage(NamedTuple):
    """One message of a method marked with `handles`."""

    message: type
    options: dict[str, Any]


def handles(*messages: type, **options: Any) -> Callable[[F], F]:
    """Mark a method of a composite handler as the handler of `messages`.

    Parameters:
        messages: command and query classes; `bus.register(obj)` takes those of its
            kind.
        options: keywords of `register_handler`, such as `middleware=[…]`.

    Raises TypeError for what is no message class.
    """
    if not messages:
        raise TypeError("handles() needs at least one message class")
    for message in messages:
        if not isinstance(message, type):
            raise TypeError(
                f"handles() takes message classes, got {message!r}; write "
                "@handles(CreateUser)"
            )
        if message_kind(message) not in ("command", "query"):
            raise TypeError(
                f"{message.__qualname__} is neither a command nor a query: derive it "
                "from Command or Query, give it a command_name or query_name, or end "
                "its name with Command or Query"
            )

    def mark(method: F) -> F:
        marked = list(getattr(method, _HANDLES, ()))
        marked += [HandledMessage(message, options) for message in messages]
        setattr(method, _HANDLES, marked)
        return method

    return mark


def handled_methods(
    obj: object,
) -> list[tuple[HandledMessage, Callable[..., Any]]]:
    """Return the marked methods of `obj`, bound, with what each handles."""
    found: list[tuple[HandledMessage, Callable[..., Any]]] = []
    for name in dir(type(obj)):
        marked = getattr(inspect.getattr_static(type(obj), name), _HANDLES, None)
        found.extend((handled, getattr(obj, name)) for handled in marked or ())
    return found
