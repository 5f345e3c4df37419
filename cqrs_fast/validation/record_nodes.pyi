from collections.abc import Iterable
from typing import Any, final

from cqrs_fast.validation.checks import Node

@final
class Field:
    name: str
    wire_name: str | None
    position: int
    node: Node | None
    required: bool
    may_be_unset: bool
    def __init__(
        self, name: str, wire_name: str | int, node: Node | None, required: bool,
        may_be_unset: bool,
    ) -> None: ...
    def read_from_slot(self, descriptor: Any) -> None: ...
    def read_from_tuple(self, index: int) -> None: ...
    def read_from_dict(self) -> None: ...

@final
class RecordNode(Node):
    cls: type
    fields: tuple[Field, ...]
    def __init__(self, cls: type, label: str) -> None: ...
    def fill(self, fields: Iterable[Field]) -> None: ...
