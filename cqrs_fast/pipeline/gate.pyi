from asyncio import Future
from typing import final

import msgspec

from cqrs_fast.waits.waiter import Waiter

class DrainReport(msgspec.Struct, frozen=True):
    drained: bool
    still_running: list[str]
    waited: float

@final
class InFlight:
    @property
    def name(self) -> str: ...

@final
class Gate:
    def __init__(self, bus: str) -> None: ...
    def drain(self) -> None: ...
    def enter_close(self) -> Waiter: ...
    def leave_close(self, waiter: Waiter, started_ns: int) -> DrainReport: ...
    def close(self, timeout: float | None) -> DrainReport: ...
    def arm_close(self, waiter: Waiter, timeout: float | None) -> Future[None]: ...

async def close_gate(gate: Gate, timeout: float | None) -> DrainReport: ...
