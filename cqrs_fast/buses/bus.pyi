from collections.abc import Callable, Coroutine, Iterable
from typing import (
    Any,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from typing_extensions import disjoint_base

from cqrs_fast.assembly.description import RouteInfo
from cqrs_fast.config.model import Config
from cqrs_fast.context import Context
from cqrs_fast.messages import Command, Query
from cqrs_fast.pipeline.gate import DrainReport
from cqrs_fast.pipeline.middleware import Middleware
from cqrs_fast.pipeline.route import Router
from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stats import BusStats

_M = TypeVar("_M")
_M_contra = TypeVar("_M_contra", contravariant=True)
_R = TypeVar("_R")
_F = TypeVar("_F", bound=Callable[..., Any])

_Payload: TypeAlias = bytes | bytearray | memoryview | str
_Next: TypeAlias = Callable[[Context, Any], Any]
_Around: TypeAlias = Callable[[Context, Any, _Next], Any]
_Factory: TypeAlias = Callable[[_Next], Callable[..., Any]]
_AnyMiddleware: TypeAlias = Middleware | Stage | _Around | _Factory

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

@type_check_only
class _BoundCommand(Protocol[_R]):
    def __call__(self, cmd: Command[_R], ctx: Context | None = None) -> _R: ...

@type_check_only
class _BoundQuery(Protocol[_R]):
    def __call__(self, cmd: Query[_R], ctx: Context | None = None) -> _R: ...

@type_check_only
class _BoundOther(Protocol):
    def __call__(self, cmd: Any, ctx: Context | None = None) -> Any: ...

UNKNOWN: str
MOST_PAYLOAD_BYTES: int
MOST_SAMPLE: int
MOST_ROUTES: int
MOST_PAYLOAD_LIMIT: int
MOST_TASKS: int

@disjoint_base
class Bus(Router):
    def __init__(
        self,
        *,
        middleware: Iterable[_AnyMiddleware] = (),
        enable_metrics: bool = False,
        latency_sample: int = 1,
        initial_capacity: int = 0,
        max_payload_bytes: int = ...,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    @classmethod
    def from_config(
        cls,
        config: Config,
        *,
        middleware: Iterable[_AnyMiddleware] = (),
        enable_metrics: bool = ...,
        initial_capacity: int = ...,
        max_payload_bytes: int = ...,
        clock: Callable[[], int] | None = None,
        **overrides: Any,
    ) -> Self: ...
    @property
    def kind(self) -> str: ...
    @property
    def latency_sample(self) -> int: ...
    @property
    def max_payload_bytes(self) -> int: ...
    # Registration
    @overload
    def register_handler(
        self,
        message: type[_M],
        handler: _Handler[_M],
        *,
        middleware: Iterable[_AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool = False,
    ) -> None: ...
    @overload
    def register_handler(
        self,
        message: str,
        handler: _Handler[Any],
        *,
        middleware: Iterable[_AnyMiddleware] = (),
        replace: bool = False,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool = False,
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
        offload: bool = False,
    ) -> _F: ...
    def register(self, composite: object, *, replace: bool = False) -> list[str]: ...
    def unregister_handler(self, message: type | str) -> None: ...
    def registered_names(self) -> list[str]: ...
    # Middleware
    @property
    def middleware(self) -> tuple[_AnyMiddleware, ...]: ...
    def add_middleware(
        self, middleware: _AnyMiddleware, index: int | None = None
    ) -> None: ...
    def remove_middleware(self, middleware: _AnyMiddleware) -> None: ...
    # Dispatch; the two buses say what comes back
    def execute(self, msg: Any, ctx: Context | None = None) -> Any: ...
    def execute_async(
        self, msg: Any, ctx: Context | None = None
    ) -> Coroutine[Any, Any, Any]: ...
    def execute_many(
        self,
        msgs: Iterable[Any],
        ctx: Context | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Any]: ...
    def execute_many_async(
        self,
        msgs: Iterable[Any],
        ctx: Context | None = None,
        *,
        return_exceptions: bool = False,
        concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[Any]]: ...
    def bind(self, message: type[object]) -> _BoundOther: ...
    # Payloads
    def execute_json(self, payload: _Payload, ctx: Context | None = None) -> bytes: ...
    def execute_msgpack(
        self, payload: _Payload, ctx: Context | None = None
    ) -> bytes: ...
    def execute_json_async(
        self, payload: _Payload, ctx: Context | None = None
    ) -> Coroutine[Any, Any, bytes]: ...
    def execute_msgpack_async(
        self, payload: _Payload, ctx: Context | None = None
    ) -> Coroutine[Any, Any, bytes]: ...
    # Looking
    def describe(self) -> list[RouteInfo]: ...
    def explain(self, message: type | str) -> str: ...
    def stats(self) -> BusStats: ...
    # Closing
    def close(self, timeout: float | None = 30.0) -> DrainReport: ...
    def close_async(
        self, timeout: float | None = 30.0
    ) -> Coroutine[Any, Any, DrainReport]: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *raised: object) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *raised: object) -> None: ...

class CommandBus(Bus):
    @overload
    def execute(self, msg: Command[_R], ctx: Context | None = None) -> _R: ...
    @overload
    def execute(self, msg: object, ctx: Context | None = None) -> Any: ...
    @overload
    def execute_async(
        self, msg: Command[_R], ctx: Context | None = None
    ) -> Coroutine[Any, Any, _R]: ...
    @overload
    def execute_async(
        self, msg: object, ctx: Context | None = None
    ) -> Coroutine[Any, Any, Any]: ...
    @overload
    def execute_many(
        self,
        msgs: Iterable[Command[_R]],
        ctx: Context | None = None,
        *,
        return_exceptions: Literal[False] = False,
    ) -> list[_R]: ...
    @overload
    def execute_many(
        self,
        msgs: Iterable[Command[_R]],
        ctx: Context | None = None,
        *,
        return_exceptions: bool,
    ) -> list[_R | Exception]: ...
    @overload
    def execute_many(
        self,
        msgs: Iterable[object],
        ctx: Context | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Any]: ...
    @overload
    def execute_many_async(
        self,
        msgs: Iterable[Command[_R]],
        ctx: Context | None = None,
        *,
        return_exceptions: Literal[False] = False,
        concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[_R]]: ...
    @overload
    def execute_many_async(
        self,
        msgs: Iterable[Command[_R]],
        ctx: Context | None = None,
        *,
        return_exceptions: bool,
        concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[_R | Exception]]: ...
    @overload
    def execute_many_async(
        self,
        msgs: Iterable[object],
        ctx: Context | None = None,
        *,
        return_exceptions: bool = False,
        concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[Any]]: ...
    @overload
    def bind(self, message: type[Command[_R]]) -> _BoundCommand[_R]: ...
    @overload
    def bind(self, message: type[object]) -> _BoundOther: ...
    def registered_commands(self) -> list[str]: ...

class QueryBus(Bus):
    @overload
    def execute(self, msg: Query[_R], ctx: Context | None = None) -> _R: ...
    @overload
    def execute(self, msg: object, ctx: Context | None = None) -> Any: ...
    @overload
    def execute_async(
        self, msg: Query[_R], ctx: Context | None = None
    ) -> Coroutine[Any, Any, _R]: ...
    @overload
    def execute_async(
        self, msg: object, ctx: Context | None = None
    ) -> Coroutine[Any, Any, Any]: ...
    @overload
    def execute_many(
        self,
        msgs: Iterable[Query[_R]],
        ctx: Context | None = None,
        *,
        return_exceptions: Literal[False] = False,
    ) -> list[_R]: ...
    @overload
    def execute_many(
        self,
        msgs: Iterable[Query[_R]],
        ctx: Context | None = None,
        *,
        return_exceptions: bool,
    ) -> list[_R | Exception]: ...
    @overload
    def execute_many(
        self,
        msgs: Iterable[object],
        ctx: Context | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Any]: ...
    @overload
    def execute_many_async(
        self,
        msgs: Iterable[Query[_R]],
        ctx: Context | None = None,
        *,
        return_exceptions: Literal[False] = False,
        concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[_R]]: ...
    @overload
    def execute_many_async(
        self,
        msgs: Iterable[Query[_R]],
        ctx: Context | None = None,
        *,
        return_exceptions: bool,
        concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[_R | Exception]]: ...
    @overload
    def execute_many_async(
        self,
        msgs: Iterable[object],
        ctx: Context | None = None,
        *,
        return_exceptions: bool = False,
        concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[Any]]: ...
    @overload
    def bind(self, message: type[Query[_R]]) -> _BoundQuery[_R]: ...
    @overload
    def bind(self, message: type[object]) -> _BoundOther: ...
    def registered_queries(self) -> list[str]: ...

@final
class Registry:
    def __init__(self, capacity: int) -> None: ...

@final
class Bound:
    def execute(self, cmd: Any, ctx: Context | None = None) -> Any: ...

def annotated_message(function: Any) -> Any: ...
def refuse_class(cls: type) -> None: ...
def execute_payload_async(
    bus: Bus, is_json: bool, payload: _Payload, ctx: Context | None
) -> Coroutine[Any, Any, bytes]: ...
