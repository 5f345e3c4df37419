from typing import final

from cqrs_fast.pipeline.stage import Stage

@final
class ClassCheck: ...

@final
class ValidationMiddleware(Stage):
    def __init__(self, *, max_errors: int = 32) -> None: ...
