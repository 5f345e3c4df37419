from collections.abc import Callable
from typing import Any, final

from cqrs_fast.context import Context
from cqrs_fast.pipeline.stage import Stage

@final
class AuthenticationMiddleware(Stage):
    def __init__(self, authenticate: Callable[[Context, Any], Any]) -> None: ...
