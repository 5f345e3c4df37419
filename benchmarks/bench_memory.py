"""Does a warm dispatch allocate anything, and what do the objects of the library take?

Of a dispatch only what goes through Python's allocators is seen; an object is measured
by the resident memory of a process that makes many. The table of pytest-benchmark shows
how long the probes take; their bytes are in `extra_info`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from benchmarks import objects
from benchmarks.suite import run
from benchmarks.table import AnyRow, Difference, Table, printed
from benchmarks.workload import (
    COMMAND,
    SIX,
    bus_with,
    protecting_stages,
    quiet_stages,
)
from cqrs_fast.measuring import Traced, least_traced, tracer, tracing

WARM_UP = 1_000
TRANSIENT_CALLS = 200
GROWTH_CALLS = 20_000


def nothing(command: Any) -> int:
    return 1


def peak(function: Callable[[Any], Any]) -> float:
    """Return how many bytes are allocated at most at any moment of warm calls."""
    return _measured(function, TRANSIENT_CALLS).peak


def growth(function: Callable[[Any], Any]) -> float:
    """Return how many bytes are still allocated after many warm calls."""
    return _measured(function, GROWTH_CALLS).kept


def _measured(function: Callable[[Any], Any], calls: int) -> Traced:
    run = tracer("function(command)", {"function": function, "command": COMMAND})
    with tracing():
        run(repeat(None, WARM_UP))
        return least_traced(lambda: run(repeat(None, calls)))


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


MEASURE = """
import sys
from benchmarks import objects
objects.main(getattr(objects, sys.argv[1]), int(sys.argv[2]))
"""
FEW = 1_000
MANY = 10_000


def bytes_each(kind: objects.Kind, count: int) -> float:
    """Return the resident memory that one of so many takes."""
    (measured,) = printed(MEASURE, kind.__name__, str(count))
    return float(measured)


def each(
    name: str, kind: objects.Kind, against: str, baseline: objects.Kind, count: int
) -> Difference:
    return Difference(
        f"memory of {name}",
        against=against,
        unit="bytes",
        case=partial(bytes_each, kind, count),
        baseline=partial(bytes_each, baseline, count),
        rounds=1,
    )


NOTHING = "nothing made"
ROWS = Table(
    [
        *rows(
            bus_with(*quiet_stages(), metrics=True).execute,
            "metrics, logging, slow call, validation",
        ),
        *rows(bus_with(*protecting_stages(), metrics=True).execute, SIX),
        each("a bus", objects.bus, "a dispatcher", objects.dispatcher, FEW),
        each(
            "a route",
            objects.route,
            "an entry of a dict",
            objects.handler_in_dict,
            FEW,
        ),
        each(
            f"a route: {SIX}",
            objects.protected_route,
            "an entry of a dict",
            objects.handler_in_dict,
            FEW,
        ),
        each(
            "a message",
            objects.message,
            "a dict with the same",
            objects.message_as_dict,
            MANY,
        ),
        each(
            "a context with a value",
            objects.context_with_value,
            "a dict with the same",
            objects.dict_with_value,
            MANY,
        ),
        each(
            "a context with a deadline",
            objects.context_with_deadline,
            NOTHING,
            objects.of_nothing,
            MANY,
        ),
        each(
            "an `execute_async` in flight",
            objects.dispatch_in_flight,
            "the coroutine of its handler",
            objects.coroutine_in_flight,
            MANY,
        ),
        each(
            f"an `execute_async` in flight: {SIX}",
            objects.protected_in_flight,
            "the coroutine of its handler",
            objects.coroutine_in_flight,
            MANY,
        ),
        each(
            "a cached answer",
            objects.cached_entry,
            "an entry of `functools.lru_cache`",
            objects.entry_of_lru_cache,
            MANY,
        ),
        each(
            "a key of a limiter",
            objects.limited_key,
            "a list of two numbers in a dict",
            objects.bucket_in_dict,
            MANY,
        ),
        each(
            "an idempotency record",
            objects.idempotency_record,
            "a result in a dict",
            objects.result_in_dict,
            MANY,
        ),
        each(
            "a pooled object",
            objects.pooled_object,
            "an object in a deque",
            objects.object_in_deque,
            MANY,
        ),
        each("a CircuitBreaker", objects.breaker, NOTHING, objects.of_nothing, MANY),
        each("a TokenBucket", objects.bucket, NOTHING, objects.of_nothing, MANY),
        each(
            "a LatencyHistogram with one value",
            objects.histogram,
            NOTHING,
            objects.of_nothing,
            FEW,
        ),
    ]
)


def test_memory(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
