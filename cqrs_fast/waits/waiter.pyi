from asyncio import Future
from typing import Any, final

TIMEOUT_MAX: float

@final
class Waiter:
    @property
    def woken(self) -> bool: ...
    def wake(self) -> bool: ...

def finish(future: Future[Any]) -> None: ...
