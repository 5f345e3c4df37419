"""The forms of handlers and middleware, as types for annotations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar

from cqrs_fast.context import Context
from cqrs_fast.pipeline.middleware import Middleware
from cqrs_fast.pipeline.stage import Stage

M = TypeVar("M")
_M_contra = TypeVar("_M_contra", contravariant=True)


class _MessageHandler(Protocol[_M_contra]):
    def handle(self, message: _M_contra, /) -> Any:
        """Handle a message."""


class _ContextHandler(Protocol[_M_contra]):
    def handle(self, ctx: Context, message: _M_contra, /) -> Any:
        """Handle a message in its context."""


Handler: TypeAlias = (
    Callable[[M], Any]
    | Callable[[Context, M], Any]
    | _MessageHandler[M]
    | _ContextHandler[M]
)
"""A handler of one class of messages: `Handler[CreateUser]`."""

Next: TypeAlias = Callable[[Context, Any], Any]
"""What an around calls to go on inwards."""

AnyMiddleware: TypeAlias = (
    Middleware
    | Stage
    | Callable[[Context, Any, Next], Any]
    | Callable[[Next], Callable[..., Any]]
    | Callable[[Context, Any], Iterator[Any]]
    | Callable[[Context, Any], AsyncIterator[Any]]
)
"""A member of a `middleware=` list, in any form."""
