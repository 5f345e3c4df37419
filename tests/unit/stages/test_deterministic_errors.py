"""What fails the same way each time is neither retried nor held against a handler."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import urllib.error
from typing import Any

import msgspec
import pytest
from both_ways import Way, both_ways
from domain_cases import OldOrderError, OutOfStockError, outcomes, raising
from support import Ask

from cqrs_fast import (
    DETERMINISTIC,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    Query,
    QueryBus,
    ResultTypeError,
    RetryMiddleware,
    RetryPolicy,
    default_config,
)
from cqrs_fast.testing import ManualClock


class BadInput(ValueError):
    pass


class Driver(Exception):
    pass


class HostLookup(OSError, LookupError):
    """A network's failure that is a LookupError by name only."""


class Forbidden(PermissionError, LookupError):
    pass


DECODE = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

SAME_EACH_TIME = [
    LookupError(),
    KeyError("id"),
    IndexError(),
    ValueError(),
    BadInput(),
    TypeError(),
    AttributeError(),
    NameError(),
    UnboundLocalError(),
    AssertionError(),
    ArithmeticError(),
    ZeroDivisionError(),
    OverflowError(),
    NotImplementedError(),
    PermissionError(),
    Forbidden(),
    msgspec.ValidationError(),
    ResultTypeError("int", "str"),
]
MAY_PASS = [
    Exception(),
    RuntimeError(),
    RecursionError(),
    Driver(),
    OSError(),
    ConnectionResetError(),
    FileNotFoundError(),
    TimeoutError(),
    urllib.error.URLError("down"),
    sqlite3.OperationalError(),
    EOFError(),
    MemoryError(),
    BufferError(),
    # Others' broken answers, and failures of the system that have such a base.
    DECODE,
    UnicodeEncodeError("ascii", "\xff", 0, 1, "ordinal not in range"),
    UnicodeError(),
    json.JSONDecodeError("Expecting value", "", 0),
    io.UnsupportedOperation(),
    HostLookup(),
]
each: Any = {"ids": lambda error: type(error).__name__}


def test_the_list_is_public_and_exact() -> None:
    expected = (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        NameError,
        AssertionError,
        ArithmeticError,
        NotImplementedError,
        PermissionError,
    )
    assert tuple(DETERMINISTIC) == expected


# Retry


def attempts(way: Way, error: BaseException, stage: Any) -> int:
    calls: list[Any] = []
    bus = way.bus(QueryBus, Ask, raising(error, calls), middleware=[stage])
    assert way.error(bus, Ask()) is error
    return len(calls)


@both_ways
@pytest.mark.parametrize("error", SAME_EACH_TIME, **each)
def test_the_same_each_time_is_not_retried(way: Way, error: Exception) -> None:
    stage = RetryMiddleware(3, 0.01)
    assert attempts(way, error, stage) == 1
    assert stage.stats().failed == 0


@both_ways
@pytest.mark.parametrize("error", MAY_PASS, **each)
def test_what_may_pass_is_retried(way: Way, error: Exception) -> None:
    assert attempts(way, error, RetryMiddleware(3, 0.01)) == 3


@both_ways
@pytest.mark.parametrize(
    ("retry_on", "error", "runs"),
    [
        (Exception, KeyError(), 3),
        (Exception, PermissionError(), 3),
        (LookupError, KeyError(), 3),
        (LookupError, ValueError(), 1),
        (LookupError, OSError(), 1),
        ((OSError, BadInput), BadInput(), 3),
        ((OSError, BadInput), ValueError(), 1),
        (Exception, OutOfStockError(), 1),
        (OutOfStockError, OutOfStockError(), 1),
    ],
)
def test_retry_on_replaces_the_rule(
    way: Way, retry_on: Any, error: Exception, runs: int
) -> None:
    assert attempts(way, error, RetryMiddleware(3, retry_on=retry_on)) == runs
    updated = RetryMiddleware(3)
    updated.update(retry_on=retry_on)
    assert attempts(way, error, updated) == runs


@both_ways
def test_never_on_adds_to_the_rule(way: Way) -> None:
    for error, runs in [(Driver(), 1), (KeyError(), 1), (OSError(), 3)]:
        assert attempts(way, error, RetryMiddleware(3, never_on=Driver)) == runs


@both_ways
def test_an_update_of_something_else_keeps_the_rule(way: Way) -> None:
    stage = RetryMiddleware(3)
    stage.update(max_attempts=4, never_on=Driver)
    assert attempts(way, KeyError(), stage) == 1
    assert attempts(way, OSError(), stage) == 4


