"""Who asked, and which request it was: in log records, audit events and errors."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from both_ways import Way, both_ways
from support import Add, Ask, Halt

from cqrs_fast import (
    AuditEvent,
    AuditMiddleware,
    AuthenticationMiddleware,
    BulkheadMiddleware,
    CircuitBreakerMiddleware,
    CommandBus,
    Context,
    DomainError,
    LoggingMiddleware,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RejectedError,
)

ROOT = Context.background()
ANN = ROOT.with_principal("ann").with_correlation_id("request 7")


class Seen(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def log() -> Iterator[Seen]:
    seen, logger = Seen(), logging.getLogger("cqrs_fast")
    level = logger.level
    logger.addHandler(seen)
    logger.setLevel(logging.DEBUG)
    yield seen
    logger.setLevel(level)
    logger.removeHandler(seen)


def told(one: Any) -> tuple[Any, Any]:
    return one.principal, one.correlation_id


class Observed:
    """A bus that logs and audits, and what it wrote."""

    def __init__(self, way: Way, *inner: Any, handler: Any = lambda ask: 1) -> None:
        self.events: list[AuditEvent] = []
        stages = [LoggingMiddleware(), AuditMiddleware(self.events.append), *inner]
        self.bus = way.bus(QueryBus, Ask, handler, middleware=stages)


@both_ways
def test_records_and_events_name_both(way: Way, log: Seen) -> None:
    observed = Observed(way)
    way(observed.bus, Ask(), ANN)
    assert told(log.records[0]) == told(observed.events[0]) == ("ann", "request 7")


@both_ways
@pytest.mark.parametrize("error", [KeyError(), DomainError(), Halt()], ids=repr)
def test_so_do_those_of_failures(way: Way, log: Seen, error: BaseException) -> None:
    def fail(ask: Ask) -> int:
        raise error

    observed = Observed(way, handler=fail)
    assert way.error(observed.bus, Ask(), ANN) is error
    assert told(log.records[0]) == told(observed.events[0]) == ("ann", "request 7")
    assert not hasattr(error, "correlation_id")  # users' own errors stay as they are


@both_ways
def test_an_error_of_the_library_names_both(way: Way) -> None:
    observed = Observed(way, RateLimitingMiddleware(1, 60.0))
    way(observed.bus, Ask(), ANN)
    error = way.error(observed.bus, Ask(), ANN)
    assert isinstance(error, RateLimitExceededError)
    assert told(error) == ("ann", "request 7")
    copied = pickle.loads(pickle.dumps(error))
    assert told(copied) == ("ann", "request 7")
    assert "ann" not in str(error)


@both_ways
@pytest.mark.parametrize(
    "make",
    [
        lambda: RateLimitingMiddleware(1, 60.0),
        lambda: CircuitBreakerMiddleware(1),
    ],
    ids=["limiter", "breaker"],
)
def test_every_rejection_names_both(way: Way, make: Any) -> None:
    def fail(ask: Ask) -> int:
        raise ConnectionError

    observed = Observed(way, make(), handler=fail)
    way.error(observed.bus, Ask(), ANN)
    error = way.error(observed.bus, Ask(), ANN)
    assert isinstance(error, RejectedError)
    assert told(error) == ("ann", "request 7")


def test_a_full_bulkhead_and_a_closed_bus_name_both() -> None:
    def handle(ask: Ask) -> Any:
        if ask.number:
            return bus.execute(Ask(), Context.background().with_correlation_id("in"))
        return 1

    bus = QueryBus(middleware=[BulkheadMiddleware(1)])
    bus.register_handler(Ask, handle)
    with pytest.raises(RejectedError) as caught:
        bus.execute(Ask(1), ANN)
    assert told(caught.value) == (None, "in")
    bus.close()
    with pytest.raises(RejectedError) as caught:
        bus.execute(Ask(), ANN)
    assert told(caught.value) == ("ann", "request 7")


def test_errors_made_by_hand_have_none() -> None:
    assert told(RejectedError()) == (None, None)


@both_ways
def test_an_id_is_made_on_demand_and_is_one_for_the_whole_dispatch(
    way: Way, log: Seen
) -> None:
    """A context without one gets one that is not empty, and another each time."""
    observed = Observed(way, RateLimitingMiddleware(2, 60.0))
    for _ in range(2):
        way(observed.bus, Ask())
    error: Any = way.error(observed.bus, Ask())
    made = [event.correlation_id for event in observed.events]
    assert made == [record.correlation_id for record in log.records]
    assert made[2] == error.correlation_id
    assert len(set(made)) == 3
    assert all(isinstance(one, str) and one for one in made)
    assert [event.principal for event in observed.events] == [None] * 3


@both_ways
def test_what_is_nested_has_the_id_of_its_root(way: Way, log: Seen) -> None:
    inner = Observed(way)

    def plain(ctx: Any, add: Add) -> Any:
        return inner.bus.execute(Ask(), ctx)

    async def waiting(ctx: Any, add: Add) -> Any:
        return await inner.bus.execute_async(Ask(), ctx)

    outer = CommandBus(middleware=[LoggingMiddleware()])
    outer.register_handler(Add, waiting if way.is_async else plain)
    way(outer, Add())
    way(outer, Add(), ANN)
    made, given = log.records[:2], log.records[2:]
    assert made[0].correlation_id == made[1].correlation_id
    assert made[0].correlation_id
    assert [told(record) for record in given] == [("ann", "request 7")] * 2


@both_ways
def test_a_handler_reads_the_id_that_is_logged(way: Way, log: Seen) -> None:
    seen: list[Any] = []

    def handle(ctx: Any, ask: Ask) -> int:
        seen.append(ctx.correlation_id)
        return 1

    observed = Observed(way, handler=handle)
    way(observed.bus, Ask())
    assert seen == [log.records[0].correlation_id]


@both_ways
def test_the_principal_that_was_found_inside_is_audited(way: Way) -> None:
    """As far as the context knew: see AuditEvent."""
    who = AuthenticationMiddleware(lambda ctx, message: "bob")
    observed = Observed(way, who)
    way(observed.bus, Ask(), ROOT.with_correlation_id("request 8"))
    assert told(observed.events[0]) == ("bob", "request 8")


def test_the_fields_of_before_stay_first() -> None:
    event = AuditEvent("Ask", "ann", 1.0, 0.5, True, None)
    assert event.correlation_id is None or event.correlation_id == ""
    assert AuditEvent.__struct_fields__[:6] == (
        "name",
        "principal",
        "timestamp",
        "duration",
        "success",
        "error",
    )


def test_tasks_do_not_mix_them(log: Seen) -> None:
    way = Way(True)
    observed = Observed(way)

    async def main() -> None:
        contexts = [
            ROOT.with_principal(number).with_correlation_id(f"request {number}")
            for number in range(20)
        ]
        await asyncio.gather(
            *(observed.bus.execute_async(Ask(), ctx) for ctx in contexts)
        )

    asyncio.run(main())
    assert sorted(told(record) for record in log.records) == [
        (number, f"request {number}") for number in range(20)
    ]


def test_a_cancelled_dispatch_is_logged_with_both(log: Seen) -> None:
    async def handle(ask: Ask) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(bus.execute_async(Ask(), ANN))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bus = QueryBus(middleware=[LoggingMiddleware()])
    bus.register_handler(Ask, handle)
    asyncio.run(main())
    assert told(log.records[0]) == ("ann", "request 7")
