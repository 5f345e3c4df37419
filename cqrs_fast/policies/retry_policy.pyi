from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar, final, overload

from cqrs_fast.stats import RetryStats

_P = ParamSpec("_P")
_R = TypeVar("_R")

_Classes: TypeAlias = type[Exception] | tuple[type[Exception], ...]

@final
class RetryState: ...

@final
class RetryPolicy:
    def __init__(
        self,
        max_attempts: int = 3,
        base_delay: float = 0.1,
        *,
        max_delay: float = 5.0,
        multiplier: float = 2.0,
        jitter: Literal["full", "equal", "none"] = "full",
        max_elapsed: float | None = None,
        retry_on: _Classes | None = None,
        never_on: _Classes = (),
        budget: int | None = None,
        budget_min_per_sec: int = 10,
        budget_ttl: float = 10.0,
        on_retry: Callable[[int, float, type[Exception]], object] | None = None,
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def update(
        self,
        *,
        max_attempts: int = ...,
        base_delay: float = ...,
        max_delay: float = ...,
        multiplier: float = ...,
        jitter: Literal["full", "equal", "none"] = ...,
        max_elapsed: float | None = ...,
        retry_on: _Classes = ...,
        never_on: _Classes = ...,
        budget: int | None = ...,
        budget_min_per_sec: int = ...,
        budget_ttl: float = ...,
        on_retry: Callable[[int, float, type[Exception]], object] | None = ...,
    ) -> None: ...
    def settings(self) -> dict[str, Any]: ...
    def stats(self) -> RetryStats: ...
    def snapshot(self) -> RetryStats: ...
    def call(
        self, function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R: ...
    @overload
    def call_async(
        self,
        function: Callable[_P, Awaitable[_R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Coroutine[Any, Any, _R]: ...
    @overload
    def call_async(
        self, function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Coroutine[Any, Any, _R]: ...
