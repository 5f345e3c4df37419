from typing import Any, final

@final
class CacheSettings:
    def __init__(
        self,
        *,
        ttl: float,
        max_size: int,
        scope: Any,
        key: Any,
        condition: Any,
        tags: Any,
        ttl_jitter: float,
        negative_ttl: float,
        negative_on: Any,
        single_flight: bool,
        flight_wait_max: float,
        copy: Any,
        ttl_from: str,
    ) -> None: ...
    @property
    def given(self) -> dict[str, Any]: ...

def class_ttl(cls: type | None) -> int | None: ...
