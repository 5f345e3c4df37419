from collections.abc import Callable
from typing import Any, Literal, final

from cqrs_fast.pipeline.stage import Revision, Stage
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
    def settings(self) -> dict[str, Any]: ...
    def stats(self) -> TimeoutStats: ...

@final
class NewTimeout(Revision): ...
