"""A domain error is an answer of the application: retry and breaker let it pass."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from both_ways import Way, both_ways
from domain_cases import (
    Gone,
    NotYours,
    OldOrderError,
    OutOfStockError,
    domain,
    outcomes,
    raising,
)
from support import Ask

from cqrs_fast import (
    CircuitBreakerMiddleware,
    CommandBus,
    Config,
    CQRSError,
    DomainError,
    QueryBus,
    RetryMiddleware,
    default_config,
)
from cqrs_fast.config.reload import apply_config
from cqrs_fast.testing import ManualClock

# The class


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (OutOfStockError("no hats"), 409, "out_of_stock", "no hats"),
        (NotYours("not yours"), 403, "not_yours", "not yours"),
        (Gone(7), 410, "order_gone", "order 7 is gone"),
        (DomainError("no"), 409, "domain", "no"),
        (DomainError(), 409, "domain", ""),
    ],
)
def test_it_says_its_status_its_code_and_its_text(
    error: DomainError, status: int, code: str, message: str
) -> None:
    assert (error.status, error.code) == (status, code)
    assert (type(error).status, type(error).code) == (status, code)
    public = error.public()
    assert public["code"] == code
    assert public["message"] == str(error) == message


def test_an_author_adds_to_what_is_public() -> None:
    assert OutOfStockError("no hats").public() == {
        "code": "out_of_stock",
        "message": "no hats",
    }
    assert Gone(7).public()["order"] == 7


def test_it_is_an_exception_of_the_application_not_of_the_library() -> None:
    assert DomainError.__bases__ == (Exception,)
    assert not issubclass(DomainError, CQRSError)


@pytest.mark.parametrize("copied", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_it_is_copied_and_pickled_as_any_exception(copied: Any) -> None:
    error = copied(OutOfStockError("no hats"))
    assert type(error) is OutOfStockError
    assert error.public() == {"code": "out_of_stock", "message": "no hats"}


# domain_errors=


@pytest.mark.parametrize("kind", [CommandBus, QueryBus])
@pytest.mark.parametrize(
    "wrong", [(int,), ("OrderError",), (KeyboardInterrupt,), 5, (OldOrderError("x"),)]
)
def test_what_is_no_class_of_exceptions_is_refused(kind: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="domain_errors"):
        kind(domain_errors=wrong)
    with pytest.raises(TypeError, match="domain_errors"):
        kind.from_config(default_config(), domain_errors=wrong)


@both_ways
def test_one_class_may_stand_alone(way: Way) -> None:
    calls: list[Any] = []
    body = raising(OldOrderError(), calls)
    bus = way.bus(QueryBus, Ask, body, domain_errors=OldOrderError)
    way.error(bus, Ask())
    assert outcomes(bus) == {"domain": 1}


@both_ways
def test_each_bus_has_its_own_list_also_where_a_stage_is_shared(way: Way) -> None:
    """What is a domain error is a rule of the bus, not of the middleware object."""
    shared = [RetryMiddleware(3), CircuitBreakerMiddleware(1)]
    calls: list[Any] = []
    body = raising(OldOrderError(), calls)
    options: dict[str, Any] = {"domain_errors": (OldOrderError,)}
    knows = way.bus(QueryBus, Ask, body, middleware=shared, **options)
    way.error(knows, Ask())
    way.error(knows, Ask())
    assert len(calls) == 2
    other = [shared[0], CircuitBreakerMiddleware(9)]
    does_not = way.bus(QueryBus, Ask, body, middleware=other)
    way.error(does_not, Ask())
    assert len(calls) == 5
    assert outcomes(knows) == {"domain": 2}
    assert outcomes(does_not) == {"error": 1}


@both_ways
def test_a_live_change_keeps_the_list(way: Way) -> None:
    calls: list[Any] = []
    bus = QueryBus.from_config(
        default_config(), domain_errors=(OldOrderError,), enable_metrics=True
    )
    bus.register_handler(Ask, way.handler(raising(OldOrderError(), calls)))
    way.error(bus, Ask())
    apply_config(Config(), [bus])
    bus.add_middleware(RetryMiddleware(3, 0.0))
    way.error(bus, Ask())
    assert len(calls) == 2
    assert outcomes(bus) == {"domain": 2}


# Retry


@both_ways
@domain
@pytest.mark.parametrize("retry_on", [None, Exception, OldOrderError, "its class"])
def test_it_is_never_retried(
    way: Way, error: Exception, options: Any, retry_on: Any
) -> None:
    settings = {} if retry_on is None else {"retry_on": retry_on}
    if retry_on == "its class":
        settings = {"retry_on": (type(error), KeyError)}
    calls: list[Any] = []
    stage = RetryMiddleware(5, **settings)
    body = raising(error, calls)
    bus = way.bus(QueryBus, Ask, body, middleware=[stage], **options)
    assert way.error(bus, Ask()) is error
    assert len(calls) == 1
    assert stage.stats().retries == stage.stats().exhausted == 0


@both_ways
def test_an_update_does_not_make_it_retried(way: Way) -> None:
    calls: list[Any] = []
    stage = RetryMiddleware(5)
    bus = way.bus(QueryBus, Ask, raising(OutOfStockError(), calls), middleware=[stage])
    stage.update(retry_on=(DomainError, OutOfStockError))
    way.error(bus, Ask())
    assert len(calls) == 1


@both_ways
def test_a_domain_error_of_the_second_attempt_ends_the_retry(way: Way) -> None:
    failures: list[Exception] = [OSError(), OutOfStockError("no hats"), OSError()]

    def body(ask: Ask) -> Any:
        raise failures.pop(0)

    bus = way.bus(QueryBus, Ask, body, middleware=[RetryMiddleware(3)])
    assert str(way.error(bus, Ask())) == "no hats"
    assert len(failures) == 1
    assert outcomes(bus) == {"domain": 1}
    assert bus.stats().total.retries == 1


# Circuit breaker


def always(result: object, error: object) -> bool:
    return True


def raises(result: object, error: object) -> bool:
    raise RuntimeError("a predicate that fails")


@both_ways
@domain
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"is_failure": always},
        {"is_failure": raises},
        {"failure_on": Exception},
        {"failure_on": (DomainError, OldOrderError, OSError)},
        {"ignore": (DomainError, OldOrderError, OSError)},
    ],
    ids=str,
)
def test_it_is_a_success_for_every_breaker(
    way: Way, error: Exception, options: Any, settings: Any
) -> None:
    """A success ends the streak, which what is only ignored does not."""
    breaker = CircuitBreakerMiddleware(2, 30.0, **settings)
    answers: list[Exception] = [RuntimeError(), error, RuntimeError(), error]

    def body(ask: Ask) -> Any:
        raise answers.pop(0)

    bus = way.bus(QueryBus, Ask, body, middleware=[breaker], **options)
    for _ in range(4):
        way.error(bus, Ask())
    assert breaker.get_state() == "closed"
    assert breaker.snapshot().failures == 0


@both_ways
@domain
def test_it_closes_a_half_open_circuit(
    way: Way, error: Exception, options: Any
) -> None:
    clock = ManualClock(1.0)
    breaker = CircuitBreakerMiddleware(1, 30.0, clock=clock, is_failure=always)
    answers: list[Exception] = [RuntimeError(), error, error]

    def body(ask: Ask) -> Any:
        raise answers.pop(0)

    bus = way.bus(QueryBus, Ask, body, middleware=[breaker], clock=clock, **options)
    way.error(bus, Ask())
    assert breaker.get_state() == "open"
    clock.advance(30.0)
    assert way.error(bus, Ask()) is error
    assert breaker.get_state() == "closed"
    assert way.error(bus, Ask()) is error
