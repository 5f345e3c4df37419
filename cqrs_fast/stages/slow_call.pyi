from logging import Logger
from typing import final

from cqrs_fast.pipeline.stage import Stage

@final
class SlowCallMiddleware(Stage):
    def __init__(
        self,
        threshold: float,
        *,
        logger: Logger | str | None = None,
        level: int = 30,
    ) -> None: ...
