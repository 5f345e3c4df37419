from typing import final

from cqrs_fast.waits.flight import Participant

@final
class Load(Participant): ...

@final
class Loads: ...
