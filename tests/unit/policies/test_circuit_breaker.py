"""CircuitBreaker alone: against a plain-Python model, and what the model leaves out."""

from __future__ import annotations

import asyncio
import gc
import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings, stateful
from hypothesis import strategies as st
from support import TRANSPARENT, suspend

from cqrs_fast import (
    CircuitBreaker,
    CircuitEvent,
    CircuitOpenError,
    ContextCancelledError,
    HandlerNotFoundError,
    IdempotencyConflictError,
    RateLimitExceededError,
    ValidationError,
)
from cqrs_fast.base.clock import ManualClock

TIMEOUT, LEASE, LONGEST = 4, 6, 10


def fail(error: type[BaseException] = ValueError) -> None:
    raise error


def succeed() -> int:
    return 1


async def hang() -> Any:
    """Wait to be sent a result, or to be thrown an error."""
    return await suspend()


class Model:
    """The same breaker in plain Python, with timers that fire on time."""

    def __init__(self, threshold: int, successes: int, probes: int) -> None:
        self.threshold, self.needed, self.most = threshold, successes, probes
        self.state = "closed"
        self.generation = self.failures = self.successes = self.late = 0
        self.now = 0
        self.due = 0
        self.length = TIMEOUT
        self.leases: dict[int, int] = {}
        self.events: list[tuple[str, str]] = []

    def turn(self, state: str) -> None:
        if state != self.state:
            self.events.append((self.state, state))
        self.state = state
        self.generation += 1
        self.successes = 0
        self.leases = {}

    def open(self, at: int, length: int) -> None:
        self.length = length
        self.due = at + length
        self.turn("open")

    def advance(self) -> None:
        self.now += 1
        if self.leases and min(self.leases.values()) <= self.now:
            self.failures += 1
            self.open(self.now, TIMEOUT)

    def seen(self) -> str:
        ready = self.state == "open" and self.now >= self.due
        return "half-open" if ready else self.state

    def admit(self, call: int) -> bool:
        if self.seen() != self.state:
            self.turn("half-open")
        if self.state == "half-open" and len(self.leases) < self.most:
            self.leases[call] = self.now + LEASE
            return True
        return self.state in ("closed", "disabled")

    def finish(self, call: int, generation: int, outcome: str) -> None:
        if generation != self.generation:
            self.late += 1
        elif self.state == "half-open":
            del self.leases[call]
            if outcome == "failure":
                self.failures += 1
                self.open(self.now, min(self.length * 2, LONGEST))
            elif outcome in ("success", "ignored"):
                self.successes += 1
                if self.successes >= self.needed:
                    self.failures = 0
                    self.turn("closed")
        elif self.state == "closed" and outcome == "failure":
            self.failures += 1
            if self.failures >= self.threshold:
                self.open(self.now, TIMEOUT)
        elif self.state == "closed" and outcome == "success":
            self.failures = 0

    def force(self, state: str) -> None:
        if state == "closed":
            self.failures = 0
            self.turn(state)
        elif state != self.state:
            self.turn(state)


