"""What an audit sink is given of a dispatch."""

from __future__ import annotations

from typing import Any

import msgspec


class AuditEvent(msgspec.Struct, frozen=True):
    """One dispatch that has ended.

    Attributes:
        name: the message's own name.
        principal: who it acted for, as far as its context knew, or None.
        timestamp: when it began, in seconds of the wall clock (see time.time).
        duration: how long it took, in seconds of the monotonic clock.
        success: whether it has a result.
        error: the exception that it ended with, or None.
    """

    name: str
    principal: Any
    timestamp: float
    duration: float
    success: bool
    error: BaseException | None
