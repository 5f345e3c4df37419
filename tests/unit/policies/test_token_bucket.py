"""TokenBucket: exact against big integers, for months, from many threads, by key."""

from __future__ import annotations

import copy
import sys
import threading
import time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support import fastest_switching

from cqrs_fast import TokenBucket
from cqrs_fast.testing import ManualClock

S = 1_000_000_000
DAY = 86400


class Model:
    """The same in fractions: tokens as of the newest reading."""

    def __init__(self, limit: int, window_ns: int, burst: int) -> None:
        self.rate = Fraction(limit, window_ns)
        self.burst = burst
        self.tokens = Fraction(burst)
        self.newest: int | None = None

    def refill(self, now: int) -> None:
        if self.newest is None or now > self.newest:
            elapsed = 0 if self.newest is None else now - self.newest
            self.tokens = min(Fraction(self.burst), self.tokens + elapsed * self.rate)
            self.newest = now

    def wait(self, now: int, n: int) -> int:
        self.refill(now)
        assert self.newest is not None
        if self.tokens >= n:
            return 0
        return -((self.tokens - n) / self.rate // 1) + self.newest - now

    def take(self, now: int, n: int) -> bool:
        admitted = self.wait(now, n) == 0
        if admitted:
            self.tokens -= n
        return admitted


class Steps:
    """A clock in nanoseconds."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def ns_of(seconds: float) -> int:
    return round(seconds * S)


RATES = st.tuples(
    st.integers(1, 10**6),
    st.one_of(
        st.sampled_from([1e-9, 1e-3, 1.0, 3.0, 60.0, 3600.0, 86400.0, 2592000.0]),
        st.floats(1e-9, 1e7, allow_nan=False),
    ),
    st.one_of(st.none(), st.integers(1, 10**6)),
).filter(lambda rate: (rate[2] or rate[0]) * ns_of(rate[1]) < 2**62)


class BucketMachine(RuleBasedStateMachine):
    """Any calls at any times against exact arithmetic."""

    @initialize(rate=RATES, start=st.integers(0, 2**60))
    def begin(self, rate: Any, start: int) -> None:
        limit, window, burst = rate
        self.clock = Steps()
        self.clock.now = start
        self.bucket = TokenBucket(limit, window, burst=burst, clock=self.clock)
        self.fill_ns = ns_of(window) * (burst or limit) // limit
        self.model = Model(limit, max(ns_of(window), 1), burst or limit)

    @rule(share=st.floats(0, 1.2), extra=st.integers(-5, 5))
    def pass_time(self, share: float, extra: int) -> None:
        # Times around those at which something changes.
        step = int(self.fill_ns * share) + extra
        self.clock.now = min(self.clock.now + step, 2**62)

    @rule(back=st.integers(1, 10**12))
    def go_back(self, back: int) -> None:
        self.clock.now -= back

    @rule(n=st.one_of(st.just(1), st.integers(1, 10**6)))
    def take(self, n: int) -> None:
        n = min(n, self.bucket.burst)
        expected = self.model.wait(self.clock.now, n)
        assert self.bucket.retry_after(n) == expected / 1e9
        assert self.bucket.try_acquire(n) == self.model.take(self.clock.now, n)

    @rule()
    def take_when_it_says(self) -> None:
        wait = self.model.wait(self.clock.now, 1)
        if wait > 0:
            self.clock.now += wait - 1
            assert not self.bucket.try_acquire()
            self.clock.now += 1
            assert self.model.take(self.clock.now, 1)
            assert self.bucket.try_acquire()

    @rule()
    def reset(self) -> None:
        self.bucket.reset()
        self.model.tokens = Fraction(self.model.burst)

    @invariant()
    def shows_what_is_left(self) -> None:
        if hasattr(self, "bucket"):
            self.model.refill(self.clock.now)
            assert self.bucket.remaining_tokens() == self.model.tokens // 1


TestBucketMachine = BucketMachine.TestCase
TestBucketMachine.settings = settings(
    deadline=None, max_examples=150, stateful_step_count=40
)


# A month without drift


@pytest.mark.parametrize(
    ("limit", "window", "step_ns"),
    [(7, 3.0, 10 * S + 1), (1000, 60.0, 97 * S), (1, 86400.0, 1801 * S)],
)
def test_30_days_admit_exactly_what_exact_arithmetic_says(
    limit: int, window: float, step_ns: int
) -> None:
    """Asked until it refuses, at odd times, it has given every whole token."""
    clock = Steps()
    burst = 10**4
    bucket = TokenBucket(limit, window, burst=burst, clock=clock)
    assert bucket.try_acquire(burst)
    admitted = 0
    end = 30 * DAY * S
    while clock.now < end:
        clock.now = min(clock.now + step_ns, end)
        there = bucket.remaining_tokens()
        if there:
            assert bucket.try_acquire(there)
            admitted += there
        assert not bucket.try_acquire()
        assert admitted == clock.now * limit // ns_of(window)
    assert admitted == 30 * DAY * limit // round(window)


@pytest.mark.parametrize(("limit", "window"), [(1_000_000, DAY), (10_000, 30 * DAY)])
def test_a_million_a_day_and_ten_thousand_a_month_fit(limit: int, window: int) -> None:
    clock = Steps()
    bucket = TokenBucket(limit, window, clock=clock)
    assert bucket.try_acquire(limit)
    assert bucket.retry_after() == window / limit
    clock.now += window * S // limit - 1
    assert not bucket.try_acquire()
    clock.now += 1
    assert bucket.try_acquire()


# Any interval


def worst(times: list[int], limit: int, window_ns: int) -> Fraction:
    """Return the most that an interval held beyond limit * t / window; times sorted."""
    most = Fraction(0)
    least: Fraction | None = None
    for count, at in enumerate(times):
        before = count - Fraction(at * limit, window_ns)
        least = before if least is None or before < least else least
        most = max(most, before + 1 - least)
    return most


@settings(deadline=None, max_examples=300)
@given(
    rate=st.tuples(st.integers(1, 20), st.integers(1, 1000), st.integers(1, 20)),
    steps=st.lists(st.integers(0, 200), max_size=200),
)
def test_no_interval_holds_more_than_burst_and_rate(
    rate: tuple[int, int, int], steps: list[int]
) -> None:
    limit, window_ns, burst = rate
    clock = Steps()
    bucket = TokenBucket(limit, window_ns / 1e9, burst=burst, clock=clock)
    times = []
    for step in steps:
        clock.now += step
        if bucket.try_acquire():
            times.append(clock.now)
    assert worst(times, limit, window_ns) <= burst


@pytest.mark.parametrize("key", [None, "key"])
def test_threads_on_the_system_clock_keep_every_interval(key: str | None) -> None:
    """Counted from before the first to after the last: no reading lies outside."""
    limit, window, burst = 100, 0.001, 20
    bucket = TokenBucket(limit, window, burst=burst)
    spans: list[tuple[int, int]] = []
    barrier = threading.Barrier(8)

    def hammer() -> None:
        own = []
        barrier.wait()
        for _ in range(20_000):
            before = time.monotonic_ns()
            if bucket.try_acquire(1, key):
                own.append((before, time.monotonic_ns()))
        spans.extend(own)

    with fastest_switching():
        threads = [threading.Thread(target=hammer) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(spans) >= burst
    # Of the intervals from a start to any end: those that lie inside.
    window_ns = ns_of(window)
    spans.sort()
    for first in range(0, len(spans), max(len(spans) // 200, 1)):
        start = spans[first][0]
        inside = sorted(after for _, after in spans[first:])
        for count, end in enumerate(inside, start=1):
            assert (count - burst) * window_ns <= (end - start) * limit


def test_threads_on_a_clock_that_stands_still_share_the_burst() -> None:
    bucket = TokenBucket(1000, 1.0, clock=ManualClock())
    taken: list[int] = []

    def hammer() -> None:
        taken.append(sum(bucket.try_acquire() for _ in range(2000)))

    with fastest_switching():
        threads = [threading.Thread(target=hammer) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(taken) == 1000


# Odd times


def test_a_week_without_a_call_is_one_burst() -> None:
    clock = ManualClock()
    bucket = TokenBucket(1000, 60.0, burst=10, clock=clock)
    for idle in (7 * DAY, 10**9, 10**9):
        clock.advance(idle)
        assert sum(bucket.try_acquire() for _ in range(50)) == 10


def test_time_that_goes_back_is_no_time() -> None:
    clock = ManualClock(start=100)
    bucket = TokenBucket(1, 1.0, clock=clock)
    assert bucket.try_acquire()
    clock.advance(-50)
    assert not bucket.try_acquire()
    # The clock has to catch up first, and the retry time says so.
    assert bucket.retry_after() == 51.0
    clock.advance(50.5)
    assert not bucket.try_acquire()
    assert bucket.retry_after() == 0.5
    clock.advance(0.5)
    assert bucket.try_acquire()


# By key


def test_keys_have_buckets_of_their_own() -> None:
    bucket = TokenBucket(2, 1.0, clock=ManualClock())
    for key in ("a", "b", 1, ("a", 1), None):
        assert [bucket.try_acquire(1, key) for _ in range(3)] == [True, True, False]
    assert bucket.keys == 4
    assert bucket.remaining_tokens("a") == 0
    assert bucket.remaining_tokens("new") == 2
    assert bucket.retry_after(2, "a") == 1.0
    assert bucket.retry_after(2, "new") == 0.0
    assert bucket.keys == 4


def test_new_keys_never_reset_a_bucket_that_is_partly_spent() -> None:
    clock = ManualClock()
    bucket = TokenBucket(10, 10.0, max_keys=100, clock=clock)
    assert bucket.try_acquire(10, "victim")
    for number in range(10_000):
        bucket.try_acquire(1, number)
    assert bucket.keys == 100
    assert bucket.overflowed == 10_000 - 99
    assert bucket.remaining_tokens("victim") == 0
    assert not bucket.try_acquire(1, "victim")
    # 99 keys had a bucket, all others shared one.
    assert bucket.remaining_tokens(0) == 9
    assert bucket.remaining_tokens(99) == 0


def test_full_buckets_make_room() -> None:
    clock = ManualClock()
    bucket = TokenBucket(10, 10.0, max_keys=10, clock=clock)
    for number in range(10):
        assert bucket.try_acquire(1 + number, number)
    clock.advance(1)
    # Only the first is full by now.
    assert bucket.try_acquire(1, "new")
    assert bucket.overflowed == 0
    assert bucket.try_acquire(1, "too many")
    assert bucket.overflowed == 1
    assert bucket.keys == 10
    for number in range(1, 10):
        assert bucket.remaining_tokens(number) == 10 - number
    clock.advance(9)
    for number in range(10):
        assert bucket.try_acquire(1, ("another", number))
    assert bucket.overflowed == 1


def test_a_key_that_gets_its_bucket_late_has_no_second_burst() -> None:
    """What it took from the shared bucket counts."""
    clock = ManualClock()
    bucket = TokenBucket(10, 10.0, max_keys=1, clock=clock)
    assert bucket.try_acquire(1, "first")
    assert bucket.try_acquire(10, "late")
    clock.advance(1)
    assert sum(bucket.try_acquire(1, "late") for _ in range(20)) == 1
    assert bucket.keys == 1
    assert bucket.overflowed == 1


def test_an_evicted_key_does_not_profit_from_a_clock_that_goes_back() -> None:
    clock = ManualClock(start=100)
    bucket = TokenBucket(10, 10.0, max_keys=1, clock=clock)
    assert bucket.try_acquire(1, "a")
    clock.advance(1)
    assert bucket.try_acquire(10, "b")  # in the place of a
    clock.advance(-50)
    assert not bucket.try_acquire(1, "b")
    clock.advance(60)
    assert bucket.try_acquire(10, "a")
    clock.advance(-50)
    clock.advance(1)
    assert not bucket.try_acquire(1, "a")


class World:
    """What the buckets of a few keys may be: which full one makes room is not told."""

    LIMIT, WINDOW_NS, BURST, PLACES = 3, 10, 4, 3

    def __init__(self) -> None:
        self.buckets: dict[str, Model] = {}
        self.overflow = Model(self.LIMIT, self.WINDOW_NS, self.BURST)
        self.overflow.refill(0)
        self.overflowed = 0

    def state(self) -> tuple[Any, ...]:
        """Return what tells it from other worlds."""
        models = sorted(self.buckets.items())
        held = tuple((key, model.tokens, model.newest) for key, model in models)
        return held, self.overflow.tokens, self.overflow.newest, self.overflowed

    def add(self, key: str, now: int) -> World:
        model = Model(self.LIMIT, self.WINDOW_NS, self.BURST)
        self.overflow.refill(now)
        model.tokens, model.newest = self.overflow.tokens, now
        self.buckets[key] = model
        return self

    def without(self, key: str) -> World:
        other = copy.deepcopy(self)
        del other.buckets[key]
        return other

    def take(self, key: str, now: int, n: int) -> list[tuple[bool, World]]:
        """Return every answer that there may be, and the world after it."""
        if key in self.buckets:
            return [(self.buckets[key].take(now, n), self)]
        if len(self.buckets) < self.PLACES:
            return self.add(key, now).take(key, now, n)
        for model in self.buckets.values():
            model.refill(now)
        full = [
            other for other, model in self.buckets.items() if model.tokens == self.BURST
        ]
        if not full:
            self.overflowed += 1
            return [(self.overflow.take(now, n), self)]
        return [
            after
            for other in full
            for after in self.without(other).add(key, now).take(key, now, n)
        ]


class KeyedMachine(RuleBasedStateMachine):
    """Few places, many keys: each key keeps its bound, no spent bucket is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Steps()
        self.bucket = TokenBucket(
            World.LIMIT,
            World.WINDOW_NS / 1e9,
            burst=World.BURST,
            max_keys=World.PLACES,
            clock=self.clock,
        )
        self.worlds = [World()]
        self.times: dict[str, list[int]] = {}

    @rule(step=st.integers(0, 20))
    def pass_time(self, step: int) -> None:
        self.clock.now += step

    @rule(key=st.sampled_from("abcdefgh"), n=st.integers(1, World.BURST))
    def take(self, key: str, n: int) -> None:
        now = self.clock.now
        admitted = self.bucket.try_acquire(n, key)
        after = [
            world
            for before in self.worlds
            for answer, world in before.take(key, now, n)
            if answer == admitted and world.overflowed == self.bucket.overflowed
        ]
        assert after
        self.worlds = list({world.state(): world for world in after}.values())
        if admitted:
            self.times.setdefault(key, []).extend([now] * n)

    @invariant()
    def keeps_every_bound(self) -> None:
        assert self.bucket.keys <= World.PLACES
        for times in self.times.values():
            assert worst(times, World.LIMIT, World.WINDOW_NS) <= World.BURST


TestKeyedMachine = KeyedMachine.TestCase
TestKeyedMachine.settings = settings(
    deadline=None, max_examples=100, stateful_step_count=50
)


def seconds_for(keys: int, bucket: TokenBucket, clock: Steps) -> float:
    started = time.perf_counter()
    for number in range(keys):
        clock.now += 1000
        bucket.try_acquire(1, number)
    return time.perf_counter() - started


def test_a_million_keys_take_a_bounded_time_and_place() -> None:
    """With room to be made for each, and with none to be found."""
    for window in (1e-3, 1e6):
        clock = Steps()
        bucket = TokenBucket(10, window, max_keys=10_000, clock=clock)
        seconds = seconds_for(1_000_000, bucket, clock)
        assert bucket.keys == 10_000
        assert (bucket.overflowed == 0) == (window == 1e-3)
        # A scan of the table for each key would take hours.
        assert seconds < 30


def test_a_key_may_call_anything_from_its_own_methods() -> None:
    clock = Steps()
    bucket = TokenBucket(5, 1e-8, max_keys=3, clock=clock)
    running: list[int] = []

    class Key:
        def __init__(self, number: int) -> None:
            self.number = number

        def meddle(self) -> None:
            if running:
                return
            running.append(1)
            try:
                for number in range(4):
                    bucket.try_acquire(1, Key(number))
                bucket.remaining_tokens(self)
                bucket.retry_after(1, self)
                bucket.update(burst=4 + self.number % 2, max_keys=3)
                bucket.reset()
                repr(bucket), bucket.keys, bucket.overflowed, bucket.settings()
            finally:
                running.clear()

        def __hash__(self) -> int:
            self.meddle()
            return self.number % 2

        def __eq__(self, other: object) -> bool:
            self.meddle()
            return isinstance(other, Key) and other.number == self.number

        def __del__(self) -> None:
            self.meddle()

    for number in range(200):
        clock.now += 1
        bucket.try_acquire(1, Key(number % 11))
    assert bucket.keys <= 4


def test_a_key_that_cannot_be_compared_fails_the_call_and_nothing_else() -> None:
    class Broken:
        broken = False

        def __hash__(self) -> int:
            if self.broken:
                raise KeyError("broken")
            return 1

    clock = Steps()
    bucket = TokenBucket(5, 1e-6, max_keys=1, clock=clock)
    bucket.try_acquire(1, Broken())
    Broken.broken = True
    clock.now += 10_000
    with pytest.raises(KeyError, match="broken"):
        bucket.try_acquire(1, "new")
    Broken.broken = False
    assert bucket.try_acquire(1, "new")
    assert bucket.keys == 1


def test_an_unhashable_key_is_a_type_error() -> None:
    bucket: Any = TokenBucket()
    for call in (
        bucket.try_acquire,
        bucket.retry_after,
        lambda _, key: bucket.remaining_tokens(key),
    ):
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            call(1, [])


# Changes


def test_an_update_keeps_the_share_of_the_burst() -> None:
    clock = ManualClock()
    bucket = TokenBucket(100, 1.0, clock=clock)
    assert bucket.try_acquire(40)
    assert bucket.try_acquire(70, "key")
    bucket.update(requests_per_window=10)
    assert bucket.burst == 10
    assert bucket.remaining_tokens() == 6
    assert bucket.remaining_tokens("key") == 3
    assert bucket.remaining_tokens("new") == 10
    bucket.update(burst=1000)
    assert bucket.remaining_tokens() == 600
    clock.advance(40)
    assert bucket.remaining_tokens() == 1000
    bucket.update(window=2.0, burst=None)
    assert bucket.remaining_tokens() == 10


@settings(deadline=None, max_examples=300)
@given(
    changes=st.lists(
        st.tuples(RATES, st.integers(0, 10**12), st.integers(1, 10**6)), max_size=6
    )
)
def test_an_update_never_hands_out_tokens(changes: Any) -> None:
    clock = Steps()
    bucket = TokenBucket(1, 1.0, clock=clock)
    share = Fraction(1)
    for (limit, window, burst), step, n in changes:
        bucket.update(requests_per_window=limit, window=window, burst=burst)
        most = burst or limit
        assert bucket.remaining_tokens() <= share * most
        clock.now += step
        filled = share * most + Fraction(step * limit, max(ns_of(window), 1))
        share = min(Fraction(1), filled / most)
        if bucket.try_acquire(min(n, most)):
            share -= Fraction(min(n, most), most)


def test_an_update_is_all_or_nothing() -> None:
    bucket: Any = TokenBucket(10, 1.0, clock=ManualClock())
    bucket.try_acquire(5)
    before = bucket.settings()
    for wrong in (
        {"requests_per_window": 20, "window": 0},
        {"requests_per_window": 20, "burst": True},
        {"requests_per_window": 20, "max_keys": 0},
        {"requests_per_window": 10**12 - 11, "window": 86399.0},
    ):
        with pytest.raises((TypeError, ValueError)):
            bucket.update(**wrong)
    with pytest.raises(TypeError, match="no setting 'clock'"):
        bucket.update(clock=None)
    assert bucket.settings() == before
    assert bucket.remaining_tokens() == 5


def test_fewer_keys_are_kept_as_buckets_fill_up() -> None:
    clock = ManualClock()
    bucket = TokenBucket(10, 10.0, clock=clock)
    for number in range(10):
        assert bucket.try_acquire(5, number)
    bucket.update(max_keys=2)
    assert bucket.keys == 10
    assert bucket.remaining_tokens(0) == 5
    clock.advance(5)
    assert bucket.try_acquire(1, "new")
    assert bucket.keys == 2


def test_reset_fills_every_bucket() -> None:
    bucket = TokenBucket(3, 1.0, max_keys=2, clock=ManualClock())
    for key in (None, "a", "b", "overflow"):
        assert bucket.try_acquire(3, key)
    bucket.reset()
    for key in (None, "a", "b", "overflow"):
        assert bucket.remaining_tokens(key) == 3
    # Full ones make room again.
    assert bucket.try_acquire(1, "c")
    assert bucket.overflowed == 1


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"requests_per_window": 0}, ValueError, "requests_per_window .* got 0"),
        ({"requests_per_window": -1}, ValueError, "requests_per_window .* got -1"),
        ({"requests_per_window": 1.5}, TypeError, "requests_per_window .* got 1.5"),
        ({"requests_per_window": True}, TypeError, "requests_per_window .* got True"),
        ({"requests_per_window": "1"}, TypeError, "requests_per_window .* got '1'"),
        ({"window": 0}, ValueError, "window .* got 0"),
        ({"window": -1.0}, ValueError, "window .* got -1.0"),
        ({"window": float("nan")}, ValueError, "window .* got nan"),
        ({"window": float("inf")}, ValueError, "window .* got inf"),
        ({"window": True}, TypeError, "window .* got True"),
        ({"burst": 0}, ValueError, "burst .* got 0"),
        ({"burst": False}, TypeError, "burst .* got False"),
        ({"burst": 2.0}, TypeError, "burst .* got 2.0"),
        ({"max_keys": 0}, ValueError, "max_keys .* got 0"),
        ({"max_keys": None}, TypeError, "max_keys .* got None"),
        ({"clock": 7}, TypeError, "clock .* got 7"),
        (
            {"requests_per_window": 999_983, "window": 86400.0},
            ValueError,
            "requests_per_window=999983 in window=86400.0 with burst=999983 does not",
        ),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        TokenBucket(**arguments)
    if "clock" not in arguments:
        with pytest.raises(error, match=text):
            TokenBucket().update(**arguments)


