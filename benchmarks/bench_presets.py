"""What do the presets buy: the guide's mixed load, slow dispatches, and each field?

The mixed load is that of the guide's production benchmark: one third CreateUser, two
thirds GetUser of one of 1000 users, answered from a warm cache, in an order that is
random once and for all. Its baseline is the same load on buses without middleware.
"""

from __future__ import annotations

import functools
import random
from typing import Any

from benchmarks import workload
from benchmarks.suite import run
from benchmarks.table import AnyRow, Operation, Pair, ProcessOperation, Table
from benchmarks.workload import CreateUser, GetUser, many_classes
from cqrs_fast import (
    CommandBus,
    Config,
    QueryBus,
    default_config,
    high_throughput_config,
    low_latency_config,
)

BARE = "bare `execute` of the same messages"
USERS = 1_000
DISPATCHES = 1_200
SEED = 1
HANDLERS = 1_024
TAIL = """
import sys
from benchmarks.tail import main
main(int(sys.argv[1]), sys.argv[2])
"""
SIZE = 10
"""Of the heap: 10^6 live objects."""
ONCE = 1
SEVERAL = 2

ROWS = Table()


def mixed(commands: CommandBus, queries: QueryBus) -> Operation:
    """Return the mixed load on two buses, after each user was asked for once."""
    commands.register_handler(CreateUser, workload.create)
    queries.register_handler(GetUser, workload.create)
    users = [GetUser(number) for number in range(USERS)]
    for user in users:
        queries.execute(user)
    create = CreateUser("Test User", "test@example.com")
    source = random.Random(SEED)
    sends = [
        (commands.execute, create)
        if source.randrange(3) == 0
        else (queries.execute, source.choice(users))
        for _ in range(DISPATCHES)
    ]
    return Operation(
        "for execute, message in sends: result = execute(message)",
        calls=["create"] * handled(sends, queries),
        per=DISPATCHES,
        sends=sends,
    )


def handled(sends: list[tuple[Any, Any]], queries: QueryBus) -> int:
    """Return how many of them reach a handler: those that no cache answers."""
    (route,) = queries.describe()
    cached = any(stage.kind == "CachingMiddleware" for stage in route.stages)
    return sum(not cached or isinstance(message, CreateUser) for _, message in sends)


def mixed_with(config: Config, **overrides: Any) -> Operation:
    return mixed(
        CommandBus.from_config(config, **overrides),
        QueryBus.from_config(config, **overrides),
    )


def against_bare(preset: Any) -> Pair:
    return Pair(mixed_with(preset()), mixed(CommandBus(), QueryBus()))


for preset, ceiling in (
    (high_throughput_config, 2.2),
    (low_latency_config, None),
    (default_config, None),
):
    ROWS.row(
        f"mixed load, `{preset.__name__}()`, per dispatch",
        against=BARE,
        ceiling=ceiling,
    )(functools.partial(against_bare, preset))


@ROWS.row(
    "mixed load with metrics, `latency_sample=100`", against="every dispatch timed"
)
def _() -> Pair:
    config = high_throughput_config()
    return Pair(
        mixed_with(config, enable_metrics=True),
        mixed_with(config, enable_metrics=True, latency_sample=1),
    )


@ROWS.row(
    "registering 1024 handlers, `initial_capacity=1024`",
    against="no capacity",
    rounds=10,
)
def _() -> Pair:
    classes = many_classes(HANDLERS)

    def registering(capacity: int) -> Operation:
        return Operation(
            """
            bus = make(initial_capacity=capacity)
            for cls in classes:
                bus.register_handler(cls, handler)
            result = len(bus.registered_names())
            """,
            calls=[],
            per=HANDLERS,
            make=CommandBus,
            classes=classes,
            capacity=capacity,
            handler=workload.create,
        )

    return Pair(registering(HANDLERS), registering(0))


def tail(part: str) -> ProcessOperation:
    return ProcessOperation(TAIL, part, size=SIZE)


@ROWS.row(
    "p99.9 of a dispatch among 10^6 live objects, low latency and its tuning",
    against="the same without `performance_tuning`",
    ceiling=0.5,
    rounds=SEVERAL,
)
def _() -> Pair:
    return Pair(tail("tuned"), tail("plain"))


@ROWS.row(
    "p99.9 of a dispatch among 10^6 live objects, `gc_percent=1000` alone",
    against="the same without `performance_tuning`",
    rounds=ONCE,
)
def _() -> Pair:
    return Pair(tail("percent"), tail("plain"))


@ROWS.row(
    "a full collection of 10^6 live objects, `gc_freeze`",
    against="nothing frozen",
    rounds=ONCE,
)
def _() -> Pair:
    return Pair(tail("frozen"), tail("collect"))


def test_presets(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
