"""Exceptions that are handed on: the same error for each, made by no constructor."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pydantic
import pytest
from error_cases import CASES, Case, Closing, Shown, check, name_of, ran
from support import eventually

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    IdempotencyMiddleware,
    Query,
    QueryBus,
    ResultTypeError,
)
from cqrs_fast.base.error_copies import copied_error, detached_error


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
    if way.startswith("final") and not case.copied:
        # It is not stored; the command is not done again for that.
        assert caught.pop(0) is error
        assert [str(one) for one in caught] == [told_of(error)] * 2
        return
    assert sum(one is error for one in caught) == (1 if case.copied else 3)
    for one in caught:
        check(case, error, one)
    assert len({id(one) for one in caught}) == (3 if case.copied else 1)
    assert ran == []


def told_of(error: Exception) -> str:
    return (
        f"the result of Do is an error, a {type(error).__name__}, which cannot be "
        "copied, expected one that can be raised twice, of a Python class without "
        "__del__"
    )


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
    kept = detached_error(error)
    assert (kept is not None) == case.copied
    again = None if kept is None else detached_error(kept)
    for one in filter(None, (copy, kept, again) if case.copied else ()):
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


@pytest.mark.parametrize("make_stage", [negative, final])
def test_no_stored_error_keeps_its_callers_or_grows(make_stage: Any) -> None:
    errors = [ValueError("x")]

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
        except ValueError as caught:
            lengths.add(len(traceback.format_exception(caught, chain=True)))

    for _ in range(50):
        request()
    gc.collect()
    assert [ref() for ref in alive] == [None] * 50
    assert len(lengths) <= 2  # the first has the handler's frame


# What an error leads to, which a handler had at hand


class Holding(Exception):
    held: Any


class Errors(dict[str, Any]):
    """A container with a constructor of its own."""


class Listing(list[Any]):
    pass


class Pair(NamedTuple):
    one: Any
    other: Any


class Slots(Exception):
    __slots__ = ("held",)


def failed(body: Body) -> Exception:
    """Return an error with a frame that holds `body`."""
    try:
        raise KeyError("inner")
    except KeyError as error:
        return error


def attribute(value: Any, kind: Any = Holding) -> Exception:
    error: Exception = kind("x")
    error.held = value  # type: ignore[attr-defined] # each of them takes it
    return error


def missing(body: Body) -> Exception:
    try:
        return body.missing  # type: ignore[attr-defined,no-any-return] # it is not
    except AttributeError as error:
        return error


def exc_info(body: Body) -> Any:
    try:
        raise KeyError("inner")
    except KeyError:
        return sys.exc_info()


def caused(cause: Exception) -> Exception:
    error = ValueError("x")
    error.__cause__ = cause
    return error


class Positive(pydantic.BaseModel):
    number: int


def invalid(body: Body) -> Exception:
    try:
        Positive.model_validate({"number": "no"})
    except pydantic.ValidationError as error:
        return error
    raise AssertionError


def hidden(body: Body) -> Exception:
    """Return an error that cannot be copied, and leads to `body`."""
    error = failed(body)
    return Closing("x", error).with_traceback(error.__traceback__)


LEADING: dict[str, Callable[[Body], Exception]] = {
    "args": lambda body: ValueError(failed(body)),
    "list in args": lambda body: ValueError("x", [failed(body)]),
    "attribute": lambda body: attribute(failed(body)),
    "slot": lambda body: attribute([failed(body)], Slots),
    "list": lambda body: attribute([1, failed(body)]),
    "tuple": lambda body: attribute((failed(body), 2)),
    "set": lambda body: attribute({failed(body)}),
    "frozenset": lambda body: attribute(frozenset([failed(body)])),
    "dict": lambda body: attribute({"field": failed(body)}),
    "key of a dict": lambda body: attribute({failed(body): 1}),
    "lists in a dict": lambda body: attribute({"field": [failed(body)]}),
    "group in a dict": lambda body: attribute({1: ExceptionGroup("", [failed(body)])}),
    "itself": missing,
    "cause": lambda body: caused(missing(body)),
    "exc_info": lambda body: attribute(exc_info(body)),
    "traceback": lambda body: attribute(failed(body).__traceback__),
    "frame": lambda body: attribute(failed(body).__traceback__.tb_frame),
}
# Nobody can copy these, so nothing of them is stored.
UNSTORED: dict[str, Callable[[Body], Exception]] = {
    "no copy": hidden,
    "no copy as an argument": lambda body: ValueError(hidden(body)),
    "no copy in a group": lambda body: ExceptionGroup("g", [hidden(body)]),
    "own dict": lambda body: attribute(Errors(field=failed(body))),
    "own list": lambda body: attribute(Listing([failed(body)])),
    "named tuple": lambda body: attribute(Pair(1, failed(body))),
    "extension": invalid,
}
STAGES = pytest.mark.parametrize("make_stage", [negative, final])
REQUESTS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def request_twice(
    stage: Any, make: Callable[[Body], Exception], is_async: bool
) -> tuple[list[weakref.ref[Body]], list[str]]:
    """Return the locals of the handler's runs, and what two callers caught."""
    alive: list[weakref.ref[Body]] = []

    def handle(message: Any) -> Any:
        body = Body()
        alive.append(weakref.ref(body))
        raise make(body)

    async def handle_async(message: Any) -> Any:
        handle(message)

    bus, message = bus_of(stage, handle_async if is_async else handle)
    caught = []
    for _ in range(2):
        if is_async:
            error = asyncio.run(awaited(bus, message))
        else:
            error = ended(lambda: bus.execute(message))
        caught.append(f"{type(error).__name__} {error}")
        del error
    gc.collect()
    return alive, caught


