"""Row 27: a whole pipeline does what fifty lines of plain Python say, step by step."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from reliability.parts import Get, assert_at_rest, bus_of

from cqrs_fast import (
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    Context,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RetryMiddleware,
)
from cqrs_fast.testing import ManualClock

SECOND = 1_000_000_000
LIMIT, WINDOW, BURST = 3, 7 * SECOND, 6
TTL = 10 * SECOND
ATTEMPTS, BASE, MULTIPLIER, MOST_DELAY = 3, SECOND, 2, 3 * SECOND
THRESHOLD, OPEN_FOR = 4, 8 * SECOND


class Model:
    """The reference: limiter, cache, retry and breaker around a scripted handler."""

    def __init__(self) -> None:
        self.now = 1000 * SECOND
        self.credit = BURST * WINDOW
        self.filled = self.now
        self.entries: dict[int, tuple[int, int]] = {}
        self.state = "closed"
        self.failures = 0
        self.opened = 0
        self.hits = self.misses = self.retries = self.runs = 0

    def refill(self) -> None:
        gained = (self.now - self.filled) * LIMIT
        self.credit = min(BURST * WINDOW, self.credit + gained)
        self.filled = self.now

    def dispatch(self, number: int, script: list[bool]) -> tuple[str, Any]:
        self.refill()
        if self.credit < WINDOW:
            return "limited", -(-(WINDOW - self.credit) // LIMIT)
        self.credit -= WINDOW
        if number in self.entries and self.now < self.entries[number][1]:
            self.hits += 1
            return "answer", self.entries[number][0]
        self.misses += 1
        for attempt in range(1, ATTEMPTS + 1):
            outcome = self.attempt(script[attempt - 1])
            if outcome[0] == "answer":
                self.entries[number] = (outcome[1], self.now + TTL)
            if outcome[0] != "failure" or attempt == ATTEMPTS:
                return outcome
            self.retries += 1
            self.now += min(BASE * MULTIPLIER ** (attempt - 1), MOST_DELAY)
        raise AssertionError

    def attempt(self, succeeds: bool) -> tuple[str, Any]:
        if self.state == "open":
            left = self.opened + OPEN_FOR - self.now
            if left > 0:
                return "open", left
            self.state = "half-open"
        self.runs += 1
        if succeeds:
            self.state, self.failures = "closed", 0
            return "answer", self.runs
        self.failures += 1
        if self.state == "half-open" or self.failures >= THRESHOLD:
            self.state, self.opened = "open", self.now
        return "failure", None

    def shown_state(self) -> str:
        if self.state == "open" and self.now >= self.opened + OPEN_FOR:
            return "half-open"
        return self.state

    def remaining(self) -> int:
        self.refill()
        return self.credit // WINDOW


class PipelineMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.script: list[bool] = []
        self.runs = 0
        self.clock = ManualClock(1000.0, auto_advance=True)
        self.limiter = RateLimitingMiddleware(LIMIT, WINDOW / SECOND, burst=BURST)
        self.cache = CachingMiddleware(TTL / SECOND)
        self.retry = RetryMiddleware(
            ATTEMPTS,
            BASE / SECOND,
            multiplier=float(MULTIPLIER),
            max_delay=MOST_DELAY / SECOND,
            jitter="none",
        )
        self.breaker = CircuitBreakerMiddleware(THRESHOLD, OPEN_FOR / SECOND)
        self.bus = bus_of(
            [self.limiter, self.cache, self.retry, self.breaker],
            Get,
            self.handle,
            clock=self.clock,
        )

    def handle(self, ctx: Context, get: Get) -> int:
        self.runs += 1
        if not self.script.pop(0):
            raise ConnectionError
        return self.runs

    @rule(
        number=st.integers(0, 3),
        script=st.lists(st.booleans(), min_size=ATTEMPTS, max_size=ATTEMPTS),
    )
    def dispatch(self, number: int, script: list[bool]) -> None:
        expected, detail = self.model.dispatch(number, script)
        self.script = list(script)
        try:
            found: tuple[str, Any] = "answer", self.bus.execute(Get(number))
        except RateLimitExceededError as error:
            found = "limited", ns(error.retry_after)
        except CircuitOpenError as error:
            found = "open", ns(error.retry_after)
        except ConnectionError:
            found = "failure", None
        assert found == (expected, detail)

    @rule(ns=st.one_of(st.integers(0, 3 * SECOND), st.sampled_from([TTL, OPEN_FOR])))
    def pass_time(self, ns: int) -> None:
        self.clock.advance(ns / SECOND)
        # As the clock has rounded it.
        self.model.now = self.clock()

    @rule(number=st.integers(0, 3))
    def invalidate(self, number: int) -> None:
        self.cache.invalidate(Get(number))
        self.model.entries.pop(number, None)

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.entries.clear()

    @rule()
    def reset_breaker(self) -> None:
        self.breaker.reset()
        self.model.state, self.model.failures = "closed", 0

    @rule()
    def reset_limiter(self) -> None:
        self.limiter.reset()
        self.model.credit, self.model.filled = BURST * WINDOW, self.model.now

    @rule()
    def take_apart_and_together(self) -> None:
        for one in (self.limiter, self.breaker):
            at = self.bus.middleware.index(one)
            self.bus.remove_middleware(one)
            self.bus.add_middleware(one, index=at)

    @invariant()
    def agrees(self) -> None:
        assert self.clock() == self.model.now
        assert self.limiter.remaining_tokens() == self.model.remaining()
        assert self.breaker.get_state() == self.model.shown_state()
        assert self.runs == self.model.runs
        stats, total = self.cache.stats(), self.bus.stats().total
        assert (stats.hits, stats.misses) == (self.model.hits, self.model.misses)
        assert (total.cache_hits, total.retries) == (
            self.model.hits,
            self.model.retries,
        )

    def teardown(self) -> None:
        assert_at_rest(self.bus)
        assert self.bus.close(0).drained


def ns(seconds: float | None) -> int:
    assert seconds is not None
    return round(seconds * SECOND)


class TestPipelineModel(PipelineMachine.TestCase):  # type: ignore[name-defined]
    """Row 27: limiter, cache, retry and breaker together; others have their own."""

    settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
