"""RetryPolicy: what is called again, after which delay, and within which budget."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import signal
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from support import TRANSPARENT, eventually

from cqrs_fast import (
    BulkheadFullError,
    BusClosedError,
    CircuitBreaker,
    CircuitOpenError,
    DeadlineExceededError,
    HandlerNotFoundError,
    RateLimitExceededError,
    RejectedError,
    RetryPolicy,
    ValidationError,
)
from cqrs_fast.base.clock import ManualClock


class Flaky:
    """Fail with each of `errors` in turn, then return `result`."""

    def __init__(self, *errors: BaseException, result: object = "done") -> None:
        self.errors = list(errors)
        self.result = result
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.result


Run = Callable[..., Any]


def run_sync(policy: RetryPolicy, function: Callable[..., Any], *args: Any) -> Any:
    return policy.call(function, *args)


def run_async(policy: RetryPolicy, function: Callable[..., Any], *args: Any) -> Any:
    async def attempt(*args: Any) -> Any:
        await asyncio.sleep(0)
        return function(*args)

    async def main() -> Any:
        return await policy.call_async(attempt, *args)

    return asyncio.run(main())


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(auto_advance=True)


def errors(count: int) -> list[Exception]:
    return [OSError(number) for number in range(count)]


class Heard:
    """An on_retry that keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, float, type[Exception]]] = []

    def __call__(self, attempt: int, delay: float, error: type[Exception]) -> None:
        self.calls.append((attempt, delay, error))

    @property
    def delays(self) -> list[float]:
        return [delay for _, delay, _ in self.calls]


# What is called again


@pytest.mark.parametrize(
    ("attempts", "failures", "calls"),
    [(1, 0, 1), (1, 1, 1), (3, 0, 1), (3, 2, 3), (3, 3, 3), (10, 4, 5)],
)
def test_attempts_are_counted_in_all(
    run: Run, clock: ManualClock, attempts: int, failures: int, calls: int
) -> None:
    raised = errors(failures)
    last = raised[-1] if raised else None
    flaky = Flaky(*raised)
    policy = RetryPolicy(attempts, clock=clock)
    if failures < attempts:
        assert run(policy, flaky) == "done"
    else:
        with pytest.raises(OSError, match=r"\d") as caught:
            run(policy, flaky)
        assert caught.value is last
    assert flaky.calls == calls


def test_the_last_error_itself_is_raised_and_the_earlier_are_gone(
    run: Run, clock: ManualClock
) -> None:
    seen: list[weakref.ref[Exception]] = []

    class Broken(Exception):
        pass

    def fail() -> None:
        error = Broken(len(seen))
        seen.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    policy = RetryPolicy(4, clock=clock)
    with pytest.raises(Broken, match="3") as caught:
        run(policy, fail)
    gc.collect()
    assert [error() for error in seen] == [None, None, None, caught.value]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


NEVER: list[Exception] = [
    ValidationError([]),
    HandlerNotFoundError("Unknown"),
    RejectedError(),
    RateLimitExceededError(0.0),
    CircuitOpenError(0.0),
    BulkheadFullError(0.0),
    BusClosedError(),
]


@pytest.mark.parametrize("error", NEVER, ids=lambda error: type(error).__name__)
def test_some_errors_are_never_retried(
    run: Run, clock: ManualClock, error: Exception
) -> None:
    flaky = Flaky(error)
    policy = RetryPolicy(5, retry_on=(Exception, type(error)), clock=clock)
    with pytest.raises(type(error)) as caught:
        run(policy, flaky)
    assert caught.value is error
    assert flaky.calls == 1
    assert policy.snapshot().failed == 0


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_what_is_no_exception_is_never_retried(
    clock: ManualClock, kind: type[BaseException]
) -> None:
    error = kind()
    flaky = Flaky(error)
    policy = RetryPolicy(5, clock=clock)
    with pytest.raises(kind) as caught:
        policy.call(flaky)
    assert caught.value is error
    steps = policy.call_async(Flaky(error))
    with pytest.raises(kind) as caught:
        steps.send(None)
    assert caught.value is error
    assert flaky.calls == 1
    assert policy.snapshot().failed == 0


