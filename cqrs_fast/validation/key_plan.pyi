from typing import final

@final
class KeyPlan:
    @property
    def cacheable(self) -> bool: ...
