"""`queries.cache`: one object over all caches of a bus; `cache_ttl` of one class."""

from __future__ import annotations

import logging
import threading
from time import perf_counter
from typing import Any, ClassVar

import pytest
from both_ways import Way, both_ways

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    Context,
    Invalidation,
    Query,
    QueryBus,
    Tag,
    default_config,
    high_throughput_config,
)
from cqrs_fast.config.reload import apply_config
from cqrs_fast.testing import ManualClock

ANN = Context.background().with_principal("ann")
BOB = Context.background().with_principal("bob")


class GetUser(Query[int]):
    user_id: int = 1


class FindUsers(Query[int]):
    pass


class Rename(Command[int]):
    def invalidates(self) -> Any:
        return [GetUser(1), FindUsers, Tag("names")]


class Counted:
    """A query bus of two caches, and how often its handlers ran."""

    def __init__(self, way: Way, **settings: Any) -> None:
        self.way, self.runs = way, 0
        self.bus = QueryBus(middleware=[CachingMiddleware(**settings)])
        own = [CachingMiddleware(**settings)]
        self.bus.register_handler(GetUser, way.handler(self.handle), middleware=own)
        self.bus.register_handler(FindUsers, way.handler(self.handle))

    def handle(self, query: Any) -> int:
        self.runs += 1
        return self.runs

    def computes(self, query: Any, ctx: Any = None) -> bool:
        """Dispatch; tell whether a handler ran for it."""
        before = self.runs
        self.way(self.bus, query, ctx)
        return self.runs > before

    def warm(self, *queries: Any, ctx: Any = None) -> None:
        for query in queries:
            self.computes(query, ctx)
            assert not self.computes(query, ctx)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def counted(request: pytest.FixtureRequest) -> Counted:
    return Counted(Way(request.param))


# Forgetting


def test_it_is_one_object_for_the_life_of_the_bus(counted: Counted) -> None:
    cache = counted.bus.cache
    counted.bus.add_middleware(CachingMiddleware())
    assert counted.bus.cache is cache
    assert not hasattr(CommandBus(), "cache")


def test_a_query_is_forgotten_in_every_cache(counted: Counted) -> None:
    counted.warm(GetUser(1), GetUser(2), FindUsers())
    counted.bus.cache.invalidate(GetUser(1))
    assert counted.computes(GetUser(1))
    assert not counted.computes(GetUser(2))
    assert not counted.computes(FindUsers())


def test_a_context_narrows_it_to_one_principal(counted: Counted) -> None:
    for ctx in (None, ANN, BOB):
        counted.warm(GetUser(1), ctx=ctx)
    counted.bus.cache.invalidate(GetUser(1), ANN)
    assert counted.computes(GetUser(1), ANN)
    assert not counted.computes(GetUser(1), BOB)
    assert not counted.computes(GetUser(1))
    counted.bus.cache.invalidate(GetUser(1))
    for ctx in (None, ANN, BOB):
        assert counted.computes(GetUser(1), ctx)


def test_a_class_is_forgotten(counted: Counted) -> None:
    counted.warm(GetUser(1), GetUser(2), FindUsers())
    assert counted.bus.cache.invalidate_type(GetUser) is None
    assert counted.computes(GetUser(1))
    assert counted.computes(GetUser(2))
    assert not counted.computes(FindUsers())


@both_ways
def test_tags_are_forgotten_with_whatever_has_one_of_them(way: Way) -> None:
    counted = Counted(way, tags=lambda query: [type(query).__name__, "all"])
    counted.warm(GetUser(1), FindUsers())
    assert counted.bus.cache.invalidate_tags("FindUsers", "nobody") is None
    assert not counted.computes(GetUser(1))
    assert counted.computes(FindUsers())
    counted.bus.cache.invalidate_tags("all")
    assert counted.computes(GetUser(1))
    assert counted.computes(FindUsers())


def test_everything_is_forgotten(counted: Counted) -> None:
    counted.warm(GetUser(1), FindUsers())
    counted.bus.cache.clear()
    assert counted.computes(GetUser(1))
    assert counted.computes(FindUsers())


def test_a_cache_that_comes_later_belongs_to_it(counted: Counted) -> None:
    bus = QueryBus()
    bus.register_handler(GetUser, counted.way.handler(counted.handle))
    counted.bus = bus
    bus.add_middleware(CachingMiddleware())
    counted.warm(GetUser(1))
    bus.cache.invalidate_type(GetUser)
    assert counted.computes(GetUser(1))


