from typing import Any, final

from typing_extensions import disjoint_base

from cqrs_fast.validation.checks import Node

@disjoint_base
class NumberNode(Node):
    ge: Any
    gt: Any
    le: Any
    lt: Any
    multiple_of: Any

@final
class IntNode(NumberNode):
    def __init__(
        self,
        ge: Any = None,
        gt: Any = None,
        le: Any = None,
        lt: Any = None,
        multiple_of: Any = None,
    ) -> None: ...

@final
class FloatNode(NumberNode):
    def __init__(
        self,
        ge: Any = None,
        gt: Any = None,
        le: Any = None,
        lt: Any = None,
        multiple_of: Any = None,
    ) -> None: ...
