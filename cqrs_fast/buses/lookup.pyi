from typing_extensions import disjoint_base

from cqrs_fast.assembly.registry import Registrar

UNKNOWN: str

@disjoint_base
class RouteFinder(Registrar):
    @property
    def latency_sample(self) -> int: ...
