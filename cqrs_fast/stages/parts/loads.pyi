from typing import final

from cqrs_fast.pipeline.flight import Seat

@final
class Load(Seat): ...

@final
class Loads: ...
