"""Retries without delay: the first attempt succeeds, or the second."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

from benchmarks.rivals.duel import Duels, Match
from benchmarks.rivals.messages import (
    ORDER,
    Flaky,
    Unavailable,
    answer,
    answer_async,
    sends,
    sends_async,
)
from benchmarks.table import LoopOperation, Operation
from cqrs_fast import RetryPolicy

FIRST = "retry, the first attempt succeeds"
FIRST_ASYNC = f"{FIRST}; awaited"
SECOND = "retry, the first attempt fails, the second succeeds, no delay"
ATTEMPTS = 3
DUELS = Duels("retry")


def without_sleep(*packages: str) -> None:
    """Let packages not sleep for no time at all: that costs more than they do."""
    awake = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in packages and getattr(module, "time", 0) is time:
            module.time = awake


def policy() -> RetryPolicy:
    return RetryPolicy(ATTEMPTS, 0.0, retry_on=Unavailable)


def ours(function: Any) -> Operation:
    return Operation(
        "result = policy.call(handle, order)",
        calls=[],
        policy=policy(),
        handle=function,
        order=ORDER,
    )


def ours_async() -> Operation:
    return LoopOperation(
        "result = await policy.call_async(handle, order)",
        calls=[],
        policy=policy(),
        handle=answer_async,
        order=ORDER,
    )


def tenacious(kind: str) -> Any:
    import tenacity

    return getattr(tenacity, kind)(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_none(),
        retry=tenacity.retry_if_exception_type(Unavailable),
        reraise=True,
    )


def tenacity_calls(function: Any) -> Operation:
    # Called so it spares the copy that its decorator makes for each call.
    return Operation(
        "result = retrying(handle, order)",
        calls=[],
        retrying=tenacious("Retrying"),
        handle=function,
        order=ORDER,
    )


@DUELS.against("tenacity", "Retrying(...)(function)", feature=FIRST)
def _() -> Match:
    return Match(ours(answer), tenacity_calls(answer))


@DUELS.against("tenacity", "Retrying(...)(function)", feature=SECOND)
def _() -> Match:
    theirs = tenacity_calls(Flaky())
    without_sleep("tenacity")
    return Match(ours(Flaky()), theirs, handled=2)


@DUELS.against("tenacity", "AsyncRetrying(...)(function)", feature=FIRST_ASYNC)
def _() -> Match:
    theirs = LoopOperation(
        "result = await retrying(handle, order)",
        calls=[],
        retrying=tenacious("AsyncRetrying"),
        handle=answer_async,
        order=ORDER,
    )
    return Match(ours_async(), theirs)


def staminal(function: Any) -> Any:
    import stamina

    # Its hooks would log each retry.
    stamina.instrumentation.set_on_retry_hooks([])
    return stamina.retry(
        on=Unavailable,
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=0.0,
        wait_max=0.0,
        wait_jitter=0.0,
    )(function)


def named(flaky: Flaky) -> Any:
    """Return a function that calls it: some ask for what has a name."""

    def call(order: Any) -> Any:
        return flaky(order)

    return call


@DUELS.against("stamina", "retry", feature=FIRST)
def _() -> Match:
    return Match(ours(answer), sends(staminal(answer), ORDER))


@DUELS.against("stamina", "retry", feature=SECOND)
def _() -> Match:
    theirs = sends(staminal(named(Flaky())), ORDER)
    without_sleep("stamina", "tenacity")
    return Match(ours(named(Flaky())), theirs, handled=2)


@DUELS.against("stamina", "retry", feature=FIRST_ASYNC)
def _() -> Match:
    return Match(ours_async(), sends_async(staminal(answer_async), ORDER))


def resilient(function: Any) -> Any:
    import pyresilience

    config = pyresilience.RetryConfig(
        max_attempts=ATTEMPTS, delay=0.0, jitter=False, retry_on=(Unavailable,)
    )
    return pyresilience.resilient(retry=config)(function)


@DUELS.against("pyresilience", "resilient(retry=)", feature=FIRST)
def _() -> Match:
    return Match(ours(answer), sends(resilient(answer), ORDER))


@DUELS.against("pyresilience", "resilient(retry=)", feature=SECOND)
def _() -> Match:
    theirs = sends(resilient(named(Flaky())), ORDER)
    without_sleep("pyresilience")
    return Match(ours(named(Flaky())), theirs, handled=2)


@DUELS.against("pyresilience", "resilient(retry=)", feature=FIRST_ASYNC)
def _() -> Match:
    return Match(ours_async(), sends_async(resilient(answer_async), ORDER))
