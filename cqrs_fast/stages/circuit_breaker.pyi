from collections.abc import Callable
from typing import Any, Literal, final

from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.policies.circuit_state import CircuitEvent
from cqrs_fast.stats import CircuitSnapshot

@final
class CircuitBreakerMiddleware(Stage):
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
        per: Literal["handler", "bus"] = "handler",
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None: ...
    def get_state(self, name: str | None = None) -> str: ...
    def stats(self, name: str | None = None) -> CircuitSnapshot: ...
    def snapshot(self, name: str | None = None) -> CircuitSnapshot: ...
    def reset(self, name: str | None = None) -> None: ...
    def force_open(self, name: str | None = None) -> None: ...
    def disable(self, name: str | None = None) -> None: ...

@final
class BreakerStage(Stage): ...

@final
class Cover: ...