@pytest.mark.parametrize(
    ("settings", "error", "calls"),
    [
        ({}, OSError(), 3),
        ({}, DeadlineExceededError(), 3),
        ({"retry_on": OSError}, ConnectionError(), 3),
        ({"retry_on": OSError}, ValueError(), 1),
        ({"retry_on": (OSError, ValueError)}, ValueError(), 3),
        ({"retry_on": ()}, OSError(), 1),
        ({"never_on": ConnectionError}, ConnectionError(), 1),
        ({"never_on": ConnectionError}, OSError(), 3),
        ({"retry_on": OSError, "never_on": (ConnectionError,)}, ConnectionError(), 1),
    ],
)
def test_classes_say_what_is_retried(
    run: Run,
    clock: ManualClock,
    settings: dict[str, Any],
    error: Exception,
    calls: int,
) -> None:
    flaky = Flaky(*[error] * 5)
    with pytest.raises(type(error)):
        run(RetryPolicy(clock=clock, **settings), flaky)
    assert flaky.calls == calls


def test_arguments_and_result_pass_through(run: Run, clock: ManualClock) -> None:
    seen: list[object] = []

    def function(*args: object) -> object:
        seen.append(args)
        if len(seen) == 1:
            raise OSError
        return seen

    assert run(RetryPolicy(clock=clock), function, 1, "two") is seen
    assert seen == [(1, "two"), (1, "two")]
    policy = RetryPolicy(clock=clock)
    assert policy.call(dict, function=1, self=2) == {"function": 1, "self": 2}


def test_call_refuses_an_async_function() -> None:
    async def function() -> None: ...

    with pytest.raises(TypeError, match=r"function returned an awaitable.*call_async"):
        RetryPolicy().call(function)  # type: ignore[unused-coroutine]


def test_call_async_takes_a_function_that_returns_no_awaitable(
    clock: ManualClock,
) -> None:
    async def main() -> object:
        return await RetryPolicy(clock=clock).call_async(Flaky(OSError()))

    assert asyncio.run(main()) == "done"


# The delays


def doubled(attempt: int) -> float:
    return min(5.0, 0.1 * 2.0 ** min(attempt - 1, 60))


@pytest.mark.parametrize(
    ("jitter", "least"), [("none", 1.0), ("equal", 0.5), ("full", 0.0)]
)
def test_delays_grow_within_their_jitter(
    run: Run, clock: ManualClock, jitter: Any, least: float
) -> None:
    heard = Heard()
    policy = RetryPolicy(9, jitter=jitter, on_retry=heard, clock=clock, seed=4)
    with pytest.raises(OSError, match="8"):
        run(policy, Flaky(*errors(9)))
    assert [attempt for attempt, _, _ in heard.calls] == list(range(1, 9))
    for attempt, delay, kind in heard.calls:
        top = doubled(attempt)
        assert top * least - 1e-9 <= delay <= top
        assert kind is OSError
    assert clock() == pytest.approx(sum(heard.delays) * 1e9, abs=20)


def model_unit(state: list[int]) -> float:
    """SplitMix64, as published, in plain Python."""
    mask = 2**64 - 1
    state[0] = (state[0] + 0x9E3779B97F4A7C15) & mask
    z = state[0]
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53


def model_delay(
    state: list[int], base: int, most: int, multiplier: float, jitter: str, k: int
) -> int:
    """Return the delay after attempt k in ns, exactly where powers are exact."""
    top = most
    if (k - 1) * math.log2(multiplier) < 1000:
        top = int(min(float(most), float(base) * multiplier ** (k - 1)))
    if base == 0:
        top = 0
    if jitter == "none":
        return top
    least = top // 2 if jitter == "equal" else 0
    return min(top, least + int(model_unit(state) * (top - least + 1)))


