from typing import final

from cqrs_fast.waits.flight import Seat

@final
class Record: ...

@final
class Attempt(Seat): ...

@final
class Records: ...
