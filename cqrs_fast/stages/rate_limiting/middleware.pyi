from collections.abc import Callable, Hashable
from typing import Any, Literal, final

from cqrs_fast.context import Context
from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stats import RateLimitStats

MOST_WAITERS: int
NOT_GIVEN: object

@final
class RateLimitingMiddleware(Stage):
    def __init__(
        self,
        requests_per_window: int = 1000,
        window: float = 60.0,
        *,
        burst: int | None = None,
        key: Callable[[Context, Any], Hashable] | None = None,
        scope: Literal["bus", "principal"] = ...,
        max_keys: int = 10000,
        max_wait: float = 0.0,
        max_waiters: int = 1000,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def remaining_tokens(self, key: Hashable = None) -> int: ...
    def reset(self) -> None: ...
    def update(
        self,
        *,
        requests_per_window: int = ...,
        window: float = ...,
        burst: int | None = ...,
        scope: Literal["bus", "principal"] = ...,
        max_keys: int = ...,
        max_wait: float = ...,
        max_waiters: int = ...,
    ) -> None: ...
    def stats(self) -> RateLimitStats: ...
    def snapshot(self) -> RateLimitStats: ...

@final
class QueueingLimiter(Stage): ...
