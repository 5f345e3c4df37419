"""The nodes of a compiled check; their `check` methods are for Cython only."""

from typing import final

from typing_extensions import disjoint_base

@disjoint_base
class Node:
    label: str
    def __init__(self, label: str) -> None: ...

@final
class NoneNode(Node):
    def __init__(self) -> None: ...
