"""CachingMiddleware: what is stored, for whom, how long, and how it is forgotten."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from reliability.parts import measures_memory, rss_bytes

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    Context,
    Query,
    QueryBus,
)
from cqrs_fast.base.clock import ManualClock


class Find(Query[object]):
    number: Any = 0


class FindMore(Find):
    pass


class Other(Query[object]):
    number: Any = 0


class Never(Query[object]):
    cacheable: ClassVar[bool] = False


class Write(Command[object]):
    pass


class Failure(Exception):
    pass


class World:
    """A cache in front of a handler that counts, dispatched sync or async."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.clock = ManualClock(100.0)
        self.runs: list[Any] = []
        self.answer: Callable[[Any], Any] = lambda query: len(self.runs)

    def build(self, *middleware: Any, **settings: Any) -> CachingMiddleware:
        self.cache = CachingMiddleware(**settings)
        self.bus = QueryBus(middleware=[*middleware, self.cache], clock=self.clock)
        for cls in (Find, FindMore, Other, Never):
            self.bus.register_handler(cls, self.handler())
        return self.cache

    def handler(self) -> Any:
        def handle(query: Any) -> Any:
            self.runs.append(query)
            return self.answer(query)

        async def handle_async(query: Any) -> Any:
            self.runs.append(query)
            await asyncio.sleep(0)
            return self.answer(query)

        return handle_async if self.is_async else handle

    def ask(self, query: Any, ctx: Context | None = None) -> Any:
        if not self.is_async:
            return self.bus.execute(query, ctx)

        async def run() -> Any:
            return await self.bus.execute_async(query, ctx)

        return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    made.build()
    yield made
    made.cache._check()  # type: ignore[attr-defined]
    stats = made.cache.stats()
    assert stats.loading == 0
    assert len(made.cache) == stats.size <= stats.max_size


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr("cqrs_fast.base.callbacks._last", {})
    seen: list[str] = []

    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    handler = Records()
    logging.getLogger("cqrs_fast").addHandler(handler)
    yield seen
    logging.getLogger("cqrs_fast").removeHandler(handler)


ALICE = Context.background().with_principal("alice")
BOB = Context.background().with_principal("bob")


def test_an_equal_query_is_answered_from_the_cache(world: World) -> None:
    first = object()
    world.answer = lambda query: first
    assert world.ask(Find(1)) is world.ask(Find(1)) is first
    assert world.runs == [Find(1)]
    stats = world.cache.stats()
    assert (stats.hits, stats.misses, stats.bypasses, stats.size) == (1, 1, 0, 1)


def test_queries_of_other_types_and_classes_never_share_an_answer(
    world: World,
) -> None:
    queries = [Find(1), Find(1.0), Find(True), Find("1"), FindMore(1), Other(1)]
    for query in queries * 2:
        world.ask(query)
    assert len(world.runs) == len(queries)


def test_none_is_an_answer(world: World) -> None:
    world.answer = lambda query: None
    assert world.ask(Find(1)) is None
    assert world.ask(Find(1)) is None
    assert len(world.runs) == 1


def test_principals_never_share_an_answer(world: World) -> None:
    contexts = [
        None,
        ALICE,
        BOB,
        Context.background().with_principal(""),
        Context.background().with_principal("None"),
        Context.background().with_principal(1),
        Context.background().with_principal(True),
        Context.background().with_principal(("alice", "x")),
        Context.background().with_principal(["alice"]),
    ]
    answers = [world.ask(Find(1), ctx) for ctx in contexts]
    assert answers == [world.ask(Find(1), ctx) for ctx in contexts]
    assert len(set(answers)) == len(contexts) == len(world.runs)


def test_a_principal_without_a_key_is_not_cached(world: World) -> None:
    someone = Context.background().with_principal(object())
    for _ in range(3):
        world.ask(Find(1), someone)
    assert len(world.runs) == 3
    assert world.cache.stats().uncacheable == world.cache.stats().bypasses == 3


def test_a_principal_that_a_stage_sets_counts(world: World) -> None:
    from cqrs_fast import AuthenticationMiddleware

    who = ["alice"]
    world.build(AuthenticationMiddleware(lambda ctx, message: who[0]))
    world.ask(Find(1))
    who[0] = "bob"
    world.ask(Find(1))
    who[0] = "alice"
    world.ask(Find(1))
    assert len(world.runs) == 2


