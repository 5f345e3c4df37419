import datetime
from typing import Any, final

from typing_extensions import disjoint_base

from cqrs_fast.validation.checks import Node

DATETIME: type[datetime.datetime]
DATE: type[datetime.date]
TIME: type[datetime.time]
TIMEDELTA: type[datetime.timedelta]

@disjoint_base
class NumberNode(Node):
    ge: Any
    gt: Any
    le: Any
    lt: Any
    multiple_of: Any
    def __init__(
        self, ge: Any = None, gt: Any = None, le: Any = None, lt: Any = None,
        multiple_of: Any = None,
    ) -> None: ...

@final
class IntNode(NumberNode): ...

@final
class FloatNode(NumberNode): ...

@final
class NoneNode(Node):
    def __init__(self) -> None: ...

@final
class InstanceNode(Node):
    def __init__(self, cls: type) -> None: ...

@final
class StrNode(Node):
    def __init__(
        self, min_length: int | None = None, max_length: int | None = None,
        pattern: str | None = None,
    ) -> None: ...

@final
class BytesNode(Node):
    def __init__(
        self, cls: type, min_length: int | None = None, max_length: int | None = None
    ) -> None: ...

@final
class MomentNode(Node):
    def __init__(self, cls: type, aware: bool) -> None: ...

@final
class LiteralNode(Node):
    def __init__(self, values: tuple[Any, ...]) -> None: ...
