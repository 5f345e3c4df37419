from typing import final

@final
class QueryCache:
    def __len__(self) -> int: ...
