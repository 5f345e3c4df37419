from typing import final

from cqrs_fast.errors import RejectedError

@final
class Rejection:
    def __init__(self, cls: type[RejectedError], *extras: str) -> None: ...
