"""The default order of middleware, and warnings of orders that defeat a middleware."""

from __future__ import annotations

import warnings
from typing import Any

from cqrs_fast.assembly.description import StageInfo
from cqrs_fast.errors import (
    CircuitOpenError,
    CQRSError,
    MiddlewareOrderWarning,
    RejectedError,
)

# Outermost first, by class; the two timeouts are the total one and that of an attempt.
# "custom" is where middleware of one's own goes.
DEFAULT_ORDER = (
    "Metrics",  # sees rejections, cache hits and the true latency
    "TracingMiddleware",
    "LoggingMiddleware",  # a line for each dispatch, not for each attempt
    "TimeoutMiddleware",  # covers every wait below
    "ValidationMiddleware",  # what is invalid spends no token and fills no cache
    "AuthenticationMiddleware",  # before anything that is keyed by the principal
    "custom",
    "RateLimitingMiddleware",
    "CachingMiddleware",  # a hit skips all below, and only a final outcome is stored
    "IdempotencyMiddleware",
    "RetryMiddleware",  # the ones below see each attempt
    "CircuitBreakerMiddleware",  # an open circuit ends the attempts at once
    "BulkheadMiddleware",  # no slot is held between attempts
    "TimeoutMiddleware",  # next to the work, and counted by the breaker
)

# Texts that a bus remembers at most: reloads can make ever new ones.
MOST_KNOWN = 1000

# What must not lie inside of a retry, and why.
_OUTSIDE_RETRY = {
    "CachingMiddleware": "every attempt looks into the cache and fills it",
    "IdempotencyMiddleware": "every attempt after the first is taken for a duplicate",
}


def check_order(stages: list[StageInfo], known: set[str]) -> None:
    """Warn of a known-bad order, at the line that registers the handler.

    `known` holds the texts that were told of already.
    """
    for text in problems(stages):
        if text not in known:
            if len(known) >= MOST_KNOWN:
                known.clear()
            known.add(text)
            warnings.warn(text, MiddlewareOrderWarning, stacklevel=2)


def problems(stages: list[StageInfo]) -> list[str]:
    """Return what is wrong with the order of the stages of a route."""
    found = []
    kinds = [stage.kind for stage in stages]
    for at, retry in enumerate(stages):
        if retry.kind != "RetryMiddleware":
            continue
        outside, inside = kinds[:at], kinds[at + 1 :]
        found += [
            f"{kind} lies inside of RetryMiddleware: {why}; put it outside"
            for kind, why in _OUTSIDE_RETRY.items()
            if kind in inside
        ]
        if "BulkheadMiddleware" in outside:
            found.append(
                "BulkheadMiddleware lies outside of RetryMiddleware: a slot is held "
                "while a retry waits; put it inside"
            )
        if "CircuitBreakerMiddleware" in outside and _names_open(retry.settings):
            found.append(
                "CircuitBreakerMiddleware lies outside of RetryMiddleware, which names "
                "CircuitOpenError in retry_on: it never sees that error, and the "
                "breaker counts a dispatch once for all its attempts; put it inside"
            )
        found += _budget(stages, at)
    return found


def _names_open(settings: dict[str, Any]) -> bool:
    """Tell whether a retry names the error of an open circuit or a base of it."""
    own = {CircuitOpenError.__name__, RejectedError.__name__, CQRSError.__name__}
    return not own.isdisjoint(settings["retry_on"])


def _budget(stages: list[StageInfo], at: int) -> list[str]:
    """Tell if the attempts cannot all take place within the timeout outside of them."""
    retry = stages[at].settings
    total = _shortest(stages[:at])
    attempt = _shortest(stages[at + 1 :])
    if total is None or attempt is None:
        return []
    attempts = retry["max_attempts"]
    needed = attempts * attempt + _longest_delays(retry)
    if needed <= total:
        return []
    return [
        f"{attempts} attempts of {attempt:g} s and the delays between them can take "
        f"{needed:g} s, but the TimeoutMiddleware outside of RetryMiddleware ends them "
        f"after {total:g} s; allow more there, or fewer or shorter attempts"
    ]


def _shortest(stages: list[StageInfo]) -> float | None:
    seconds = [
        stage.settings["seconds"]
        for stage in stages
        if stage.kind == "TimeoutMiddleware" and stage.settings["seconds"]
    ]
    return min(seconds, default=None)


def _longest_delays(retry: dict[str, Any]) -> float:
    """Return the sum of the delays as far as jitter may stretch them, in seconds."""
    total = 0.0
    delay = float(retry["base_delay"])
    # Beyond a few hundred attempts the delays have long reached their limit.
    for _ in range(min(retry["max_attempts"] - 1, 1000)):
        total += min(delay, retry["max_delay"])
        delay = min(delay * retry["multiplier"], retry["max_delay"])
    return total
