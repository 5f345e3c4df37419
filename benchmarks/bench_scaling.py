"""What do more threads, and more tasks, make of the cost of one dispatch?"""

from __future__ import annotations

import functools
from typing import Any

from benchmarks import workload
from benchmarks.bench_async import ROUNDS as TASK_ROUNDS
from benchmarks.bench_async import in_flight
from benchmarks.operations import AWAITED
from benchmarks.suite import run
from benchmarks.table import AnyRow, Pair, Table, ThreadsOperation
from benchmarks.workload import QUERY, SIX, query_bus_with
from cqrs_fast import CachingMiddleware, CircuitBreakerMiddleware

CALLS = 160_000
"""So many last for several switch intervals, in 8 threads and in one."""
ROUNDS = 8
ROWS = Table()


def in_threads(threads: int) -> Pair:
    """Return the same number of dispatches in so many threads, against one thread."""
    bus = query_bus_with(
        workload.limiter(),
        CircuitBreakerMiddleware(),
        CachingMiddleware(),
        metrics=True,
    )
    bus.execute(QUERY)
    make = functools.partial(
        ThreadsOperation,
        "result = bus.execute(query)",
        times=CALLS,
        calls=[],
        stages=[
            "Metrics",
            "RateLimitingMiddleware",
            "CircuitBreakerMiddleware",
            "CachingMiddleware",
        ],
        bus=bus,
        query=QUERY,
    )
    return Pair(make(threads=threads), make(threads=1))


# One thread against one thread shows how far the measurement itself goes astray.
for threads, ceiling in (
    (1, None),
    (2, None),
    (4, None),
    (8, 1.11),  # nine tenths of the throughput
):
    ROWS.row(
        f"limiter, breaker, cache and metrics, {threads} thread{'s' * (threads > 1)}",
        against="1 thread",
        ceiling=ceiling,
        rounds=ROUNDS,
        series="threads",
        x=float(threads),
    )(functools.partial(in_threads, threads))


for tasks in (1, 10, 100, 1_000):
    ROWS.row(
        f"{SIX}, {tasks:,} task{'s' * (tasks > 1)} at once",
        against=f"as many tasks with {AWAITED}",
        rounds=TASK_ROUNDS,
        series="tasks",
        x=float(tasks),
    )(functools.partial(in_flight, "asyncio", tasks, protected=True))


def test_scaling(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
