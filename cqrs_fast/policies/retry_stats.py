"""The statistics of a retry, as `snapshot()` returns them."""

from __future__ import annotations

import msgspec


class RetryStats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the attempts that failed with an error to retry.

    Attributes:
        failed: how many there were; the next four sum to it.
        retries: another attempt followed.
        exhausted: it was the last of `max_attempts`.
        too_late: the delay would have passed the deadline or `max_elapsed`.
        budget_refused: the budget had no credit left.
        budget_left: how many retries the budget would admit now, None without one.
    """

    failed: int
    retries: int
    exhausted: int
    too_late: int
    budget_refused: int
    budget_left: int | None
