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
from benchmarks.table import AnyRow, Difference, Table
from benchmarks.workload import COMMAND, bus_with, protecting_stages, quiet_stages

WARM_UP = 1_000
TRANSIENT_CALLS = 200
GROWTH_CALLS = 20_000


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


def rows(execute: Callable[[Any], Any], stages: str) -> list[AnyRow]:
    """Return the rows of what a dispatch allocates for a moment, and for good."""
    return [
        Difference(
            f"{what} of warm `execute`: {stages}",
            against="a function that does nothing",
            unit="bytes",
            case=partial(probe, execute),
            baseline=partial(probe, nothing),
            ceiling=0.0,
        )
        for what, probe in (("transient allocation", peak), ("growth", growth))
    ]


ROWS = Table(
    [
        *rows(
            bus_with(*quiet_stages(), metrics=True).execute,
            "metrics, logging, slow call, validation",
        ),
        *rows(
            bus_with(*protecting_stages(), metrics=True).execute,
            "metrics, validation, limiter, retry, breaker, timeout",
        ),
    ]
)


def test_memory(benchmark: Any, row: Difference, part: str) -> None:
    run_probe(benchmark, row, part)
