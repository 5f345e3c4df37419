"""The order of middleware: known-bad ones are told of, once, where they are made."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from support import Ask

from cqrs_fast import (
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    Command,
    CommandBus,
    Context,
    IdempotencyMiddleware,
    MiddlewareOrderWarning,
    QueryBus,
    RejectedError,
    RetryMiddleware,
    TimeoutMiddleware,
)
from cqrs_fast.assembly.order import DEFAULT_ORDER
from cqrs_fast.stages.catalog import CATALOG


class Pay(Command[int]):
    idempotent = True

    number: int = 0


def retry(**settings: Any) -> RetryMiddleware:
    return RetryMiddleware(3, 0.1, **settings)


def warned(*middleware: Any, own: tuple[Any, ...] = ()) -> list[str]:
    """Register a query behind some middleware; return what that warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bus = QueryBus(middleware=middleware)
        bus.register_handler(Ask, lambda query: 1, middleware=own)
    assert {one.category for one in caught} <= {MiddlewareOrderWarning}
    assert {one.filename for one in caught} <= {__file__}
    return [str(one.message) for one in caught]


def around(ctx: Context, message: Any, next: Any) -> Any:
    return next(ctx, message)


BAD = [
    ([retry(), CachingMiddleware(60)], "CachingMiddleware lies inside"),
    ([BulkheadMiddleware(5), retry()], "BulkheadMiddleware lies outside"),
    (
        [CircuitBreakerMiddleware(), retry(retry_on=CircuitOpenError)],
        "CircuitBreakerMiddleware lies outside",
    ),
    (
        [CircuitBreakerMiddleware(), retry(retry_on=(OSError, RejectedError))],
        "CircuitBreakerMiddleware lies outside",
    ),
    (
        [TimeoutMiddleware(3.0), retry(jitter="none"), TimeoutMiddleware(1.0)],
        "3 attempts of 1 s and the delays between them can take 3.3 s",
    ),
]
GOOD = [
    [CachingMiddleware(60), retry(), CircuitBreakerMiddleware(), BulkheadMiddleware(5)],
    [CircuitBreakerMiddleware(), retry()],
    [CircuitBreakerMiddleware(), retry(retry_on=OSError)],
    [TimeoutMiddleware(3.5), retry(), TimeoutMiddleware(1.0)],
    [TimeoutMiddleware(3.0), retry()],
    [retry(), TimeoutMiddleware(1.0)],
    [TimeoutMiddleware(0.1), TimeoutMiddleware(1.0)],
    [BulkheadMiddleware(5), CachingMiddleware(60)],
]


@pytest.mark.parametrize(("middleware", "text"), BAD)
def test_bad_order_is_warned_of(middleware: list[Any], text: str) -> None:
    (told,) = warned(*middleware)
    assert text in told


@pytest.mark.parametrize(("middleware", "text"), BAD)
def test_arounds_and_handlers_own_middleware_hide_nothing(
    middleware: list[Any], text: str
) -> None:
    first, *rest = middleware
    (told,) = warned(first, around, own=tuple(rest))
    assert text in told


@pytest.mark.parametrize("middleware", GOOD)
def test_good_order_is_silent(middleware: list[Any]) -> None:
    assert warned(*middleware) == []


def test_idempotency_inside_a_retry_is_warned_of() -> None:
    bus = CommandBus(middleware=[retry(), IdempotencyMiddleware(lambda command: 1)])
    with pytest.warns(MiddlewareOrderWarning, match="taken for a duplicate"):
        bus.register_handler(Pay, lambda command: 1)


def test_one_bus_warns_once_whatever_it_registers() -> None:
    bus = QueryBus(middleware=[BulkheadMiddleware(5), retry()])
    with pytest.warns(MiddlewareOrderWarning):
        bus.register_handler(Ask, lambda query: 1)
    # Warnings are errors in these tests.
    bus.register_handler("Other", lambda query: 1)
    bus.add_middleware(around)


def test_what_one_message_leaves_out_is_looked_at_for_the_next() -> None:
    class Once(Command[int]):
        pass

    bus = CommandBus(middleware=[BulkheadMiddleware(5), retry()])
    with pytest.warns(RuntimeWarning, match="will not retry the command 'Once'"):
        bus.register_handler(Once, lambda command: 1)
    with pytest.warns(MiddlewareOrderWarning, match="put it inside"):
        bus.register_handler(Pay, lambda command: 1)


def test_a_handlers_own_middleware_is_looked_at_each_time() -> None:
    bus = QueryBus(middleware=[TimeoutMiddleware(5), retry()])
    bus.register_handler("First", lambda query: 1, middleware=[TimeoutMiddleware(1)])
    with pytest.warns(MiddlewareOrderWarning, match="fewer or shorter attempts"):
        bus.register_handler("Next", lambda query: 1, middleware=[TimeoutMiddleware(4)])


def test_a_changed_middleware_is_looked_at_again() -> None:
    bulkhead = BulkheadMiddleware(5)
    bus = QueryBus(middleware=[retry(), bulkhead])
    bus.register_handler(Ask, lambda query: 1)
    bus.remove_middleware(bulkhead)
    with pytest.warns(MiddlewareOrderWarning, match="put it inside"):
        bus.add_middleware(bulkhead, index=0)


def test_retry_that_is_left_out_makes_no_bad_order() -> None:
    bus = CommandBus(middleware=[BulkheadMiddleware(5), RetryMiddleware(1, 0.1)])
    bus.register_handler(Pay, lambda command: 1)


def test_warning_turned_into_an_error_registers_nothing() -> None:
    bus = QueryBus(middleware=[BulkheadMiddleware(5), retry()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MiddlewareOrderWarning):
            bus.register_handler(Ask, lambda query: 1)
    assert bus.registered_queries() == []


def test_default_order_is_a_good_one_of_what_there_is() -> None:
    timeouts = iter([TimeoutMiddleware(3.5), TimeoutMiddleware(1.0)])
    chain = [
        next(timeouts) if row.limits else row.load()(**row.passing)
        for row in CATALOG
        if row.module and "query" in row.kinds
    ]
    assert len(chain) > 10
    assert list(DEFAULT_ORDER) == [row.name for row in CATALOG]
    assert warned(*chain) == []
    # Turned round, what it is there to prevent is told of.
    assert len(warned(*reversed(chain))) >= 2
