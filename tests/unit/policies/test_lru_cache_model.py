"""LRUCache does what an OrderedDict with times does."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cqrs_fast import LRUCache, LRUCacheStats
from cqrs_fast.testing import ManualClock


class Model(RuleBasedStateMachine):
    """The cache against an OrderedDict of (value, expires)."""

    keys = st.one_of(
        st.integers(0, 12),
        st.integers(0, 4).map(lambda n: n << 40),
        st.sampled_from(["", "a", "b", "\u00e4", "\u20ac", "a" * 50, 1.0, True, None]),
        st.tuples(st.integers(0, 2)),
    )

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(100.0)
        self.max_size = 5
        self.cache: LRUCache[Any, Any] = LRUCache(5, clock=self.clock)
        self.model: OrderedDict[Any, tuple[int, float]] = OrderedDict()
        self.evictions = 0
        self.hits = 0
        self.misses = 0
        self.count = 0

    @property
    def now(self) -> float:
        return self.clock() / 1e9

    def lookup(self, key: Any) -> int | None:
        if key in self.model and self.model[key][1] <= self.now:
            del self.model[key]
        return self.model[key][0] if key in self.model else None

    def live(self) -> dict[Any, int]:
        return {k: value for k, (value, due) in self.model.items() if due > self.now}

    def make_room(self) -> None:
        for _ in range(4):
            if not self.model or next(iter(self.model.values()))[1] > self.now:
                break
            self.model.popitem(last=False)
        if len(self.model) == self.max_size:
            self.model.popitem(last=False)
            self.evictions += 1

    def stored(self, key: Any, value: int, due: float) -> None:
        if key not in self.model:
            self.make_room()
        self.model[key] = (value, due)
        self.model.move_to_end(key)

    def used(self, key: Any) -> int | None:
        value = self.lookup(key)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
            self.model.move_to_end(key)
        return value

    @rule(key=keys, ttl=st.sampled_from([None, 0, 1, 2.5, 10.0]))
    def set(self, key: Any, ttl: float | None) -> None:
        self.count += 1
        self.cache.set(key, self.count, ttl)
        if ttl == 0:
            self.model.pop(key, None)
        else:
            self.stored(key, self.count, self.now + (math.inf if ttl is None else ttl))

    @rule(key=keys)
    def set_item(self, key: Any) -> None:
        self.count += 1
        self.cache[key] = self.count
        self.stored(key, self.count, math.inf)

    @rule(key=keys)
    def get(self, key: Any) -> None:
        assert self.cache.get(key) == self.used(key)

    @rule(key=keys)
    def get_item(self, key: Any) -> None:
        expected = self.used(key)
        if expected is None:
            with pytest.raises(KeyError):
                self.cache[key]
        else:
            assert self.cache[key] == expected

    @rule(key=keys)
    def look(self, key: Any) -> None:
        expected = self.lookup(key)
        assert self.cache.peek(key) == expected
        assert (key in self.cache) is (expected is not None)

    @rule(key=keys)
    def setdefault(self, key: Any) -> None:
        self.count += 1
        expected = self.used(key)
        if expected is None:
            self.stored(key, self.count, math.inf)
            expected = self.count
        assert self.cache.setdefault(key, self.count) == expected

    @rule(key=keys)
    def delete(self, key: Any) -> None:
        if self.lookup(key) is None:
            with pytest.raises(KeyError):
                del self.cache[key]
        else:
            del self.cache[key]
            del self.model[key]

    @rule(key=keys)
    def pop(self, key: Any) -> None:
        expected = self.lookup(key)
        self.model.pop(key, None)
        assert self.cache.pop(key, None) == expected

    @rule()
    def popitem(self) -> None:
        while self.model and next(iter(self.model.values()))[1] <= self.now:
            self.model.popitem(last=False)
        if self.model:
            key, (value, _) = self.model.popitem(last=False)
            assert self.cache.popitem() == (key, value)
        else:
            with pytest.raises(KeyError):
                self.cache.popitem()

    @rule(seconds=st.sampled_from([0.5, 1, 3, 20]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        before = len(self.model)
        self.model = OrderedDict(
            (key, entry) for key, entry in self.model.items() if entry[1] > self.now
        )
        assert self.cache.sweep() == before - len(self.model)

    @rule(max_size=st.integers(1, 9))
    def resize(self, max_size: int) -> None:
        self.max_size = max_size
        self.cache.resize(max_size)
        while len(self.model) > max_size:
            self.model.popitem(last=False)
            self.evictions += 1

    @precondition(lambda self: self.count % 7 == 0)
    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()

    @invariant()
    def is_as_the_model(self) -> None:
        self.cache._check()  # type: ignore[attr-defined]
        live = self.live()
        assert list(self.cache) == list(live)
        assert list(reversed(self.cache)) == list(live)[::-1]
        assert list(self.cache.items()) == list(live.items())
        assert list(self.cache.values()) == list(live.values())
        assert self.cache == live
        assert self.cache.stats() == LRUCacheStats(
            size=len(self.model),
            max_size=self.max_size,
            hits=self.hits,
            misses=self.misses,
            evictions=self.evictions,
        )


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
