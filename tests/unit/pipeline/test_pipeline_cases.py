"""One table of pipelines, run by both drivers with every form of handler."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from support import (
    DRIVERS,
    TRANSPARENT,
    Add,
    Ask,
    Driver,
    Part,
    Trace,
    around,
    factory,
    hook,
    run,
)

from cqrs_fast import CommandBus, Context, Middleware, QueryBus

drivers = pytest.mark.parametrize("driver", DRIVERS, ids=lambda one: one.name)

OOPS, OTHER = ValueError("oops"), KeyError("other")
OK = ("result", 1)

# name: pipeline, what the handler does, the log, the outcome
CASES: dict[str, tuple[list[Part], tuple[str, Any], str, tuple[str, Any]]] = {
    "nothing around": ([], OK, "handler", OK),
    "hooks nest": ([hook("A"), hook("B")], OK, "A> B> handler <B <A", OK),
    "forms mix in their order": (
        [hook("A"), around("B"), factory("C"), hook("D"), around("E"), hook("F")],
        OK,
        "A> B> C> D> E> F> handler <F <E <D <C <B <A",
        OK,
    ),
    "an error passes every form": (
        [hook("A"), around("B"), factory("C"), hook("D")],
        ("raise", OOPS),
        "A> B> C> D> handler !D !C !B !A",
        ("raise", OOPS),
    ),
    "before stops the call, without its own after": (
        [hook("A"), hook("B", before=("result", 7)), hook("C")],
        OK,
        "A> B> <A",
        ("result", 7),
    ),
    "before stops with None": (
        [hook("A"), hook("B", before=("result", None))],
        OK,
        "A> B> <A",
        ("result", None),
    ),
    "before raises: outer ones see the error": (
        [hook("A"), hook("B", before=("raise", OOPS)), hook("C")],
        OK,
        "A> B> !A",
        ("raise", OOPS),
    ),
    "before stops with an error": (
        [hook("A"), hook("B", before=("error", OOPS)), hook("C")],
        OK,
        "A> B> !A",
        ("raise", OOPS),
    ),
    "after replaces the result": (
        [hook("A"), hook("B", after=("result", 5))],
        OK,
        "A> B> handler <B <A",
        ("result", 5),
    ),
    "after replaces the result by None": (
        [hook("A", after=("result", None))],
        OK,
        "A> handler <A",
        ("result", None),
    ),
    "after raises: outer ones see the error": (
        [hook("A"), hook("B", after=("raise", OOPS)), hook("C")],
        OK,
        "A> B> C> handler <C <B !A",
        ("raise", OOPS),
    ),
    "on_error recovers, with None too": (
        [hook("A"), hook("B", on_error=("result", None)), hook("C")],
        ("raise", OOPS),
        "A> B> C> handler !C !B <A",
        ("result", None),
    ),
    "on_error replaces the error": (
        [hook("A"), hook("B", on_error=("error", OTHER))],
        ("raise", OOPS),
        "A> B> handler !B !A",
        ("raise", OTHER),
    ),
    "on_error raises": (
        [hook("A"), hook("B", on_error=("raise", OTHER))],
        ("raise", OOPS),
        "A> B> handler !B !A",
        ("raise", OTHER),
    ),
    "an around answers alone": (
        [hook("A"), around("B", "skip", 9), hook("C")],
        OK,
        "A> B> <A",
        ("result", 9),
    ),
    "an around calls next twice": (
        [hook("A"), around("B", "twice", None), hook("C")],
        OK,
        "A> B> C> handler <C C> handler <C <B <A",
        OK,
    ),
    "a factory calls next twice": (
        [factory("B", "twice", None), hook("C")],
        OK,
        "B> C> handler <C C> handler <C <B",
        OK,
    ),
    "an around raises on the way in": (
        [hook("A"), around("B", "raise-in", OOPS), hook("C")],
        OK,
        "A> B> !A",
        ("raise", OOPS),
    ),
    "an around raises on the way out": (
        [hook("A"), around("B", "raise-out", OOPS), hook("C")],
        OK,
        "A> B> C> handler <C <B !A",
        ("raise", OOPS),
    ),
    "an around recovers": (
        [hook("A"), around("B", "recover", 3), hook("C")],
        ("raise", OOPS),
        "A> B> C> handler !C !B <A",
        ("result", 3),
    ),
    "more hooks than slots in the frame": (
        [hook(str(n)) for n in range(20)],
        OK,
        " ".join(f"{n}>" for n in range(20))
        + " handler "
        + " ".join(f"<{n}" for n in reversed(range(20))),
        OK,
    ),
}


@drivers
@pytest.mark.parametrize("own", [0, 1], ids=["bus", "handler"])
@pytest.mark.parametrize("case", CASES)
def test_pipeline(driver: Driver, case: str, own: int) -> None:
    parts, act, expected, (kind, value) = CASES[case]
    log, outcome = run(driver, parts, act, own)
    assert " ".join(log) == expected
    assert outcome[0] == kind
    assert outcome[1] is value if kind == "raise" else outcome[1] == value


@drivers
@pytest.mark.parametrize("kind", TRANSPARENT)
@pytest.mark.parametrize("act", ["pass", "result", "error", "raise"])
def test_base_exceptions_pass_every_hook_unchanged(
    driver: Driver, kind: type[BaseException], act: str
) -> None:
    error = kind("as it is")
    value = 1 if act == "result" else OTHER
    parts = [hook("A"), hook("B", on_error=(act, value)), hook("C")]
    log, outcome = run(driver, parts, ("raise", error))
    assert log == ["A>", "B>", "C>", "handler", "!C", "!B", "!A"]
    assert outcome[1] is error


@drivers
@pytest.mark.parametrize("kind", TRANSPARENT)
@pytest.mark.parametrize("where", ["before", "after"])
def test_base_exceptions_of_a_hook_reach_the_caller(
    driver: Driver, kind: type[BaseException], where: str
) -> None:
    error = kind("mine")
    parts = [hook("A", on_error=("result", 1)), hook("B", **{where: ("raise", error)})]
    log, outcome = run(driver, parts, OK)
    assert outcome == ("raise", error)
    assert log[-1] == "!A"


@drivers
def test_an_error_raised_in_on_error_is_chained(driver: Driver) -> None:
    oops, other = ValueError("oops"), KeyError("other")
    _, outcome = run(driver, [hook("A", on_error=("raise", other))], ("raise", oops))
    assert outcome[1] is other
    assert other.__context__ is oops


@drivers
def test_hooks_that_are_not_overridden_do_nothing(driver: Driver) -> None:
    class OnlyAfter(Middleware):
        def after(self, call: Any) -> None:
            call.result += 1

    bus = CommandBus(middleware=[OnlyAfter()])
    bus.register_handler(Add, driver.handler(lambda ctx, add: add.number))
    assert driver(bus, Add(4)) == 5


@drivers
def test_one_object_at_two_places_has_two_states(driver: Driver) -> None:
    class Stack(Middleware):
        depth = 0

        def before(self, call: Any) -> None:
            self.depth += 1
            call.state["depth"] = self.depth

        def after(self, call: Any) -> None:
            assert call.state == {"depth": self.depth}
            self.depth -= 1

    one = Stack()
    bus = CommandBus(middleware=[one, one])
    bus.register_handler(Add, driver.handler(lambda ctx, add: one.depth))
    assert (driver(bus, Add()), one.depth) == (2, 0)


@drivers
def test_a_call_knows_nothing_of_the_one_before_it(driver: Driver) -> None:
    seen: list[Any] = []

    class Note(Middleware):
        def before(self, call: Any) -> None:
            seen.append((call.message.number, call.result, call.error, call.state))
            call.state["was"] = call.context.value("a")

        def after(self, call: Any) -> None:
            call.result += 10

        def on_error(self, call: Any) -> None:
            call.result = str(call.error)

    def fail_at_two(ctx: Context, add: Add) -> int:
        if add.number == 2:
            raise ValueError("two")
        return add.number

    bus = CommandBus(middleware=[Note()])
    bus.register_handler(Add, driver.handler(fail_at_two))
    results = [driver(bus, Add(number)) for number in (1, 2, 3)]
    assert results == [11, "two", 13]
    assert [entry[:3] for entry in seen] == [(n, None, None) for n in (1, 2, 3)]
    assert [entry[3] for entry in seen] == [{"was": None}] * 3


@drivers
def test_what_is_set_outside_of_a_hook_is_not_the_next_calls(driver: Driver) -> None:
    kept: list[Any] = []

    class Keep(Middleware):
        def before(self, call: Any) -> None:
            kept.append(call)

    def handler(ctx: Context, add: Add) -> int:
        if kept:
            kept.pop().result = 0
        return add.number

    bus = CommandBus(middleware=[Keep()])
    bus.register_handler(Add, driver.handler(handler))
    assert [driver(bus, Add(number)) for number in (1, 2, 3)] == [1, 2, 3]


@drivers
def test_a_call_that_a_hook_keeps_stays_as_it_was(driver: Driver) -> None:
    kept: list[Any] = []

    class Keep(Middleware):
        def before(self, call: Any) -> None:
            kept.append(call)

    bus = CommandBus(middleware=[Keep()])
    bus.register_handler(Add, driver.handler(lambda ctx, add: add.number))
    for number in (1, 2):
        driver(bus, Add(number))
    assert [call.message.number for call in kept] == [1, 2]


@drivers
def test_a_call_lets_go_of_its_message(driver: Driver) -> None:
    bus = CommandBus(middleware=[Trace("A", [])])
    bus.register_handler(Add, driver.handler(lambda ctx, add: add.number))
    message = Add(1)
    held = sys.getrefcount(message)
    driver(bus, message)
    assert sys.getrefcount(message) == held


@drivers
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("end", ["answer", "raise", "fail after"])
def test_a_call_that_ends_in_a_hook_lets_go_of_its_message(
    driver: Driver, end: str, kept: bool
) -> None:
    calls: list[Any] = []

    class End(Middleware):
        def before(self, call: Any) -> None:
            if kept:
                calls.append(call)
            if end == "answer":
                call.result = 7
            elif end == "raise":
                raise KeyError("mine")

        def after(self, call: Any) -> None:
            raise KeyError("mine")

    bus = CommandBus(middleware=[End()])
    bus.register_handler(Add, driver.handler(lambda ctx, add: add.number))
    message = Add(1)
    held = sys.getrefcount(message)
    for _ in range(3):
        if end == "answer":
            assert driver(bus, message) == 7
        else:
            with pytest.raises(KeyError, match="mine"):
                driver(bus, message)
        assert sys.getrefcount(message) == held + len(calls)
        calls.clear()
        assert sys.getrefcount(message) == held


@drivers
def test_a_handler_dispatches_on_the_same_bus_and_on_another(driver: Driver) -> None:
    log: list[str] = []
    commands = CommandBus(middleware=[Trace("C", log)])
    queries = QueryBus(middleware=[Trace("Q", log)])
    queries.register_handler(Ask, lambda ask: ask.number)

    def countdown(ctx: Context, add: Add) -> int:
        if add.number == 0:
            return queries.execute(Ask(10), ctx)
        return commands.execute(Add(add.number - 1), ctx) + 1

    commands.register_handler(Add, countdown)
    bus = CommandBus(middleware=[Trace("O", log)])
    bus.register_handler(
        Add, driver.handler(lambda ctx, add: commands.execute(Add(2), ctx))
    )
    assert driver(bus, Add()) == 12
    assert " ".join(log) == "O> C> C> C> Q> <Q <C <C <C <O"


def test_async_reentrancy_nests_like_calls() -> None:
    bus = CommandBus(middleware=[Trace("B", []), Trace("A", [])])

    async def countdown(ctx: Context, add: Add) -> int:
        if add.number == 0:
            return 0
        return await bus.execute_async(Add(add.number - 1), ctx) + 1

    bus.register_handler(Add, countdown)
    assert asyncio.run(bus.execute_async(Add(50))) == 50