def test_a_bus_without_caches_has_nothing_to_forget() -> None:
    cache = QueryBus().cache
    cache.invalidate(GetUser(1))
    cache.invalidate_type(GetUser)
    cache.invalidate_tags("names")
    cache.clear()


def test_a_load_under_way_is_not_stored_over_it() -> None:
    def handle(query: GetUser) -> int:
        runs.append(1)
        if len(runs) == 1:
            bus.cache.invalidate_type(GetUser)
        return len(runs)

    runs: list[int] = []
    bus = QueryBus(middleware=[CachingMiddleware()])
    bus.register_handler(GetUser, handle)
    assert [bus.execute(GetUser()) for _ in range(3)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("act", "names"),
    [
        (lambda cache: cache.invalidate_type(GetUser()), "invalidate_type"),
        (lambda cache: cache.invalidate_type("GetUser"), "invalidate_type"),
        (lambda cache: cache.invalidate(GetUser), "invalidate_type"),
        (lambda cache: cache.invalidate(GetUser(), "ann"), "Context"),
        (lambda cache: cache.on_invalidate(5), "callable"),
    ],
)
def test_what_cannot_be_meant_is_refused(act: Any, names: str) -> None:
    with pytest.raises(TypeError, match=names):
        act(QueryBus(middleware=[CachingMiddleware()]).cache)


@pytest.mark.alone
def test_it_costs_what_goes_not_what_stays() -> None:
    """Best of many: forgetting nothing among 50,000 is as quick as among 50."""

    def best(entries: int) -> float:
        cache = CachingMiddleware(max_size=100_000, tags=lambda query: ["all"])
        bus = QueryBus(middleware=[cache])
        bus.register_handler(GetUser, lambda query: 1)
        for number in range(entries):
            bus.execute(GetUser(number))
        times = []
        for _ in range(50):
            began = perf_counter()
            bus.cache.invalidate_type(FindUsers)
            bus.cache.invalidate_tags("nobody")
            times.append(perf_counter() - began)
        assert cache.stats().size == entries
        return min(times)

    assert best(50_000) < 20 * best(50)


def test_dead_entries_never_answer_and_never_break_the_bound() -> None:
    """`stats().size` may count them for a while."""
    cache = CachingMiddleware(max_size=100)
    bus = QueryBus(middleware=[cache])
    bus.register_handler(GetUser, lambda query: query.user_id)
    for round_ in range(5):
        for number in range(100):
            bus.execute(GetUser(number))
        assert cache.stats().size <= 100
        hits = cache.stats().hits
        bus.cache.invalidate_type(GetUser)
        for number in range(100):
            bus.execute(GetUser(number))
        assert cache.stats().hits == hits, round_
        bus.cache.clear()


# Being told


def test_others_are_told_what_is_forgotten(counted: Counted) -> None:
    seen: list[Invalidation] = []
    cache = counted.bus.cache
    cache.on_invalidate(seen.append)
    cache.invalidate(GetUser(1))
    cache.invalidate_type(FindUsers)
    cache.invalidate_tags("a", "b")
    assert [tuple(one.queries) for one in seen] == [(GetUser(1),), (), ()]
    assert [tuple(one.classes) for one in seen] == [(), (FindUsers,), ()]
    assert [tuple(one.tags) for one in seen] == [(), (), ("a", "b")]
    with pytest.raises(AttributeError):
        seen[0].tags = ()  # type: ignore[misc]


def test_they_are_told_what_commands_make_stale(counted: Counted) -> None:
    """Told on success and at the end of the root dispatch: once or twice is the same.

    A tag is told by its value, as `invalidate_tags` takes it.
    """
    seen: list[Invalidation] = []
    counted.bus.cache.on_invalidate(seen.append)
    bus = CommandBus()
    bus.register_handler(Rename, counted.way.handler(lambda command: 1))
    counted.way(bus, Rename())
    assert seen
    told = seen[-1]
    assert tuple(told.queries) == (GetUser(1),)
    assert tuple(told.classes) == (FindUsers,)
    assert tuple(told.tags) == ("names",)


def test_it_is_forgotten_before_they_are_told(counted: Counted) -> None:
    counted.warm(FindUsers())
    found: list[bool] = []
    counted.bus.cache.on_invalidate(
        lambda told: found.append(len(counted.bus.middleware[0]) == 0)  # type: ignore
    )
    counted.bus.cache.invalidate(FindUsers())
    assert found == [True]


