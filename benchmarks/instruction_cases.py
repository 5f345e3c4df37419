"""The cases of benchmarks/instructions.py, and the process that valgrind counts.

    python -m benchmarks.instruction_cases REQUESTS

REQUESTS is a compiled library through which a program talks to callgrind. Each case
runs twice after a first time, and the second time longer: what does not belong to a
dispatch is the same in both.

Under valgrind a reading of the processor's counter takes so long that dispatches give
it up and read the system's clock. What they do with the counter is not in the figures.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks import workload
from benchmarks.table import Operation
from benchmarks.workload import (
    COMMAND,
    PROTECTED,
    QUERY,
    Create,
    bus_with,
    limiter,
    protecting_stages,
    query_bus_with,
)
from cqrs_fast import (
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    LoadSheddingMiddleware,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
    ValidationMiddleware,
)

FEW = 1_000
MANY = 5_000
WARM = 300
BATCH = 100
DAY = 24 * 3_600.0

CASES: dict[str, Callable[[], Operation]] = {}


def case(name: str) -> Callable[[Callable[[], Operation]], Callable[[], Operation]]:
    """Enter what makes the operation of a case."""

    def enter(make: Callable[[], Operation]) -> Callable[[], Operation]:
        CASES[name] = make
        return make

    return enter


def dispatch(
    *middleware: Any,
    stages: tuple[str, ...] = (),
    calls: tuple[str, ...] = ("create",),
    metrics: bool = False,
) -> Operation:
    return Operation(
        "result = bus.execute(command)",
        calls=calls,
        stages=stages,
        bus=bus_with(*middleware, metrics=metrics),
        command=COMMAND,
    )


def awaited(*middleware: Any, handler: Any, **options: Any) -> Operation:
    name = handler.__name__
    suspends = name == "create_after_suspending"
    return Operation(
        "result = await bus.execute_async(command)",
        # What suspends is entered again when the suspension is over.
        calls=(name, "suspend") * 2 if suspends else (name,),
        stages=PROTECTED if middleware else (),
        bus=bus_with(*middleware, handler=handler, **options),
        command=COMMAND,
    )


def rejected(middleware: Any, error: type[Exception], handler: Any) -> Operation:
    """Return a call that is rejected because of the one before it."""
    bus = bus_with(middleware, handler=handler)
    with contextlib.suppress(workload.Refused):
        bus.execute(COMMAND)
    return Operation(
        """
        try:
            bus.execute(command)
        except error:
            result = "rejected"
        """,
        calls=(),
        stages=(type(middleware).__name__,),
        bus=bus,
        command=COMMAND,
        error=error,
    )


def payload(method: str, format: Any) -> Operation:
    return Operation(
        f"result = bus.{method}(payload)",
        calls=("create",),
        bus=bus_with(),
        payload=format.encode(COMMAND),
    )


@case("bare execute")
def _() -> Operation:
    return dispatch()


@case("bind")
def _() -> Operation:
    return Operation(
        "result = execute(command)",
        calls=("create",),
        execute=bus_with().bind(Create),
        command=COMMAND,
    )


@case("execute_many, each item")
def _() -> Operation:
    return Operation(
        "result = bus.execute_many(commands)[-1]",
        calls=("create",) * BATCH,
        per=BATCH,
        bus=bus_with(),
        commands=[COMMAND] * BATCH,
    )


@case("metrics")
def _() -> Operation:
    return dispatch(stages=("Metrics",), metrics=True)


for _kind, _make in {
    "load shedding": LoadSheddingMiddleware,
    "validation": ValidationMiddleware,
    "limiter": limiter,
    "retry": RetryMiddleware,
    "breaker": CircuitBreakerMiddleware,
    "timeout": lambda: TimeoutMiddleware(30.0),
}.items():

    @case(_kind)
    def _(make: Callable[[], Any] = _make) -> Operation:
        stage = make()
        return dispatch(stage, stages=(type(stage).__name__,))


@case("six stages")
def _() -> Operation:
    return dispatch(*protecting_stages(), stages=PROTECTED, metrics=True)


@case("cached query, hit")
def _() -> Operation:
    bus = query_bus_with(CachingMiddleware())
    bus.execute(QUERY)
    return Operation(
        "result = bus.execute(query)",
        calls=(),
        stages=("CachingMiddleware",),
        bus=bus,
        query=QUERY,
    )


@case("hook middleware")
def _() -> Operation:
    return dispatch(
        workload.Looking(), stages=("Looking",), calls=("before", "create", "after")
    )


@case("generator")
def _() -> Operation:
    return dispatch(
        workload.generator,
        stages=("generator",),
        calls=("generator", "create", "generator"),
    )


@case("around middleware")
def _() -> Operation:
    return dispatch(workload.around, stages=("around",), calls=("around", "create"))


@case("rejected by the limiter")
def _() -> Operation:
    only_one = RateLimitingMiddleware(1, DAY)
    return rejected(only_one, RateLimitExceededError, workload.create)


@case("rejected by the open breaker")
def _() -> Operation:
    fragile = CircuitBreakerMiddleware(1, DAY)
    return rejected(fragile, CircuitOpenError, workload.unavailable)


@case("JSON dispatch")
def _() -> Operation:
    return payload("execute_json", msgspec.json)


@case("MessagePack dispatch")
def _() -> Operation:
    return payload("execute_msgpack", msgspec.msgpack)


@case("bare async")
def _() -> Operation:
    return awaited(handler=workload.create_async)


@case("bare async, handler suspends once")
def _() -> Operation:
    return awaited(handler=workload.create_after_suspending)


@case("six stages, async")
def _() -> Operation:
    return awaited(*protecting_stages(), handler=workload.create_async, metrics=True)


def count(requests: ctypes.CDLL) -> None:
    """Run each case under callgrind; a dump for each count of runs says which it is."""
    operations = {name: make() for name, make in CASES.items()}
    for operation in operations.values():
        operation.run(max(WARM // operation.per, 1))
    # A collection would belong to whichever case it falls into.
    gc.disable()
    requests.start_counting()

    def count_one(name: str) -> None:
        operation = operations[name]
        # The first time, libraries and valgrind look things up that they keep.
        for times in (1, FEW, MANY):
            times = max(times // operation.per, 1)
            label = f"{name} | {times * operation.per}".encode()
            requests.start_anew()
            operation.run(times)
            requests.dump(label)

    # By a call from C, so that callgrind sees the interpreter being entered.
    collections.deque(map(count_one, operations), 0)


if __name__ == "__main__":
    count(ctypes.CDLL(sys.argv[1]))