@REQUESTS
@STAGES
@pytest.mark.parametrize("make", LEADING.values(), ids=LEADING)
def test_what_is_stored_leads_to_no_local_of_the_handler(
    make: Any, make_stage: Any, is_async: bool
) -> None:
    stage = make_stage()
    alive, caught = request_twice(stage, make, is_async)
    assert [body() for body in alive] == [None]
    assert caught[0] == caught[1]
    assert len(stage) == 1


@REQUESTS
@pytest.mark.parametrize("make", UNSTORED.values(), ids=UNSTORED)
def test_no_negative_hit_comes_of_an_error_without_copies(
    make: Any, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cache = negative()
    alive, caught = request_twice(cache, make, is_async)
    # The handler ran for each.
    assert [body() for body in alive] == [None, None]
    assert caught[0] == caught[1]
    stats = cache.stats()
    assert (stats.size, stats.uncacheable, stats.loading) == (0, 2, 0)
    (record,) = caplog.records
    kind = caught[0].split()[0]
    assert record.getMessage() == (
        f"the handler of Ask raised a {kind}, which cannot be copied: it is not "
        "stored; raise one of a Python class without __del__ (logged once)"
    )


@REQUESTS
@pytest.mark.parametrize("make", UNSTORED.values(), ids=UNSTORED)
def test_a_duplicate_of_a_final_error_without_copies_is_told_so(
    make: Any, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stage = final()
    alive, caught = request_twice(stage, make, is_async)
    # It ran once all the same.
    assert [body() for body in alive] == [None]
    kind = caught[0].split()[0]
    assert caught[1].startswith(
        f"ResultTypeError the result of Do is an error, a {kind}, which cannot be copi"
    )
    assert (len(stage), stage.stats().in_progress) == (1, 0)
    (record,) = caplog.records
    assert "which cannot be copied: a duplicate gets an error;" in record.getMessage()


@STAGES
def test_an_error_that_is_told_anew_each_time_is_not_given_twice(
    make_stage: Any,
) -> None:
    class Changing(Exception):
        told = 0

        def __str__(self) -> str:
            # Its text is the same until it has been stored.
            Changing.told += 1
            return f"text {Changing.told > 2 and Changing.told}"

    runs: list[int] = []

    def handle(message: Any) -> Any:
        runs.append(1)
        raise Changing

    stage = make_stage()
    bus, message = bus_of(stage, handle)
    assert type(ended(lambda: bus.execute(message))) is Changing
    assert len(stage) == 1
    second = ended(lambda: bus.execute(message))
    if isinstance(stage, CachingMiddleware):
        assert (type(second), len(runs)) == (Changing, 2)
        assert stage.stats().bypasses == 1
    else:
        assert (type(second), len(runs)) == (ResultTypeError, 1)


def test_a_detached_error_is_as_deep_as_it_was() -> None:
    inner = KeyError("inner")
    error = attribute({"field": [inner, 3], "plain": [1]}, Holding)
    plain = error.held["plain"]  # type: ignore[attr-defined] # it has it
    detached: Any = detached_error(error)
    assert repr(detached.held) == "{'field': [KeyError('inner'), 3], 'plain': [1]}"
    assert detached.held["field"][0] is not inner
    assert detached.held["plain"] is plain
    assert error.held["field"][0] is inner  # type: ignore[attr-defined] # the same


def test_a_container_of_itself_ends() -> None:
    ring: list[Any] = [KeyError(1)]
    ring.append(ring)
    detached: Any = detached_error(attribute(ring))
    assert repr(detached.held[0]) == "KeyError(1)"


def test_one_who_shares_a_run_learns_whose_attribute_was_missing() -> None:
    body = Body()
    error = missing(body)
    assert copied_error(error).obj is body  # type: ignore[attr-defined] # an AttributeError
    detached: Any = detached_error(error)
    assert (detached.obj, detached.name) == (None, "missing")
    assert str(detached) == str(error)


def test_values_that_tell_of_an_error_stay() -> None:
    for error, name in (
        (UnicodeDecodeError("utf-8", b"ab", 0, 1, "why"), "object"),
        (StopIteration([1]), "value"),
        (SystemExit([1]), "code"),
        (OSError(2, "no", "file"), "filename"),
        (ImportError("m", name="n", path="p"), "path"),
    ):
        detached = detached_error(error)
        assert getattr(detached, name) == getattr(error, name) is not None


def test_a_cause_that_cannot_be_copied_is_left_out_of_what_is_kept() -> None:
    error = ValueError(1)
    error.__cause__ = Shown()
    kept = detached_error(error)
    assert kept is not None
    assert kept.__cause__ is None
    assert kept.__suppress_context__


def test_causes_in_a_ring_end() -> None:
    one, other = ValueError(1), ValueError(2)
    one.__cause__, other.__cause__ = other, one
    kept = detached_error(one)
    assert kept is not None
    assert kept.__cause__ is not other
    assert repr(kept.__cause__) == "ValueError(2)"
    assert kept.__cause__ is not None
    assert kept.__cause__.__cause__ is kept
    group = ExceptionGroup("g", [one])
    one.__cause__ = group
    assert isinstance(detached_error(group), ExceptionGroup)


def test_a_chain_of_any_length_is_copied_to_some_depth() -> None:
    error = last = ValueError(0)
    for number in range(1, 100_000):
        last.__cause__ = following = ValueError(number)
        last = following
    kept = detached_error(error)
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