@settings(deadline=None, max_examples=200)
@given(
    base=st.integers(0, 10**15),
    most=st.integers(0, 10**15),
    multiplier=st.floats(1, 1000),
    jitter=st.sampled_from(["full", "equal", "none"]),
    attempts=st.integers(1, 12),
    seed=st.integers(0, 2**64 - 1),
)
def test_no_delay_is_outside_its_bounds(
    base: int, most: int, multiplier: float, jitter: Any, attempts: int, seed: int
) -> None:
    heard = Heard()
    flaky = Flaky(*errors(attempts + 1))
    policy = RetryPolicy(
        attempts,
        base / 1e9,
        max_delay=most / 1e9,
        multiplier=multiplier,
        jitter=jitter,
        on_retry=heard,
        seed=seed,
        clock=ManualClock(auto_advance=True),
    )
    with pytest.raises(OSError, match=str(attempts - 1)):
        policy.call(flaky)
    assert flaky.calls == attempts
    assert len(heard.calls) == attempts - 1
    for attempt, delay, _ in heard.calls:
        assert 0 <= round(delay * 1e9) <= most
        assert delay * 1e9 <= base * multiplier ** (attempt - 1) * (1 + 1e-9)


@pytest.mark.parametrize("multiplier", [1.0, 1.000001, 2.0, 1000.0])
@pytest.mark.parametrize("base", [0.0, 1e-9, 0.001])
def test_attempt_number_a_million_does_not_overflow(
    base: float, multiplier: float
) -> None:
    count = [0]
    last = [0.0]

    def fail() -> None:
        count[0] += 1
        raise OSError("down")

    def listen(attempt: int, delay: float, kind: type[Exception]) -> None:
        last[0] = max(last[0], delay)
        assert 0 <= delay <= 1e-3

    def listen_once(attempt: int, delay: float, kind: type[Exception]) -> None:
        if attempt % 1000 == 0 or attempt == 10**6:
            listen(attempt, delay, kind)

    attempts = 10**6 + 1 if base == 0.001 and multiplier == 2.0 else 20_000
    policy = RetryPolicy(
        attempts,
        base,
        max_delay=1e-3,
        multiplier=multiplier,
        jitter="none",
        on_retry=listen_once,
        clock=ManualClock(auto_advance=True),
    )
    with pytest.raises(OSError, match="down"):
        policy.call(fail)
    assert count[0] == attempts
    grown = base * math.exp(min(math.log(multiplier) * (attempts - 2), 100))
    assert last[0] == pytest.approx(min(grown, 1e-3), abs=1e-9)


def test_the_same_seed_gives_the_same_delays(run: Run) -> None:
    def delays(seed: int) -> list[float]:
        heard = Heard()
        clock = ManualClock(auto_advance=True)
        policy = RetryPolicy(9, seed=seed, on_retry=heard, clock=clock)
        with pytest.raises(OSError, match="8"):
            run(policy, Flaky(*errors(9)))
        assert clock() == sum(round(delay * 1e9) for delay in heard.delays)
        return heard.delays

    state = [7]
    golden = [
        model_delay(state, 10**8, 5 * 10**9, 2.0, "full", k) / 1e9 for k in range(1, 9)
    ]
    assert delays(7) == delays(7) == golden
    assert delays(8) != golden


def test_without_a_seed_delays_differ(clock: ManualClock) -> None:
    heard = Heard()
    for _ in range(2):
        with pytest.raises(OSError, match="1"):
            RetryPolicy(2, on_retry=heard, clock=clock).call(Flaky(*errors(2)))
    assert heard.delays[0] != heard.delays[1]


class Asking(Exception):
    def __init__(self, retry_after: object) -> None:
        self.retry_after = retry_after


class Liar(float):
    """A number that runs code where it is looked at."""

    def __float__(self) -> float:
        raise AssertionError

    def __lt__(self, other: object) -> bool:
        raise AssertionError

    __gt__ = __lt__


