from typing import Self, final

from cqrs_fast.pipeline.stage import Stage

@final
class Metrics(Stage):
    def __new__(cls, sample: int = 1) -> Self: ...
