"""LRUCache stays whole whatever its keys, values and threads do."""

from __future__ import annotations

import gc
import random
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from cqrs_fast import LRUCache


def cache_of(*keys: Any, **settings: Any) -> LRUCache[Any, Any]:
    cache: LRUCache[Any, Any] = LRUCache(**settings)
    cache.update((key, key) for key in keys)
    return cache


EVERY_METHOD: list[Callable[[LRUCache[Any, Any], Any], object]] = [
    lambda cache, key: cache.get(key),
    lambda cache, key: cache.peek(key),
    lambda cache, key: cache.set(key, 1, 0.5),
    lambda cache, key: cache.set(key, 1, 0),
    lambda cache, key: cache.__setitem__(key, 2),
    lambda cache, key: cache.pop(key, None),
    lambda cache, key: cache.setdefault(key, 3),
    lambda cache, key: key in cache,
    lambda cache, key: cache.popitem() if len(cache) else None,
    lambda cache, key: cache.update({key: 1}),
    lambda cache, key: (list(cache), list(reversed(cache)), list(cache.items())),
    lambda cache, key: list(cache.values()),
    lambda cache, key: cache == {},
    lambda cache, key: cache.clear(),
    lambda cache, key: cache.sweep(),
    lambda cache, key: cache.stats(),
    lambda cache, key: repr(cache),
    lambda cache, key: cache.resize(2),
    lambda cache, key: cache.resize(5000),
    lambda cache, key: [cache.set(n, n) for n in range(40)],
    lambda cache, key: setattr(cache, "ttl", 0.5),
    lambda cache, key: gc.collect(0),
    lambda cache, key: cache._check(),  # type: ignore[attr-defined]
]


class Meddling:
    """A key that collides with all of its kind and meddles when it is compared."""

    depth = 0  # of all together

    def __init__(self, number: int) -> None:
        self.number = number
        self.meddle: Callable[[], object] | None = None

    def act(self) -> None:
        if self.meddle is not None and Meddling.depth < 2:
            Meddling.depth += 1
            try:
                self.meddle()
            finally:
                Meddling.depth -= 1

    def __hash__(self) -> int:
        self.act()
        return 7

    def __eq__(self, other: object) -> bool:
        self.act()
        return isinstance(other, Meddling) and self.number == other.number


@pytest.mark.parametrize("inner", range(len(EVERY_METHOD)))
def test_a_comparison_may_call_every_method(inner: int) -> None:
    for outer in EVERY_METHOD:
        cache: LRUCache[Any, Any] = LRUCache(8)
        for number in range(4):
            meddling = Meddling(number)
            cache[meddling] = number
            meddling.meddle = lambda cache=cache: EVERY_METHOD[inner](
                cache, Meddling(9)
            )
        for number in (3, 0, 5):
            with suppress(KeyError, RuntimeError):
                outer(cache, Meddling(number))
            cache._check()  # type: ignore[attr-defined]
            assert len(cache) <= cache.max_size


class Dying:
    """A value that does something when it is let go of."""

    def __init__(self, last_words: Callable[[], object]) -> None:
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()


@pytest.mark.parametrize("inner", range(len(EVERY_METHOD)))
def test_what_is_let_go_of_may_call_every_method(inner: int) -> None:
    for outer in EVERY_METHOD:
        cache: LRUCache[Any, Any] = LRUCache(8)
        died: list[int] = []

        def last_words(cache: LRUCache[Any, Any] = cache, died: Any = died) -> None:
            died.append(len(cache))
            EVERY_METHOD[inner](cache, 3)
            cache._check()  # type: ignore[attr-defined]
            assert len(cache) <= cache.max_size

        for number in range(8):
            cache[number] = Dying(last_words)
        outer(cache, 3)
        outer(cache, "new")
        cache["newer"] = 1
        cache._check()  # type: ignore[attr-defined]
        cache.clear()
        assert len(died) == 8


def test_a_comparison_that_keeps_changing_the_cache_ends() -> None:
    cache: LRUCache[Any, Any] = LRUCache(8)
    fresh = iter(range(10**9))

    class Restless:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            number = next(fresh)
            cache[number] = number
            del cache[number]
            return False

    cache[Restless()] = 1
    with pytest.raises(RuntimeError, match="keeps changing the cache"):
        cache.get(Restless())
    cache._check()  # type: ignore[attr-defined]


class Failing:
    def __init__(self, method: str) -> None:
        self.method = method

    def __hash__(self) -> int:
        if self.method == "hash":
            raise ArithmeticError
        return 7

    def __eq__(self, other: object) -> bool:
        raise ArithmeticError


