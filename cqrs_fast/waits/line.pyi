from typing_extensions import disjoint_base

@disjoint_base
class Ticket: ...

@disjoint_base
class Line:
    @property
    def length(self) -> int: ...
