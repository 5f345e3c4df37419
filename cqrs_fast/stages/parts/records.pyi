from typing import final

from cqrs_fast.pipeline.flight import Seat

@final
class Record: ...

@final
class Attempt(Seat): ...

@final
class Records: ...
