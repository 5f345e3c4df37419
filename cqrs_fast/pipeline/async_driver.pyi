from typing import Any, Self, final

from cqrs_fast.pipeline.coroutine import Coroutine

@final
class Dispatch(Coroutine):
    def __await__(self) -> Self: ...
    def __next__(self) -> Any: ...
