"""Nodes that check a payload that was decoded without types."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, final

from cqrs_fast.validation.checks import Node
from cqrs_fast.validation.containers import TupleNode
from cqrs_fast.validation.record_nodes import Field, RecordNode

UNCONVERTIBLE: tuple[type[Exception], ...]

_N = TypeVar("_N", bound=Node)

def errors_of(node: Node, value: object, limit: int) -> list[tuple[str, str, str]]: ...
def labelled(node: _N, label: str) -> _N: ...

@final
class ObjectNode(Node):
    tag_field: str | None
    tag: str | int | None
    def __init__(
        self, label: str, tag_field: str | None = None, tag: str | int | None = None
    ) -> None: ...
    def fill(self, fields: Iterable[Field], known: frozenset[str] | None) -> None: ...

@final
class ArrayOfPartsNode(Node):
    tag: str | int | None
    def __init__(self, label: str, tag: str | int | None = None) -> None: ...
    def fill(self, parts: RecordNode | TupleNode, most: int = -1) -> None: ...

@final
class TextNode(Node):
    def __init__(
        self, label: str, convert: Callable[[Any], Any], wire_types: Iterable[type],
        value: Node | None, expected: str,
    ) -> None: ...

@final
class ChoiceNode(Node):
    def __init__(self, nodes: Iterable[Node]) -> None: ...

@final
class RangeNode(Node):
    def __init__(self, label: str, value: Node | None, is_float: bool) -> None: ...

@final
class UndecodableNode(Node):
    def __init__(self, label: str, text: str) -> None: ...
