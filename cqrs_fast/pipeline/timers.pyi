from asyncio import Task
from typing import Any, final

@final
class Timeout:
    def wake(self) -> bool: ...
    def expire_of(self, task: Task[Any]) -> None: ...

@final
class Timers:
    def fire(self) -> None: ...
