from typing import final

@final
class Place: ...

@final
class WaitQueue:
    @property
    def length(self) -> int: ...