@pytest.mark.parametrize("scope", ["shared", lambda ctx: ctx.value("tenant")])
def test_other_scopes_are_explicit(world: World, scope: Any) -> None:
    world.build(scope=scope)
    tenant = ALICE.with_value("tenant", 7)
    world.ask(Find(1), ALICE)
    world.ask(Find(1), BOB)
    world.ask(Find(1), tenant)
    world.ask(Find(1), BOB.with_value("tenant", 7))
    assert len(world.runs) == (1 if scope == "shared" else 2)


def test_an_answer_is_used_until_its_time_is_over(world: World) -> None:
    world.build(ttl=10)
    world.ask(Find(1))
    world.clock.advance(9.999)
    assert world.ask(Find(1)) == 1
    world.clock.advance(0.001)
    assert world.ask(Find(1)) == 2
    assert world.cache.stats().expired == 1


def test_time_of_a_stage_outside_is_used_too(world: World) -> None:
    from cqrs_fast import TimeoutMiddleware

    world.build(TimeoutMiddleware(1000), ttl=10)
    world.ask(Find(1))
    world.clock.advance(9.999)
    assert world.ask(Find(1)) == 1
    world.clock.advance(0.001)
    assert world.ask(Find(1)) == 2


def test_a_clock_of_its_own_counts_alone(world: World) -> None:
    own = ManualClock()
    world.build(ttl=10, clock=own)
    world.ask(Find(1))
    world.clock.advance(1000)
    assert world.ask(Find(1)) == 1
    own.advance(10)
    assert world.ask(Find(1)) == 2
    own.advance(-100)
    assert world.ask(Find(1)) == 2


@pytest.mark.parametrize(("start", "left"), [("store", 10.0), ("start", 6.0)])
def test_the_lifetime_counts_from_where_it_should(
    world: World, start: Any, left: float
) -> None:
    world.build(ttl=10, ttl_from=start)
    world.answer = lambda query: world.clock.advance(4.0)
    world.ask(Find(1))
    world.answer = lambda query: None
    world.clock.advance(left - 0.001)
    world.ask(Find(1))
    assert len(world.runs) == 1
    world.clock.advance(0.001)
    world.ask(Find(1))
    assert len(world.runs) == 2


def test_ttl_zero_stores_nothing(world: World) -> None:
    world.build(ttl=0)
    world.ask(Find(1))
    world.ask(Find(1))
    assert (len(world.runs), len(world.cache)) == (2, 0)


def test_a_class_may_have_its_own_ttl(world: World) -> None:
    world.cache.set_ttl(Find, 1)
    for query in (Find(1), FindMore(1), Other(1)):
        world.ask(query)
    world.clock.advance(1)
    for query in (Find(1), FindMore(1), Other(1)):
        world.ask(query)
    assert [type(query) for query in world.runs[3:]] == [Find, FindMore]
    world.cache.set_ttl(Find, 0)
    world.cache.set_ttl(FindMore, None)
    world.cache.clear()
    world.ask(FindMore(1))
    assert len(world.cache) == 0
    world.cache.set_ttl(Find, None)
    world.ask(FindMore(1))
    assert len(world.cache) == 1


def test_jitter_only_shortens() -> None:
    lives = []
    for seed in range(200):
        world = World(False)
        world.build(ttl=10, ttl_jitter=0.5, seed=seed)
        world.ask(Find(1))
        for tenths in range(1, 102):
            world.clock.advance(0.1)
            if world.cache.get(Find(1)) is None:
                lives.append(tenths)
                break
    assert len(lives) == 200
    assert 50 <= min(lives) < 60 < 90 < max(lives) <= 101


def test_the_bound_holds_and_the_least_used_goes_first(world: World) -> None:
    world.build(max_size=3)
    for number in (1, 2, 3, 1, 4):
        world.ask(Find(number))
        assert len(world.cache) <= 3
    assert world.cache.get(Find(2)) is None
    assert [world.cache.get(Find(n)) is not None for n in (1, 3, 4)] == [True] * 3
    assert world.cache.stats().evictions == 1


