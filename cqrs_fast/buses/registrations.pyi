from collections.abc import Iterable
from typing import Any, NamedTuple

from cqrs_fast.buses.bus import CommandBus, QueryBus

class Registration(NamedTuple):
    name: str
    message_class: type | None
    handler: Any
    middleware: tuple[Any, ...]
    is_async: bool
    with_context: bool
    offload: bool

def registrations(bus: CommandBus | QueryBus) -> list[Registration]: ...
def has_metrics(bus: CommandBus | QueryBus) -> bool: ...
def similar_bus(
    bus: CommandBus | QueryBus, middleware: Iterable[Any], enable_metrics: bool
) -> CommandBus | QueryBus: ...