@pytest.mark.parametrize(
    ("n", "error", "text"),
    [
        (0, ValueError, "n must be from 1 .* got 0"),
        (-1, ValueError, "n must be from 1 .* got -1"),
        (11, ValueError, "n must be at most the burst of 10, got 11"),
        (2**70, ValueError, "n must be"),
        (True, TypeError, "n must be an int, got True"),
        (1.0, TypeError, "n must be an int, got 1.0"),
    ],
)
def test_a_senseless_number_of_tokens_is_refused(
    n: Any, error: type[Exception], text: str
) -> None:
    bucket = TokenBucket(10, 1.0, clock=ManualClock())
    for call in (bucket.try_acquire, bucket.retry_after):
        with pytest.raises(error, match=text):
            call(n)
        with pytest.raises(error, match=text):
            call(n, "key")
    assert bucket.keys == 0


def test_what_a_clock_raises_reaches_the_caller() -> None:
    def clock() -> int:
        raise OSError("no time")

    bucket = TokenBucket(clock=clock)
    with pytest.raises(OSError, match="no time"):
        bucket.try_acquire()


def test_settings_and_repr_tell_the_rate() -> None:
    bucket = TokenBucket(5, 2.0, burst=7, max_keys=9)
    assert bucket.settings() == {
        "requests_per_window": 5,
        "window": 2.0,
        "burst": 7,
        "max_keys": 9,
    }
    assert repr(bucket) == "TokenBucket(5, 2.0, burst=7)"
    assert sys.getsizeof(bucket) < 200