def test_an_insert_removes_what_has_expired(world: World) -> None:
    world.build(ttl=10, max_size=100)
    for number in range(10):
        world.ask(Find(number))
    world.clock.advance(10)
    world.ask(Find(99))
    assert len(world.cache) == 10 + 1 - 4
    assert world.cache.sweep() == 6
    assert len(world.cache) == 1


def test_errors_are_not_cached(world: World) -> None:
    def fail(query: Any) -> Any:
        raise Failure(1)

    world.answer = fail
    for _ in range(2):
        with pytest.raises(Failure):
            world.ask(Find(1))
    assert (len(world.runs), len(world.cache)) == (2, 0)


def test_listed_errors_are_remembered_for_their_own_time(world: World) -> None:
    world.build(negative_ttl=5, negative_on=(Failure,))

    def fail(query: Any) -> Any:
        raise [Failure("gone", 1), KeyError(2)][query.number]

    world.answer = fail
    raised = []
    for _ in range(3):
        with pytest.raises(Failure) as caught:
            world.ask(Find(0))
        raised.append(caught.value)
    assert len(world.runs) == 1
    assert len({id(error) for error in raised}) == 3
    assert {error.args for error in raised} == {("gone", 1)}
    assert world.cache.get(Find(0)) is None
    world.clock.advance(5)
    with pytest.raises(Failure):
        world.ask(Find(0))
    assert len(world.runs) == 2
    for _ in range(2):
        with pytest.raises(KeyError):
            world.ask(Find(1))
    assert len(world.runs) == 4


def test_a_class_that_is_not_cacheable_is_left_out(world: World) -> None:
    world.ask(Never())
    world.ask(Never())
    assert len(world.runs) == 2
    assert world.cache.stats().bypasses == 0
    infos = {info.name: info for info in world.bus.describe()}
    assert infos["Never"].stages == []
    assert infos["Find"].stages[0].kind == "CachingMiddleware"


def test_a_subclass_that_is_not_cacheable_passes_its_bases_route() -> None:
    class Secretive(Find):
        cacheable: ClassVar[bool] = False

    world = World(False)
    world.build()
    world.bus.execute(Secretive(1))
    world.bus.execute(Secretive(1))
    assert len(world.runs) == 2
    assert world.cache.stats().bypasses == 2


def test_a_handler_by_name_is_cached_too(world: World) -> None:
    bus = QueryBus(middleware=[world.cache], clock=world.clock)
    bus.register_handler("Find", lambda query: world.runs.append(query))
    for query in (Find(1), Find(1), Find(2), Find(2)):
        bus.execute(query)
    assert world.runs == [Find(1), Find(2)]


def test_condition_decides_for_each_query(world: World) -> None:
    world.build(condition=lambda query: query.number > 1)
    for number in (1, 1, 2, 2):
        world.ask(Find(number))
    assert [query.number for query in world.runs] == [1, 1, 2]
    assert world.cache.stats().bypasses == 2


