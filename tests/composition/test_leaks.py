"""Nothing is leaked by any outcome, and a warm sync dispatch allocates nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from support import Add, drive, run_script, suspend

from cqrs_fast import Command, CommandBus, Context, CQRSError, Middleware

ROUNDS = 100_000
CANCELLED = Context.background().with_cancel()
CANCELLED.cancel()


class Hooks(Middleware):
    def before(self, call: Any) -> None:
        pass

    def after(self, call: Any) -> None:
        pass

    def on_error(self, call: Any) -> None:
        pass


class Stopping(Middleware):
    def before(self, call: Any) -> None:
        call.result = 1


class Failing(Middleware):
    def after(self, call: Any) -> None:
        raise KeyError


class Recovering(Hooks):
    def on_error(self, call: Any) -> None:
        call.state["seen"] = call.context
        call.result = None


def passing(ctx: Context, message: Any, next: Callable[..., Any]) -> Any:
    return next(ctx, message)


async def passing_async(ctx: Context, message: Any, next: Callable[..., Any]) -> Any:
    return await next(ctx, message)


def answer(add: Add) -> int:
    return 1


def answer_with_context(ctx: Context, add: Add) -> Any:
    return None


def fail(add: Add) -> None:
    raise ValueError


async def answer_async(ctx: Context, add: Add) -> int:
    await suspend()
    return 1


async def fail_async(add: Add) -> None:
    await suspend()
    raise ValueError


def step_and_drop(bus: CommandBus, ctx: Context | None) -> None:
    next(bus.execute_async(Add(7), ctx))


def step_and_throw(bus: CommandBus, ctx: Context | None) -> None:
    dispatch = bus.execute_async(Add(7), ctx)
    dispatch.send(None)
    dispatch.throw(asyncio.CancelledError())


def await_it(bus: CommandBus, ctx: Context | None) -> None:
    drive(bus.execute_async(Add(7), ctx))


def drop_it(bus: CommandBus, ctx: Context | None) -> None:
    bus.execute_async(Add(7), ctx)


def execute(bus: CommandBus, ctx: Context | None) -> None:
    bus.execute(Add(7), ctx)


def bound(bus: CommandBus, ctx: Context | None) -> None:
    bus.bind(Add)(Add(7), ctx)


# name: middleware, handler, context, how it is run
OUTCOMES: dict[str, tuple[list[Any], Any, Context | None, Any]] = {
    "ok": ([], answer, None, execute),
    "ok, bound": ([], answer, None, bound),
    "ok, hooks": ([Hooks(), Hooks()], answer_with_context, None, execute),
    "ok, around": ([passing, Hooks()], answer_with_context, None, execute),
    "error": ([], fail, None, execute),
    "error, hooks": ([Hooks(), passing, Hooks()], fail, None, execute),
    "recovered": ([Recovering()], fail, None, execute),
    "stopped": ([Hooks(), Stopping()], answer, None, execute),
    "failing after": ([Hooks(), Failing()], answer, None, execute),
    "refused by its context": ([Hooks()], answer, CANCELLED, execute),
    "refused as async": ([Hooks()], answer_async, None, execute),
    "awaited": ([Hooks()], answer_async, None, await_it),
    "awaited, around": ([passing_async, Hooks()], answer_async, None, await_it),
    "awaited, error": ([Hooks(), Recovering()], fail_async, None, await_it),
    "awaited, refused": ([Hooks()], answer_async, CANCELLED, await_it),
    "awaited, sync": ([Hooks()], answer, None, await_it),
    "cancelled": ([Hooks(), passing_async], answer_async, None, step_and_throw),
    "collected": ([Hooks(), passing_async], answer_async, None, step_and_drop),
    "never awaited": ([Hooks()], answer_async, None, drop_it),
}


@pytest.mark.alone
@pytest.mark.filterwarnings("ignore:.* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_references_and_objects_are_given_back(outcome: str) -> None:
    middleware, handler, ctx, run = OUTCOMES[outcome]
    bus = CommandBus(middleware=middleware, enable_metrics=True)
    bus.register_handler(Add, handler)
    quick = run in (execute, bound) and outcome.startswith("ok")
    rounds = ROUNDS if quick else ROUNDS // 5

    def many(count: int) -> None:
        for _ in range(count):
            with suppress(CQRSError, ValueError, KeyError, asyncio.CancelledError):
                run(bus, ctx)

    def held() -> list[int]:
        gc.collect()
        things = (handler, Add, bus, Context, ctx, Context.background(), *middleware)
        return [len(gc.get_objects()), *map(sys.getrefcount, things)]

    many(300)
    before = held()
    many(rounds)
    after = held()
    # What earlier tests left may go in the meantime; what matters is what stays.
    assert after[0] <= before[0] + 5
    assert after[1:] == before[1:]
    assert bus.close(0).drained
    assert bus.stats().total.in_flight == 0


def test_messages_and_results_die_with_their_last_user() -> None:
    class Note:
        def __init__(self, fails: bool) -> None:
            self.fails = fails

    class Answer:
        pass

    def handler(ctx: Context, note: Note) -> Answer:
        if note.fails:
            raise ValueError
        return Answer()

    bus = CommandBus(middleware=[Hooks(), passing])
    bus.register_handler(Note, handler)
    for fails in (False, True):
        note = Note(fails)
        message, result = weakref.ref(note), None
        before = sys.getrefcount(note)
        with suppress(ValueError):
            result = weakref.ref(bus.execute(note))
        assert sys.getrefcount(note) == before
        del note
        assert message() is None
        assert result is None or result() is None


# Transient allocation


def peak_of(call: Callable[[Any], Any], message: Any) -> int:
    """Return the most bytes that 200 warm calls held at once."""
    rounds = [None] * 200
    for _ in rounds:
        call(message)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in rounds:
            call(message)
        tracemalloc.reset_peak()
        for _ in rounds:
            call(message)
        current, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    return peak - current


PIPELINES = {
    "bare": (answer, {}),
    "context": (answer_with_context, {}),
    "metrics": (answer, {"enable_metrics": True}),
    "metrics, context": (answer_with_context, {"enable_metrics": True}),
    "hooks": (answer, {"middleware": [Hooks(), Hooks()]}),
    "hooks, metrics, context": (
        answer_with_context,
        {"middleware": [Hooks()] * 3, "enable_metrics": True},
    ),
}


@pytest.mark.alone
@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("way", ["execute", "bind"])
def test_a_warm_sync_dispatch_allocates_nothing(pipeline: str, way: str) -> None:
    handler, options = PIPELINES[pipeline]
    bus = CommandBus(**options)
    bus.register_handler(Add, handler)
    call = bus.execute if way == "execute" else bus.bind(Add)
    assert peak_of(call, Add(1)) == peak_of(answer, Add(1))


# What was resolved for a class must not keep it


@pytest.mark.parametrize("by", ["name", "base"])
def test_classes_that_were_looked_up_can_be_collected(by: str) -> None:
    bus = CommandBus()
    bus.register_handler("Passing" if by == "name" else Command, lambda m: 1)
    bus.register_handler(Add, lambda add: 2)
    seen = []
    for _ in range(50):
        passing_class = type("Passing", (Command,), {})
        assert bus.execute(passing_class()) == 1
        assert bus.execute(passing_class()) == 1
        seen.append(weakref.ref(passing_class))
        del passing_class
        gc.collect()
        assert bus.execute(Add()) == 2
    assert [one() for one in seen] == [None] * 50


def test_a_bound_class_dies_with_its_bound_callable() -> None:
    bus = CommandBus()
    bus.register_handler(Command, lambda m: 1)
    passing_class = type("Passing", (Command,), {})
    bound_call = bus.bind(passing_class)
    assert bound_call(passing_class()) == 1
    dead = weakref.ref(passing_class)
    del passing_class, bound_call
    gc.collect()
    assert dead() is None


class Owner:
    """Holds the bus that holds it."""

    def __init__(self, bus: CommandBus) -> None:
        self.bus = bus

    def handle(self, ctx: Context, add: Add) -> int:
        return 1

    def around(self, ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)


def bus_in_a_cycle(form: str) -> list[weakref.ref[Any]]:
    bus = CommandBus(middleware=[Hooks()], enable_metrics=True)
    owner = Owner(bus)
    if form == "closure":
        bus.register_handler(Add, lambda ctx, add: bus and 1)
    elif form == "object":
        bus.register_handler(Add, owner)
    else:
        bus.register_handler(Add, answer, middleware=[owner.around])
    owner.bound = bus.bind(Add)
    assert owner.bound(Add()) == 1
    return [weakref.ref(bus), weakref.ref(owner)]


@pytest.mark.parametrize("form", ["closure", "object", "around"])
def test_a_bus_in_a_cycle_is_collected(form: str) -> None:
    dead = bus_in_a_cycle(form)
    gc.collect()
    assert [one() for one in dead] == [None, None]


def test_a_subclass_without_its_init_does_not_crash() -> None:
    run_script("""
from cqrs_fast import CommandBus
from support import Add
class Careless(CommandBus):
    def __init__(self):
        pass
for use in (
    repr,
    lambda bus: bus.stats(),
    lambda bus: bus.execute(Add()),
    lambda bus: bus.execute_async(Add()).send(None),
    lambda bus: bus.register_handler(Add, print),
    lambda bus: bus.close(0),
):
    try:
        use(Careless())
    except Exception:
        pass
""")
