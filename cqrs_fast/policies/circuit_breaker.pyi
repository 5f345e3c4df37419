from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, final

from cqrs_fast.base.clock import Clock
from cqrs_fast.policies.circuit_state import STATES as STATES
from cqrs_fast.policies.circuit_state import CircuitEvent
from cqrs_fast.stats import CircuitSnapshot

_P = ParamSpec("_P")
_T = TypeVar("_T")

@final
class BreakerPlan: ...

@final
class CircuitBreaker:
    def __init__(
        self,
        failure_threshold: int = 5,
        timeout: float = 30.0,
        *,
        half_open_max_calls: int = 1,
        success_threshold: int = 1,
        probe_timeout: float | None = None,
        timeout_multiplier: float = 1.0,
        max_timeout: float | None = None,
        timeout_jitter: float = 0.0,
        failure_on: type[Exception] | tuple[type[Exception], ...] | None = None,
        ignore: type[Exception] | tuple[type[Exception], ...] = (),
        is_failure: Callable[[Any, Exception | None], object] | None = None,
        on_event: Callable[[CircuitEvent], object] | None = None,
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def call(
        self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T: ...
    async def call_async(
        self, fn: Callable[_P, Awaitable[_T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T: ...
    @property
    def clock(self) -> Clock | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    def get_state(self) -> str: ...
    def stats(self) -> CircuitSnapshot: ...
    def snapshot(self) -> CircuitSnapshot: ...
    def reset(self) -> None: ...
    def force_open(self) -> None: ...
    def disable(self) -> None: ...
    def update(self, **settings: Any) -> None: ...
