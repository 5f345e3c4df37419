from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import (
    Any,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from typing_extensions import disjoint_base

from cqrs_fast.assembly.forms import AnyMiddleware, Handler
from cqrs_fast.context import Context
from cqrs_fast.pipeline.route import Router

_M = TypeVar("_M")
_R = TypeVar("_R")
_S = TypeVar("_S")
_P = ParamSpec("_P")
_M_contra = TypeVar("_M_contra", contravariant=True)
_R_co = TypeVar("_R_co", covariant=True)
_F = TypeVar("_F", bound=Callable[..., Any])

@type_check_only
class _IsCommandBus(Protocol):
    def registered_commands(self) -> list[str]: ...

@type_check_only
class _IsQueryBus(Protocol):
    def registered_queries(self) -> list[str]: ...

# Message classes: what they make, and what the result of that is.
@type_check_only
class _CommandClass(Protocol[_M, _R]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def _command_result(self) -> dict[_M, _R]: ...

@type_check_only
class _QueryClass(Protocol[_M, _R]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def _query_result(self) -> dict[_M, _R]: ...

# Anything but a message of this library: there, `__delattr__` takes nothing.
@type_check_only
class _Other(Protocol):
    def __delattr__(self, name: str, /) -> None: ...

@type_check_only
class _MessageHandler(Protocol[_M_contra, _R_co]):
    def handle(self, message: _M_contra, /) -> _R_co: ...

@type_check_only
class _ContextHandler(Protocol[_M_contra, _R_co]):
    def handle(self, ctx: Context, message: _M_contra, /) -> _R_co: ...

_HandlerOf: TypeAlias = (
    Callable[[_M], _R | Awaitable[_R]]
    | Callable[[Context, _M], _R | Awaitable[_R]]
    | _MessageHandler[_M, _R | Awaitable[_R]]
    | _ContextHandler[_M, _R | Awaitable[_R]]
)

@type_check_only
class _Decorator(Protocol[_M, _R]):
    @overload
    def __call__(
        self, handler: Callable[[Context, _M], Coroutine[Any, Any, _R]], /
    ) -> Callable[[Context, _M], Coroutine[Any, Any, _R]]: ...
    @overload
    def __call__(
        self, handler: Callable[[_M], Coroutine[Any, Any, _R]], /
    ) -> Callable[[_M], Coroutine[Any, Any, _R]]: ...
    @overload
    def __call__(
        self, handler: Callable[[Context, _M], _R], /
    ) -> Callable[[Context, _M], _R]: ...
    @overload
    def __call__(self, handler: Callable[[_M], _R], /) -> Callable[[_M], _R]: ...

# Of a method, whose first parameter is its object; a static one has none.
@type_check_only
class _MethodDecorator(Protocol[_M, _R]):
    @overload
    def __call__(
        self, method: Callable[[_S, Context, _M], Coroutine[Any, Any, _R]], /
    ) -> Callable[[_S, Context, _M], Coroutine[Any, Any, _R]]: ...
    @overload
    def __call__(
        self, method: Callable[[_S, _M], Coroutine[Any, Any, _R]], /
    ) -> Callable[[_S, _M], Coroutine[Any, Any, _R]]: ...
    @overload
    def __call__(
        self, method: Callable[[_S, Context, _M], _R], /
    ) -> Callable[[_S, Context, _M], _R]: ...
    @overload
    def __call__(
        self, method: Callable[[_S, _M], _R], /
    ) -> Callable[[_S, _M], _R]: ...
    @overload
    def __call__(
        self, method: Callable[[_M], Coroutine[Any, Any, _R]], /
    ) -> staticmethod[[_M], Coroutine[Any, Any, _R]]: ...
    @overload
    def __call__(
        self, method: Callable[[_M], _R], /
    ) -> staticmethod[[_M], _R]: ...
    @overload
    def __call__(
        self, method: classmethod[_S, _P, _R], /
    ) -> classmethod[_S, _P, _R]: ...

@type_check_only
class _Options(TypedDict, total=False):
    middleware: Iterable[AnyMiddleware]
    is_async: bool | None
    with_context: bool | None
    offload: bool | None

MOST_PAYLOAD_BYTES: int

@disjoint_base
class Registrar(Router):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def kind(self) -> str: ...
    # Registration
    @overload
    def register_handler(
        self: _IsCommandBus,
        message: _CommandClass[_M, _R],
        handler: _HandlerOf[_M, _R],
        *,
        middleware: Iterable[AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> None: ...
    @overload
    def register_handler(
        self: _IsQueryBus,
        message: _QueryClass[_M, _R],
        handler: _HandlerOf[_M, _R],
        *,
        middleware: Iterable[AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> None: ...
    @overload
    def register_handler(
        self,
        message: type[_Other],
        handler: Handler[Any],
        *,
        middleware: Iterable[AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> None: ...
    @overload
    def register_handler(
        self,
        message: str,
        handler: Handler[Any],
        *,
        middleware: Iterable[AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> None: ...
    @overload
    def handler(
        self: _IsCommandBus,
        message: _CommandClass[_M, _R],
        /,
        *,
        middleware: Iterable[AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> _Decorator[_M, _R]: ...
    @overload
    def handler(
        self: _IsQueryBus,
        message: _QueryClass[_M, _R],
        /,
        *,
        middleware: Iterable[AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> _Decorator[_M, _R]: ...
    @overload
    def handler(
        self,
        message: type[_Other] | str | None = None,
        /,
        *,
        middleware: Iterable[AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
    ) -> Callable[[_F], _F]: ...
    @overload
    def handler(
        self,
        message: _F,
        /,
        *,
        middleware: Iterable[AnyMiddleware] = (),
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
    def middleware(self) -> tuple[AnyMiddleware, ...]: ...
    def add_middleware(
        self, middleware: AnyMiddleware, index: int | None = None
    ) -> None: ...
    def remove_middleware(self, middleware: AnyMiddleware) -> None: ...

@final
class Registry:
    def __init__(self, capacity: int) -> None: ...
