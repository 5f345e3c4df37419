"""A slow stage, planted into the workload, and the same stage mended.

    python -m profiles.planted

measures both. It tells how many of the last calls failed: what one would show on a
dashboard. profiles/README.md tells how each tool finds what is wrong with the first.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from cqrs_fast import Middleware
from profiles.needs import require
from profiles.workload import DISPATCHES, Mixed

WINDOW = 100
ROUNDS = 40


class SlowFailures(Middleware):
    """Keep every call, and count those that failed among the last ones each time."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.failed = 0

    def after(self, call: Any) -> None:
        self.calls.append({"message": call.message, "failed": call.error is not None})
        recent = self.calls[-WINDOW:]
        self.failed = sum(entry["failed"] for entry in recent)


class Failures(Middleware):
    """Keep one byte for each of the last calls, and a count that follows them."""

    def __init__(self) -> None:
        self.recent = bytearray(WINDOW)
        self.place = 0
        self.failed = 0

    def after(self, call: Any) -> None:
        place = self.place
        failed = call.error is not None
        if failed or self.recent[place]:
            self.failed += failed - self.recent[place]
            self.recent[place] = failed
        self.place = place + 1 if place + 1 < WINDOW else 0


PLANTED: dict[str, Callable[[], Any]] = {"slow": SlowFailures, "mended": Failures}


def main() -> None:
    require("release")
    loads = {"without it": Mixed(), **{n: Mixed(m()) for n, m in PLANTED.items()}}
    best = dict.fromkeys(loads, float("inf"))
    for _ in range(ROUNDS):
        for name, load in loads.items():
            started = perf_counter_ns()
            load.run_sync()
            taken = (perf_counter_ns() - started) / DISPATCHES
            best[name] = min(best[name], taken)
    for name, nanoseconds in best.items():
        more = nanoseconds - best["without it"]
        print(f"{name:12}{nanoseconds:8.0f} ns a dispatch{more:+8.0f}")


if __name__ == "__main__":
    main()