def test_one_that_raises_keeps_it_from_nobody(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(told: Invalidation) -> None:
        raise RuntimeError("the broadcast is down")

    seen: list[Invalidation] = []
    counted.warm(GetUser(1))
    counted.bus.cache.on_invalidate(broken)
    counted.bus.cache.on_invalidate(seen.append)
    with caplog.at_level(logging.WARNING, "cqrs_fast"):
        counted.bus.cache.invalidate(GetUser(1))
    assert len(seen) == 1
    assert counted.computes(GetUser(1))
    assert "on_invalidate" in caplog.text


def test_one_may_forget_more(counted: Counted) -> None:
    cache = counted.bus.cache
    seen: list[Invalidation] = []

    def also(told: Invalidation) -> None:
        seen.append(told)
        if GetUser in told.classes:
            cache.invalidate_type(FindUsers)

    cache.on_invalidate(also)
    counted.warm(GetUser(1), FindUsers())
    cache.invalidate_type(GetUser)
    assert counted.computes(FindUsers())
    assert [tuple(one.classes) for one in seen] == [(GetUser,), (FindUsers,)]


def test_threads_are_each_told_once() -> None:
    cache = QueryBus(middleware=[CachingMiddleware()]).cache
    seen: list[Invalidation] = []
    cache.on_invalidate(seen.append)

    def work(start: int) -> None:
        for number in range(start, start + 100):
            cache.invalidate(GetUser(number))

    threads = [threading.Thread(target=work, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told.queries[0].user_id for told in seen) == list(range(400))


# cache_ttl


class Cached(Query[int]):
    cache_ttl: ClassVar[float] = 5.0


def kinds(bus: QueryBus, name: str) -> list[str]:
    (route,) = [route for route in bus.describe() if route.name == name]
    return [stage.kind for stage in route.stages]


def configured(way: Way, config: Any) -> tuple[Any, ManualClock, list[int]]:
    clock, runs = ManualClock(1.0), []
    bus = QueryBus.from_config(config, clock=clock)

    def handle(query: Any) -> int:
        runs.append(1)
        return len(runs)

    for message in (Cached, FindUsers):
        bus.register_handler(message, way.handler(handle))
    return bus, clock, runs


@both_ways
def test_one_class_is_cached_where_a_config_caches_nothing(way: Way) -> None:
    bus, clock, runs = configured(way, default_config())
    assert "CachingMiddleware" in kinds(bus, "Cached")
    assert "CachingMiddleware" not in kinds(bus, "FindUsers")
    assert [way(bus, Cached()) for _ in range(2)] == [1, 1]
    clock.advance(4.999)
    assert way(bus, Cached()) == 1
    clock.advance(0.001)
    assert way(bus, Cached()) == 2
    assert way(bus, FindUsers()) != way(bus, FindUsers())
    bus.cache.invalidate_type(Cached)
    assert way(bus, Cached()) == len(runs) == 5


@both_ways
def test_its_ttl_goes_before_that_of_the_bus(way: Way) -> None:
    bus, clock, _ = configured(way, high_throughput_config())
    first = way(bus, Cached()), way(bus, FindUsers())
    clock.advance(5.0)
    assert way(bus, Cached()) != first[0]
    assert way(bus, FindUsers()) == first[1]


def test_a_hand_made_list_stays_as_it_is() -> None:
    bus = QueryBus(middleware=[])
    bus.register_handler(Cached, lambda query: 1)
    assert kinds(bus, "Cached") == []


@both_ways
def test_a_live_change_keeps_what_the_class_asks_for(way: Way) -> None:
    bus, _, _ = configured(way, high_throughput_config())
    before = way(bus, Cached())
    apply_config(default_config(), [bus])
    assert "CachingMiddleware" not in kinds(bus, "FindUsers")
    assert "CachingMiddleware" in kinds(bus, "Cached")
    after = way(bus, Cached())
    assert way(bus, Cached()) == after
    assert after >= before


@pytest.mark.parametrize("wrong", [-1.0, "5", float("nan"), [5]])
def test_a_ttl_that_is_none_is_refused_when_it_is_registered(wrong: Any) -> None:
    class Wrong(Query[int]):
        cache_ttl: ClassVar[Any] = wrong

    bus = QueryBus.from_config(default_config())
    with pytest.raises((TypeError, ValueError), match="cache_ttl") as caught:
        bus.register_handler(Wrong, lambda query: 1)
    assert "Wrong" in str(caught.value)
