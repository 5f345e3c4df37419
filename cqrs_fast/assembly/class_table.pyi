from typing import final

@final
class ClassTable:
    def __init__(self, capacity: int = 0) -> None: ...
