"""Compile the annotations of a message class into one check."""

from collections.abc import Callable
from typing import Any, NoReturn, final

def compile_check(message: Any) -> MessageCheck | None: ...
def own_validator(cls: type) -> Callable[[Any], None] | None: ...

@final
class MessageCheck:
    cls: type
    def __init__(self) -> NoReturn: ...
    def errors_of(
        self, message: object, max_errors: int = 32
    ) -> list[tuple[str, str, str]]: ...
