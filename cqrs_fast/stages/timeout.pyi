from collections.abc import Callable
from typing import Literal, final

from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stats import TimeoutStats

@final
class LateCount: ...

@final
class TimeoutMiddleware(Stage):
    def __init__(
        self,
        seconds: float | None,
        *,
        on_late: Literal["return", "raise"] = "return",
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def update(
        self,
        *,
        seconds: float | None = ...,
        on_late: Literal["return", "raise"] = ...,
    ) -> None: ...
    def stats(self) -> TimeoutStats: ...
