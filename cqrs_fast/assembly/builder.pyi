from collections.abc import Iterable
from typing import Any, final

@final
class Around: ...

@final
class Handler:
    def __init__(
        self,
        name: str,
        message_type: Any,
        handler: Any,
        middleware: Iterable[Any] = (),
        *,
        is_async: bool | None = None,
        with_context: bool | None = None,
        offload: bool | None = None,
        offloads: bool = False,
    ) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def message_class(self) -> type | None: ...
    @property
    def message_type(self) -> Any: ...
    @property
    def handler(self) -> Any: ...
    @property
    def middleware(self) -> tuple[Any, ...]: ...
    @property
    def is_async(self) -> bool: ...
    @property
    def offload(self) -> bool: ...

def prepare_all(middleware: Iterable[Any]) -> tuple[Any, ...]: ...
def pass_on(context: Any, message: Any, next: Any) -> Any: ...
