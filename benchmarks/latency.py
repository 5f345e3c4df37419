"""How are the times of single dispatches distributed, with each preset?

    python -m benchmarks.latency [--dispatches N] [--only NAME]

Prints the percentiles and, in buckets that grow by a constant factor, how many
dispatches took that long. Each preset has a process of its own, in which its
`performance_tuning` is in effect, and sends a command through all that its
configuration puts into a route, to a handler that does nothing. The direct call of that
handler, timed in the same way, shows what the clock itself takes.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import repeat
from time import perf_counter_ns
from typing import Any

import cqrs_fast
from benchmarks.environment import ROOT, tell
from benchmarks.workload import COMMAND, Create, create
from cqrs_fast import (
    CommandBus,
    Config,
    default_config,
    high_throughput_config,
    low_latency_config,
    performance_tuning,
)
from cqrs_fast.cli.machine import refusal

DISPATCHES = 1_000_000
WARM_UP = 10_000
CHUNK = 1_000
PRESETS: dict[str, Callable[[], Config] | None] = {
    "direct call": None,
    "default": default_config,
    "high throughput": high_throughput_config,
    "low latency": low_latency_config,
}
PERCENTILES = ("50", "90", "99", "99.9", "99.99", "100")
PER_DECADE = 20
BOUNDS = [round(10 ** (exponent / PER_DECADE)) for exponent in range(20, 201)]
"""The upper ends of the buckets, in nanoseconds: from 10 ns to 10 s."""


class Distribution:
    """Times by bucket, and all of them for the percentiles."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.times = array("q")

    def add(self, times: array[int]) -> None:
        self.times += times

    def result(self) -> dict[str, Any]:
        """Return what results.json has of it."""
        times = sorted(self.times)
        counts = [0] * (len(BOUNDS) + 1)
        for time in times:
            counts[bisect_left(BOUNDS, time)] += 1
        # What is slower than all bounds has the slowest as its own.
        uppers = [*BOUNDS, max(times[-1], BOUNDS[-1] + 1)]
        return {
            "name": self.name,
            "unit": "ns",
            "dispatches": len(times),
            "percentiles": {text: percentile(times, text) for text in PERCENTILES},
            "counts": [
                [upper, count]
                for upper, count in zip(uppers, counts, strict=True)
                if count
            ],
        }


def percentile(ordered: list[int], text: str) -> int:
    """Return the least value that so many percent of all do not exceed."""
    rank = math.ceil(len(ordered) * float(text) / 100)
    return ordered[max(rank, 1) - 1]


def timed(execute: Callable[[Any], Any], message: Any, times: array[int]) -> None:
    """Fill an array with the nanoseconds that each of as many calls took."""
    now = perf_counter_ns
    for index in range(len(times)):
        began = now()
        execute(message)
        times[index] = now() - began


def distribution(name: str, dispatches: int) -> dict[str, Any]:
    """Measure in this process."""
    make = PRESETS[name]
    execute: Callable[[Any], Any] = create
    tuning: AbstractContextManager[Any] = nullcontext()
    if make is not None:
        config = make()
        bus = CommandBus.from_config(config)
        bus.register_handler(Create, create)
        execute = bus.execute
        tuning = performance_tuning(config.performance)
    for _ in repeat(None, WARM_UP):
        execute(COMMAND)
    found = Distribution(name)
    # Small, and filled again and again: a processor's caches shall not be full of it.
    times = array("q", bytes(8 * CHUNK))
    with tuning:
        while dispatches > 0:
            timed(execute, COMMAND, times)
            found.add(times[:dispatches])
            dispatches -= CHUNK
    return found.result()


def measured(
    progress: Callable[[str], None], dispatches: int = DISPATCHES
) -> list[dict[str, Any]]:
    """Measure each in a separate process; return the rows for results.json."""
    results = []
    for name in PRESETS:
        progress(f"distribution: {name}")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.latency"),
                *("--only", name, "--dispatches", str(dispatches)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        results.append(json.loads(done.stdout))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency")
    parser.add_argument("--only", choices=PRESETS, help="in this process")
    parser.add_argument("--dispatches", type=int, default=DISPATCHES)
    options = parser.parse_args()
    reason = refusal(cqrs_fast.build_info())
    if reason is not None:
        sys.exit(f"no benchmarks: {reason}")
    if options.dispatches < 1:
        parser.error("--dispatches: must be at least 1")
    if options.only is not None:
        print(json.dumps(distribution(options.only, options.dispatches)))
        return
    for result in measured(tell, options.dispatches):
        print(json.dumps(result))


if __name__ == "__main__":
    main()
