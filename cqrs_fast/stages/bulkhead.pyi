from collections.abc import Callable
from typing import final

from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stats import BulkheadStats

MOST_PERMITS: int
MOST_QUEUED: int

@final
class BulkheadMiddleware(Stage):
    def __init__(
        self,
        max_concurrent: int,
        *,
        max_queue: int = 0,
        max_wait: float = 0.0,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def update(
        self,
        *,
        max_concurrent: int = ...,
        max_queue: int = ...,
        max_wait: float = ...,
    ) -> None: ...
    def stats(self) -> BulkheadStats: ...
    def snapshot(self) -> BulkheadStats: ...

@final
class QueueingBulkhead(Stage): ...
