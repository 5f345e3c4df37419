"""Nodes with parts; a node that is None checks nothing."""

from collections.abc import Iterable
from typing import Any, final

from cqrs_fast.validation.checks import Node

@final
class UnionNode(Node):
    nodes: tuple[Node, ...]
    def __init__(self, nodes: Iterable[Node]) -> None: ...

@final
class LinkNode(Node):
    target: Node | None
    def __init__(self, label: str) -> None: ...
    def lead_to(self, target: Node | None) -> None: ...

@final
class ArrayNode(Node):
    item: Node | None
    def __init__(
        self,
        cls: type,
        item: Node | None,
        min_length: int | None = None,
        max_length: int | None = None,
    ) -> None: ...

@final
class TupleNode(Node):
    items: tuple[Node | None, ...]
    def __init__(self, items: Iterable[Node | None]) -> None: ...

@final
class MappingNode(Node):
    key: Node | None
    value: Node | None
    def __init__(
        self,
        cls: type,
        key: Node | None,
        value: Node | None,
        min_length: int | None = None,
        max_length: int | None = None,
    ) -> None: ...

@final
class Field:
    name: str
    wire_name: str | None
    position: int
    node: Node | None
    required: bool
    may_be_unset: bool
    def __init__(
        self,
        name: str,
        wire_name: str | int,
        node: Node | None,
        required: bool,
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
