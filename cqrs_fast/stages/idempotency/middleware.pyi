from collections.abc import Callable, Iterable
from typing import Any, Literal, final

from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stats import IdempotencyStats

@final
class IdempotencyMiddleware(Stage):
    def __init__(
        self,
        key: Callable[[Any], object] | None = None,
        *,
        ttl: float = 3600.0,
        max_records: int = 100000,
        on_duplicate: Literal["wait", "raise"] = "wait",
        final_on: type[Exception] | Iterable[type[Exception]] = (),
        lease: float = 300.0,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def stats(self) -> IdempotencyStats: ...
    def __len__(self) -> int: ...
    def sweep(self) -> int: ...
