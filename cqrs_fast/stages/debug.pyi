from logging import Logger
from typing import final

from cqrs_fast.pipeline.stage import Stage

@final
class DebugMiddleware(Stage):
    def __init__(self, logger: Logger | str | None = None, level: int = 10) -> None: ...
