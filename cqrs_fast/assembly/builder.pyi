from collections.abc import Iterable
from typing import Any, Final, final

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
    name: Final[str]
    message_class: Final[type | None]
    message_type: Final[Any]
    handler: Final[Any]
    middleware: Final[tuple[Any, ...]]
    with_context: Final[bool]
    is_async: Final[bool]
    offload: Final[bool]

def prepare_all(middleware: Iterable[Any]) -> tuple[Any, ...]: ...
def pass_on(context: Any, message: Any, next: Any) -> Any: ...
