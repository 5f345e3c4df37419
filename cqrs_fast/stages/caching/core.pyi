from typing import Any, final

from cqrs_fast.stages.caching.settings import CacheSettings

@final
class StoredError: ...

@final
class CacheCore:
    def __init__(self, config: CacheSettings, seed: int, clock: Any) -> None: ...
