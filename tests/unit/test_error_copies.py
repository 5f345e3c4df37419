"""Exceptions that are handed on: the same error for each, made by no constructor."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from error_cases import CASES, Case, Shown, check, name_of, ran
from support import eventually

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    IdempotencyMiddleware,
    Query,
    QueryBus,
)
from cqrs_fast.base.error_copies import copied_error, kept_error


class Ask(Query[object]):
    number: int


class Do(Command[object]):
    idempotency_key: str


class Body:
    """What a caller or a handler has at hand, and must not be kept alive."""


def bus_of(stage: Any, handler: Any) -> tuple[Any, Any]:
    """Return a bus with a handler, and the message for it."""
    if isinstance(stage, CachingMiddleware):
        queries = QueryBus(middleware=[stage], enable_metrics=True)
        queries.register_handler(Ask, handler)
        return queries, Ask(1)
    commands = CommandBus(middleware=[stage], enable_metrics=True)
    commands.register_handler(Do, handler)
    return commands, Do("k")


def ended(call: Callable[[], Any]) -> BaseException:
    try:
        return AssertionError(f"answered {call()!r}")
    except BaseException as error:
        return error


async def awaited(bus: Any, message: Any) -> BaseException:
    # A task that ends with an error has asyncio show it, which not every one survives.
    try:
        return AssertionError(f"answered {await bus.execute_async(message)!r}")
    except BaseException as error:
        return error


# Each way returns what three callers caught, of whom one led, or was the first.


def in_threads(stage: Any, error: Exception) -> list[BaseException]:
    go = threading.Event()

    def handle(message: Any) -> Any:
        assert go.wait(10)
        raise error

    bus, message = bus_of(stage, handle)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(ended, lambda: bus.execute(message)) for _ in range(3)]
        eventually(lambda: bus.stats().total.in_flight == 3)
        threading.Event().wait(0.01)
        go.set()
        return [call.result() for call in calls]


def in_tasks(stage: Any, error: Exception) -> list[BaseException]:
    async def main() -> list[BaseException]:
        go = asyncio.Event()

        async def handle(message: Any) -> Any:
            await go.wait()
            raise error

        bus, message = bus_of(stage, handle)
        calls = [asyncio.ensure_future(awaited(bus, message)) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*calls)

    return asyncio.run(main())


def in_turn(stage: Any, error: Exception) -> list[BaseException]:
    def handle(message: Any) -> Any:
        raise error

    bus, message = bus_of(stage, handle)
    return [ended(lambda: bus.execute(message)) for _ in range(3)]


def in_turn_async(stage: Any, error: Exception) -> list[BaseException]:
    async def handle(message: Any) -> Any:
        raise error

    bus, message = bus_of(stage, handle)

    return [asyncio.run(awaited(bus, message)) for _ in range(3)]


def negative() -> CachingMiddleware:
    return CachingMiddleware(60.0, negative_ttl=60.0, negative_on=Exception)


def final() -> IdempotencyMiddleware:
    return IdempotencyMiddleware(final_on=Exception)


WAYS = {
    "flight in threads": (CachingMiddleware, in_threads),
    "flight in tasks": (CachingMiddleware, in_tasks),
    "negative hit": (negative, in_turn),
    "negative hit, async": (negative, in_turn_async),
    "final error": (final, in_turn),
    "final error, async": (final, in_turn_async),
    "duplicates in threads": (final, in_threads),
    "duplicates in tasks": (final, in_tasks),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_whoever_gets_an_error_of_another_gets_the_same(case: Case, way: str) -> None:
    make_stage, run = WAYS[way]
    error = case.make()
    assert (case.text is None) or str(error) == case.text, "the table is wrong"
    ran.clear()
    caught = run(make_stage(), error)
    assert len(caught) == 3
    assert sum(one is error for one in caught) == (1 if case.copied else 3)
    for one in caught:
        check(case, error, one)
    assert len({id(one) for one in caught}) == (3 if case.copied else 1)
    assert ran == []


def add_note(error: Exception, note: str) -> list[str]:
    """Add a note to whatever lets nobody set an attribute; return all of them."""
    state = BaseException.__dict__["__dict__"].__get__(error)
    notes: list[str] = state.setdefault("__notes__", [])
    notes.append(note)
    return notes


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_copy_shares_no_notes_attributes_or_traceback(case: Case) -> None:
    error = case.make()
    add_note(error, "before")
    try:
        raise error
    except Exception:
        copy = copied_error(error)
    kept = kept_error(error)
    again = copied_error(kept, deep=True)
    for one in (copy, kept, again) if case.copied else ():
        assert BaseException.__dict__["__traceback__"].__get__(one) is None
        assert BaseException.__dict__["__context__"].__get__(one) is None
        assert add_note(one, "after")[-2:] == ["before", "after"]
    assert add_note(error, "last")[-2:] == ["before", "last"]


def test_followers_see_the_cause_as_it_is() -> None:
    error = ValueError(1)
    error.__cause__ = cause = KeyError(2)
    copy = copied_error(error)
    assert copy.__cause__ is cause
    assert copy.__suppress_context__
    plain = copied_error(KeyError(3))
    assert plain.__cause__ is None
    assert not plain.__suppress_context__


def holder(body: Body) -> Exception:
    """Return an error that holds others, each with frames that hold `body`."""

    def fail(kind: type[Exception], *args: Any) -> Exception:
        _ = body
        try:
            raise kind(*args)
        except Exception as error:
            return error

    member = fail(KeyError, "member")
    inner = fail(ValueError, fail(OSError, 5, "deep"))
    group = ExceptionGroup("group", [member, inner])
    group.errors = [member]  # type: ignore[attr-defined]
    group.__cause__ = fail(RuntimeError, "cause")
    group.__cause__.__cause__ = fail(RuntimeError, "its cause")
    group.__cause__.__cause__.__context__ = fail(RuntimeError, "beside")
    return group


@pytest.mark.parametrize("make_stage", [negative, final])
@pytest.mark.parametrize("run", [in_turn, in_turn_async])
def test_what_is_stored_keeps_no_frame_of_what_it_holds(
    make_stage: Any, run: Any
) -> None:
    stage = make_stage()
    body = Body()
    alive = weakref.ref(body)
    first, second, third = run(stage, holder(body))
    assert repr(second) == repr(first)
    assert repr(third.__cause__.__cause__) == "RuntimeError('its cause')"
    # Which is which stays: one member is in a list beside the group, too.
    assert third.errors[0] is third.exceptions[0]
    assert third.exceptions[0] is not second.exceptions[0]
    assert second.__cause__ is not third.__cause__
    del body, first, second, third
    gc.collect()
    assert alive() is None
    assert len(stage) == 1


@pytest.mark.parametrize("make", [lambda: ValueError("x"), Shown], ids=["copy", "self"])
@pytest.mark.parametrize("make_stage", [negative, final])
def test_no_stored_error_keeps_its_callers_or_grows(make_stage: Any, make: Any) -> None:
    errors = [make()]

    def handle(message: Any) -> Any:
        raise errors.pop()

    bus, message = bus_of(make_stage(), handle)
    alive: list[weakref.ref[Body]] = []
    lengths = set()

    def request() -> None:
        body = Body()
        alive.append(weakref.ref(body))
        try:
            try:
                raise LookupError("of the caller")
            except LookupError:
                bus.execute(message)
        except (ValueError, Shown) as caught:
            lengths.add(len(traceback.format_exception(caught, chain=True)))

    for _ in range(50):
        request()
    gc.collect()
    # One that cannot be copied belongs to who raised it last.
    assert sum(ref() is not None for ref in alive) <= isinstance(make(), Shown)
    assert len(lengths) <= 2  # the first has the handler's frame


def test_a_cause_that_cannot_be_copied_is_left_out_of_what_is_kept() -> None:
    error = ValueError(1)
    error.__cause__ = Shown()
    kept = kept_error(error)
    assert kept.__cause__ is None
    assert kept.__suppress_context__
    wrapper = kept_error(ValueError(error.__cause__))
    assert wrapper.args == (error.__cause__,)


def test_causes_in_a_ring_end() -> None:
    one, other = ValueError(1), ValueError(2)
    one.__cause__, other.__cause__ = other, one
    kept = kept_error(one)
    assert kept.__cause__ is not other
    assert repr(kept.__cause__) == "ValueError(2)"
    assert kept.__cause__ is not None
    assert kept.__cause__.__cause__ is kept
    group = ExceptionGroup("g", [one])
    one.__cause__ = group
    assert isinstance(kept_error(group), ExceptionGroup)


def test_a_chain_of_any_length_is_copied_to_some_depth() -> None:
    error = last = ValueError(0)
    for number in range(1, 100_000):
        last.__cause__ = following = ValueError(number)
        last = following
    kept: BaseException | None = kept_error(error)
    depth = 0
    while kept is not None:
        assert kept.args == (depth,)
        kept, depth = kept.__cause__, depth + 1
    assert 10 < depth < 100


def test_a_class_that_is_gone_is_forgotten() -> None:
    from cqrs_fast.base import error_copies

    def one() -> weakref.ref[type]:
        kind = type("Passing", (Exception,), {})
        assert type(copied_error(kind("x"))) is kind
        return weakref.ref(kind)

    gone = one()
    gc.collect()
    before = len(error_copies._layouts)
    assert gone() is None
    for _ in range(20):
        one()
        gc.collect()
    assert len(error_copies._layouts) <= before


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    ran.clear()
    yield
    gc.collect()
