"""Rate limiters: permits under threads, in any interval, over days, and per key."""

from __future__ import annotations

import asyncio
import datetime
import importlib
from functools import partial
from typing import ClassVar

import cqrs_fast
from benchmarks.rivals.clocks import SimulatedTime
from benchmarks.rivals.isolation import OURS
from benchmarks.table import finish


class Ask(cqrs_fast.Command[None]):
    key: str


class Limiter:
    """A limiter as the questions use it: permits without waiting, starting full.

    Parameters:
        limit: permits in a period.
        period: in seconds.
        simulated: where time is read; None for true time.
    """

    distribution: ClassVar[str]
    package: ClassVar[str]
    what: ClassVar[str]

    def __init__(
        self, limit: int, period: int, simulated: SimulatedTime | None = None
    ) -> None:
        if simulated is not None:
            importlib.import_module(self.package)
            simulated.install(self.package)
        self.make(limit, period)

    def make(self, limit: int, period: int) -> None:
        """Make the rival's limiter; its package is imported here, or before."""

    def admits(self, key: str = "anybody") -> bool:
        raise NotImplementedError


class Ours(Limiter):
    distribution = OURS
    package = "cqrs_fast"
    what = "RateLimitingMiddleware"

    def __init__(
        self, limit: int, period: int, simulated: SimulatedTime | None = None
    ) -> None:
        clock = None if simulated is None else simulated.manual
        limiter = cqrs_fast.RateLimitingMiddleware(
            limit, period, key=lambda ctx, message: message.key, clock=clock
        )
        bus = cqrs_fast.CommandBus(middleware=[limiter])
        bus.register_handler(Ask, lambda message: None)
        self.execute = bus.execute

    def admits(self, key: str = "anybody") -> bool:
        try:
            self.execute(Ask(key))
        except cqrs_fast.RateLimitExceededError:
            return False
        return True


class Limits(Limiter):
    distribution = package = "limits"

    def make(self, limit: int, period: int) -> None:
        import limits

        storage = limits.storage.MemoryStorage()
        limiter = getattr(limits.strategies, self.what)(storage)
        item = limits.RateLimitItemPerSecond(limit, period)
        self.hit = partial(limiter.hit, item)

    def admits(self, key: str = "anybody") -> bool:
        return bool(self.hit(key))


class LimitsFixed(Limits):
    what = "FixedWindowRateLimiter"


class LimitsMoving(Limits):
    what = "MovingWindowRateLimiter"


class LimitsSliding(Limits):
    what = "SlidingWindowCounterRateLimiter"


class Throttled(Limiter):
    distribution = "throttled-py"
    package = "throttled"

    def make(self, limit: int, period: int) -> None:
        import throttled

        duration = datetime.timedelta(seconds=period)
        self.limit = throttled.Throttled(
            using=self.what,
            quota=throttled.per_duration(duration, limit),
            store=throttled.MemoryStore(),
        ).limit

    def admits(self, key: str = "anybody") -> bool:
        return not self.limit(key).limited


class ThrottledTokens(Throttled):
    what = "token_bucket"


class ThrottledLeaking(Throttled):
    what = "leaking_bucket"


class ThrottledGcra(Throttled):
    what = "gcra"


class PyRate(Limiter):
    distribution = "pyrate-limiter"
    package = "pyrate_limiter"
    what = "Limiter"

    def make(self, limit: int, period: int) -> None:
        import pyrate_limiter

        rate = pyrate_limiter.Rate(limit, period * 1_000)
        self.limiter = pyrate_limiter.Limiter(rate)

    def admits(self, key: str = "anybody") -> bool:
        return bool(self.limiter.try_acquire(key, blocking=False))


class PyResilience(Limiter):
    distribution = package = "pyresilience"
    what = "resilient(rate_limiter=)"

    def make(self, limit: int, period: int) -> None:
        import pyresilience

        config = pyresilience.RateLimiterConfig(max_calls=limit, period=period)
        self.refusal = pyresilience.RateLimitExceededError
        self.run = pyresilience.resilient(rate_limiter=config)(lambda: None)

    def admits(self, key: str = "anybody") -> bool:
        try:
            self.run()
        except self.refusal:
            return False
        return True


class AioLimiter(Limiter):
    distribution = package = "aiolimiter"
    what = "AsyncLimiter"

    def make(self, limit: int, period: int) -> None:
        import aiolimiter

        self.limiter = aiolimiter.AsyncLimiter(limit, period)
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._meet_the_loop())

    async def _meet_the_loop(self) -> None:
        self.limiter.has_capacity()

    def admits(self, key: str = "anybody") -> bool:
        if not self.limiter.has_capacity():
            return False
        finish(self.limiter.acquire())
        return True
