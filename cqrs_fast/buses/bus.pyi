from collections.abc import Callable, Coroutine, Iterable
from typing import (
    Any,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    overload,
    type_check_only,
)

from typing_extensions import disjoint_base

from cqrs_fast.assembly.forms import AnyMiddleware
from cqrs_fast.assembly.registry import MOST_PAYLOAD_BYTES as MOST_PAYLOAD_BYTES
from cqrs_fast.assembly.registry import _IsCommandBus, _IsQueryBus, _Other
from cqrs_fast.buses.payload_bus import PayloadBus
from cqrs_fast.config.model import Config
from cqrs_fast.context import Context
from cqrs_fast.messages import Command, Query
from cqrs_fast.pipeline.gate import DrainReport
from cqrs_fast.stages.caching.invalidation import CacheView
from cqrs_fast.stats import BusStats

_R = TypeVar("_R")

# A message that says what its result is.
_Typed: TypeAlias = Command[_R] | Query[_R]

@type_check_only
class _Bound(Protocol[_R]):
    def __call__(self, cmd: _Typed[_R], ctx: Context | None = None) -> _R: ...

@type_check_only
class _BoundOther(Protocol):
    def __call__(self, cmd: Any, ctx: Context | None = None) -> Any: ...

MOST_SAMPLE: int
MOST_ROUTES: int
MOST_PAYLOAD_LIMIT: int
MOST_TASKS: int

@disjoint_base
class Bus(PayloadBus):
    def __init__(
        self,
        *,
        middleware: Iterable[AnyMiddleware] = (),
        enable_metrics: bool = False,
        latency_sample: int = 1,
        initial_capacity: int = 0,
        max_payload_bytes: int = ...,
        clock: Callable[[], int] | None = None,
        domain_errors: type[Exception] | tuple[type[Exception], ...] = (),
        offload: bool = False,
        loop_block_threshold: float | None = 0.1,
    ) -> None: ...
    @classmethod
    def from_config(
        cls,
        config: Config,
        *,
        middleware: Iterable[AnyMiddleware] = (),
        enable_metrics: bool = ...,
        initial_capacity: int = ...,
        max_payload_bytes: int = ...,
        clock: Callable[[], int] | None = None,
        domain_errors: type[Exception] | tuple[type[Exception], ...] = (),
        offload: bool = ...,
        loop_block_threshold: float | None = ...,
        **overrides: Any,
    ) -> Self: ...
    # Dispatch
    @overload
    def execute(
        self: _IsCommandBus, msg: Command[_R], ctx: Context | None = None
    ) -> _R: ...
    @overload
    def execute(
        self: _IsQueryBus, msg: Query[_R], ctx: Context | None = None
    ) -> _R: ...
    @overload
    def execute(self, msg: _Other, ctx: Context | None = None) -> Any: ...
    @overload
    def execute_async(
        self: _IsCommandBus, msg: Command[_R], ctx: Context | None = None
    ) -> Coroutine[Any, Any, _R]: ...
    @overload
    def execute_async(
        self: _IsQueryBus, msg: Query[_R], ctx: Context | None = None
    ) -> Coroutine[Any, Any, _R]: ...
    @overload
    def execute_async(
        self, msg: _Other, ctx: Context | None = None
    ) -> Coroutine[Any, Any, Any]: ...
    @overload
    def execute_many(
        self: _IsCommandBus, msgs: Iterable[Command[_R]], ctx: Context | None = None, *,
        return_exceptions: Literal[False] = False,
    ) -> list[_R]: ...
    @overload
    def execute_many(
        self: _IsCommandBus, msgs: Iterable[Command[_R]], ctx: Context | None = None, *,
        return_exceptions: bool,
    ) -> list[_R | Exception]: ...
    @overload
    def execute_many(
        self: _IsQueryBus, msgs: Iterable[Query[_R]], ctx: Context | None = None, *,
        return_exceptions: Literal[False] = False,
    ) -> list[_R]: ...
    @overload
    def execute_many(
        self: _IsQueryBus, msgs: Iterable[Query[_R]], ctx: Context | None = None, *,
        return_exceptions: bool,
    ) -> list[_R | Exception]: ...
    @overload
    def execute_many(
        self, msgs: Iterable[_Other], ctx: Context | None = None, *,
        return_exceptions: bool = False,
    ) -> list[Any]: ...
    @overload
    def execute_many_async(
        self: _IsCommandBus, msgs: Iterable[Command[_R]], ctx: Context | None = None, *,
        return_exceptions: Literal[False] = False, concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[_R]]: ...
    @overload
    def execute_many_async(
        self: _IsCommandBus, msgs: Iterable[Command[_R]], ctx: Context | None = None, *,
        return_exceptions: bool, concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[_R | Exception]]: ...
    @overload
    def execute_many_async(
        self: _IsQueryBus, msgs: Iterable[Query[_R]], ctx: Context | None = None, *,
        return_exceptions: Literal[False] = False, concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[_R]]: ...
    @overload
    def execute_many_async(
        self: _IsQueryBus, msgs: Iterable[Query[_R]], ctx: Context | None = None, *,
        return_exceptions: bool, concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[_R | Exception]]: ...
    @overload
    def execute_many_async(
        self, msgs: Iterable[_Other], ctx: Context | None = None, *,
        return_exceptions: bool = False, concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[Any]]: ...
    @overload
    def bind(self: _IsCommandBus, message: type[Command[_R]]) -> _Bound[_R]: ...
    @overload
    def bind(self: _IsQueryBus, message: type[Query[_R]]) -> _Bound[_R]: ...
    @overload
    def bind(self, message: type[_Other]) -> _BoundOther: ...
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
    def registered_commands(self) -> list[str]: ...

@disjoint_base
class QueryBus(Bus):
    def registered_queries(self) -> list[str]: ...
    @property
    def cache(self) -> CacheView: ...

def similar_bus(
    bus: Bus, middleware: Iterable[Any], enable_metrics: bool
) -> CommandBus | QueryBus: ...
