from typing import final

from typing_extensions import disjoint_base

from cqrs_fast.waits.line import Line, Ticket

@disjoint_base
class Participant(Ticket): ...

@final
class Flight(Line): ...
