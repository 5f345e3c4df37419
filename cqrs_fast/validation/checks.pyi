"""The nodes of a compiled check; their `check` methods are for Cython only."""

from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Node:
    label: str
    cls: Any
    def __init__(self, label: str) -> None: ...
