"""Hunter 4: random schedules of waiters on event loops that block, close and nest.

A scenario is a seed. Most schedules are virtual: several event loops are stepped by
hand in one thread and in virtual time, so that a loop that blocks is one that is not
stepped, and the same seed tells the same story. Some are real: threads and loops whose
handlers block. What must hold:

- Each waiter ends at its own max_wait or deadline, whoever stands before it, or once
  its own loop runs again.
- Nobody waits while what it waits for is free: no wake-up is lost.
- In a limiter's line nobody overtakes one whose loop runs; how often one is overtaken
  whose loop is held up, is counted.
- A sync dispatch on the thread of a running loop never waits.
- Nothing is held after: permits, slots, flights, places in line, timers.
"""

from __future__ import annotations

from typing import Any

from hunters import blocked_threads, stepped_loops
from hunters.hunting import Ask, Effort, Hunter, ask_together, run_parts

# Of so many schedules one is real.
REAL = 200
TOGETHER = 50


def run_one(seed: str) -> None:
    module: Any = stepped_loops if int(seed) % REAL else blocked_threads
    schedule = module.drawn(int(seed))
    try:
        module.run(schedule)
    except Exception as error:
        raise AssertionError(f"{error!r} of {schedule}") from error


def hunt(ask: Ask, effort: Effort) -> None:
    last = effort.seed + effort.schedules
    for first in range(effort.seed, last, TOGETHER):
        ask_together(ask, [str(n) for n in range(first, min(first + TOGETHER, last))])


HUNTER = Hunter(
    "waiters",
    "schedules of waiters on blocked, closed and nesting loops",
    run_parts(run_one),
    hunt,
    seconds=15.0,
)
