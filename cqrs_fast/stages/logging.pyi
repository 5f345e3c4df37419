from logging import Logger
from typing import final

from cqrs_fast.pipeline.stage import Stage

@final
class LoggingMiddleware(Stage):
    def __init__(
        self,
        prefix: str = "",
        *,
        logger: Logger | str | None = None,
        level: int = 20,
        slow_threshold: float | None = None,
        sample: int = 1,
    ) -> None: ...
