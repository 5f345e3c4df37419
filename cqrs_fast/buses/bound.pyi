from typing import Any, final

from cqrs_fast.context import Context

@final
class Bound:
    def execute(self, cmd: Any, ctx: Context | None = None) -> Any: ...