def test_key_stands_for_the_fields(world: World) -> None:
    world.build(key=lambda query: query.number // 10)
    for query in (Find(11), Find(12), Find(21), Other(11), Other(15)):
        world.ask(query)
    assert world.runs == [Find(11), Find(21), Other(11)]
    assert world.cache.invalidate(Find(19)) == 1
    assert world.cache.get(Find(21)) == 2


def test_fields_that_are_containers_make_keys_and_others_do_not(world: World) -> None:
    for _ in range(2):
        world.ask(Find([1, {"a": {2}}]))
        world.ask(Find(object()))
        world.ask(Find(float("nan")))
    assert len(world.runs) == 5
    stats = world.cache.stats()
    assert stats.uncacheable == 4
    assert stats.hits + stats.misses + stats.bypasses == 6


def raising(*arguments: Any) -> Any:
    raise Failure


@pytest.mark.parametrize(
    "settings",
    [
        {"key": raising},
        {"condition": raising},
        {"tags": raising},
        {"tags": lambda query: "one"},
        {"tags": lambda query: [object()]},
        {"tags": lambda query: 7},
        {"scope": raising},
        {"copy": raising},
    ],
)
def test_a_callback_that_raises_leaves_the_query_uncached(
    world: World, reported: list[str], settings: dict[str, Any]
) -> None:
    world.build(**settings)
    assert [world.ask(Find(1)), world.ask(Find(1))] == [1, 2]
    assert len(world.cache) == 0
    assert len(reported) == 1
    assert "caching of Find raised" in reported[0]
    stats = world.cache.stats()
    assert stats.hits + stats.misses + stats.bypasses == 2


def test_a_base_exception_of_a_callback_reaches_the_caller(world: World) -> None:
    def stop(query: Any) -> Any:
        raise KeyboardInterrupt

    for name in ("key", "condition", "tags"):
        world.build(**{name: stop})
        with pytest.raises(KeyboardInterrupt):
            world.bus.execute(Find(1)) if not world.is_async else drive_once(world)
    assert world.runs == []


def drive_once(world: World) -> None:
    world.bus.execute_async(Find(1)).__await__().__next__()


@pytest.mark.parametrize("copy", ["none", "shallow", "deep", lambda value: list(value)])
def test_values_are_shared_or_copied_as_told(world: World, copy: Any) -> None:
    world.build(copy=copy)
    world.answer = lambda query: [[1]]
    first = world.ask(Find(1))
    first.append(2)
    second = world.ask(Find(1))
    third = world.ask(Find(1))
    assert len(world.runs) == 1
    if copy == "none":
        assert first is second is third
        return
    assert second == third == [[1]]
    assert second is not third
    assert (second[0] is third[0]) is (copy != "deep")
    assert world.cache.get(Find(1)) is not second


# Forgetting


def test_invalidate_forgets_a_query_in_every_scope_or_in_one(world: World) -> None:
    def fill() -> None:
        for ctx in (None, ALICE, BOB):
            world.ask(Find(1), ctx)
        world.ask(Find(2))

    fill()
    assert world.cache.invalidate(Find(1)) == 3
    assert world.cache.invalidate(Find(1)) == 0
    fill()
    assert world.cache.invalidate(Find(1), ALICE) == 1
    assert world.cache.invalidate(Find(1), Context.background()) == 1
    assert world.cache.get(Find(1), BOB) is not None
    assert world.cache.invalidate(Find(object())) == 0
    assert world.cache.invalidate(Find(2)) == 1


def test_invalidate_tells_what_its_callbacks_raise(world: World) -> None:
    world.build(key=raising)
    with pytest.raises(Failure):
        world.cache.invalidate(Find(1))


def test_invalidate_type_takes_subclasses_along(world: World) -> None:
    for query in (Find(1), Find([2]), FindMore(1), Other(1)):
        world.ask(query)
    world.cache.invalidate_type(FindMore)
    assert len(world.cache) == 3
    world.cache.invalidate_type(Query)
    assert len(world.cache) == 0
    with pytest.raises(TypeError, match="cls must be a class, got 7"):
        world.cache.invalidate_type(7)  # type: ignore[arg-type]


def test_invalidate_tags_forgets_what_shares_one(world: World) -> None:
    world.build(tags=lambda query: {query.number, "all"} if query.number else ())
    for number in (0, 1, 2):
        world.ask(Find(number))
    world.cache.invalidate_tags(1.0, "1")
    assert len(world.cache) == 3
    world.cache.invalidate_tags(1, 5)
    assert len(world.cache) == 2
    world.cache.invalidate_tags("all")
    assert len(world.cache) == 1
    assert world.cache.get(Find(0)) == 1
    assert world.cache.clear() == 1


FORGET: dict[str, Callable[[CachingMiddleware], Any]] = {
    "invalidate": lambda cache: cache.invalidate(Find(1)),
    "in scope": lambda cache: cache.invalidate(Find(1), Context.background()),
    "type": lambda cache: cache.invalidate_type(Find),
    "tags": lambda cache: cache.invalidate_tags("tag"),
    "clear": lambda cache: cache.clear(),
}


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("forget", FORGET.values(), ids=FORGET)
def test_what_was_computed_before_an_invalidation_is_not_stored(
    world: World, forget: Any, single_flight: bool
) -> None:
    world.build(tags=lambda query: ["tag"], single_flight=single_flight)

    def answer(query: Any) -> int:
        if len(world.runs) == 1:
            forget(world.cache)
        return len(world.runs)

    world.answer = answer
    assert [world.ask(Find(1)) for _ in range(3)] == [1, 2, 2]


def test_an_invalidation_of_others_keeps_what_is_computed(world: World) -> None:
    world.build(tags=lambda query: ["tag"])

    def answer(query: Any) -> int:
        world.cache.invalidate(Find(2))
        world.cache.invalidate(Find(1), ALICE)
        world.cache.invalidate_type(Other)
        world.cache.invalidate_tags("gat")
        return 7

    world.answer = answer
    world.ask(Find(1))
    assert world.cache.get(Find(1)) == 7


def test_get_looks_without_counting(world: World) -> None:
    world.ask(Find(1), ALICE)
    assert world.cache.get(Find(1), ALICE) == 1
    assert world.cache.get(Find(1), BOB, "none") == "none"
    assert world.cache.get(Find(object()), default=5) == 5
    world.clock.advance(601)
    assert world.cache.get(Find(1), ALICE) is None
    assert world.cache.stats().hits == 0


# Settings


def test_settings_change_in_place_and_keep_the_entries(world: World) -> None:
    for number in range(5):
        world.ask(Find(number))
    world.cache.update(max_size=3, ttl=1)
    assert len(world.cache) == 3
    assert world.ask(Find(4)) == 5
    world.ask(Find(9))
    world.clock.advance(1)
    assert world.cache.get(Find(9)) is None
    assert world.cache.get(Find(4)) == 5
    info = world.bus.describe()[0].stages[0]
    assert info.settings["max_size"] == 3
    for bad in ({"max_size": 0}, {"max_size": 9, "ttl": -1}):
        with pytest.raises(ValueError, match="must be"):
            world.cache.update(**bad)
    with pytest.raises(TypeError, match="has no setting 'clock'"):
        world.cache.update(colour=1, clock=None)
    assert world.cache.stats().max_size == 3


@pytest.mark.parametrize("change", [{"scope": "shared"}, {"key": lambda query: 1}])
def test_another_scope_or_key_begins_anew(world: World, change: Any) -> None:
    world.ask(Find(1))
    world.cache.update(**change)
    assert len(world.cache) == 0
    world.cache.update(**change)
    world.ask(Find(1))
    world.cache.update(**change)
    assert len(world.cache) == 1


def test_revised_settings_wait_for_apply_and_evict_when_they_settle(
    revise: Any, world: World
) -> None:
    for number in range(5):
        world.ask(Find(number))
    shown = world.cache.settings()
    change = revise(world.cache, max_size=3, ttl=1)
    assert change.stage is world.cache
    assert world.cache.settings() == shown
    change.apply()
    assert world.cache.settings() == shown | {"max_size": 3, "ttl": 1}
    assert [world.ask(Find(number)) for number in range(5)] == [1, 2, 3, 4, 5]
    change.settle()
    assert [world.cache.get(Find(number)) for number in range(5)] == [
        None,
        None,
        3,
        4,
        5,
    ]
    assert world.cache.stats().evictions == 2
    with pytest.raises(TypeError, match="has no setting 'colour'"):
        revise(world.cache, colour=1)
    with pytest.raises(ValueError, match="max_size must be"):
        revise(world.cache, ttl=9, max_size=0)
    assert world.cache.settings()["ttl"] == 1


def test_what_is_being_computed_keeps_the_settings_it_began_with(
    revise: Any, world: World
) -> None:
    copied: list[Any] = []

    def copy(value: Any) -> Any:
        copied.append(value)
        return value

    cache = world.build(ttl=10.0, copy=copy)
    changes = [revise(cache, ttl=1000.0, copy="none")]

    def answer(query: Any) -> Any:
        if changes:
            change = changes.pop()
            change.apply()
            change.settle()
        return "answer"

    world.answer = answer
    world.ask(Find(1))
    assert copied == ["answer"]
    world.ask(Find(2))
    world.clock.advance(10.0)
    assert cache.get(Find(1)) is None
    assert cache.get(Find(2)) == "answer"
    assert copied == ["answer"]


@pytest.mark.parametrize("change", [{"scope": "shared"}, {"key": lambda query: 1}])
def test_entries_of_another_scope_or_key_are_gone_at_once_and_freed_later(
    revise: Any, world: World, change: Any
) -> None:
    class Value:
        pass

    world.answer = lambda query: Value()
    value = weakref.ref(world.ask(Find(1)))
    gc.collect()
    begun = revise(world.cache, **change)
    begun.apply()
    assert world.cache.get(Find(1)) is None
    assert len(world.cache) == 0
    assert value() is not None
    begun.settle()
    assert value() is None
    assert world.cache.stats().max_size == 10000


def test_what_was_being_computed_for_another_scope_is_not_stored(
    revise: Any, world: World
) -> None:
    changes = [revise(world.cache, scope="shared")]

    def answer(query: Any) -> Any:
        if changes:
            changes.pop().apply()
        return len(world.runs)

    world.answer = answer
    assert world.ask(Find(1)) == 1
    assert world.ask(Find(1)) == 2
    assert world.ask(Find(1)) == 2


@pytest.mark.parametrize("single_flight", [False, True])
def test_revised_routes_wait_for_one_another_or_do_not(
    revise: Any, single_flight: bool
) -> None:
    world = World(True)
    cache = world.build(single_flight=single_flight)
    old = world.bus
    change = revise(cache, single_flight=not single_flight)
    new = QueryBus(middleware=[change.element], clock=world.clock)
    new.register_handler(Find, world.handler())
    change.apply()

    async def both(bus: QueryBus, query: Any) -> None:
        await asyncio.gather(*[bus.execute_async(query) for _ in range(3)])

    asyncio.run(both(new, Find(1)))
    assert len(world.runs) == (3 if single_flight else 1)
    world.runs.clear()
    # Routes of before never begin to wait; here nobody waits any more.
    asyncio.run(both(old, Find(2)))
    assert len(world.runs) == 3


def test_state_survives_another_middleware_and_another_bus(world: World) -> None:
    world.ask(Find(1))
    world.bus.add_middleware(lambda ctx, message, next: next(ctx, message), index=0)
    second = QueryBus(middleware=[world.cache], clock=world.clock)
    second.register_handler(Find, lambda query: "second")
    assert second.execute(Find(1)) == 1


def test_a_command_bus_refuses_it() -> None:
    with pytest.raises(TypeError, match="CachingMiddleware serves a query bus"):
        CommandBus(middleware=[CachingMiddleware()])
    bus, own = CommandBus(), [CachingMiddleware()]
    with pytest.raises(TypeError, match="CachingMiddleware serves queries"):
        bus.register_handler(Write, lambda command: None, middleware=own)


def test_a_bus_shows_the_statistics(world: World) -> None:
    world.ask(Find(1))
    world.ask(Find(1))
    (shown,) = world.bus.stats().middleware
    assert (shown.kind, shown.stats) == ("CachingMiddleware", world.cache.stats())


def test_a_hit_is_noted_for_metrics() -> None:
    bus = QueryBus(middleware=[CachingMiddleware()], enable_metrics=True)
    bus.register_handler(Find, lambda query: 1)
    for _ in range(3):
        bus.execute(Find(1))
    assert bus.stats().total.cache_hits == 2


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"ttl": -1}, ValueError, "ttl must be from 0 .*-1"),
        ({"ttl": float("nan")}, ValueError, "ttl must be .*nan"),
        ({"ttl": True}, TypeError, "ttl must be a number .*True"),
        ({"ttl": "1"}, TypeError, "ttl must be a number .*'1'"),
        ({"max_size": 0}, ValueError, "max_size must be from 1 .*0"),
        ({"max_size": 1.0}, TypeError, "max_size must be an int, got 1.0"),
        ({"max_size": 1 << 31}, ValueError, "max_size must be"),
        ({"scope": "all"}, ValueError, "scope must be 'principal' or 'shared'"),
        ({"scope": 7}, TypeError, "scope must be a string, got 7"),
        ({"key": 7}, TypeError, "key must be callable, got 7"),
        ({"condition": 7}, TypeError, "condition must be callable, got 7"),
        ({"tags": 7}, TypeError, "tags must be callable, got 7"),
        ({"ttl_jitter": 1.1}, ValueError, "ttl_jitter must be from 0.0 to 1.0"),
        ({"negative_ttl": -1}, ValueError, "negative_ttl must be .*-1"),
        ({"negative_on": 7}, TypeError, "negative_on must be an Exception .* got 7"),
        ({"negative_on": (7,)}, TypeError, "negative_on must be .* got 7"),
        ({"negative_on": KeyboardInterrupt}, TypeError, "negative_on must be"),
        ({"single_flight": 1}, TypeError, "single_flight must be a bool, got 1"),
        ({"flight_wait_max": 0}, ValueError, "flight_wait_max must be .*0"),
        ({"copy": "never"}, ValueError, "copy must be 'none' or 'shallow'"),
        ({"copy": 7}, TypeError, "copy must be a string, got 7"),
        ({"ttl_from": "end"}, ValueError, "ttl_from must be 'store' or 'start'"),
        ({"seed": -1}, ValueError, "seed must be from 0"),
        ({"clock": 7}, TypeError, "clock"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        CachingMiddleware(**arguments)


def test_an_async_callback_is_refused() -> None:
    async def key(query: Any) -> int:
        return 1

    with pytest.raises(TypeError, match="key must be no async function"):
        CachingMiddleware(key=key)


# Memory and re-entrancy


def test_every_callback_may_call_every_method() -> None:
    world = World(False)
    busy: list[str] = []

    def everything() -> None:
        if busy:
            return
        busy.append("")
        cache = world.cache
        for call in (
            lambda: world.bus.execute(Find(1)),
            lambda: cache.get(Find(1)),
            lambda: cache.invalidate(Find(1)),
            lambda: cache.invalidate(Find(1), ALICE),
            lambda: cache.invalidate_type(Find),
            lambda: cache.invalidate_tags("tag"),
            cache.sweep,
            cache.stats,
            cache.settings,
            lambda: cache.set_ttl(Find, 5),
            lambda: cache.update(max_size=2),
            cache.clear,
            cache._check,  # type: ignore[attr-defined]
        ):
            call()
        busy.clear()

    class Value:
        def __del__(self) -> None:
            everything()

        def __copy__(self) -> Value:
            everything()
            return Value()

    class Tick:
        def __call__(self) -> int:
            everything()
            return 10**12

    def callback(result: Any) -> Any:
        def call(*arguments: Any) -> Any:
            everything()
            return result

        return call

    for given in (
        {"key": callback(1)},
        {"condition": callback(True)},
        {"tags": callback(["tag"])},
        {"scope": callback("me")},
        {"copy": "shallow"},
        {"clock": Tick()},
        {"clock": Tick(), "max_size": 1, "ttl": 1e-9},
        {"max_size": 1},
    ):
        world.build(**given)
        world.answer = lambda query: Value()
        for number in (1, 2, 1, 1, 3):
            world.bus.execute(Find(number))
        everything()
        world.cache._check()  # type: ignore[attr-defined]
        world.cache.clear()
        assert world.cache.stats().loading == 0


def test_a_cache_that_refers_to_itself_is_collected() -> None:
    world = World(False)
    cache = world.build()
    world.answer = lambda query, made=(cache, world): made
    world.ask(Find(1))
    bus = weakref.ref(world.bus)
    del world, cache
    gc.collect()
    assert bus() is None


@pytest.mark.alone
@measures_memory
def test_bypassed_and_failing_queries_leave_nothing_behind() -> None:
    world = World(False)
    world.build(max_size=10)

    def fail(query: Any) -> Any:
        world.runs.clear()
        raise Failure

    world.answer = fail

    def rush(count: int, base: int) -> None:
        for number in range(base, base + count):
            with suppress(Failure):
                world.bus.execute(Find(number if number % 2 else object()))

    rush(20_000, 0)
    gc.collect()
    before = rss_bytes()
    rush(100_000, 20_000)
    gc.collect()
    assert rss_bytes() - before < 1 << 20
    assert (len(world.cache), world.cache.stats().loading) == (0, 0)
    world.cache._check()  # type: ignore[attr-defined]


def test_the_size_never_passes_its_bound_under_threads() -> None:
    world = World(False)
    cache = world.build(max_size=50)
    done = threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not done.is_set():
            seen.append(len(cache))

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(5_000):
            world.bus.execute(Find(rng.randrange(200)))
            if rng.random() < 0.01:
                cache.invalidate(Find(rng.randrange(200)))

    observer = threading.Thread(target=look)
    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    observer.start()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done.set()
    observer.join()
    assert max(seen) <= 50
    stats = cache.stats()
    assert stats.hits + stats.misses + stats.bypasses == 20_000
    assert stats.loading == 0
    cache._check()  # type: ignore[attr-defined]


class CacheMachine(RuleBasedStateMachine):
    """The cache against an ordered dictionary that does the same, step by step."""

    queries = st.builds(Find, st.integers(0, 7)) | st.builds(Other, st.integers(0, 2))
    users = st.sampled_from([None, "alice", "bob"])

    def __init__(self) -> None:
        super().__init__()
        self.world = World(False)
        self.cache = self.world.build(ttl=10, max_size=4, tags=lambda q: [q.number])
        self.model: OrderedDict[tuple[Any, Any], tuple[Any, float]] = OrderedDict()
        self.now, self.ttl, self.most = 0.0, 10.0, 4
        self.hits = self.misses = 0

    @rule(query=queries, user=users)
    def ask(self, query: Any, user: Any) -> None:
        key = (query, user)
        ctx = Context.background().with_principal(user)
        answer = self.world.bus.execute(query, ctx)
        known = self.model.get(key)
        if known is not None and self.now < known[1]:
            self.hits += 1
            self.model.move_to_end(key)
            assert answer == known[0]
            return
        self.misses += 1
        self.model.pop(key, None)
        assert answer == self.misses
        if not self.ttl:
            return
        for _ in range(4):
            coldest = next(iter(self.model), None)
            if coldest is not None and self.model[coldest][1] <= self.now:
                del self.model[coldest]
        if len(self.model) >= self.most:
            self.model.popitem(last=False)
        self.model[key] = (answer, self.now + self.ttl)

    @rule(seconds=st.sampled_from([1.0, 3.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        self.now += seconds

    @rule(ttl=st.sampled_from([0, 2, 10]), most=st.integers(1, 6))
    def change(self, ttl: int, most: int) -> None:
        self.cache.update(ttl=ttl, max_size=most)
        self.ttl, self.most = ttl, most
        while len(self.model) > most:
            self.model.popitem(last=False)

    def forget(self, gone: int, test: Callable[[Any, Any], bool]) -> None:
        matching = [key for key in self.model if test(*key)]
        assert gone == len(matching)
        for key in matching:
            del self.model[key]

    @rule(query=queries)
    def invalidate(self, query: Any) -> None:
        self.forget(self.cache.invalidate(query), lambda q, u: q == query)

    @rule(query=queries, user=users)
    def invalidate_in_scope(self, query: Any, user: Any) -> None:
        ctx = Context.background().with_principal(user)
        gone = self.cache.invalidate(query, ctx)
        self.forget(gone, lambda q, u: q == query and u == user)

    @rule(cls=st.sampled_from([Find, Other, FindMore]))
    def invalidate_type(self, cls: Any) -> None:
        before = len(self.cache)
        self.cache.invalidate_type(cls)
        self.forget(before - len(self.cache), lambda q, u: isinstance(q, cls))

    @rule(tags=st.lists(st.integers(0, 7), max_size=2))
    def invalidate_tags(self, tags: list[int]) -> None:
        before = len(self.cache)
        self.cache.invalidate_tags(*tags)
        self.forget(before - len(self.cache), lambda q, u: q.number in tags)

    @rule()
    def sweep(self) -> None:
        gone = self.cache.sweep()
        self.forget(gone, lambda q, u: self.model[q, u][1] <= self.now)

    @invariant()
    def they_are_alike(self) -> None:
        assert len(self.cache) == len(self.model) <= self.most
        stats = self.cache.stats()
        assert (stats.hits, stats.misses) == (self.hits, self.misses)
        self.cache._check()  # type: ignore[attr-defined]


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
