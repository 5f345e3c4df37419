from collections.abc import Iterable
from typing import Any, TypeVar, final

from cqrs_fast.buses.bus import Bus
from cqrs_fast.config.model import Config
from cqrs_fast.stages.catalog import Row

_B = TypeVar("_B", bound=Bus)

MIDDLEWARE: str
INNER: dict[str, Row]
MOST_PAYLOAD_BYTES: int
OUTER: dict[str, Row]
SEED: str

@final
class Follower: ...

@final
class Plan: ...

def bus_of(cls: type[_B], config: Config, overrides: dict[str, Any]) -> _B: ...
def apply_config(config: Config, buses: Iterable[Bus]) -> list[str]: ...