class AgainstTheModel(stateful.RuleBasedStateMachine):
    @stateful.initialize(
        threshold=st.integers(1, 3),
        successes=st.integers(1, 3),
        probes=st.integers(1, 3),
    )
    def begin(self, threshold: int, successes: int, probes: int) -> None:
        self.clock = ManualClock()
        self.events: list[CircuitEvent] = []
        self.model = Model(threshold, successes, probes)
        self.breaker = CircuitBreaker(
            threshold,
            TIMEOUT,
            half_open_max_calls=probes,
            success_threshold=successes,
            probe_timeout=LEASE,
            timeout_multiplier=2.0,
            max_timeout=LONGEST,
            ignore=KeyError,
            on_event=self.events.append,
            clock=self.clock,
        )
        self.calls: list[tuple[int, int, Any]] = []
        self.count = 0

    @stateful.rule()
    def call(self) -> None:
        self.count += 1
        call = self.breaker.call_async(hang)
        admitted = self.model.admit(self.count)
        if admitted:
            call.send(None)
            self.calls.append((self.count, self.model.generation, call))
            return
        with pytest.raises(CircuitOpenError) as caught:
            call.send(None)
        state = self.model.state
        wait = self.model.due - self.model.now if state == "open" else None
        assert caught.value.state == state
        assert caught.value.failures == self.model.failures
        assert caught.value.retry_after == wait

    @stateful.precondition(lambda self: self.calls)
    @stateful.rule(
        data=st.data(),
        outcome=st.sampled_from(["success", "failure", "ignored", "closed", "halted"]),
    )
    def finish(self, data: Any, outcome: str) -> None:
        index = data.draw(st.integers(0, len(self.calls) - 1))
        number, generation, call = self.calls.pop(index)
        self.model.finish(number, generation, outcome)
        if outcome == "success":
            with pytest.raises(StopIteration):
                call.send(1)
        elif outcome == "closed":
            call.close()
        else:
            errors = {"failure": OSError, "ignored": KeyError}
            error = errors.get(outcome, KeyboardInterrupt)
            with pytest.raises(error):
                call.throw(error())

    @stateful.rule()
    def advance(self) -> None:
        self.clock.advance(1)
        self.model.advance()

    @stateful.rule(state=st.sampled_from(["closed", "forced-open", "disabled"]))
    def force(self, state: str) -> None:
        method = {"closed": "reset", "disabled": "disable"}.get(state, "force_open")
        getattr(self.breaker, method)()
        self.model.force(state)

    @stateful.rule(threshold=st.integers(1, 3))
    def update(self, threshold: int) -> None:
        self.breaker.update(failure_threshold=threshold)
        self.model.threshold = threshold

    @stateful.rule()
    def look(self) -> None:
        seen = self.breaker.snapshot()
        assert seen.state == self.breaker.state == self.model.seen()
        assert seen.failures == self.model.failures
        assert seen.late_results == self.model.late
        assert seen.probes == len(self.model.leases)
        assert [(e.before, e.after) for e in self.events] == self.model.events
        numbers = [event.number for event in self.events]
        assert numbers == list(range(1, len(numbers) + 1))

    def teardown(self) -> None:
        for _, _, call in getattr(self, "calls", []):
            call.close()


TestAgainstTheModel = AgainstTheModel.TestCase
TestAgainstTheModel.settings = settings(
    max_examples=120, stateful_step_count=50, deadline=None
)


def opened(clock: ManualClock, **changes: Any) -> CircuitBreaker:
    breaker = CircuitBreaker(1, 10, clock=clock, **changes)
    with pytest.raises(ValueError):  # noqa: PT011
        breaker.call(fail)
    assert breaker.state == "open"
    return breaker


@pytest.mark.parametrize(
    "error",
    [
        ContextCancelledError,
        IdempotencyConflictError,
        RateLimitExceededError,
        lambda: HandlerNotFoundError("X"),
        lambda: ValidationError("no"),
        *TRANSPARENT,
    ],
)
def test_what_says_nothing_about_health_leaves_the_streak_alone(error: Any) -> None:
    breaker = CircuitBreaker(2)
    raised = error()

    def handler() -> None:
        raise raised

    with pytest.raises(ValueError):  # noqa: PT011
        breaker.call(fail)
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        breaker.call(handler)
    assert caught.value is raised
    assert breaker.snapshot().failures == 1
    assert breaker.call(succeed) == 1
    assert breaker.snapshot().failures == 0


@pytest.mark.parametrize(
    ("changes", "error", "failures"),
    [
        ({}, OSError, 1),
        ({"failure_on": KeyError}, OSError, 0),
        ({"failure_on": (KeyError, OSError)}, OSError, 1),
        ({"failure_on": ContextCancelledError}, ContextCancelledError, 1),
        ({"ignore": OSError}, FileNotFoundError, 0),
        ({"failure_on": OSError, "ignore": FileNotFoundError}, FileNotFoundError, 0),
        ({"is_failure": lambda result, error: False}, OSError, 0),
        ({"is_failure": lambda result, error: error is not None}, OSError, 1),
        ({"is_failure": lambda result, error: True, "ignore": OSError}, OSError, 0),
    ],
)
def test_settings_say_what_a_failure_is(
    changes: dict[str, Any], error: type[Exception], failures: int
) -> None:
    breaker = CircuitBreaker(**changes)
    with pytest.raises(error):
        breaker.call(fail, error)
    assert breaker.snapshot().failures == failures


def test_results_can_be_failures() -> None:
    breaker = CircuitBreaker(2, is_failure=lambda result, error: result == "bad")
    assert [breaker.call(str, "bad") for _ in range(2)] == ["bad", "bad"]
    assert breaker.state == "open"