# Circuit breaker


def run_through(way: Way, breaker: Any, *errors: BaseException) -> Any:
    """Let a handler behind the breaker raise each in turn; return the bus."""
    left = list(errors)

    def body(ask: Ask) -> Any:
        raise left.pop(0)

    bus = way.bus(QueryBus, Ask, body, middleware=[breaker])
    for error in errors:
        assert way.error(bus, Ask()) is error
    return bus


@both_ways
@pytest.mark.parametrize("error", SAME_EACH_TIME, **each)
def test_the_same_each_time_leaves_the_streak_as_it_is(
    way: Way, error: Exception
) -> None:
    breaker = CircuitBreakerMiddleware(2)
    run_through(way, breaker, error, OSError(), error, error)
    assert (breaker.get_state(), breaker.snapshot().failures) == ("closed", 1)
    run_through(way, breaker, OSError())
    assert breaker.get_state() == "open"


@both_ways
@pytest.mark.parametrize("error", MAY_PASS, **each)
def test_what_may_pass_is_a_failure(way: Way, error: Exception) -> None:
    breaker = CircuitBreakerMiddleware(1)
    run_through(way, breaker, error)
    assert breaker.get_state() == "open"


@both_ways
@pytest.mark.parametrize(
    ("failure_on", "error", "state"),
    [
        (Exception, KeyError(), "open"),
        (Exception, OutOfStockError(), "closed"),
        (LookupError, KeyError(), "open"),
        (LookupError, ValueError(), "closed"),
        (LookupError, OSError(), "closed"),
        ((PermissionError, Driver), Forbidden(), "open"),
    ],
)
def test_failure_on_replaces_the_rule(
    way: Way, failure_on: Any, error: Exception, state: str
) -> None:
    breaker = CircuitBreakerMiddleware(1, failure_on=failure_on)
    run_through(way, breaker, error)
    assert breaker.get_state() == state
    updated = CircuitBreakerMiddleware(1)
    updated.update(failure_on=failure_on)
    run_through(way, updated, error)
    assert updated.get_state() == state


@both_ways
def test_a_predicate_of_the_user_is_asked_instead(way: Way) -> None:
    breaker = CircuitBreakerMiddleware(
        1, is_failure=lambda result, error: isinstance(error, KeyError)
    )
    run_through(way, breaker, OSError(), ValueError())
    assert breaker.get_state() == "closed"
    run_through(way, breaker, KeyError())
    assert breaker.get_state() == "open"


# Policies alone


@pytest.mark.parametrize("error", SAME_EACH_TIME + MAY_PASS, **each)
def test_policies_alone_take_every_exception(error: Exception) -> None:
    calls: list[Any] = []
    clock = ManualClock(auto_advance=True)
    with pytest.raises(type(error)):
        RetryPolicy(3, 0.01, clock=clock).call(raising(error, calls), None)
    assert len(calls) == 3

    async def fail() -> None:
        calls.append(None)
        raise error

    with pytest.raises(type(error)):
        asyncio.run(RetryPolicy(3, 0.01, clock=clock).call_async(fail))
    assert len(calls) == 6
    breaker = CircuitBreaker(1)
    with pytest.raises(type(error)):
        breaker.call(raising(error, calls), None)
    assert breaker.state == "open"


# Under the defaults


class GetUser(Query[str]):
    user_id: int


@both_ways
@pytest.mark.parametrize(
    ("error", "outcome"),
    [(KeyError(), "error"), (OutOfStockError(), "domain"), (OldOrderError(), "domain")],
    **each,
)
def test_twenty_wrong_ids_and_then_a_right_one(
    way: Way, error: Exception, outcome: str
) -> None:
    calls: list[int] = []

    def get(query: GetUser) -> str:
        calls.append(query.user_id)
        if query.user_id != 1:
            raise error
        return "Ann"

    clock = ManualClock(1.0)  # nobody advances it: a wait would stand for ever
    options: dict[str, Any] = {"domain_errors": (OldOrderError,), "clock": clock}
    bus = QueryBus.from_config(default_config(), enable_metrics=True, **options)
    bus.register_handler(GetUser, way.handler(get))
    for user_id in range(2, 22):
        assert way.error(bus, GetUser(user_id)) is error
    assert way(bus, GetUser(1)) == "Ann"
    assert len(calls) == 21
    assert outcomes(bus) == {outcome: 20, "ok": 1}
