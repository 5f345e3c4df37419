from collections.abc import Callable
from typing import Any, final

from cqrs_fast.context import Context
from cqrs_fast.pipeline.stage import Stage

@final
class FallbackMiddleware(Stage):
    def __init__(
        self,
        fallback: Callable[[Context, Any, Any], Any],
        on: type[Exception] | tuple[type[Exception], ...] | None = None,
    ) -> None: ...
