"""A domain error in counts, logs, audits, fallbacks and records, and among others."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from both_ways import Way, both_ways
from domain_cases import (
    NotYours,
    OldOrderError,
    OutOfStockError,
    Pay,
    domain,
    outcomes,
    raising,
)
from support import Add, Ask

from cqrs_fast import (
    AuditEvent,
    AuditMiddleware,
    CircuitBreakerMiddleware,
    CommandBus,
    DomainError,
    FallbackMiddleware,
    IdempotencyMiddleware,
    LoggingMiddleware,
    QueryBus,
    RetryMiddleware,
)


@both_ways
@domain
def test_it_is_counted_as_an_answer(way: Way, error: Exception, options: Any) -> None:
    bus = way.bus(QueryBus, Ask, raising(error, []), **options)
    for _ in range(3):
        assert way.error(bus, Ask()) is error
    total = bus.stats().total
    assert (total.count, total.errors, total.rejected) == (3, 0, 0)
    assert outcomes(bus) == {"domain": 3}
    assert bus.stats().messages["Ask"].outcomes["domain"] == 3
    assert total.in_flight == 0


def test_every_bus_has_the_outcome_from_the_start() -> None:
    assert CommandBus().stats().total.outcomes["domain"] == 0


@both_ways
@domain
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING])
def test_it_is_logged_at_info_without_a_traceback(
    way: Way,
    error: Exception,
    options: Any,
    level: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = LoggingMiddleware(level=level)
    bus = way.bus(QueryBus, Ask, raising(error, []), middleware=[stage], **options)
    with caplog.at_level(logging.DEBUG, "cqrs_fast"):
        way.error(bus, Ask())
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.exc_info is None
    assert record.stack_info is None
    assert record.outcome == "domain"  # type: ignore[attr-defined]
    assert type(error).__name__ in record.getMessage()
    assert "no hats" not in record.getMessage()


@both_ways
@domain
def test_it_is_audited_as_no_success(way: Way, error: Exception, options: Any) -> None:
    events: list[AuditEvent] = []
    audit = AuditMiddleware(events.append)
    bus = way.bus(QueryBus, Ask, raising(error, []), middleware=[audit], **options)
    way.error(bus, Ask())
    (event,) = events
    assert event.success is False
    assert event.error is error


@both_ways
@pytest.mark.parametrize(
    ("on", "answered"),
    [
        (None, False),
        (Exception, False),
        ((Exception, KeyError), False),
        (KeyError, False),
        (NotYours, False),
        (OutOfStockError, True),
        ((KeyError, OutOfStockError), True),
        (DomainError, True),
    ],
)
def test_a_fallback_answers_for_it_only_where_it_names_it(
    way: Way, on: Any, answered: bool
) -> None:
    settings = {} if on is None else {"on": on}
    stage = FallbackMiddleware(lambda ctx, message, error: "fallback", **settings)
    body = raising(OutOfStockError(), [])
    bus = way.bus(QueryBus, Ask, body, middleware=[stage])
    if answered:
        assert way(bus, Ask()) == "fallback"
        assert outcomes(bus) == {"ok": 1}
    else:
        assert isinstance(way.error(bus, Ask()), OutOfStockError)
        assert outcomes(bus) == {"domain": 1}


@both_ways
@pytest.mark.parametrize("on", [Exception, OldOrderError])
def test_a_fallback_knows_the_list_of_its_bus(way: Way, on: Any) -> None:
    stage = FallbackMiddleware(lambda ctx, message, error: "fallback", on)
    body = raising(OldOrderError(), [])
    options: dict[str, Any] = {"domain_errors": (OldOrderError,)}
    bus = way.bus(QueryBus, Ask, body, middleware=[stage], **options)
    if on is Exception:
        assert isinstance(way.error(bus, Ask()), OldOrderError)
    else:
        assert way(bus, Ask()) == "fallback"


@both_ways
@pytest.mark.parametrize(
    ("final_on", "runs"),
    [((), 2), (KeyError, 2), (OutOfStockError, 1), ((KeyError, DomainError), 1)],
)
def test_idempotency_records_it_only_where_it_names_it(
    way: Way, final_on: Any, runs: int
) -> None:
    calls: list[Any] = []
    stage = IdempotencyMiddleware(final_on=final_on)
    body = raising(OutOfStockError("no hats"), calls)
    bus = way.bus(CommandBus, Pay, body, middleware=[stage])
    for _ in range(2):
        error = way.error(bus, Pay("key"))
        assert type(error) is OutOfStockError
        assert str(error) == "no hats"
    assert len(calls) == runs
    assert len(stage) == (runs == 1)
    assert outcomes(bus) == {"domain": 2}


# Together


@both_ways
def test_nested_dispatches_each_count_it(way: Way) -> None:
    inner = way.bus(QueryBus, Ask, raising(OutOfStockError(), []))

    def handle(ctx: Any, add: Add) -> Any:
        return inner.execute(Ask(), ctx)

    async def handle_async(ctx: Any, add: Add) -> Any:
        return await inner.execute_async(Ask(), ctx)

    stages = [RetryMiddleware(3, retry_commands=True), CircuitBreakerMiddleware(1)]
    outer = CommandBus(middleware=stages, enable_metrics=True)
    outer.register_handler(Add, handle_async if way.is_async else handle)
    for _ in range(2):
        assert isinstance(way.error(outer, Add()), OutOfStockError)
    assert outcomes(inner) == outcomes(outer) == {"domain": 2}


def test_threads_lose_none() -> None:
    bus = CommandBus(middleware=[CircuitBreakerMiddleware(1)], enable_metrics=True)
    bus.register_handler(Add, raising(OutOfStockError(), []))

    def work() -> None:
        for _ in range(100):
            with pytest.raises(OutOfStockError):
                bus.execute(Add())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes(bus) == {"domain": 400}


def test_a_cancellation_that_became_a_domain_error_is_one() -> None:
    """The handler's answer counts, whatever it was interrupted by."""

    async def handle(add: Add) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OutOfStockError from None

    async def main() -> None:
        task = asyncio.ensure_future(bus.execute_async(Add()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(OutOfStockError):
            await task

    bus = CommandBus(middleware=[CircuitBreakerMiddleware(1)], enable_metrics=True)
    bus.register_handler(Add, handle)
    asyncio.run(main())
    assert outcomes(bus) == {"domain": 1}
