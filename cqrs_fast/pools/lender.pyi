from collections.abc import Generator
from typing import Any, Generic, TypeVar, final

from typing_extensions import disjoint_base

from cqrs_fast.waits.line import Ticket

_T = TypeVar("_T")

MOST_WAITING: int

@disjoint_base
class Lender: ...

@final
class Wait(Ticket):
    async def wait(self) -> None: ...

@disjoint_base
class BaseLease(Generic[_T]):
    def release(self) -> None: ...

@final
class Lease(BaseLease[_T]):
    def __enter__(self) -> _T: ...
    def __exit__(self, exc_type: object, exc: object, traceback: object) -> None: ...

@final
class LeaseAsync(BaseLease[_T]):
    async def __aenter__(self) -> _T: ...
    def __aexit__(
        self, exc_type: object, exc: object, traceback: object
    ) -> Nothing: ...

@final
class Nothing:
    def __await__(self) -> Generator[Any]: ...
