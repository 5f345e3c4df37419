from typing import final

from typing_extensions import disjoint_base

@disjoint_base
class Ticket: ...

@disjoint_base
class Line:
    @property
    def length(self) -> int: ...

@final
class PermitLine(Line): ...
