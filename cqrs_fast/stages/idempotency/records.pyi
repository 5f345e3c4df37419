from typing import final

from cqrs_fast.waits.flight import Participant

@final
class Record: ...

@final
class Attempt(Participant): ...

@final
class Records: ...
