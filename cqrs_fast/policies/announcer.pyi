from typing import final

from cqrs_fast.policies.circuit_state import STATES as STATES

@final
class Announcer: ...
