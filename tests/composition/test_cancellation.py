"""Row 7: ended at any of its steps, a dispatch gives back all it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from reliability.parts import (
    MAKERS,
    Closed,
    Cut,
    Get,
    Put,
    assert_at_rest,
    bus_of,
    cancel_task,
    close,
    default_order,
)
from virtual_time import VirtualTimeLoop, clock, run_virtual

from cqrs_fast import (
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    FallbackMiddleware,
    IdempotencyMiddleware,
    RateLimitingMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
)

Make = Callable[[], list[Any]]


class Case(NamedTuple):
    """A pipeline in which calls wait for each other; what the others may get."""

    make: Make
    message: type[Any] = Get
    failing: int = 0  # so many attempts fail before one succeeds
    seconds: float = 0.2  # that an attempt takes
    expected: tuple[Any, ...] = (1,)
    distinct: bool = False  # each call has a message of its own


def limiter() -> Any:
    return RateLimitingMiddleware(2, 1.0, burst=1, max_wait=60.0)


def bulkhead() -> Any:
    return BulkheadMiddleware(1, max_queue=10, max_wait=60.0)


def retry() -> Any:
    return RetryMiddleware(10, 0.1, jitter="none")


def breaker() -> Any:
    return CircuitBreakerMiddleware(3, 5.0)


def whole(kind: str) -> list[Any]:
    made: dict[str, Callable[[], Any]] = {
        **MAKERS,
        "rate limiting": limiter,
        "caching": lambda: CachingMiddleware(0.3),
        "idempotency": lambda: IdempotencyMiddleware(ttl=0.3),
        "retry": lambda: RetryMiddleware(10, 0.1, jitter="none", retry_commands=True),
        "circuit breaker": lambda: CircuitBreakerMiddleware(100, 5.0),
        "bulkhead": bulkhead,
        "timeout": lambda: TimeoutMiddleware(5.0),
    }
    return [TimeoutMiddleware(500.0), *(made[name]() for name in default_order(kind))]


CASES = {
    "limiter": Case(lambda: [limiter()]),
    "keyed limiter": Case(
        lambda: [
            RateLimitingMiddleware(
                2, 1.0, burst=1, max_wait=60.0, key=lambda ctx, message: message.number
            )
        ]
    ),
    "bulkhead": Case(lambda: [bulkhead()]),
    "cache": Case(lambda: [CachingMiddleware(60.0)]),
    "cache of what fails": Case(
        lambda: [CachingMiddleware(60.0)], failing=99, expected=(ConnectionError,)
    ),
    "idempotency": Case(lambda: [IdempotencyMiddleware()], Put),
    "retry": Case(lambda: [retry()], failing=4),
    "retry around a bulkhead": Case(lambda: [retry(), bulkhead()], failing=4),
    "breaker": Case(
        lambda: [breaker()],
        failing=3,
        expected=(1, ConnectionError, CircuitOpenError),
    ),
    "timeout": Case(lambda: [TimeoutMiddleware(5.0)]),
    "timeout that expires": Case(
        lambda: [TimeoutMiddleware(0.1)], expected=(DeadlineExceededError,)
    ),
    "timeout of a queue": Case(
        lambda: [TimeoutMiddleware(0.3), bulkhead()],
        expected=(1, DeadlineExceededError),
    ),
    "fallback": Case(
        lambda: [FallbackMiddleware(lambda ctx, message, error: 1)], failing=99
    ),
    "whole, query": Case(lambda: whole("query"), failing=2),
    "whole, query, distinct": Case(lambda: whole("query"), failing=2, distinct=True),
    "whole, command": Case(lambda: whole("command"), Put, failing=2),
}
CALLERS = 3
MOST_STEPS = 200


class Scene:
    """Three calls of a case at once, of which one is ended at one of its steps."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.left_to_fail = case.failing
        self.bus = bus_of(case.make(), case.message, self.handle, clock=clock)

    async def handle(self, ctx: Context, message: Any) -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(self.case.seconds)
        if self.left_to_fail:
            self.left_to_fail -= 1
            raise ConnectionError
        return 1

    def message(self, number: int) -> Any:
        if not self.case.distinct:
            number = 0
        if self.case.message is Put:
            return Put(number, f"key {number}")
        return Get(number)

    async def call(self, number: int, cut: Cut | None = None) -> Any:
        try:
            if cut is not None:
                return await cut.run()
            return await self.bus.execute_async(self.message(number))
        except BaseException as error:
            return type(error)

    async def run(self, victim: int, at: int, how: str) -> bool:
        """Return whether the step was reached."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        ctx = Context.background().with_cancel()
        hows: dict[str, Callable[[Any], None]] = {
            "task": cancel_task,
            "close": close,
            "context": lambda steps: ctx.cancel(),
        }
        dispatch = self.bus.execute_async(self.message(victim), ctx)
        cut = Cut(dispatch, at, hows[how])
        results = await asyncio.gather(
            *(
                self.call(number, cut if number == victim else None)
                for number in range(CALLERS)
            )
        )
        ended = results.pop(victim)
        allowed = self.case.expected
        if cut.was_cut:
            allowed_end: dict[str, tuple[Any, ...]] = {
                "task": (asyncio.CancelledError,),
                "close": (Closed,),
                # It ends waits; a handler that runs is not interrupted by it, and what
                # it raises is not retried any more.
                "context": (ContextCancelledError, ConnectionError, *allowed),
            }
            assert ended in allowed_end[how]
        else:
            assert ended in allowed
        if how == "context":
            # Followers share what the run of their leader came to.
            allowed = (ConnectionError, *allowed)
        assert all(result in allowed for result in results), results
        await asyncio.sleep(0)
        assert_at_rest(self.bus)
        assert loop.timers() == []
        await self.works_again()
        assert_at_rest(self.bus)
        assert self.bus.close(0).drained
        return cut.was_cut

    async def works_again(self) -> None:
        """As many calls as the pipeline takes run again, once time has passed."""
        await asyncio.sleep(100)
        self.left_to_fail = 0
        for number in (7, 8):
            result = await self.call(number)
            assert result == 1 or DeadlineExceededError in self.case.expected


@pytest.mark.parametrize("how", ["task", "close", "context"])
@pytest.mark.parametrize("name", CASES)
def test_ended_at_any_step_a_dispatch_holds_nothing(name: str, how: str) -> None:
    """Row 7: at every step of every middleware, for each of three callers."""
    for victim in range(CALLERS):
        for at in range(MOST_STEPS):
            scene = Scene(CASES[name])
            if not run_virtual(lambda: scene.run(victim, at, how)):  # noqa: B023
                assert at > 0, "it never suspended"
                break
        else:
            pytest.fail(f"more than {MOST_STEPS} steps")
