from collections.abc import Callable
from typing import Any, Literal, TypeAlias, final

from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stats import RetryStats

_Classes: TypeAlias = type[Exception] | tuple[type[Exception], ...]

@final
class RetryMiddleware(Stage):
    def __init__(
        self,
        max_attempts: int = 3,
        base_delay: float = 0.1,
        *,
        retry_commands: bool = False,
        max_delay: float = 5.0,
        multiplier: float = 2.0,
        jitter: Literal["full", "equal", "none"] = "full",
        max_elapsed: float | None = None,
        retry_on: _Classes | None = None,
        never_on: _Classes = (),
        budget: int | None = None,
        budget_min_per_sec: int = 10,
        budget_ttl: float = 10.0,
        on_retry: Callable[[int, float, type[Exception]], object] | None = None,
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def update(
        self,
        *,
        max_attempts: int = ...,
        base_delay: float = ...,
        retry_commands: bool = ...,
        max_delay: float = ...,
        multiplier: float = ...,
        jitter: Literal["full", "equal", "none"] = ...,
        max_elapsed: float | None = ...,
        retry_on: _Classes | None = ...,
        never_on: _Classes = ...,
        budget: int | None = ...,
        budget_min_per_sec: int = ...,
        budget_ttl: float = ...,
        on_retry: Callable[[int, float, type[Exception]], object] | None = ...,
    ) -> None: ...
    def stats(self) -> RetryStats: ...
    def snapshot(self) -> RetryStats: ...

def quiet_retry(**settings: Any) -> RetryMiddleware: ...
