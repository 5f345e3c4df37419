"""LRUCache: a mapping, strictly bounded, whose entries expire."""

from __future__ import annotations

import copy
import gc
import json
import math
import pickle
from collections import UserDict
from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest

from cqrs_fast import LRUCache
from cqrs_fast.testing import ManualClock


def cache_of(*keys: Any, **settings: Any) -> LRUCache[Any, Any]:
    cache: LRUCache[Any, Any] = LRUCache(**settings)
    cache.update((key, key) for key in keys)
    return cache


def test_it_is_a_mapping_where_one_is_expected() -> None:
    cache = cache_of("b", "a")
    assert isinstance(cache, MutableMapping)
    assert issubclass(LRUCache, Mapping)
    assert dict(cache) == {"a": "a", "b": "b"}
    assert {**cache} == {"a": "a", "b": "b"}
    assert dict(**cache) == {"a": "a", "b": "b"}
    assert json.loads(json.dumps(dict(cache))) == {"a": "a", "b": "b"}
    assert {"c": 1} | dict(cache.items()) == {"a": "a", "b": "b", "c": 1}
    assert sorted(cache) == ["a", "b"]
    assert bool(cache)
    assert not LRUCache()
    match cache:
        case {"a": found, **rest}:
            assert (found, rest) == ("a", {"b": "b"})
        case _:
            pytest.fail("it does not match")


def test_its_views_are_those_of_a_mapping() -> None:
    cache = cache_of(1, 2, 3)
    assert cache.keys() & {2, 3, 4} == {2, 3}
    assert cache.keys() | {4} == {1, 2, 3, 4}
    assert cache.items() - {(1, 1)} == {(2, 2), (3, 3)}
    assert (1, 1) in cache.items()
    assert (1, 2) not in cache.items()
    assert (4, 4) not in cache.items()
    assert 3 in cache.values()
    assert 4 not in cache.values()
    assert len(cache.keys()) == len(cache.values()) == len(cache.items()) == 3
    keys = cache.keys()
    cache[4] = 4
    assert list(keys) == [1, 2, 3, 4]
    cache.update(dict(cache.items()))
    assert cache.stats().hits == 0


def test_it_equals_mappings_with_the_same_items() -> None:
    cache = cache_of("a", "b")
    assert cache == {"b": "b", "a": "a"}
    plain = {"b": "b", "a": "a"}
    assert plain == cache
    assert cache == cache_of("b", "a")
    assert cache == UserDict({"b": "b", "a": "a"})
    assert cache != {"a": "a"}
    assert cache != [("a", "a"), ("b", "b")]
    with pytest.raises(TypeError, match="unhashable"):
        hash(cache)


def test_update_takes_what_that_of_a_dict_takes() -> None:
    class Keyed:
        def keys(self) -> list[str]:
            return ["k"]

        def __getitem__(self, key: str) -> str:
            return key * 2

    cache: LRUCache[str, Any] = LRUCache()
    cache.update({"a": 1}, b=2)
    cache.update([("c", 3)], other=4, self=5)
    cache.update(UserDict(d=5))
    cache.update(Keyed())
    cache.update(cache_of("z"))
    cache.update()
    expected: dict[str, Any] = {"a": 1, "b": 2, "c": 3, "other": 4, "self": 5, "d": 5}
    assert cache == {**expected, "k": "kk", "z": "z"}
    for wrong in (5, [1], [(1, 2, 3)], [(1,)]):
        with pytest.raises((TypeError, ValueError)):
            cache.update(wrong)  # type: ignore[call-overload]


def test_defaults_may_be_named_and_none_is_a_value() -> None:
    cache: LRUCache[str, Any] = LRUCache()
    cache["none"] = None
    assert cache.get("none", 1) is None
    assert "none" in cache
    assert cache.get("x", default=1) == cache.peek("x", default=1) == 1
    assert cache.pop("x", default=2) == 2
    assert cache.setdefault("none", 3) is None
    with pytest.raises(KeyError, match="x"):
        cache.pop("x")


def test_it_tells_no_contents_and_cannot_be_copied() -> None:
    cache = cache_of("secret", max_size=7)
    assert repr(cache) == "<LRUCache of 1, at most 7>"
    for method in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="LRUCache"):
            method(cache)
    assert repr(LRUCache[str, int]).endswith("LRUCache[str, int]")


def test_keys_are_those_of_a_dict() -> None:
    nan = math.nan
    cache = cache_of(1, "1", b"1", nan, (1, "x"), 2**70, -1, -2, frozenset({1}))
    assert cache[1.0] == cache[True] == 1
    assert cache[nan] is nan
    assert math.nan * 1 not in cache
    assert cache[(1, "".join("x"))] == (1, "x")
    assert cache[2**69 * 2] == 2**70
    cache[1.0] = "new"
    assert (cache[1], len(cache)) == ("new", 9)
    assert [type(key) for key in cache if key == 1] == [int]
    for call in (cache.get, cache.peek, cache.__contains__, cache.pop):
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            call([])


@pytest.mark.parametrize("step", [1, 8, 1 << 10, 1 << 20, 1 << 31, 1 << 45])
def test_regular_keys_are_all_found(step: int) -> None:
    keys = [step * number for number in range(-3_000, 3_000)]
    cache = cache_of(*keys)
    assert [cache[key] for key in keys] == keys
    for key in keys[::2]:
        del cache[key]
    assert list(cache) == keys[1::2]
    cache._check()  # type: ignore[attr-defined]


