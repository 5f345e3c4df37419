from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from typing import (
    Any,
    Protocol,
    TypeAlias,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from typing_extensions import disjoint_base

from cqrs_fast.context import Context
from cqrs_fast.pipeline.middleware import Middleware
from cqrs_fast.pipeline.route import Router
from cqrs_fast.pipeline.stage import Stage

_M = TypeVar("_M")
_M_contra = TypeVar("_M_contra", contravariant=True)
_F = TypeVar("_F", bound=Callable[..., Any])

_Next: TypeAlias = Callable[[Context, Any], Any]
_Around: TypeAlias = Callable[[Context, Any, _Next], Any]
_Factory: TypeAlias = Callable[[_Next], Callable[..., Any]]
_Generator: TypeAlias = Callable[
    [Context, Any], Generator[Any, Any, Any] | AsyncGenerator[Any, Any]
]
_AnyMiddleware: TypeAlias = Middleware | Stage | _Around | _Generator | _Factory

@type_check_only
class _MessageHandler(Protocol[_M_contra]):
    def handle(self, message: _M_contra, /) -> Any: ...

@type_check_only
class _ContextHandler(Protocol[_M_contra]):
    def handle(self, ctx: Context, message: _M_contra, /) -> Any: ...

_Handler: TypeAlias = (
    Callable[[_M], Any]
    | Callable[[Context, _M], Any]
    | _MessageHandler[_M]
    | _ContextHandler[_M]
)

MOST_PAYLOAD_BYTES: int

@disjoint_base
class Registrar(Router):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def kind(self) -> str: ...
    # Registration
    def register_handler(
        self,
        message: type[_M] | str,
        handler: _Handler[_M],
        *,
        middleware: Iterable[_AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> None: ...
    @overload
    def handler(
        self,
        message: type | str | None = None,
        /,
        *,
        middleware: Iterable[_AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool = False,
    ) -> Callable[[_F], _F]: ...
    @overload
    def handler(
        self,
        message: _F,
        /,
        *,
        middleware: Iterable[_AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> _F: ...
    @property
    def offload(self) -> bool: ...
    def register(
        self,
        composite: object,
        *,
        replace: bool = False,
        offload: bool | None = None,
    ) -> list[str]: ...
    def unregister_handler(self, message: type | str) -> None: ...
    def registered_names(self) -> list[str]: ...
    # Middleware
    @property
    def middleware(self) -> tuple[_AnyMiddleware, ...]: ...
    def add_middleware(
        self, middleware: _AnyMiddleware, index: int | None = None
    ) -> None: ...
    def remove_middleware(self, middleware: _AnyMiddleware) -> None: ...

@final
class Registry:
    def __init__(self, capacity: int) -> None: ...
