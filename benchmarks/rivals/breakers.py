"""Circuit breakers, each behind the interface that the questions use."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import cqrs_fast
from benchmarks.rivals.isolation import OURS


class Call(cqrs_fast.Command[Any]):
    function: Any


def run(function: Callable[[], Any]) -> Any:
    return function()


async def run_async(function: Callable[[], Awaitable[Any]]) -> Any:
    return await function()


class Breaker:
    """A breaker as the questions use it: it lets one probe in when it is half-open.

    Parameters:
        threshold: it opens at so many failures in a row.
        timeout: seconds until it is half-open.
    """

    distribution: ClassVar[str]
    package: ClassVar[str]
    what: ClassVar[str]

    call: Callable[[Callable[[], Any]], Any]
    call_async: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

    def __init__(self, threshold: int, timeout: float) -> None:
        raise NotImplementedError


class Ours(Breaker):
    distribution = OURS
    package = "cqrs_fast"
    what = "CircuitBreakerMiddleware"

    def __init__(self, threshold: int, timeout: float) -> None:
        breaker = cqrs_fast.CircuitBreakerMiddleware(threshold, timeout)
        self.bus = cqrs_fast.CommandBus(middleware=[breaker])
        self.bus.register_handler(Call, lambda message: message.function())
        self.bus_async = cqrs_fast.CommandBus(middleware=[breaker])
        self.bus_async.register_handler(Call, self._handle)

    @staticmethod
    async def _handle(message: Call) -> Any:
        return await message.function()

    def call(self, function: Callable[[], Any]) -> Any:
        return self.bus.execute(Call(function))

    async def call_async(self, function: Callable[[], Awaitable[Any]]) -> Any:
        return await self.bus_async.execute_async(Call(function))


class PyBreaker(Breaker):
    distribution = package = "pybreaker"
    what = "CircuitBreaker"

    def __init__(self, threshold: int, timeout: float) -> None:
        import pybreaker

        breaker = pybreaker.CircuitBreaker(fail_max=threshold, reset_timeout=timeout)
        self.call = breaker.call


class Purgatory(Breaker):
    distribution = package = "purgatory"
    what = "SyncCircuitBreakerFactory"

    def __init__(self, threshold: int, timeout: float) -> None:
        import purgatory

        self.factory = purgatory.SyncCircuitBreakerFactory(threshold, timeout)

    def call(self, function: Callable[[], Any]) -> Any:
        with self.factory.get_breaker("service"):
            return function()


class PurgatoryAsync(Breaker):
    distribution = package = "purgatory"
    what = "AsyncCircuitBreakerFactory"

    def __init__(self, threshold: int, timeout: float) -> None:
        import purgatory

        self.factory = purgatory.AsyncCircuitBreakerFactory(threshold, timeout)

    async def call_async(self, function: Callable[[], Awaitable[Any]]) -> Any:
        async with await self.factory.get_breaker("service"):
            return await function()


class CircuitBreaker(Breaker):
    distribution = package = "circuitbreaker"
    what = "CircuitBreaker"

    def __init__(self, threshold: int, timeout: float) -> None:
        import circuitbreaker

        self.call = circuitbreaker.circuit(threshold, timeout)(run)
        self.call_async = circuitbreaker.circuit(threshold, timeout)(run_async)


class AioBreaker(Breaker):
    distribution = package = "aiobreaker"
    what = "CircuitBreaker"

    def __init__(self, threshold: int, timeout: float) -> None:
        import aiobreaker

        breaker = aiobreaker.CircuitBreaker(
            threshold, datetime.timedelta(seconds=timeout)
        )
        self.call = breaker.call
        self.call_async = breaker.call_async


class PyResilience(Breaker):
    distribution = package = "pyresilience"
    what = "resilient(circuit_breaker=)"

    def __init__(self, threshold: int, timeout: float) -> None:
        import pyresilience

        config = pyresilience.CircuitBreakerConfig(
            failure_threshold=threshold, recovery_timeout=timeout, success_threshold=1
        )

        self.call = pyresilience.resilient(circuit_breaker=config)(run)
        self.call_async = pyresilience.resilient(circuit_breaker=config)(run_async)


SYNC = (Ours, PyBreaker, Purgatory, CircuitBreaker, AioBreaker, PyResilience)
ASYNC = (Ours, PurgatoryAsync, CircuitBreaker, AioBreaker, PyResilience)
