from typing import Any, final

from cqrs_fast.context import Context

@final
class Next:
    def next(self, context: Context, message: Any) -> Any: ...
