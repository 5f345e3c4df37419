"""The statistics of an ObjectPool."""

from __future__ import annotations

import msgspec


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """What an ObjectPool holds, and has done so far.

    Attributes:
        size: objects that it may have at most.
        in_use: of them, those that are lent, or being made, reset or disposed of.
        idle: objects that wait in it to be lent.
        waiting: callers that wait for one now.
        waits: how often a caller had to wait.
        created: objects that the factory has made.
        exhausted: how often a caller was refused, at once or after a wait.
        reset_failures: objects that were dropped because `reset` raised.
        leaked: leases that were collected before they gave their object back.
    """

    size: int
    in_use: int
    idle: int
    waiting: int
    waits: int
    created: int
    exhausted: int
    reset_failures: int
    leaked: int
