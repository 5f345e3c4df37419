"""Does a warm dispatch allocate anything, for a moment or for good?

Only what goes through Python's allocators is seen. The table of pytest-benchmark shows
how long the probes take; their bytes are in `extra_info`.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.suite import run_probe
from benchmarks.table import Difference, Table
from benchmarks.workload import COMMAND, bus_with, quiet_stages

WARM_UP = 1_000
TRANSIENT_CALLS = 200
GROWTH_CALLS = 20_000

EXECUTE = bus_with(*quiet_stages(), metrics=True).execute


def nothing(command: Any) -> int:
    return 1


def peak(function: Callable[[Any], Any]) -> float:
    """Return how many bytes are allocated at most at any moment of warm calls."""
    return _measured(function, TRANSIENT_CALLS)[1]


def growth(function: Callable[[Any], Any]) -> float:
    """Return how many bytes are still allocated after many warm calls."""
    return _measured(function, GROWTH_CALLS)[0]


def _measured(function: Callable[[Any], Any], calls: int) -> tuple[float, float]:
    _call(function, WARM_UP)
    tracemalloc.start()
    try:
        _call(function, WARM_UP)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        _call(function, calls)
        after, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before, highest - before


def _call(function: Callable[[Any], Any], times: int) -> None:
    for _ in range(times):
        function(COMMAND)


ROWS = Table(
    [
        Difference(
            f"{what} of warm `execute`: metrics, logging, slow call, validation",
            against="a function that does nothing",
            unit="bytes",
            case=partial(probe, EXECUTE),
            baseline=partial(probe, nothing),
            ceiling=0.0,
        )
        for what, probe in (("transient allocation", peak), ("growth", growth))
    ]
)


def test_memory(benchmark: Any, row: Difference, part: str) -> None:
    run_probe(benchmark, row, part)
