from collections.abc import Callable, Generator
from typing import Any, final

from cqrs_fast.context import Context
from cqrs_fast.pipeline.stage import Stage

@final
class GeneratorStage(Stage):
    def __init__(
        self, function: Callable[[Context, Any], Generator[Any, Any, Any]]
    ) -> None: ...

@final
class GivenContext: ...
