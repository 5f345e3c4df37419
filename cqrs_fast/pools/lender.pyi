from typing import final

from typing_extensions import disjoint_base

MOST_WAITING: int

@disjoint_base
class Lender: ...

@final
class Wait:
    async def rest(self) -> None: ...
