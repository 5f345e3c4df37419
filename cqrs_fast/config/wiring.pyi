from typing import Any, final

from cqrs_fast.assembly.builder import Handler
from cqrs_fast.pipeline.stage import Stage

CACHING: str

@final
class Wiring:
    def fitted(
        self, handler: Handler, middleware: tuple[Any, ...], elements: tuple[Any, ...]
    ) -> tuple[Any, ...]: ...
    def unknown(self, handlers: dict[str, Handler]) -> tuple[str, ...]: ...
    def stages_beside(
        self, handlers: dict[str, Handler], middleware: tuple[Any, ...]
    ) -> list[Stage]: ...
