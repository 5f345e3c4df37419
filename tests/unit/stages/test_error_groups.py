"""Exception groups: rules about errors look at each member."""

from __future__ import annotations

from typing import Any

import pytest
from both_ways import Way, both_ways
from domain_cases import OldOrderError, OutOfStockError, outcomes, raising
from support import Ask

from cqrs_fast import (
    CircuitBreaker,
    CircuitBreakerMiddleware,
    QueryBus,
    RetryMiddleware,
    RetryPolicy,
    ValidationError,
)
from cqrs_fast.testing import ManualClock


class Driver(Exception):
    pass


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("several at once", errors)


def attempts(way: Way, error: BaseException, stage: Any, **options: Any) -> int:
    calls: list[Any] = []
    body = raising(error, calls)
    bus = way.bus(QueryBus, Ask, body, middleware=[stage], **options)
    assert way.error(bus, Ask()) is error
    return len(calls)


RETRIED = [
    group(OSError()),
    group(OSError(), RuntimeError(), Driver()),
    group(OSError(), group(group(TimeoutError()), Driver())),
]
NOT_RETRIED = [
    group(KeyError()),
    group(OSError(), KeyError()),
    group(OSError(), OutOfStockError()),
    group(OSError(), OldOrderError()),
    group(OSError(), ValidationError("no")),
    group(OSError(), group(TimeoutError(), group(Driver(), OutOfStockError()))),
]
LISTED: dict[str, Any] = {"domain_errors": (OldOrderError,)}


@both_ways
@pytest.mark.parametrize("error", RETRIED, ids=repr)
def test_a_group_of_what_may_pass_is_retried(way: Way, error: Exception) -> None:
    assert attempts(way, error, RetryMiddleware(3), **LISTED) == 3


@both_ways
@pytest.mark.parametrize("error", NOT_RETRIED, ids=repr)
def test_a_group_with_one_member_that_is_never_retried_is_not(
    way: Way, error: Exception
) -> None:
    assert attempts(way, error, RetryMiddleware(3), **LISTED) == 1


@both_ways
@pytest.mark.parametrize(
    ("settings", "error", "runs"),
    [
        ({"never_on": Driver}, group(OSError(), Driver()), 1),
        ({"never_on": Driver}, group(OSError(), group(Driver())), 1),
        ({"never_on": Driver}, group(OSError()), 3),
        ({"retry_on": OSError}, group(OSError(), TimeoutError()), 3),
        ({"retry_on": OSError}, group(OSError(), KeyError()), 1),
        ({"retry_on": LookupError}, group(KeyError(), IndexError()), 3),
        ({"retry_on": Exception}, group(OSError(), KeyError()), 3),
        ({"retry_on": Exception}, group(OSError(), OutOfStockError()), 1),
        ({"retry_on": ExceptionGroup}, group(OSError(), OutOfStockError()), 1),
    ],
)
def test_retry_on_and_never_on_look_into_groups(
    way: Way, settings: Any, error: Exception, runs: int
) -> None:
    assert attempts(way, error, RetryMiddleware(3, **settings)) == runs


@pytest.mark.parametrize(
    ("settings", "error", "runs"),
    [
        ({"never_on": Driver}, group(OSError(), Driver()), 1),
        ({"retry_on": OSError}, group(OSError(), KeyError()), 1),
        ({}, group(OSError(), KeyError()), 3),
    ],
)
def test_the_retry_policy_alone_looks_into_groups(
    settings: Any, error: Exception, runs: int
) -> None:
    calls: list[Any] = []
    policy = RetryPolicy(3, 0.01, clock=ManualClock(auto_advance=True), **settings)
    with pytest.raises(ExceptionGroup):
        policy.call(raising(error, calls), None)
    assert len(calls) == runs


@both_ways
@pytest.mark.parametrize(
    ("settings", "error", "state"),
    [
        ({}, group(OSError()), "open"),
        ({}, group(KeyError()), "closed"),
        ({}, group(KeyError(), OSError()), "open"),
        ({}, group(KeyError(), group(ValueError(), group(OSError()))), "open"),
        ({}, group(OutOfStockError()), "closed"),
        ({}, group(OutOfStockError(), OSError()), "open"),
        ({}, group(OldOrderError(), KeyError()), "closed"),
        ({"failure_on": KeyError}, group(OSError(), KeyError()), "open"),
        ({"failure_on": KeyError}, group(OSError(), ValueError()), "closed"),
        ({"ignore": Driver}, group(Driver(), Driver()), "closed"),
        ({"ignore": Driver}, group(Driver(), OSError()), "open"),
    ],
)
def test_a_group_is_a_failure_of_the_breaker_if_any_member_is(
    way: Way, settings: Any, error: Exception, state: str
) -> None:
    breaker = CircuitBreakerMiddleware(1, **settings)
    body = raising(error, [])
    bus = way.bus(QueryBus, Ask, body, middleware=[breaker], **LISTED)
    assert way.error(bus, Ask()) is error
    assert breaker.get_state() == state


def test_the_breaker_alone_looks_into_groups() -> None:
    breaker = CircuitBreaker(1, failure_on=KeyError)
    with pytest.raises(ExceptionGroup):
        breaker.call(raising(group(OSError()), []), None)
    assert breaker.state == "closed"
    with pytest.raises(ExceptionGroup):
        breaker.call(raising(group(OSError(), KeyError()), []), None)
    assert breaker.state == "open"


@both_ways
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (group(OutOfStockError()), "domain"),
        (group(OutOfStockError(), group(OldOrderError())), "domain"),
        (group(OutOfStockError(), OSError()), "error"),
        (group(OutOfStockError(), KeyError()), "error"),
    ],
)
def test_a_group_of_nothing_but_domain_errors_is_an_answer(
    way: Way, error: Exception, outcome: str
) -> None:
    """The pages say it of retry and breaker; the counts follow."""
    bus = way.bus(QueryBus, Ask, raising(error, []), **LISTED)
    assert way.error(bus, Ask()) is error
    assert outcomes(bus) == {outcome: 1}


@both_ways
def test_a_base_exception_group_passes_uncounted(way: Way) -> None:
    error = BaseExceptionGroup("stop", [GeneratorExit(), OSError()])
    breaker = CircuitBreakerMiddleware(1)
    assert attempts(way, error, RetryMiddleware(3)) == 1
    assert attempts(way, error, breaker) == 1
    assert breaker.get_state() == "closed"


@both_ways
def test_a_group_that_hides_its_members_is_no_way_round(way: Way) -> None:
    """Its `exceptions` is what the interpreter keeps, not what a subclass answers."""

    class Lying(ExceptionGroup[Exception]):
        @property
        def exceptions(self) -> Any:
            raise RuntimeError("nobody may look")

    error = Lying("several", [OSError(), OutOfStockError()])
    assert attempts(way, error, RetryMiddleware(3)) == 1


def test_a_deep_group_ends_well() -> None:
    """A chain of groups as deep as the interpreter makes does not end the process."""
    error: Exception = OSError()
    for _ in range(20_000):
        error = ExceptionGroup("one more", [error])
    bus = QueryBus(middleware=[CircuitBreakerMiddleware(1), RetryMiddleware(1)])
    bus.register_handler(Ask, raising(error, []))
    with pytest.raises(ExceptionGroup):
        bus.execute(Ask())
    while isinstance(error, ExceptionGroup):  # freed step by step
        (error,) = error.exceptions
