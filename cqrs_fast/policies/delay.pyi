from asyncio import Future
from collections.abc import Callable
from typing import Any, final

@final
class Alarm:
    def wake(self) -> bool: ...

def finish(future: Future[Any]) -> None: ...
async def suspend(clock: Callable[[], int] | None, delay_ns: int) -> None: ...
