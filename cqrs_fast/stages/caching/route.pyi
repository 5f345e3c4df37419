from typing import final

from cqrs_fast.pipeline.stage import Stage

@final
class CachedRoute(Stage):
    @property
    def owner(self) -> Stage: ...
