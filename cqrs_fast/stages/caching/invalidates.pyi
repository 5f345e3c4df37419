from typing import final

from cqrs_fast.pipeline.stage import Stage

@final
class Invalidates(Stage): ...

def stage_for(cls: type) -> Stage: ...
