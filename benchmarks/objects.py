"""How much resident memory do many objects of a kind take, each?

bench_memory asks in a process of its own, where nothing freed before is used again.
What a kind needs beforehand is made before the memory is looked at, so that messages,
classes and keys are not counted; what is made stays alive.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any

from benchmarks import workload
from benchmarks.environment import resident_bytes
from benchmarks.workload import (
    COMMAND,
    CONTEXT,
    Create,
    Dispatcher,
    Find,
    Place,
    bus_with,
    many_classes,
    protecting_stages,
    query_bus_with,
)
from cqrs_fast import (
    CachingMiddleware,
    CircuitBreaker,
    CommandBus,
    IdempotencyMiddleware,
    LatencyHistogram,
    ObjectPool,
    RateLimitingMiddleware,
    TokenBucket,
)

Make = Callable[[int], Any]
Kind = Callable[[int], Make]
DAY = 24 * 3_600.0


def of_nothing(count: int) -> Make:
    return lambda number: None


# Buses and routes


def bus(count: int) -> Make:
    return lambda number: CommandBus()


def dispatcher(count: int) -> Make:
    return lambda number: Dispatcher({})


def route(count: int, *middleware: Any) -> Make:
    classes = many_classes(count)
    commands = [cls(number) for number, cls in enumerate(classes)]

    @functools.cache
    def bus() -> CommandBus:
        return CommandBus(
            middleware=middleware,
            enable_metrics=bool(middleware),
            initial_capacity=count,
        )

    def make(number: int) -> None:
        # The bus and its tables are part of what the routes take.
        bus().register_handler(classes[number], workload.create)
        bus().execute(commands[number])

    return make


def protected_route(count: int) -> Make:
    return route(count, *protecting_stages())


def handler_in_dict(count: int) -> Make:
    classes = many_classes(count)
    handlers: dict[type, Any] = {}

    def make(number: int) -> None:
        handlers[classes[number]] = workload.create

    return make


# Contexts and dispatches in flight


def context_with_value(count: int) -> Make:
    return lambda number: CONTEXT.with_value("tenant", 1)


def dict_with_value(count: int) -> Make:
    return lambda number: {"tenant": 1}


def context_with_deadline(count: int) -> Make:
    return lambda number: CONTEXT.with_timeout(DAY)


def suspended(call: Callable[[Any], Any]) -> Make:
    def make(number: int) -> Any:
        coroutine = call(COMMAND)
        coroutine.send(None)
        return coroutine

    return make


def dispatch_in_flight(count: int) -> Make:
    bus = bus_with(handler=workload.create_after_suspending)
    return suspended(bus.execute_async)


def protected_in_flight(count: int) -> Make:
    handler = workload.create_after_suspending
    bus = bus_with(*protecting_stages(), handler=handler, metrics=True)
    return suspended(bus.execute_async)


def coroutine_in_flight(count: int) -> Make:
    return suspended(workload.create_after_suspending)


# What is kept for each key


def finds(count: int) -> list[Find]:
    return [Find(f"bolt {number}") for number in range(count)]


def sent(call: Callable[[Any], Any], messages: list[Any]) -> Make:
    return lambda number: call(messages[number])


def cached_entry(count: int) -> Make:
    bus = query_bus_with(CachingMiddleware(DAY, max_size=count))
    return sent(bus.execute, finds(count))


def entry_of_lru_cache(count: int) -> Make:
    return sent(functools.lru_cache(count)(workload.create), finds(count))


def limited_key(count: int) -> Make:
    limiter = RateLimitingMiddleware(10, DAY, key=workload.name_of, max_keys=count)
    return sent(query_bus_with(limiter).execute, finds(count))


def bucket_in_dict(count: int) -> Make:
    queries = finds(count)
    buckets: dict[str, list[float]] = {}

    def make(number: int) -> None:
        buckets[queries[number].name] = [10.0, float(number)]

    return make


def idempotency_record(count: int) -> Make:
    middleware = IdempotencyMiddleware(max_records=count)
    places = [Place(f"order {number}") for number in range(count)]
    return sent(bus_with(middleware, message=Place).execute, places)


def result_in_dict(count: int) -> Make:
    places = [Place(f"order {number}") for number in range(count)]
    done: dict[Any, Any] = {}

    def make(number: int) -> None:
        done[Place, places[number].idempotency_key] = 1

    return make


# Pools and policies


def whole(make: Callable[[], Any]) -> Make:
    """Make all at once, with the first."""
    return lambda number: make() if number == 0 else None


def pooled_object(count: int) -> Make:
    return whole(lambda: ObjectPool(object, count))


def object_in_deque(count: int) -> Make:
    return whole(lambda: deque(object() for _ in range(count)))


def breaker(count: int) -> Make:
    return lambda number: CircuitBreaker()


def bucket(count: int) -> Make:
    return lambda number: TokenBucket(10, 1.0)


def histogram(count: int) -> Make:
    def make(number: int) -> LatencyHistogram:
        one = LatencyHistogram()
        one.record(1.0)
        return one

    return make


def message(count: int) -> Make:
    return lambda number: Create("a bolt", 7)


def message_as_dict(count: int) -> Make:
    return lambda number: {"name": "a bolt", "quantity": 7}


def main(kind: Kind, count: int) -> None:
    make = kind(count)
    # Filled, so that its pages are there already.
    kept: list[Any] = [0] * count
    before = resident_bytes()
    for number in range(count):
        kept[number] = make(number)
    print(max((resident_bytes() - before) / count, 0.0))
