"""How long does the slowest of 1000 dispatches take, on a heap of a service's size?

Run by bench_presets in a process of its own: `size part`. With 10 as the size it makes
10^6 live objects first. The handler of the command allocates containers; the last ones
are kept, and one of four is part of a cycle, so that collections have something to do.

The part is "plain", "tuned" (under the low-latency preset's performance_tuning),
"percent" (under its gc_percent alone), or "collect" and "frozen": one full collection,
without and with gc_freeze.
"""

from __future__ import annotations

import contextlib
import gc
import random
import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from cqrs_fast import (
    Command,
    CommandBus,
    Config,
    Query,
    QueryBus,
    low_latency_config,
    performance_tuning,
)
from cqrs_fast.config.model import PerformanceConfig

LIVE = 100_000  # objects, for each of `size`
ROUNDS = 3  # through the script, for each of `size`
SCRIPT = 10_000
KEPT = 20_000
SEED = 1


class PlaceOrder(Command[int]):
    customer: str
    lines: int


class FindOrder(Query[int]):
    number: int


class Customer:
    def __init__(self, name: str) -> None:
        self.name = name
        self.orders: list[dict[str, Any]] = []


class Orders:
    def __init__(self) -> None:
        self.placed = 0
        self.kept: dict[int, dict[str, Any]] = {}

    def place(self, command: PlaceOrder) -> int:
        self.placed += 1
        lines = [{"item": line, "stock": [line]} for line in range(command.lines)]
        order: dict[str, Any] = {"number": self.placed, "lines": lines}
        if self.placed % 4 == 0:
            customer = Customer(command.customer)
            order["customer"] = customer
            customer.orders.append(order)
        self.kept[self.placed % KEPT] = order
        return self.placed

    def find(self, query: FindOrder) -> int:
        return len(self.kept[query.number]["lines"])


def script(
    config: Config | None, orders: Orders
) -> list[tuple[Callable[[Any], Any], Any]]:
    """Return what is dispatched, and by what: one third commands, in random order.

    Without a config on buses without middleware.
    """
    commands = CommandBus() if config is None else CommandBus.from_config(config)
    queries = QueryBus() if config is None else QueryBus.from_config(config)
    commands.register_handler(PlaceOrder, orders.place)
    queries.register_handler(FindOrder, orders.find)
    command = PlaceOrder("somebody", 5)
    for _ in range(KEPT):
        commands.execute(command)
    source = random.Random(SEED)
    return [
        (commands.execute, command)
        if source.randrange(3) == 0
        else (queries.execute, FindOrder(source.randrange(1, KEPT)))
        for _ in range(SCRIPT)
    ]


def times_of(sends: list[tuple[Callable[[Any], Any], Any]], rounds: int) -> list[int]:
    """Return how long each dispatch took, in nanoseconds."""
    # Made before, so that keeping them allocates nothing.
    times = [0] * (rounds * len(sends))
    index = 0
    for _ in range(rounds):
        for execute, message in sends:
            started = perf_counter_ns()
            execute(message)
            times[index] = perf_counter_ns() - started
            index += 1
    return times


def collection_ns() -> int:
    started = perf_counter_ns()
    gc.collect()
    return perf_counter_ns() - started


def main(size: int, part: str) -> None:
    live = [{"row": [number]} for number in range(size * LIVE // 2)]
    sends = script(low_latency_config(), Orders())
    times_of(sends, 1)
    performance = low_latency_config().performance
    tuning: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if part == "tuned":
        tuning = performance_tuning(performance)
    elif part == "percent":
        percent = performance.gc_percent
        tuning = performance_tuning(PerformanceConfig(gc_percent=percent))
    elif part == "frozen":
        tuning = performance_tuning(PerformanceConfig(gc_freeze=True))
    with tuning:
        if part in ("collect", "frozen"):
            measured = min(collection_ns() for _ in range(3))
        else:
            times = sorted(times_of(sends, size * ROUNDS))
            measured = times[len(times) * 999 // 1000]
    print(len(live), measured)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
