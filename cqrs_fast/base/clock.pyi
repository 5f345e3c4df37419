from typing import final

from typing_extensions import disjoint_base

@disjoint_base
class Clock:
    def __call__(self) -> int: ...

@final
class CallableClock(Clock): ...

@final
class ManualClock(Clock):
    def __init__(
        self, start: float = 0.0, *, auto_advance: bool = False, patience: float = 5.0
    ) -> None: ...
    @property
    def auto_advance(self) -> bool: ...
    @property
    def waiting(self) -> int: ...
    def advance(self, seconds: float) -> None: ...
