from collections.abc import Callable
from typing import final

from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stats import AuditEvent

@final
class AuditMiddleware(Stage):
    def __init__(self, sink: Callable[[AuditEvent], object]) -> None: ...
