"""What a command made stale is forgotten again when its root dispatch has ended."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from both_ways import Way, both_ways
from support import suspend

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    Context,
    Query,
    QueryBus,
    RetryMiddleware,
    TimeoutMiddleware,
)
from cqrs_fast.testing import ManualClock


class GetUser(Query[str]):
    pass


class Rename(Command[int]):
    invalidates: ClassVar[tuple[type, ...]] = (GetUser,)
    idempotent: ClassVar[bool] = True


class Outer(Command[int]):
    pass


class Look(Query[int]):
    pass


class Database:
    """One row; whoever reads before the commit gets, and stores, the old one."""

    def __init__(self) -> None:
        self.row = "old"
        self.queries = QueryBus(middleware=[CachingMiddleware()])
        self.queries.register_handler(GetUser, lambda query: self.row)
        self.read()

    def read(self) -> str:
        """Ask as another client would, in a dispatch of its own."""
        return self.queries.execute(GetUser(), Context.background())

    def read_then_commit(self) -> None:
        assert self.read() == "old"
        self.row = "new"


@pytest.fixture
def database() -> Database:
    return Database()


def around(way: Way, after: Any) -> Any:
    """Return an around that calls `after` on the way out, with or without an error."""

    def plain(ctx: Any, message: Any, next: Any) -> Any:
        try:
            return next(ctx, message)
        finally:
            after()

    async def waiting(ctx: Any, message: Any, next: Any) -> Any:
        try:
            return await next(ctx, message)
        finally:
            after()

    return waiting if way.is_async else plain


def fail(message: Any) -> int:
    raise ConnectionError("after the row was written")


def nested(way: Way, inner: Any, then: Any) -> Any:
    """Return a handler that dispatches Rename within itself, then goes on."""

    def plain(ctx: Any, message: Any) -> Any:
        try:
            inner.execute(Rename(), ctx)
        finally:
            then()
        return 1

    async def waiting(ctx: Any, message: Any) -> Any:
        try:
            await inner.execute_async(Rename(), ctx)
        finally:
            then()
        return 1

    return waiting if way.is_async else plain


@both_ways
def test_a_commit_outside_of_the_handler_is_waited_for(
    way: Way, database: Database
) -> None:
    unit_of_work = around(way, database.read_then_commit)
    bus = way.bus(CommandBus, Rename, lambda c: 1, middleware=[unit_of_work])
    way(bus, Rename())
    assert database.read() == "new"


@both_ways
def test_an_error_after_the_handler_ran_counts_too(
    way: Way, database: Database
) -> None:
    def write_and_fail(command: Rename) -> int:
        database.read_then_commit()
        raise ConnectionError

    bus = way.bus(CommandBus, Rename, write_and_fail)
    assert isinstance(way.error(bus, Rename()), ConnectionError)
    assert database.read() == "new"


@both_ways
@pytest.mark.parametrize("root", [Outer, Look], ids=["command", "query"])
def test_a_nested_command_waits_for_its_root_on_any_bus(
    way: Way, database: Database, root: Any
) -> None:
    inner = way.bus(CommandBus, Rename, lambda command: 1)
    outer: Any = CommandBus() if root is Outer else QueryBus()
    outer.register_handler(root, nested(way, inner, database.read_then_commit))
    assert way(outer, root()) == 1
    assert database.read() == "new"


@both_ways
def test_it_is_forgotten_at_once_too(way: Way, database: Database) -> None:
    """A reader within the root, after the inner command, gets the new row."""
    seen: list[str] = []

    def write(command: Rename) -> int:
        database.row = "new"
        return 1

    inner = way.bus(CommandBus, Rename, write)
    outer = CommandBus()
    outer.register_handler(
        Outer, nested(way, inner, lambda: seen.append(database.read()))
    )
    way(outer, Outer())
    assert seen == ["new"]


@both_ways
@pytest.mark.parametrize("inner_fails", [False, True])
def test_the_root_may_fail(way: Way, database: Database, inner_fails: bool) -> None:
    def body() -> None:
        database.read_then_commit()
        raise OSError("the root fails")

    inner = way.bus(CommandBus, Rename, fail if inner_fails else lambda command: 1)
    outer = CommandBus()
    outer.register_handler(Outer, nested(way, inner, body))
    assert str(way.error(outer, Outer())) == "the root fails"
    assert database.read() == "new"


@both_ways
def test_a_root_that_recovers_forgets_what_its_failed_command_wrote(
    way: Way, database: Database
) -> None:
    inner = way.bus(CommandBus, Rename, fail)

    def plain(ctx: Any, message: Any) -> int:
        with pytest.raises(ConnectionError):
            inner.execute(Rename(), ctx)
        database.read_then_commit()
        return 2

    async def waiting(ctx: Any, message: Any) -> int:
        with pytest.raises(ConnectionError):
            await inner.execute_async(Rename(), ctx)
        database.read_then_commit()
        return 2

    outer = CommandBus()
    outer.register_handler(Outer, waiting if way.is_async else plain)
    assert way(outer, Outer()) == 2
    assert database.read() == "new"


@both_ways
def test_a_retry_ends_in_one_answer(way: Way, database: Database) -> None:
    attempts: list[int] = []

    def flaky(command: Rename) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            assert database.read() == "old"
            raise ConnectionError
        database.read_then_commit()
        return 1

    bus = way.bus(CommandBus, Rename, flaky, middleware=[RetryMiddleware(3)])
    assert way(bus, Rename()) == 1
    assert database.read() == "new"


@both_ways
def test_an_expired_deadline_keeps_nothing_from_being_forgotten(
    way: Way, database: Database
) -> None:
    clock = ManualClock(1.0)

    def late(command: Rename) -> int:
        database.read_then_commit()
        clock.advance(60.0)
        return 1

    stage = TimeoutMiddleware(5.0, on_late="raise")
    bus = way.bus(CommandBus, Rename, late, middleware=[stage], clock=clock)
    way.error(bus, Rename())
    assert database.read() == "new"


def start(database: Database) -> Any:
    """Return the steps of a dispatch whose handler has written and waits."""

    async def handle(command: Rename) -> int:
        database.read_then_commit()
        await suspend()
        return 1

    bus = CommandBus()
    bus.register_handler(Rename, handle)
    steps = bus.execute_async(Rename()).__await__()
    next(steps)
    return steps


def test_a_cancelled_command_has_written_all_the_same(database: Database) -> None:
    steps = start(database)
    with pytest.raises(asyncio.CancelledError):
        steps.throw(asyncio.CancelledError())
    assert database.read() == "new"


def test_a_dispatch_that_is_closed_has_ended(database: Database) -> None:
    steps = start(database)
    steps.close()
    assert database.read() == "new"


def test_a_dispatch_that_is_collected_has_ended(database: Database) -> None:
    steps = start(database)
    del steps
    assert database.read() == "new"


def test_a_cancellation_of_the_root_at_each_await_loses_nothing(
    database: Database,
) -> None:
    """However far the root came after the command, its end makes it forgotten."""
    for step in range(1, 4):
        database.row = "old"
        database.queries.cache.clear()
        database.read()
        inner = CommandBus()
        inner.register_handler(Rename, lambda command: 1)

        async def handle(ctx: Any, message: Outer, inner: Any = inner) -> int:
            await inner.execute_async(Rename(), ctx)
            database.read_then_commit()
            for _ in range(4):
                await suspend()
            return 1

        outer = CommandBus()
        outer.register_handler(Outer, handle)
        steps = outer.execute_async(Outer()).__await__()
        for _ in range(step):
            next(steps)
        with pytest.raises(asyncio.CancelledError):
            steps.throw(asyncio.CancelledError())
        assert database.read() == "new", step


@both_ways
def test_another_root_made_within_ends_for_itself(way: Way, database: Database) -> None:
    """With a context of its own a dispatch is a root: it waits for nobody."""
    inner = way.bus(CommandBus, Rename, lambda command: 1)
    seen: list[str] = []

    def plain(ctx: Any, message: Any) -> int:
        inner.execute(Rename(), Context.background())
        seen.append(database.read())
        database.row = "changed after the inner root had ended"
        return 1

    async def waiting(ctx: Any, message: Any) -> int:
        await inner.execute_async(Rename(), Context.background())
        seen.append(database.read())
        database.row = "changed after the inner root had ended"
        return 1

    outer = CommandBus()
    outer.register_handler(Outer, waiting if way.is_async else plain)
    way(outer, Outer())
    assert seen == ["old"]
    assert database.read() == "old"


@both_ways
def test_a_load_under_way_is_not_stored_over_it(way: Way) -> None:
    """A reader that began before the command, and ends after it, stores nothing."""
    row = ["old"]
    told = way.bus(CommandBus, Rename, lambda command: row.__setitem__(0, "new"))

    def slow(query: GetUser) -> str:
        found = row[0]
        if found == "old":
            told.execute(Rename(), Context.background())
        return found

    async def slow_async(query: GetUser) -> str:
        found = row[0]
        if found == "old":
            await told.execute_async(Rename(), Context.background())
        return found

    asked = QueryBus(middleware=[CachingMiddleware()])
    asked.register_handler(GetUser, slow_async if way.is_async else slow)
    assert way(asked, GetUser()) == "old"
    assert way(asked, GetUser()) == "new"
