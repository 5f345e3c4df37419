from typing import final

@final
class Timeout:
    def wake(self) -> bool: ...
    def expire_in(self, round: int) -> None: ...

@final
class Timers:
    def fire(self) -> None: ...
