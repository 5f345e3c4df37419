from collections.abc import Callable, Hashable
from typing import Any, final

MOST_TOKENS: int
MOST_KEYS: int

@final
class TokenBucket:
    def __init__(
        self,
        requests_per_window: int = 1000,
        window: float = 60.0,
        *,
        burst: int | None = None,
        max_keys: int = 10000,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def try_acquire(self, n: int = 1, key: Hashable = None) -> bool: ...
    def remaining_tokens(self, key: Hashable = None) -> int: ...
    def retry_after(self, n: int = 1, key: Hashable = None) -> float: ...
    def reset(self) -> None: ...
    def update(
        self,
        *,
        requests_per_window: int = ...,
        window: float = ...,
        burst: int | None = ...,
        max_keys: int = ...,
    ) -> None: ...
    def settings(self) -> dict[str, Any]: ...
    @property
    def requests_per_window(self) -> int: ...
    @property
    def window(self) -> float: ...
    @property
    def burst(self) -> int: ...
    @property
    def keys(self) -> int: ...
    @property
    def overflowed(self) -> int: ...
