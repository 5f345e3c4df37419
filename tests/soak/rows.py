"""The long rows of the reliability bar: each is a schedule drawn from one seed.

A row's `schedule(seed)` draws one schedule, runs it, checks its promises and returns
how many calls it looked at. What it drew is in a note of the error that it raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from soak import (
    cancellation,
    forks,
    leaders,
    leaks,
    limiter,
    reloads,
    retry_budget,
    timeouts,
)


class Row(NamedTuple):
    """One long row.

    Attributes:
        number: in the reliability bar.
        title: its promise in a few words.
        schedule: runs one schedule of a seed; returns how many calls it checked.
        finish: looks at what all schedules came to, once time is up.
    """

    number: str
    title: str
    schedule: Callable[[int], int]
    finish: Callable[[], None] = lambda: None


ROWS = (
    Row("4", "waiting limiter: bound, FIFO, no lost wake-up", limiter.tasks),
    Row("4t", "waiting limiter in threads", limiter.threads),
    Row("7", "cancellation at random steps", cancellation.schedule),
    Row("12", "single flight: bursts of threads", leaders.bursts),
    Row("13", "leaders killed at random, on an event loop", leaders.tasks),
    Row("13t", "leaders killed at random, in threads", leaders.threads),
    Row("19", "retry budget of 8 threads", retry_budget.schedule),
    Row("20", "timeouts: expiry, cancellation and result race", timeouts.schedule),
    Row("22", "no leak in mixed dispatches", leaks.schedule, leaks.finish),
    Row("30", "reloads under load", reloads.schedule, reloads.finish),
    Row("32", "fork under load", forks.schedule),
)