@pytest.mark.parametrize("max_size", [1, 2])
def test_the_smallest_ones_work(max_size: int) -> None:
    cache = cache_of("a", "b", "c", max_size=max_size)
    assert list(cache) == ["a", "b", "c"][-max_size:]
    cache["b"] = 1
    assert list(cache)[-1] == "b"
    assert cache.stats().evictions == (3 if max_size == 1 else 1)


def test_reading_is_use_and_looking_is_not() -> None:
    cache = cache_of("a", "b", "c", max_size=3)
    assert cache.get("a") == cache["a"] == "a"
    assert "b" in cache
    assert cache.peek("b") == "b"
    assert next(iter(cache.items())) == ("b", "b")
    cache["d"] = "d"
    assert list(cache) == ["c", "a", "d"]
    assert cache.popitem() == ("c", "c")


def test_an_entry_expires_when_its_time_is_reached() -> None:
    clock = ManualClock()
    cache: LRUCache[str, int] = LRUCache(10, 2.0, clock=clock)
    cache["a"] = 1
    cache.set("b", 2, ttl=5)
    clock.advance(1.999999999)
    assert cache["a"] == 1
    clock.advance(0.000000001)
    assert "a" not in cache
    assert list(cache.items()) == [("b", 2)]
    cache.ttl = None
    cache["c"] = 3
    clock.advance(1e9)
    assert list(cache) == ["c"]
    assert (len(cache), cache.sweep(), len(cache)) == (2, 1, 1)
    cache.set("c", 4, ttl=0)
    assert "c" not in cache


def test_the_system_clock_lets_entries_expire() -> None:
    cache: LRUCache[str, int] = LRUCache(ttl=1e-9)
    cache["a"] = 1
    assert cache.get("a") is None
    cache.ttl = 1000.0
    cache["a"] = 1
    assert cache.get("a") == 1
    assert cache.ttl == 1000.0


def test_an_insertion_removes_four_expired_entries_from_the_cold_end() -> None:
    clock = ManualClock()
    cache = cache_of(*range(10), max_size=10, ttl=1.0, clock=clock)
    clock.advance(1.0)
    cache["new"] = 1
    assert len(cache) == 7
    assert cache.stats().evictions == 0


def test_a_clock_that_goes_back_does_no_harm() -> None:
    clock = ManualClock(10.0)
    cache = cache_of("a", ttl=1.0, clock=clock)
    clock.advance(-1e6)
    cache["b"] = "b"
    cache["c"] = "c"
    assert list(cache) == ["a", "b", "c"]
    cache.ttl = None
    cache["d"] = "d"
    clock.advance(2e6)
    assert list(cache) == ["d"]
    cache._check()  # type: ignore[attr-defined]


def test_a_clock_may_use_the_cache_and_its_error_is_raised() -> None:
    def reading() -> int:
        if cache is not None:
            cache.clear()
        if failing:
            raise OSError("no clock")
        return 0

    failing = False
    cache: LRUCache[Any, Any] | None = None
    cache = LRUCache(ttl=1.0, clock=reading)
    cache["a"] = 1
    assert cache.get("a") is None
    cache["a"] = 1
    failing = True
    for call in (cache.get, cache.peek, cache.__contains__, lambda k: cache.set(k, 1)):
        with pytest.raises(OSError, match="no clock"):
            call("a")
    cache._check()  # type: ignore[attr-defined]


def test_a_smaller_size_evicts_at_once() -> None:
    cache = cache_of(*range(100), max_size=100)
    cache.resize(3)
    assert list(cache) == [97, 98, 99]
    assert (cache.max_size, cache.stats().evictions) == (3, 97)
    cache.resize(4)
    cache["a"] = cache["b"] = 1
    assert len(cache) == 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_size": 0}, ValueError, "max_size must be from 1 to 1073741824, got 0"),
        ({"max_size": -1}, ValueError, "max_size must be from 1 .*, got -1"),
        ({"max_size": 2**31}, ValueError, "max_size must be from 1 .*, got 2147483648"),
        ({"max_size": 2**80}, ValueError, "max_size must be from 1"),
        ({"max_size": True}, TypeError, "max_size must be an int, got True"),
        ({"max_size": 1.0}, TypeError, "max_size must be an int, got 1.0"),
        ({"max_size": None}, TypeError, "max_size must be an int, got None"),
        ({"ttl": -1}, ValueError, "ttl must be from 0 to 1e9 seconds, got -1"),
        ({"ttl": math.nan}, ValueError, "ttl must be from 0 .*, got nan"),
        ({"ttl": math.inf}, ValueError, "ttl must be from 0 .*, got inf"),
        ({"ttl": 2e9}, ValueError, "ttl must be from 0 .*, got 2000000000.0"),
        ({"ttl": False}, TypeError, "ttl must be a number of seconds, got False"),
        ({"ttl": "1"}, TypeError, "ttl must be a number of seconds, got '1'"),
        ({"clock": 1}, TypeError, "clock must be callable"),
        ({"size": 1}, TypeError, "size"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LRUCache(**arguments)
    cache = cache_of("a")
    if "ttl" in arguments:
        with pytest.raises(error, match=message):
            cache.set("b", 1, **arguments)
        with pytest.raises(error, match=message):
            cache.ttl = arguments["ttl"]
    if "max_size" in arguments:
        with pytest.raises(error, match=message):
            cache.resize(**arguments)
    assert (cache.max_size, cache.ttl, list(cache)) == (10000, None, ["a"])


def test_iteration_goes_over_what_was_there() -> None:
    cache = cache_of(*range(10), max_size=10)
    seen = []
    for key in cache:
        seen.append(key)
        cache.get(key)
        cache[f"new {key}"] = key
    assert seen == list(range(10))
    iterator = iter(cache_of(1, 2))
    gc.collect()
    assert list(iterator) == [1, 2]
