"""Whole pipelines: a dispatch with all its protections, and a query from a cache."""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import Any

from benchmarks.rivals.duel import QUANTITY, Duels, Match, handler
from benchmarks.rivals.handwritten import (
    protected_closures,
    protected_closures_async,
)
from benchmarks.rivals.isolation import STANDARD_LIBRARY
from benchmarks.rivals.messages import (
    FIND,
    HOUR,
    NAME,
    ORDER,
    PERMITS,
    PLAIN,
    TIMEOUT,
    answer,
    answer_async,
    our_query,
    our_query_async,
    ours,
    ours_async,
    protections,
    sends,
    sends_async,
)
from benchmarks.rivals.slck import Silent, slck_mediator
from benchmarks.workload import SIX, limiter
from cqrs_fast import (
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
)

SIX_ASYNC = f"{SIX}; awaited"
FOUR = "limiter, bulkhead, breaker, retry"
FIVE = f"{FOUR}, timeout; awaited"
CACHED = "a query whose answer is cached"
CACHED_TTL = f"{CACHED}, with a time to live"
CACHED_ASYNC = f"{CACHED_TTL}; awaited"
SIZE = 10_000
DUELS = Duels("pipeline")


@DUELS.against(None, "closures around the handler", feature=SIX)
def _() -> Match:
    theirs = sends(protected_closures(), PLAIN)
    return Match(ours(*protections(), metrics=True), theirs)


@DUELS.against(None, "closures around the handler", feature=SIX_ASYNC)
def _() -> Match:
    theirs = sends_async(protected_closures_async(), PLAIN)
    return Match(ours_async(*protections(), metrics=True), theirs)


@DUELS.against("slck-mediator", "Mediator, its pipeline", feature=SIX_ASYNC)
def _() -> Match:
    import mediator
    from mediator import observability

    bus, order = slck_mediator(
        mediator.ValidationMiddleware(),
        mediator.RateLimitMiddleware(PERMITS, HOUR),
        mediator.RetryMiddleware(3, lambda attempt: 0.1 * 2**attempt),
        mediator.CircuitBreakerMiddleware(5, TIMEOUT),
        mediator.TimeoutMiddleware(TIMEOUT),
        metrics=observability.InMemoryMetrics(),
    )
    theirs = sends_async(bus.send, order)
    return Match(ours_async(*protections(), metrics=True), theirs)


# pyresilience has no dispatch: ours does that as well


def resilient(**more: Any) -> Any:
    import pyresilience

    return pyresilience.resilient(
        rate_limiter=pyresilience.RateLimiterConfig(max_calls=PERMITS, period=HOUR),
        bulkhead=pyresilience.BulkheadConfig(max_concurrent=10),
        circuit_breaker=pyresilience.CircuitBreakerConfig(
            failure_threshold=5, recovery_timeout=TIMEOUT
        ),
        retry=pyresilience.RetryConfig(max_attempts=3, delay=0.1),
        **more,
    )


def four() -> list[Any]:
    return [
        limiter(),
        RetryMiddleware(),
        BulkheadMiddleware(10),
        CircuitBreakerMiddleware(),
    ]


@DUELS.against("pyresilience", "resilient(...)", feature=FOUR)
def _() -> Match:
    return Match(ours(*four()), sends(resilient()(answer), ORDER))


@DUELS.against("pyresilience", "resilient(...)", feature=FIVE)
def _() -> Match:
    import pyresilience

    timeout = pyresilience.TimeoutConfig(seconds=TIMEOUT)
    theirs = sends_async(resilient(timeout=timeout)(answer_async), ORDER)
    return Match(ours_async(*four(), TimeoutMiddleware(TIMEOUT)), theirs)


# Cached queries: the others remember what a function returned for the message


def cached(theirs: Any) -> Match:
    return Match(our_query(CachingMiddleware()), sends(theirs, FIND), handled=0)


@DUELS.against(STANDARD_LIBRARY, "lru_cache", feature=CACHED)
def _() -> Match:
    return cached(lru_cache(SIZE)(answer))


@DUELS.against("cachetools", "cached(LRUCache), no lock", feature=CACHED)
def _() -> Match:
    import cachetools

    return cached(cachetools.cached(cachetools.LRUCache(SIZE))(answer))


@DUELS.against("cachetools", "cached(TTLCache), no lock", feature=CACHED_TTL)
def _() -> Match:
    import cachetools

    return cached(cachetools.cached(cachetools.TTLCache(SIZE, HOUR))(answer))


@DUELS.against("cachebox", "cached(TTLCache)", feature=CACHED_TTL)
def _() -> Match:
    import cachebox

    return cached(cachebox.cached(cachebox.TTLCache(SIZE, HOUR))(answer))


@DUELS.against("theine", "Memoize, nolock", feature=CACHED_TTL)
def _() -> Match:
    import theine

    memoize = theine.Memoize(SIZE, datetime.timedelta(seconds=HOUR), nolock=True)
    remembered = memoize(answer)
    remembered.key(lambda query: query)
    return cached(remembered)


@DUELS.against("pyresilience", "resilient(cache=)", feature=CACHED_TTL)
def _() -> Match:
    import pyresilience

    config = pyresilience.CacheConfig(max_size=SIZE, ttl=HOUR)
    return cached(pyresilience.resilient(cache=config)(answer))


@DUELS.against("py-mediatR", "Mediator, CachingBehavior", feature=CACHED_TTL)
def _() -> Match:
    import py_mediatr

    class Find(py_mediatr.IRequest):
        cacheable = True

        def __init__(self, name: str, quantity: int) -> None:
            self.name = name
            self.quantity = quantity

        def cache_key(self) -> str:
            return self.name

    class Handler:
        @handler
        def handle(self, request: Find) -> int:
            return request.quantity

    caching = py_mediatr.CachingBehavior(ttl_seconds=HOUR, max_size=SIZE)
    bus = py_mediatr.Mediator(auto_discover=False, behaviors=[caching])
    bus.register_handler(Find, Handler())
    theirs = sends(bus.send, Find(NAME, QUANTITY))
    return Match(our_query(CachingMiddleware()), theirs, handled=0)


@DUELS.against("slck-mediator", "Mediator, CachingMiddleware", feature=CACHED_ASYNC)
def _() -> Match:
    import mediator

    class Find(mediator.Request[int]):
        def __init__(self, name: str, quantity: int) -> None:
            self.name = name
            self.quantity = quantity

        def cache_key(self) -> str:
            return self.name

        def ttl_seconds(self) -> float:
            return HOUR

        def clone_response(self, response: Any) -> Any:
            return response

    class Handler:
        @handler
        async def handle(self, request: Find, context: Any) -> int:
            return request.quantity

    silent = Silent()
    bus = mediator.Mediator(logger=silent, metrics=silent, tracer=silent)
    bus.register_request_handler(Find, Handler())
    bus.register_pipeline(mediator.CachingMiddleware())
    theirs = sends_async(bus.send, Find(NAME, QUANTITY))
    return Match(our_query_async(CachingMiddleware()), theirs, handled=0)
