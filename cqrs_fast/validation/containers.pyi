"""Nodes with parts; a node that is None checks nothing."""

from collections.abc import Iterable
from typing import final

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
        self, cls: type, item: Node | None, min_length: int | None = None,
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
        self, cls: type, key: Node | None, value: Node | None,
        min_length: int | None = None, max_length: int | None = None,
    ) -> None: ...
