from collections.abc import Callable, Iterable
from typing import Any, Literal, final

from cqrs_fast.context import Context
from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stats import CacheStats

MOST_SEED: int

@final
class CachingMiddleware(Stage):
    def __init__(
        self,
        ttl: float = 600.0,
        *,
        max_size: int = 10000,
        scope: Literal["principal", "shared"] | Callable[[Context], object] = (
            "principal"
        ),
        key: Callable[[Any], object] | None = None,
        condition: Callable[[Any], object] | None = None,
        tags: Callable[[Any], Iterable[object]] | None = None,
        ttl_jitter: float = 0.0,
        negative_ttl: float = 0.0,
        negative_on: type[Exception] | Iterable[type[Exception]] = (),
        single_flight: bool = True,
        flight_wait_max: float = 30.0,
        copy: Literal["none", "shallow", "deep"] | Callable[[Any], Any] = "none",
        ttl_from: Literal["store", "start"] = "store",
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def set_ttl(self, cls: type, seconds: float | None) -> None: ...
    def stats(self) -> CacheStats: ...
    def __len__(self) -> int: ...
    def get(
        self, query: object, ctx: Context | None = None, default: Any = None
    ) -> Any: ...
    def invalidate(self, query: object, ctx: Context | None = None) -> int: ...
    def invalidate_type(self, cls: type) -> None: ...
    def invalidate_tags(self, *tags: object) -> None: ...
    def clear(self) -> int: ...
    def sweep(self) -> int: ...
