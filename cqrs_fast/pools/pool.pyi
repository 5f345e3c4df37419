from collections.abc import Callable
from types import GenericAlias, TracebackType
from typing import Generic, TypeVar, final

from cqrs_fast.context import Context
from cqrs_fast.pools.lender import Lease, LeaseAsync, Lender
from cqrs_fast.stats import PoolStats

_T = TypeVar("_T")

AWAIT_BEFORE: str
NOT_AWAITED: str
MOST_OBJECTS: int

@final
class ObjectPool(Lender, Generic[_T]):
    def __init__(
        self,
        factory: Callable[[], _T],
        size: int,
        *,
        preallocate: bool = True,
        reset: Callable[[_T], object] | None = None,
        max_wait: float = 0.0,
        dispose: Callable[[_T], object] | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def __class_getitem__(cls, item: object, /) -> GenericAlias: ...
    def acquire(self, ctx: Context | None = None) -> _T: ...
    async def acquire_async(self, ctx: Context | None = None) -> _T: ...
    def release(self, obj: _T) -> None: ...
    def lease(self, ctx: Context | None = None) -> Lease[_T]: ...
    def lease_async(self, ctx: Context | None = None) -> LeaseAsync[_T]: ...
    def stats(self) -> PoolStats: ...
    def close(self) -> None: ...
    def __enter__(self) -> ObjectPool[_T]: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def __del__(self) -> None: ...