@pytest.mark.parametrize(
    ("asked", "delay"),
    [
        (2, 2.0),
        (2.5, 2.5),
        (0.01, 0.1),
        (0, 0.1),
        (5.0, 5.0),
        (3600, 5.0),
        (10**400, 5.0),
        (float("inf"), 5.0),
        (Liar(2.0), 2.0),
        (-1, 0.1),
        (-(10**400), 0.1),
        (float("-inf"), 0.1),
        (float("nan"), 0.1),
        (True, 0.1),
        (None, 0.1),
        ("3", 0.1),
        ([3], 0.1),
        (3 + 0j, 0.1),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_error_may_ask_for_a_longer_delay(
    run: Run, clock: ManualClock, asked: object, delay: float
) -> None:
    heard = Heard()
    policy = RetryPolicy(2, jitter="none", on_retry=heard, clock=clock)
    assert run(policy, Flaky(Asking(asked))) == "done"
    assert heard.delays == [delay]
    assert clock() == round(delay * 1e9)


def test_a_retry_after_that_raises_is_none(run: Run, clock: ManualClock) -> None:
    class Broken(Exception):
        @property
        def retry_after(self) -> float:
            raise RuntimeError

    heard = Heard()
    policy = RetryPolicy(2, jitter="none", on_retry=heard, clock=clock)
    assert run(policy, Flaky(Broken())) == "done"
    assert heard.delays == [0.1]


@pytest.mark.parametrize(
    ("max_elapsed", "takes", "calls"),
    [(1.0, 0.0, 4), (0.71, 0.0, 4), (0.7, 0.0, 3), (0.05, 0.0, 1), (1.0, 0.4, 2)],
)
def test_no_attempt_begins_once_max_elapsed_is_over(
    run: Run, clock: ManualClock, max_elapsed: float, takes: float, calls: int
) -> None:
    flaky = Flaky(*errors(9))

    def function() -> Any:
        clock.advance(takes)
        return flaky()

    policy = RetryPolicy(9, jitter="none", max_elapsed=max_elapsed, clock=clock)
    with pytest.raises(OSError, match=str(calls - 1)):
        run(policy, function)
    assert flaky.calls == calls
    assert clock() <= (max_elapsed + takes) * 1e9
    assert policy.snapshot().too_late == 1


# The budget


class Machine(RuleBasedStateMachine):
    """The policy beside a model that keeps every deposit and withdrawal."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        self.loop.close()

    @initialize(
        attempts=st.integers(1, 5),
        base=st.sampled_from([0, 1, 10**8, 3 * 10**9]),
        multiplier=st.sampled_from([1.0, 2.0, 4.0]),
        jitter=st.sampled_from(["full", "equal", "none"]),
        elapsed=st.sampled_from([None, 10**8, 3 * 10**9]),
        budget=st.sampled_from([None, 1, 20, 100, 250]),
        least=st.sampled_from([0, 1, 10]),
        ttl=st.sampled_from([10, 1_000_000_000, 10_000_000_000]),
        seed=st.integers(0, 2**64 - 1),
    )
    def begin(self, **drawn: Any) -> None:
        vars(self).update(drawn)
        self.clock = ManualClock(start=100.0, auto_advance=True)
        self.heard = Heard()
        self.policy = RetryPolicy(
            drawn["attempts"],
            drawn["base"] / 1e9,
            multiplier=drawn["multiplier"],
            jitter=drawn["jitter"],
            max_elapsed=drawn["elapsed"] and drawn["elapsed"] / 1e9,
            budget=drawn["budget"],
            budget_min_per_sec=drawn["least"],
            budget_ttl=drawn["ttl"] / 1e9,
            on_retry=self.heard,
            seed=drawn["seed"],
            clock=self.clock,
        )
        self.now = self.clock()
        self.random = [drawn["seed"]]
        self.deposits: list[tuple[int, int]] = []
        self.withdrawn: list[tuple[int, int]] = []
        self.bucket = self.present()
        self.counts = dict.fromkeys(
            ("failed", "retries", "exhausted", "too_late", "budget_refused"), 0
        )

    attempts: int
    base: int
    multiplier: float
    jitter: str
    elapsed: int | None
    budget: int | None
    least: int
    ttl: int

    def present(self) -> int:
        found = self.now // (self.ttl // 10)
        return max(found, getattr(self, "bucket", found))

    def credit(self) -> int:
        self.bucket = self.present()
        live = self.least * 100 * self.ttl // 10**9
        live += sum(n for at, n in self.deposits if at > self.bucket - 10)
        return live - sum(n for at, n in self.withdrawn if at >= self.bucket - 10)

    def model(self, failures: int) -> tuple[int, list[int]]:
        """Return how many calls are made and the delays between them."""
        began = self.now
        if self.budget is not None:
            self.bucket = self.present()
            self.deposits.append((self.bucket, self.budget))
        delays: list[int] = []
        for attempt in range(1, failures + 1):
            self.counts["failed"] += 1
            if attempt == self.attempts:
                self.counts["exhausted"] += 1
                return attempt, delays
            delay = model_delay(
                self.random,
                self.base,
                5 * 10**9,
                self.multiplier,
                self.jitter,
                attempt,
            )
            if self.elapsed is not None and self.now + delay >= began + self.elapsed:
                self.counts["too_late"] += 1
                return attempt, delays
            if self.budget is not None:
                if self.credit() < 100:
                    self.counts["budget_refused"] += 1
                    return attempt, delays
                self.withdrawn.append((self.bucket, 100))
            self.counts["retries"] += 1
            delays.append(delay)
            self.now += delay
        return failures + 1, delays

    @rule(failures=st.integers(0, 6), on_loop=st.booleans())
    def call(self, failures: int, on_loop: bool) -> None:
        flaky = Flaky(*errors(failures))
        self.heard.calls.clear()
        calls, delays = self.model(failures)
        raised: object = None
        try:
            if on_loop:
                self.loop.run_until_complete(self.policy.call_async(flaky))
            else:
                self.policy.call(flaky)
        except OSError as error:
            raised = error.args
        assert raised == (None if calls == failures + 1 else (calls - 1,))
        assert flaky.calls == calls
        assert [round(delay * 1e9) for delay in self.heard.delays] == delays

    @rule(failures=st.integers(5, 30))
    def storm(self, failures: int) -> None:
        for _ in range(failures):
            self.call(1, False)

    @rule(nanoseconds=st.one_of(st.integers(0, 12 * 10**9), st.integers(0, 20)))
    def advance(self, nanoseconds: int) -> None:
        self.clock.advance(nanoseconds / 1e9)
        self.now += nanoseconds

    @rule(nanoseconds=st.integers(1, 3 * 10**9))
    def go_backwards(self, nanoseconds: int) -> None:
        self.clock.advance(-nanoseconds / 1e9)
        self.now -= nanoseconds

    @rule(attempts=st.integers(1, 5), budget=st.sampled_from([1, 20, 250]))
    def change(self, attempts: int, budget: int) -> None:
        self.attempts = attempts
        self.policy.update(max_attempts=attempts)
        if self.budget is not None:
            self.budget = budget
            self.policy.update(budget=budget)

    @invariant()
    def agrees(self) -> None:
        seen = self.policy.snapshot()
        left = None if self.budget is None else max(self.credit(), 0) // 100
        assert seen.budget_left == left
        for name, count in self.counts.items():
            assert getattr(seen, name) == count
        assert self.clock() == self.now


def test_it_agrees_with_a_model_in_plain_python() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=60, stateful_step_count=30, deadline=None),
    )


def test_first_attempts_pay_for_retries(run: Run, clock: ManualClock) -> None:
    policy = RetryPolicy(3, 0, budget=20, budget_min_per_sec=0, clock=clock)
    for _ in range(10):
        run(policy, Flaky())
    assert policy.snapshot().budget_left == 2
    with pytest.raises(OSError, match="2"):
        run(policy, Flaky(*errors(3)))
    assert policy.snapshot().exhausted == 1
    last = OSError("last")
    flaky = Flaky(last, *errors(3))
    with pytest.raises(OSError, match="last") as caught:
        run(policy, flaky)
    assert caught.value is last
    assert flaky.calls == 1
    assert policy.snapshot().budget_refused == 1


def test_credits_expire(clock: ManualClock) -> None:
    policy = RetryPolicy(2, 0, budget=100, budget_min_per_sec=0, clock=clock)
    policy.call(Flaky())
    clock.advance(9.9)
    assert policy.snapshot().budget_left == 1
    clock.advance(0.1)
    assert policy.snapshot().budget_left == 0


def test_the_floor_needs_no_first_attempts(clock: ManualClock) -> None:
    policy = RetryPolicy(
        10**6, 0, budget=1, budget_min_per_sec=10, budget_ttl=2.0, clock=clock
    )
    flaky = Flaky(*errors(100))
    with pytest.raises(OSError, match="20"):
        policy.call(flaky)
    assert flaky.calls == 21


def test_credits_survive_a_change_of_their_life(clock: ManualClock) -> None:
    policy = RetryPolicy(2, 0, budget=100, budget_min_per_sec=0, clock=clock)
    for _ in range(5):
        policy.call(Flaky())
    policy.call(Flaky(OSError()))
    policy.update(budget_ttl=1.0)
    assert policy.snapshot().budget_left == 5
    clock.advance(1.0)
    assert policy.snapshot().budget_left == 0


def hammer(calls: int) -> None:
    """Check the bound under 8 threads, whose clock another one moves."""
    clock = ManualClock()
    policy = RetryPolicy(2, 0, budget=20, clock=clock)

    def fail() -> None:
        raise OSError

    def work() -> None:
        for _ in range(calls):
            try:
                policy.call(fail)
            except OSError:
                continue

    firsts: list[int] = []
    retries: list[int] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        # A round stands for a second: in it the clock stands still.
        for second in range(25):
            before = policy.snapshot()
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            after = policy.snapshot()
            firsts.append(8 * calls)
            retries.append(after.retries - before.retries)
            past = retries[max(0, second - 10) : second]
            credit = 20 * sum(firsts[-10:]) + 10 * 10 * 100 - 100 * sum(past)
            assert retries[-1] == credit // 100
            assert 100 * sum(retries[-10:]) <= 20 * sum(firsts[-10:]) + 10 * 10 * 100
            assert (
                after.failed == after.retries + after.exhausted + after.budget_refused
            )
            clock.advance(1.0)
    finally:
        sys.setswitchinterval(interval)


def test_the_budget_is_exact_under_threads() -> None:
    hammer(100)


@pytest.mark.slow
def test_the_budget_is_exact_under_threads_for_long() -> None:
    hammer(20_000)


# What interrupts a delay


def test_a_cancellation_ends_a_delay_at_once() -> None:
    clock = ManualClock()
    policy = RetryPolicy(clock=clock, jitter="none")
    flaky = Flaky(*errors(3))

    async def main() -> None:
        task = asyncio.ensure_future(policy.call_async(flaky))
        while clock.waiting == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert clock.waiting == 0
    assert flaky.calls == 1


@pytest.mark.parametrize("manual", [True, False])
def test_an_interrupt_from_the_keyboard_ends_a_delay(manual: bool) -> None:
    clock = ManualClock() if manual else None
    policy = RetryPolicy(2, 30.0, max_delay=30.0, jitter="none", clock=clock)
    flaky = Flaky(*errors(3))
    interrupted = threading.Event()
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def interrupt() -> None:
        eventually(lambda: flaky.calls == 1)
        # A signal that comes just before the thread blocks waits for the next one.
        while not interrupted.wait(0.05):
            signal.pthread_kill(main_thread, signal.SIGINT)
            if interrupted.wait(1.0):
                return

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    helper = threading.Thread(target=interrupt)
    started = time.monotonic()
    try:
        helper.start()
        with pytest.raises(KeyboardInterrupt) as caught:
            policy.call(flaky)
        interrupted.set()
        helper.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 5.0
    assert caught.value.__context__ is None
    assert flaky.calls == 1
    assert clock is None or clock.waiting == 0


def test_delays_pass_in_real_time_without_a_clock(run: Run) -> None:
    started = time.monotonic()
    assert run(RetryPolicy(base_delay=0.01, jitter="none"), Flaky(OSError())) == "done"
    assert time.monotonic() - started >= 0.01


def test_a_manual_clock_ends_a_delay_from_another_thread() -> None:
    clock = ManualClock()
    policy = RetryPolicy(base_delay=1.0, jitter="none", clock=clock)
    results: list[object] = []

    def wait() -> None:
        results.append(policy.call(Flaky(OSError())))

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: clock.waiting == 1)
    clock.advance(1.0)
    thread.join(5.0)
    assert results == ["done"]


# The listener


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    seen: list[str] = []

    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    monkeypatch.setattr("cqrs_fast.base.callbacks._last", {})
    handler = Records()
    logging.getLogger("cqrs_fast").addHandler(handler)
    yield seen
    logging.getLogger("cqrs_fast").removeHandler(handler)


def test_what_the_listener_raises_is_reported(
    run: Run, clock: ManualClock, reports: list[str]
) -> None:
    def listen(*told: object) -> None:
        raise LookupError

    policy = RetryPolicy(on_retry=listen, clock=clock)
    assert run(policy, Flaky(OSError())) == "done"
    (text,) = reports
    assert "on_retry of RetryPolicy.call raised LookupError" in text


def test_an_awaitable_of_the_listener_is_closed_and_reported(
    clock: ManualClock, reports: list[str]
) -> None:
    async def listen(*told: object) -> None: ...

    policy = RetryPolicy(on_retry=lambda *told: listen(), clock=clock)
    assert policy.call(Flaky(OSError())) == "done"
    assert "raised TypeError" in reports[0]


def test_what_is_no_exception_passes_from_the_listener(
    run: Run, clock: ManualClock
) -> None:
    def listen(*told: object) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run(RetryPolicy(on_retry=listen, clock=clock), Flaky(OSError()))


def test_the_listener_may_use_the_policy(run: Run, clock: ManualClock) -> None:
    seen: list[object] = []

    def listen(*told: object) -> None:
        seen.append(policy.call(Flaky()))
        seen.append(policy.snapshot().retries)
        policy.update(max_attempts=2)

    policy = RetryPolicy(5, budget=20, on_retry=listen, clock=clock)
    with pytest.raises(OSError, match="1"):
        run(policy, Flaky(*errors(4)))
    assert seen == ["done", 1]


def test_it_is_let_go_of_with_its_listener() -> None:
    class Owner:
        def __init__(self) -> None:
            self.policy = RetryPolicy(on_retry=self.listen)

        def listen(self, *told: object) -> None: ...

    owner = weakref.ref(Owner())
    gc.collect()
    assert owner() is None


# Settings


def test_update_changes_what_it_names_and_nothing_else(clock: ManualClock) -> None:
    heard = Heard()
    policy = RetryPolicy(4, 1.0, jitter="none", on_retry=heard, clock=clock)
    policy.update(base_delay=0.5, multiplier=1.0)
    with pytest.raises(OSError, match="3"):
        policy.call(Flaky(*errors(4)))
    assert heard.delays == [0.5, 0.5, 0.5]
    policy.update(max_attempts=2, retry_on=KeyError)
    with pytest.raises(OSError, match="0"):
        policy.call(Flaky(*errors(4)))
    assert policy.settings() == {
        "max_attempts": 2,
        "base_delay": 0.5,
        "max_delay": 5.0,
        "multiplier": 1.0,
        "jitter": "none",
        "max_elapsed": None,
        "retry_on": ["KeyError"],
        "never_on": [],
        "budget": None,
        "budget_min_per_sec": 10,
        "budget_ttl": 10.0,
        "on_retry": "Heard",
    }


def test_update_changes_all_or_nothing(clock: ManualClock) -> None:
    policy = RetryPolicy(clock=clock)
    before = policy.settings()
    with pytest.raises(ValueError, match="multiplier"):
        policy.update(max_attempts=7, multiplier=0.5)
    for name in ("seed", "clock", "attempts"):
        unknown: dict[str, Any] = {"max_attempts": 7, name: 1}
        with pytest.raises(TypeError, match=f"update.. has no setting '{name}'"):
            policy.update(**unknown)
    assert policy.settings() == before


def plain() -> None: ...


async def not_plain() -> None: ...


SENSELESS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"max_attempts": 0}, ValueError, "max_attempts must be from 1 to .* got 0"),
    ({"max_attempts": -3}, ValueError, "max_attempts .* got -3"),
    ({"max_attempts": True}, TypeError, "max_attempts must be an int, got True"),
    ({"max_attempts": 2.0}, TypeError, "max_attempts must be an int, got 2.0"),
    ({"base_delay": -0.1}, ValueError, "base_delay must be from 0 .* got -0.1"),
    ({"base_delay": float("nan")}, ValueError, "base_delay .* got nan"),
    ({"base_delay": True}, TypeError, "base_delay must be a number .* got True"),
    ({"base_delay": "1"}, TypeError, "base_delay must be a number .* got '1'"),
    ({"max_delay": float("inf")}, ValueError, "max_delay .* got inf"),
    ({"max_delay": -1}, ValueError, "max_delay .* got -1"),
    ({"multiplier": 0.5}, ValueError, "multiplier must be from 1 .* got 0.5"),
    ({"multiplier": float("nan")}, ValueError, "multiplier .* got nan"),
    ({"multiplier": True}, TypeError, "multiplier must be a number, got True"),
    ({"jitter": "some"}, ValueError, "jitter must be 'full' or 'equal' or 'none'"),
    ({"jitter": "decorrelated"}, ValueError, "'none', got 'decorrelated'"),
    ({"jitter": None}, TypeError, "jitter must be a string, got None"),
    ({"max_elapsed": 0}, ValueError, "max_elapsed must be more than 0 .* got 0"),
    ({"max_elapsed": False}, TypeError, "max_elapsed .* got False"),
    ({"retry_on": "OSError"}, TypeError, "retry_on must be an Exception .*'OSError'"),
    ({"retry_on": OSError()}, TypeError, "retry_on must be an Exception class"),
    ({"retry_on": BaseException}, TypeError, "retry_on must be an Exception class"),
    ({"retry_on": [OSError, 7]}, TypeError, "retry_on must be .* got 7"),
    ({"never_on": (OSError, 3)}, TypeError, "never_on must be an Exception class"),
    ({"budget": 0}, ValueError, "budget must be from 1 to 1000, got 0"),
    ({"budget": -20}, ValueError, "budget must be from 1 to 1000, got -20"),
    ({"budget": 20.5}, TypeError, "budget must be an int, got 20.5"),
    ({"budget": True}, TypeError, "budget must be an int, got True"),
    ({"budget_min_per_sec": -1}, ValueError, "budget_min_per_sec .* got -1"),
    ({"budget_min_per_sec": 0.5}, TypeError, "budget_min_per_sec .* got 0.5"),
    ({"budget_ttl": 0}, ValueError, "budget_ttl must be more than 0 .* got 0"),
    ({"on_retry": 7}, TypeError, "on_retry must be callable, got 7"),
    ({"on_retry": not_plain}, TypeError, "on_retry must be no async function"),
]


@pytest.mark.parametrize(("arguments", "error", "text"), SENSELESS)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        RetryPolicy(**arguments)
    policy = RetryPolicy()
    with pytest.raises(error, match=text):
        policy.update(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"seed": -1}, ValueError, "seed must be from 0 .* got -1"),
        ({"seed": "1"}, TypeError, "seed must be an int, got '1'"),
        ({"clock": 1}, TypeError, "clock must be callable"),
        ({"attempts": 1}, TypeError, "attempts"),
    ],
)
def test_what_only_the_constructor_takes_is_checked(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        RetryPolicy(**arguments)


def test_extreme_settings_do_not_overflow() -> None:
    policy = RetryPolicy(
        10**9,
        1e9,
        max_delay=1e9,
        multiplier=1000,
        jitter="equal",
        max_elapsed=1e9,
        budget=1000,
        budget_min_per_sec=1_000_000,
        budget_ttl=1e9,
        clock=ManualClock(auto_advance=True),
    )
    with pytest.raises(OSError, match="1"):
        policy.call(Flaky(*errors(30)))
    assert policy.snapshot().budget_left == 10**15 + 9


@pytest.mark.parametrize("policy", [RetryPolicy(), CircuitBreaker()])
def test_coroutine_of_a_generator_is_awaited(policy: Any) -> None:
    @types.coroutine
    def old() -> Any:
        yield
        return "awaited"

    async def main() -> Any:
        return await policy.call_async(old)

    assert asyncio.run(main()) == "awaited"
    with pytest.raises(TypeError, match="awaitable"):
        policy.call(old)
