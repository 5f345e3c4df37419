from typing import Any, final

@final
class CacheSettings:
    def __init__(self, ttl: float, **settings: Any) -> None: ...
    @property
    def given(self) -> dict[str, Any]: ...
