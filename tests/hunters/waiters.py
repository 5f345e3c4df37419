"""Hunter 4: random schedules of waiters on event loops that block, close and nest.

A scenario is a seed. Its schedule is virtual: several event loops are stepped by hand
in one thread and in virtual time, so that a loop that blocks is one that is not
stepped, and the same seed tells the same story. `real SEED` is a schedule in real time:
threads and loops whose handlers block. What must hold:

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

# So many schedules in real time, in every build; each takes about a second.
REAL, SHORT_REAL = 100, 10
TOGETHER = 50


def run_one(name: str) -> None:
    real, _, seed = name.rpartition(" ")
    module: Any = blocked_threads if real else stepped_loops
    schedule = module.drawn(int(seed))
    try:
        module.run(schedule)
    except Exception as error:
        raise AssertionError(f"{error!r} of {schedule}") from error


def hunt(ask: Ask, effort: Effort) -> None:
    last = effort.seed + effort.schedules
    for first in range(effort.seed, last, TOGETHER):
        ask_together(ask, [str(n) for n in range(first, min(first + TOGETHER, last))])
    for number in range(REAL if effort.whole else SHORT_REAL):
        ask(f"real {effort.seed + number}")


HUNTER = Hunter(
    "waiters",
    "schedules of waiters on blocked, closed and nesting loops",
    run_parts(run_one),
    hunt,
    # Many times what it takes: a machine that does a lot beside this makes no fault.
    seconds=60.0,
)
