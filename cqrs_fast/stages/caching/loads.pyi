from typing import final

from cqrs_fast.waits.flight import Seat

@final
class Load(Seat): ...

@final
class Loads: ...
