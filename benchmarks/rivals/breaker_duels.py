"""Circuit breakers, closed: a call that succeeds goes through."""

from __future__ import annotations

import datetime
from typing import Any

from benchmarks.rivals.duel import Duels, Match
from benchmarks.rivals.messages import ORDER, answer, answer_async, sends, sends_async
from benchmarks.table import LoopOperation, Operation
from cqrs_fast import CircuitBreaker

PASSES = "a closed breaker passes a call"
PASSES_ASYNC = f"{PASSES}; awaited"
THRESHOLD = 5
TIMEOUT = 30
DUELS = Duels("breaker")


def calling(breaker: Any) -> Operation:
    return Operation(
        "result = breaker.call(handle, order)",
        calls=[],
        breaker=breaker,
        handle=answer,
        order=ORDER,
    )


def calling_async(breaker: Any) -> Operation:
    return LoopOperation(
        "result = await breaker.call_async(handle, order)",
        calls=[],
        breaker=breaker,
        handle=answer_async,
        order=ORDER,
    )


def passes(theirs: Operation) -> Match:
    return Match(calling(CircuitBreaker(THRESHOLD, TIMEOUT)), theirs)


def passes_async(theirs: Operation) -> Match:
    return Match(calling_async(CircuitBreaker(THRESHOLD, TIMEOUT)), theirs)


@DUELS.against("pybreaker", "CircuitBreaker.call", feature=PASSES)
def _() -> Match:
    import pybreaker

    breaker = pybreaker.CircuitBreaker(fail_max=THRESHOLD, reset_timeout=TIMEOUT)
    return passes(calling(breaker))


@DUELS.against("purgatory", "with breaker", feature=PASSES)
def _() -> Match:
    import purgatory

    factory = purgatory.SyncCircuitBreakerFactory(THRESHOLD, TIMEOUT)
    theirs = Operation(
        """
        with breaker:
            result = handle(order)
        """,
        calls=[],
        # Looked up once: its factory would do so for each call.
        breaker=factory.get_breaker("service"),
        handle=answer,
        order=ORDER,
    )
    return passes(theirs)


@DUELS.against("circuitbreaker", "CircuitBreaker.call", feature=PASSES)
def _() -> Match:
    import circuitbreaker

    return passes(calling(circuitbreaker.CircuitBreaker(THRESHOLD, TIMEOUT)))


def aio_breaker() -> Any:
    import aiobreaker

    return aiobreaker.CircuitBreaker(THRESHOLD, datetime.timedelta(seconds=TIMEOUT))


@DUELS.against("aiobreaker", "CircuitBreaker.call", feature=PASSES)
def _() -> Match:
    return passes(calling(aio_breaker()))


def resilient(function: Any) -> Any:
    import pyresilience

    config = pyresilience.CircuitBreakerConfig(
        failure_threshold=THRESHOLD, recovery_timeout=TIMEOUT
    )
    return pyresilience.resilient(circuit_breaker=config)(function)


@DUELS.against("pyresilience", "resilient(circuit_breaker=)", feature=PASSES)
def _() -> Match:
    return passes(sends(resilient(answer), ORDER))


@DUELS.against("purgatory", "async with breaker", feature=PASSES_ASYNC)
def _() -> Match:
    import purgatory

    factory = purgatory.AsyncCircuitBreakerFactory(THRESHOLD, TIMEOUT)
    found = LoopOperation(
        "result = await factory.get_breaker('service')", calls=[], factory=factory
    )
    theirs = LoopOperation(
        """
        async with breaker:
            result = await handle(order)
        """,
        calls=[],
        breaker=found.once(),
        handle=answer_async,
        order=ORDER,
    )
    return passes_async(theirs)


@DUELS.against("circuitbreaker", "CircuitBreaker.call_async", feature=PASSES_ASYNC)
def _() -> Match:
    import circuitbreaker

    return passes_async(
        calling_async(circuitbreaker.CircuitBreaker(THRESHOLD, TIMEOUT))
    )


@DUELS.against("aiobreaker", "CircuitBreaker.call_async", feature=PASSES_ASYNC)
def _() -> Match:
    return passes_async(calling_async(aio_breaker()))


@DUELS.against("pyresilience", "resilient(circuit_breaker=)", feature=PASSES_ASYNC)
def _() -> Match:
    return passes_async(sends_async(resilient(answer_async), ORDER))
