from asyncio import Future
from typing import Any, final

TIMEOUT_MAX: float

@final
class Waiter:
    @property
    def woken(self) -> bool: ...
    @property
    def label(self) -> str | None: ...
    def wake(self) -> bool: ...

def finish(future: Future[Any]) -> None: ...
