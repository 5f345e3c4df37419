"""`invalidates` of a command: what it changed is forgotten, on every bus, unwired."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest
from both_ways import Way, both_ways

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    Context,
    Query,
    QueryBus,
    Tag,
)

ROWS: dict[int, str] = {}


@pytest.fixture(autouse=True)
def rows() -> None:
    ROWS.clear()
    ROWS.update({1: "old", 2: "old"})


class GetUser(Query[str]):
    user_id: int = 1


class FindUsers(Query[list[str]]):
    pass


class Untouched(Query[str]):
    user_id: int = 1


class Rename(Command[int]):
    name: str = "new"
    invalidates: ClassVar[tuple[type, ...]] = (GetUser, FindUsers)


class RenameOne(Command[int]):
    user_id: int
    name: str = "new"

    def invalidates(self) -> Iterable[Any]:
        return [GetUser(self.user_id), FindUsers, Tag("names")]


class Quiet(Command[int]):
    pass


def get(query: GetUser) -> str:
    return ROWS[query.user_id]


def find(query: FindUsers) -> list[str]:
    return sorted(ROWS.values())


def rename(command: Any) -> int:
    ROWS[getattr(command, "user_id", 1)] = command.name
    return 1


def queries(way: Way, *, cache: Any = None, **settings: Any) -> Any:
    bus = QueryBus(middleware=[cache or CachingMiddleware(**settings)])
    for message, handler in [(GetUser, get), (FindUsers, find), (Untouched, get)]:
        bus.register_handler(message, way.handler(handler))
    return bus


def commands(
    way: Way, message: Any = Rename, handler: Any = rename, **options: Any
) -> Any:
    return way.bus(CommandBus, message, handler, **options)


def name_of(way: Way, bus: Any, query: Any = None, ctx: Any = None) -> Any:
    return way(bus, query or GetUser(), ctx)


# How it is said


def test_it_is_no_field_of_the_command() -> None:
    assert Rename.__struct_fields__ == ("name",)
    assert RenameOne.__struct_fields__ == ("user_id", "name")
    assert Rename("x") == Rename("x")


@both_ways
def test_a_success_makes_the_named_classes_forgotten(way: Way) -> None:
    asked = queries(way)
    for query in (GetUser(1), GetUser(2), FindUsers(), Untouched()):
        way(asked, query)
    assert way(commands(way), Rename()) == 1
    assert way(asked, GetUser(1)) == "new"
    assert way(asked, FindUsers()) == ["new", "old"]
    assert way(asked, Untouched()) == "old"


@both_ways
def test_a_method_names_queries_classes_and_tags(way: Way) -> None:
    asked = queries(way)
    for user_id in (1, 2):
        assert way(asked, GetUser(user_id)) == "old"
    way(asked, FindUsers())
    ROWS[2] = "changed unseen"
    way(commands(way, RenameOne), RenameOne(1))
    assert way(asked, GetUser(1)) == "new"
    assert way(asked, FindUsers()) == ["changed unseen", "new"]
    assert way(asked, GetUser(2)) == "old"


@both_ways
def test_a_tag_names_what_caches_gave_it(way: Way) -> None:
    def tags(query: Any) -> list[str]:
        return ["names"] if isinstance(query, Untouched) else ["others"]

    asked = queries(way, tags=tags)
    assert way(asked, Untouched(1)) == way(asked, GetUser(2)) == "old"
    ROWS[2] = "changed unseen"
    way(commands(way, RenameOne), RenameOne(1))
    assert way(asked, Untouched(1)) == "new"
    assert way(asked, GetUser(2)) == "old"


def test_tags_are_values() -> None:
    assert Tag("a") == Tag("a") != Tag("b")
    assert hash(Tag("a")) == hash(Tag("a"))
    assert "'a'" in repr(Tag("a"))


@both_ways
def test_every_principal_is_served_the_new_row(way: Way) -> None:
    asked = queries(way)
    callers = [None, Context.background().with_principal("ann")]
    for ctx in callers:
        assert name_of(way, asked, ctx=ctx) == "old"
    way(commands(way, RenameOne), RenameOne(1))
    for ctx in callers:
        assert name_of(way, asked, ctx=ctx) == "new"


@both_ways
def test_a_subclass_inherits_what_it_says(way: Way) -> None:
    class RenameLoudly(Rename, tag="RenameLoudly"):
        pass

    asked = queries(way)
    name_of(way, asked)
    way(commands(way, RenameLoudly), RenameLoudly())
    assert name_of(way, asked) == "new"


# Where it reaches


@both_ways
def test_every_cache_of_the_process_is_reached_without_wiring(way: Way) -> None:
    shared = CachingMiddleware()
    own = QueryBus()
    own.register_handler(GetUser, way.handler(get), middleware=[CachingMiddleware()])
    buses = [queries(way), queries(way, cache=shared), queries(way, cache=shared), own]
    for bus in buses:
        assert name_of(way, bus) == "old"
    way(commands(way), Rename())
    late = queries(way)
    assert [name_of(way, bus) for bus in [*buses, late]] == ["new"] * 5


@both_ways
def test_a_cache_that_is_gone_is_neither_kept_nor_missed(way: Way) -> None:
    asked = queries(way)
    del asked
    gc.collect()
    assert way(commands(way), Rename()) == 1


WAYS_IN: dict[str, Callable[[Any], Any]] = {
    "bound": lambda bus: bus.bind(Rename)(Rename()),
    "many": lambda bus: bus.execute_many([Rename("x"), Rename()]),
    "json": lambda bus: bus.execute_json(b'{"$type":"Rename","name":"new"}'),
}


@pytest.mark.parametrize("dispatch", WAYS_IN.values(), ids=WAYS_IN)
def test_every_way_in_counts(dispatch: Callable[[Any], Any]) -> None:
    way = Way(False)
    asked = queries(way)
    name_of(way, asked)
    dispatch(commands(way))
    assert name_of(way, asked) == "new"


def test_a_class_of_no_base_of_ours_says_it_too() -> None:
    class RenameCommand:
        invalidates = (GetUser,)
        name = "new"

    way = Way(False)
    asked = queries(way)
    name_of(way, asked)
    commands(way, RenameCommand).execute(RenameCommand())
    assert name_of(way, asked) == "new"


# When


@both_ways
def test_what_never_reached_its_handler_makes_nothing_forgotten(way: Way) -> None:
    def reject(ctx: Any, message: Any, next: Any) -> Any:
        raise PermissionError

    async def reject_async(ctx: Any, message: Any, next: Any) -> Any:
        raise PermissionError

    asked = queries(way)
    stage = reject_async if way.is_async else reject
    bus = commands(way, middleware=[stage])
    name_of(way, asked)
    ROWS[1] = "changed unseen"
    assert isinstance(way.error(bus, Rename()), PermissionError)
    assert name_of(way, asked) == "old"


@both_ways
def test_a_command_without_it_makes_nothing_forgotten(way: Way) -> None:
    asked = queries(way)
    name_of(way, asked)
    ROWS[1] = "changed unseen"
    way(commands(way, Quiet, lambda quiet: 1), Quiet())
    assert name_of(way, asked) == "old"


# Exceptions in callbacks


class Broken(Command[int]):
    answer: ClassVar[Any] = None

    def invalidates(self) -> Any:
        if isinstance(type(self).answer, Exception):
            raise type(self).answer
        return type(self).answer


@both_ways
@pytest.mark.parametrize("answer", [RuntimeError("no"), 5, None, [5], ["GetUser"]])
def test_a_method_that_fails_is_logged_and_the_result_stands(
    way: Way,
    answer: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pages are silent: the command has taken effect, so its caller is told so."""
    monkeypatch.setattr(Broken, "answer", answer)
    bus = commands(way, Broken, lambda command: 7)
    with caplog.at_level(logging.WARNING, "cqrs_fast"):
        assert way(bus, Broken()) == 7
    assert caplog.records
    text = caplog.text
    assert "invalidates" in text
    assert "Broken" in text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (GetUser, r"tuple|\(GetUser,\)"),
        ("GetUser", "class"),
        ((GetUser(1),), "method"),
        ((Quiet,), "Quiet"),
        ((5,), "5"),
        ((Tag("names"),), "method"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_registered(
    wrong: Any, says: str
) -> None:
    """A constant names classes of queries; values and tags come from a method."""

    class Wrong(Command[int]):
        pass

    Wrong.invalidates = wrong  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="invalidates") as caught:
        CommandBus().register_handler(Wrong, lambda command: 1)
    assert "Wrong" in str(caught.value)
    with pytest.raises(TypeError, match=says):
        CommandBus().register_handler(Wrong, lambda command: 1)


# Threads


def test_no_reader_sees_the_old_row_after_the_command_returned() -> None:
    way = Way(False)
    asked, told = queries(way), commands(way)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            asked.execute(GetUser())

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(300):
            told.execute(Rename(str(number)))
            assert asked.execute(GetUser()) == str(number)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