@pytest.mark.parametrize("method", ["hash", "eq"])
def test_an_error_of_a_key_is_raised_and_changes_nothing(method: str) -> None:
    cache: LRUCache[Any, Any] = LRUCache(4)
    cache[Failing("eq")] = 1
    key = Failing(method)
    references = sys.getrefcount(key)
    for call in (
        cache.get,
        cache.__getitem__,
        cache.__contains__,
        cache.peek,
        cache.pop,
        cache.setdefault,
        cache.__delitem__,
        lambda key: cache.set(key, 1),
        lambda key: cache.update({7: 1}) or cache.update([(key, 1)]),
    ):
        with pytest.raises(ArithmeticError):
            call(key)
    assert len(cache) == 1
    assert sys.getrefcount(key) == references
    cache._check()  # type: ignore[attr-defined]


def test_a_cache_that_holds_itself_is_collected() -> None:
    class Target:
        pass

    target = Target()
    gone = weakref.ref(target)
    cache = cache_of("a")
    cache["self"] = cache
    cache["target"] = target
    assert cache in gc.get_referents(cache)
    del cache, target
    gc.collect()
    assert gone() is None


def test_caches_in_caches_are_dropped_however_deep() -> None:
    cache: LRUCache[str, Any] = LRUCache(1)
    for _ in range(100_000):
        outer: LRUCache[str, Any] = LRUCache(1)
        outer["inner"] = cache
        cache = outer
    del outer, cache


def test_collections_in_the_middle_do_no_harm() -> None:
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        cache: LRUCache[Any, Any] = LRUCache(20)
        for number in range(2_000):
            cyclic: list[Any] = [cache]
            cyclic.append(cyclic)
            cache[(number % 50,)] = cyclic
            cache.get((number % 7,))
            if number % 100 == 0:
                assert len(list(cache.items())) == len(cache)
                cache._check()  # type: ignore[attr-defined]
    finally:
        gc.set_threshold(*before)


def exercise(cache: LRUCache[Any, Any], rounds: int) -> None:
    for number in range(rounds):
        cache[str(number)] = [number]
        cache.get(str(number - 3))
        cache.get("not there")
        cache.set((number,), object(), 1.0)
        cache.pop((number - 5,), None)
        cache.setdefault(number, object())
        if number % 50 == 0:
            list(cache.items())
            cache.resize(5 + number % 7)
            cache.popitem()
            cache.sweep()
        if number % 500 == 0:
            cache.clear()


@pytest.mark.alone
def test_nothing_is_leaked() -> None:
    tracemalloc.start()
    try:
        exercise(LRUCache(10), 1_000)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        objects = len(gc.get_objects())
        exercise(LRUCache(10), 5_000)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 2_000
        assert len(gc.get_objects()) - objects < 20
    finally:
        tracemalloc.stop()


def test_references_are_those_of_the_entries() -> None:
    key, value = ("key", object()), object()

    def references() -> tuple[int, int]:
        return sys.getrefcount(key), sys.getrefcount(value)

    before = references()
    cache: LRUCache[Any, Any] = LRUCache(2)
    cache[key] = value
    assert references() == (before[0] + 1, before[1] + 1)
    cache[tuple(key)] = value
    cache.set(("key", key[1]), value)
    assert cache.get(("key", key[1])) is value
    assert references() == (before[0] + 1, before[1] + 1)
    cache["x"] = cache["y"] = 1
    assert references() == before


def test_a_million_keys_stay_within_the_bound() -> None:
    cache: LRUCache[int, int] = LRUCache(1000)
    for number in range(1_000_000):
        cache[number] = number
    assert list(cache) == list(range(999_000, 1_000_000))
    assert cache.stats().evictions == 999_000
    cache._check()  # type: ignore[attr-defined]


@pytest.fixture
def busy_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
def test_threads_never_see_more_than_the_maximum() -> None:
    cache: LRUCache[Any, Any] = LRUCache(50, 0.001)
    stop = threading.Event()
    sizes: list[int] = []
    calls: list[Callable[[LRUCache[Any, Any], Any], object]] = [
        lambda cache, key: cache.set(key, key, random.choice([None, 0.01, 100.0])),
        lambda cache, key: cache.get(key),
        lambda cache, key: cache.pop(key, None),
        lambda cache, key: cache.setdefault(key, 1),
        lambda cache, key: cache.sweep(),
    ]
    errors: list[BaseException] = []

    class Key:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return self.number % 13

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key) and self.number == other.number

    def guarded(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)

        return run

    def watch() -> None:
        while not stop.is_set():
            sizes.append(len(cache))
            assert len(list(cache)) <= 50
            cache._check()  # type: ignore[attr-defined]

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(3_000):
            number = draw.randrange(200)
            key: Any = Key(number) if number % 3 == 0 else number
            draw.choice(calls)(cache, key)

    observer = threading.Thread(target=guarded(watch))
    workers = [
        threading.Thread(target=guarded(lambda seed=seed: work(seed)))
        for seed in range(4)
    ]
    for thread in (observer, *workers):
        thread.start()
    for thread in workers:
        thread.join(30)
    stop.set()
    observer.join(30)
    unexpected = [error for error in errors if "keeps changing" not in str(error)]
    assert unexpected == []
    assert max(sizes) <= 50
    cache._check()  # type: ignore[attr-defined]