def test_predicate_that_raises_makes_a_failure() -> None:
    breaker = CircuitBreaker(1, is_failure=lambda result, error: 1 / 0)
    assert breaker.call(succeed) == 1
    assert breaker.state == "open"


def test_predicate_that_is_interrupted_gives_the_probe_back() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(10)
    breaker.update(is_failure=lambda result, error: fail(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        breaker.call(succeed)
    assert breaker.snapshot().probes == 0
    assert breaker.state == "half-open"


def test_clock_that_raises_gives_the_probe_back() -> None:
    readings = [0]

    def clock() -> int:
        if readings[0] < 0:
            raise OSError("no time")
        return readings[0]

    breaker = CircuitBreaker(1, 1, clock=clock)
    with pytest.raises(ValueError):  # noqa: PT011
        breaker.call(fail)
    readings[0] = 10**9

    def handler() -> None:
        readings[0] = -1

    with pytest.raises(OSError, match="no time"):
        breaker.call(handler)
    readings[0] = 10**9
    assert breaker.snapshot().probes == 0


def test_retry_after_is_sufficient_and_tight() -> None:
    now = [0]
    breaker = CircuitBreaker(1, 0.7, clock=lambda: now[0])
    with pytest.raises(ValueError):  # noqa: PT011
        breaker.call(fail)
    now[0] += 123_456_789
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(succeed)
    assert caught.value.retry_after is not None
    now[0] += round(caught.value.retry_after * 1e9) - 1
    with pytest.raises(CircuitOpenError):
        breaker.call(succeed)
    now[0] += 1
    assert breaker.call(succeed) == 1


def test_jitter_is_bounded_and_comes_from_the_seed() -> None:
    def timeouts(seed: int) -> list[float]:
        breaker = CircuitBreaker(
            1, 10, timeout_jitter=0.5, seed=seed, clock=ManualClock()
        )
        found = []
        for _ in range(50):
            breaker.reset()
            with pytest.raises(ValueError):  # noqa: PT011
                breaker.call(fail)
            found.append(breaker.snapshot().retry_after)
        return found  # type: ignore[return-value]

    assert timeouts(1) == timeouts(1) != timeouts(2)
    assert all(5 <= seconds <= 15 for seconds in timeouts(3))
    assert len(set(timeouts(3))) > 40


def test_time_that_goes_back_only_makes_the_wait_longer() -> None:
    clock = ManualClock(start=100)
    breaker = opened(clock)
    clock.advance(-50)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(succeed)
    assert caught.value.retry_after == 60
    clock.advance(60)
    assert breaker.call(succeed) == 1


def test_coroutine_that_is_collected_gives_its_probe_back() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(10)
    call = breaker.call_async(hang)
    call.send(None)  # type: ignore[attr-defined]
    assert breaker.snapshot().probes == 1
    del call
    gc.collect()
    assert breaker.snapshot().probes == 0
    assert breaker.state == "half-open"


def test_coroutine_that_never_ran_took_nothing() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(10)
    breaker.call_async(hang).close()  # type: ignore[attr-defined]
    assert breaker.call(succeed) == 1


def test_call_refuses_an_awaitable_and_counts_nothing() -> None:
    breaker = CircuitBreaker(1)
    with pytest.raises(TypeError, match="use call_async"):
        breaker.call(hang)
    assert breaker.snapshot().failures == 0


def test_call_passes_arguments_on() -> None:
    async def twice(number: int, *, more: int) -> int:
        return 2 * number + more

    breaker = CircuitBreaker()
    assert breaker.call(int, "ff", base=16) == 255
    assert asyncio.run(breaker.call_async(twice, 4, more=1)) == 9


def test_one_of_sixteen_threads_is_the_probe() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(10)
    together = threading.Barrier(16)
    done = threading.Event()
    refused: list[CircuitOpenError] = []
    ran = []

    def work() -> None:
        ran.append(1)
        done.wait(20)

    def caller() -> None:
        together.wait(20)
        try:
            breaker.call(work)
        except CircuitOpenError as error:
            refused.append(error)
            if len(refused) == 15:
                done.set()

    threads = [threading.Thread(target=caller) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(ran), len(refused)) == (1, 15)
    assert {error.retry_after for error in refused} == {None}
    assert breaker.state == "closed"


def test_events_of_many_threads_come_once_and_in_order() -> None:
    seen: list[CircuitEvent] = []
    breaker = CircuitBreaker(1, on_event=seen.append)

    def flip() -> None:
        for _ in range(2000):
            breaker.force_open()
            breaker.disable()
            breaker.reset()

    threads = [threading.Thread(target=flip) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [event.number for event in seen] == list(range(1, len(seen) + 1))
    for one, following in pairwise(seen):
        assert one.after == following.before
    assert seen[-1].after == breaker.state == "closed"


def test_callback_may_use_every_method_and_never_ends_in_a_loop() -> None:
    depth = [0]
    seen: list[int] = []

    def listener(event: CircuitEvent) -> None:
        depth[0] += 1
        assert depth[0] == 1  # delivered one after the other
        seen.append(event.number)
        breaker.force_open()
        breaker.disable()
        breaker.reset()
        assert breaker.state == breaker.get_state() == "closed"
        breaker.snapshot()
        breaker.update(timeout=5)
        breaker.call(succeed)
        asyncio.run(breaker.call_async(succeed))
        depth[0] -= 1

    breaker = CircuitBreaker(1, on_event=listener)
    breaker.force_open()
    assert seen[:10] == list(range(1, 11))
    assert len(seen) == 1001  # then it is cut off and reported
    breaker.update(on_event=None)
    breaker.reset()


def test_callback_that_raises_changes_nothing() -> None:
    clock = ManualClock()
    breaker = opened(clock, on_event=lambda event: fail(KeyError))
    clock.advance(10)
    assert breaker.call(succeed) == 1
    assert breaker.state == "closed"


def test_callback_that_is_interrupted_gives_the_probe_back() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(10)
    breaker.update(on_event=lambda event: fail(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        breaker.call(succeed)
    assert breaker.snapshot().probes == 0
    breaker.update(on_event=None)
    assert breaker.call(succeed) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"failure_threshold": 0}, ValueError, "failure_threshold must be .* got 0"),
        ({"failure_threshold": True}, TypeError, "failure_threshold must .* got True"),
        ({"failure_threshold": 1.5}, TypeError, "failure_threshold must be .* got 1.5"),
        ({"timeout": 0}, ValueError, "timeout must be more than 0 .* got 0"),
        ({"timeout": float("nan")}, ValueError, "timeout must be .* got nan"),
        ({"timeout": float("inf")}, ValueError, "timeout must be .* got inf"),
        ({"timeout": "1"}, TypeError, "timeout must be a number .* got '1'"),
        ({"half_open_max_calls": 0}, ValueError, "half_open_max_calls must .* got 0"),
        ({"half_open_max_calls": 65}, ValueError, "half_open_max_calls .* got 65"),
        ({"success_threshold": -1}, ValueError, "success_threshold must be .* got -1"),
        ({"probe_timeout": 0}, ValueError, "probe_timeout must be .* got 0"),
        ({"timeout_multiplier": 0.5}, ValueError, "timeout_multiplier .* got 0.5"),
        ({"timeout_multiplier": True}, TypeError, "timeout_multiplier .* got True"),
        ({"max_timeout": 1}, ValueError, "max_timeout must be at least .* got 1"),
        ({"timeout_jitter": 1.1}, ValueError, "timeout_jitter must be .* got 1.1"),
        ({"failure_on": 7}, TypeError, "failure_on must be .* got 7"),
        ({"failure_on": ()}, ValueError, "failure_on must name an exception"),
        ({"failure_on": KeyboardInterrupt}, TypeError, "failure_on .*Interrupt"),
        ({"ignore": [OSError, 1]}, TypeError, "ignore must be .* got 1"),
        ({"is_failure": 1}, TypeError, "is_failure must be callable .* got 1"),
        ({"is_failure": hang}, TypeError, "is_failure must be no async function"),
        ({"on_event": "x"}, TypeError, "on_event must be callable .* got 'x'"),
        ({"seed": -1}, ValueError, "seed must be .* got -1"),
        ({"clock": 5}, TypeError, "clock must be callable .* got 5"),
        ({"treshold": 5}, TypeError, "treshold"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        CircuitBreaker(**arguments)
    breaker = CircuitBreaker(3)
    with pytest.raises((TypeError, ValueError)):
        breaker.update(**{"failure_threshold": 1, **arguments})
    with pytest.raises(ValueError):  # noqa: PT011
        breaker.call(fail)
    assert breaker.state == "closed"
