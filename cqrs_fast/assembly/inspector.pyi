from typing import Any, TypeVar, final, overload

from cqrs_fast.assembly.builder import Handler as _Registered
from cqrs_fast.assembly.description import RouteInfo
from cqrs_fast.assembly.forms import Handler
from cqrs_fast.assembly.registry import (
    Registrar,
    _CommandClass,
    _HandlerOf,
    _IsCommandBus,
    _IsQueryBus,
    _Other,
    _QueryClass,
)

_M = TypeVar("_M")
_R = TypeVar("_R")

class Inspector(Registrar):
    def describe(self) -> list[RouteInfo]: ...
    @property
    def unknown_messages(self) -> tuple[str, ...]: ...
    def explain(
        self, message: type | str | None = None, *, verbose: bool = False
    ) -> str: ...
    @overload
    def override(
        self: _IsCommandBus, message: _CommandClass[_M, _R], handler: _HandlerOf[_M, _R]
    ) -> Override: ...
    @overload
    def override(
        self: _IsQueryBus, message: _QueryClass[_M, _R], handler: _HandlerOf[_M, _R]
    ) -> Override: ...
    @overload
    def override(self, message: type[_Other], handler: Handler[Any]) -> Override: ...
    @overload
    def override(self, message: str, handler: Handler[Any]) -> Override: ...

@final
class Override:
    def __enter__(self) -> None: ...
    def __exit__(self, *raised: object) -> None: ...
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *raised: object) -> None: ...

def registrations(bus: Inspector) -> list[_Registered]: ...
def has_metrics(bus: Inspector) -> bool: ...
