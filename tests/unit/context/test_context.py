"""The context: immutable values, the nearest deadline, cancellation, nesting."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import DRIVERS, Add, Ask, Driver, Trace, drive, run_script, suspend

from cqrs_fast import (
    BusClosedError,
    CommandBus,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    Middleware,
    QueryBus,
)
from cqrs_fast.testing import ManualClock

ROOT = Context.background()
drivers = pytest.mark.parametrize("driver", DRIVERS, ids=lambda one: one.name)


def test_the_root_is_empty() -> None:
    assert Context.background() is ROOT
    assert ROOT.value("key") is None
    assert ROOT.value("key", 3) == 3
    assert ROOT.deadline is ROOT.remaining() is ROOT.error is None
    assert ROOT.principal is ROOT.correlation_id is None
    assert ROOT.done is False
    ROOT.check()
    with pytest.raises(TypeError, match="background"):
        Context()


def test_deriving_leaves_the_parent_as_it_was() -> None:
    first = ROOT.with_value("key", 1)
    second = first.with_value("key", 2).with_value((3,), None)
    assert (first.value("key"), second.value("key")) == (1, 2)
    assert second.value((3,), "default") is None
    assert ROOT.value("key") is None
    other = first.with_principal("ann").with_correlation_id("c-1")
    assert (other.principal, other.correlation_id, other.value("key")) == (
        "ann",
        "c-1",
        1,
    )
    assert first.principal is first.correlation_id is None
    assert other.with_principal(None).principal is None
    for name in ("principal", "deadline", "done", "anything"):
        with pytest.raises(AttributeError):
            setattr(other, name, 1)


def test_values_take_any_key_and_call_its_equality() -> None:
    class Key:
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = None  # type: ignore[assignment]

    key = Key()
    ctx = ROOT.with_value(key, 1)
    assert ctx.value(key) == 1
    with pytest.raises(ZeroDivisionError):
        ctx.value("other")


def test_nested_deadlines_take_the_minimum() -> None:
    soon = ROOT.with_timeout(10)
    assert soon.with_timeout(20).deadline == soon.deadline
    assert soon.with_timeout(5).deadline < soon.deadline
    assert soon.with_deadline(soon.deadline + 1).deadline == soon.deadline
    at = time.monotonic() + 3
    assert soon.with_deadline(at).deadline == pytest.approx(at, abs=1e-6)
    assert ROOT.deadline is None
    derived = soon.with_value("a", 1).with_principal("p").with_cancel()
    assert derived.deadline == soon.deadline


def test_remaining_is_never_negative() -> None:
    assert 9 < ROOT.with_timeout(10).remaining() <= 10
    for past in (0, 1.0, -1, -1e10, -1e11, -1e300, time.monotonic() - 1):
        ctx = ROOT.with_deadline(past)
        assert ctx.remaining() == 0, past
        assert ctx.done, past
    assert ROOT.with_timeout(0).done


def test_years_ahead_is_as_good_as_never() -> None:
    for far in (1e10, 1e12, 1e300, 10**400, 3e11):
        for ctx in (ROOT.with_timeout(far), ROOT.with_deadline(far)):
            assert not ctx.done, far
            assert ctx.remaining() is None or ctx.remaining() > 1e9, far


@pytest.mark.parametrize("wrong", ["1", None, True, math.nan, math.inf, -math.inf, 1j])
def test_what_is_no_number_of_seconds(wrong: Any) -> None:
    for derive in (ROOT.with_timeout, ROOT.with_deadline):
        with pytest.raises((TypeError, ValueError)):
            derive(wrong)
    with pytest.raises(ValueError, match="0 or more"):
        ROOT.with_timeout(-1)


def test_cancel_ends_a_context_and_its_descendants_alone() -> None:
    outer = ROOT.with_cancel()
    inner = outer.with_value("a", 1).with_cancel()
    sibling = outer.with_cancel()
    leaf = inner.with_principal("p").with_timeout(10)
    inner.cancel("enough")
    inner.cancel("too late")
    assert [one.done for one in (outer, sibling, inner, leaf)] == [
        False,
        False,
        True,
        True,
    ]
    assert isinstance(leaf.error, ContextCancelledError)
    assert leaf.error.reason == "enough"
    with pytest.raises(ContextCancelledError, match="enough"):
        leaf.check()
    outer.cancel()
    assert sibling.done
    assert leaf.error.reason == "enough"


def test_only_the_context_of_with_cancel_can_be_cancelled() -> None:
    ctx = ROOT.with_cancel()
    for one in (ROOT, ctx.with_value("a", 1), ctx.with_timeout(1)):
        with pytest.raises(RuntimeError, match="with_cancel"):
            one.cancel()
    assert not ctx.done


def test_a_deadline_that_passed_is_the_error() -> None:
    ctx = ROOT.with_timeout(0)
    assert isinstance(ctx.error, DeadlineExceededError)
    assert ctx.error.stage == "context"
    with pytest.raises(TimeoutError):
        ctx.check()


def test_repr_shows_keys_and_never_values() -> None:
    ctx = ROOT.with_value("token", "hidden-1").with_value("user", "hidden-2")
    ctx = ctx.with_principal("hidden-3").with_correlation_id("hidden-4").with_timeout(5)
    assert "token" in repr(ctx)
    assert "user" in repr(ctx)
    assert "hidden" not in repr(ctx)
    assert "hidden" not in str(ctx.with_cancel())


# In a dispatch


def received(driver: Driver, bus: CommandBus, ctx: Context | None) -> Context:
    bus.register_handler(Add, driver.handler(lambda ctx, add: ctx), replace=True)
    return driver(bus, Add(), ctx)


@drivers
def test_a_dispatch_has_its_own_child(driver: Driver) -> None:
    ctx = ROOT.with_value("key", 1).with_principal("p").with_timeout(60)
    bus = CommandBus()
    child = received(driver, bus, ctx)
    assert child is not ctx
    assert child is not received(driver, bus, ctx)
    assert (child.value("key"), child.principal) == (1, "p")
    assert child.deadline == ctx.deadline
    assert received(driver, bus, None) is not ROOT
    assert received(driver, bus, None).value("key") is None


@drivers
def test_hooks_and_handler_see_the_same_child(driver: Driver) -> None:
    seen: list[Context] = []

    class See(Middleware):
        def before(self, call: Any) -> None:
            seen.append(call.context)

        def after(self, call: Any) -> None:
            seen.append(call.context)

    child = received(driver, CommandBus(middleware=[See(), See()]), ROOT)
    assert len(seen) == 4
    assert all(one is child for one in seen)


@drivers
def test_what_an_around_derives_the_inside_sees(driver: Driver) -> None:
    def body(ctx: Context, message: Any) -> Any:
        return (yield ctx.with_principal("ann"), message)

    log: list[str] = []
    bus = CommandBus(
        middleware=[driver.around(body), driver.factory(body), Trace("A", log)]
    )
    assert received(driver, bus, ROOT).principal == "ann"


@drivers
@pytest.mark.parametrize("how", ["cancelled", "late"])
def test_a_done_context_is_refused_before_the_handler(driver: Driver, how: str) -> None:
    ctx = ROOT.with_cancel() if how == "cancelled" else ROOT.with_timeout(0)
    if how == "cancelled":
        ctx.cancel("why")
    ran: list[Any] = []
    for middleware in ([], [Trace("A", [])]):
        bus = CommandBus(middleware=middleware, enable_metrics=True)
        bus.register_handler(Add, driver.handler(lambda ctx, add: ran.append(add)))
        with pytest.raises((ContextCancelledError, DeadlineExceededError)) as caught:
            driver(bus, Add(), ctx)
        assert type(caught.value) is type(ctx.error)
        assert bus.stats().messages["Add"].count == 1
        assert bus.close(0).drained
    assert ran == []


@drivers
def test_done_by_a_middleware_it_is_refused_before_the_handler(driver: Driver) -> None:
    log: list[str] = []
    ctx = ROOT.with_cancel()

    class Cancel(Trace):
        def before(self, call: Any) -> None:
            super().before(call)
            ctx.cancel()

    bus = CommandBus(middleware=[Cancel("A", log), Trace("B", log)])
    bus.register_handler(Add, driver.handler(lambda ctx, add: log.append("ran")))
    with pytest.raises(ContextCancelledError):
        driver(bus, Add(), ctx)
    assert log == ["A>", "B>", "!B", "!A"]


def test_a_suspended_handler_is_not_interrupted_by_its_context() -> None:
    ctx = ROOT.with_cancel()

    async def handler(ctx: Context, add: Add) -> str:
        await suspend()
        return "finished" if ctx.done else "not done"

    bus = CommandBus()
    bus.register_handler(Add, handler)
    dispatch = bus.execute_async(Add(), ctx)
    next(dispatch)
    ctx.cancel()
    assert drive(dispatch) == "finished"


@drivers
def test_a_context_is_nested_only_while_its_dispatch_is_in_flight(
    driver: Driver,
) -> None:
    kept: list[Context] = []
    queries, commands = QueryBus(), CommandBus()
    queries.register_handler(Ask, lambda m: "nested")

    def handler(ctx: Context, add: Add) -> Any:
        kept.append(ctx)
        queries.close(0)
        derived = ctx.with_value("a", 1).with_timeout(60).with_cancel()
        return [queries.execute(Ask(), one) for one in (ctx, derived)]

    commands.register_handler(Add, driver.handler(handler))
    assert driver(commands, Add(), ROOT.with_principal("p")) == ["nested", "nested"]
    for late in (kept[0], kept[0].with_value("a", 1), ROOT, None):
        with pytest.raises(BusClosedError):
            queries.execute(Ask(), late)


def test_nesting_is_seen_through_dispatches_in_between() -> None:
    bus, closed = CommandBus(), QueryBus()
    closed.register_handler(Ask, lambda m: m.number)
    closed.close(0)

    def handler(ctx: Context, add: Add) -> int:
        if add.number:
            return bus.execute(Add(add.number - 1), ctx.with_value(add.number, 1))
        return closed.execute(Ask(7), ctx)

    bus.register_handler(Add, handler)
    assert bus.execute(Add(5)) == 7


def test_long_chains_of_contexts_die_quietly() -> None:
    run_script("""
from cqrs_fast import CommandBus, Context
from support import Add
for derive in (lambda ctx: ctx.with_value(1, 2), lambda ctx: ctx.with_cancel(),
               lambda ctx: ctx.with_timeout(9)):
    ctx = Context.background()
    for _ in range(300_000):
        ctx = derive(ctx)
    del ctx
bus = CommandBus()
bus.register_handler(Add, lambda ctx, add: ctx)
ctx = None
for _ in range(300_000):
    ctx = bus.execute(Add(), ctx)
del ctx
""")


@pytest.mark.alone
def test_contexts_handed_on_do_not_pile_up() -> None:
    import gc

    bus = CommandBus()
    bus.register_handler(Add, lambda ctx, add: ctx)
    ctx = bus.execute(Add())
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        ctx = bus.execute(Add(), ctx)
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def in_threads(work: Callable[[int], None], count: int = 4) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_one_context_serves_many_threads() -> None:
    shared = ROOT.with_value("shared", 1).with_cancel()
    bus = CommandBus()
    bus.register_handler(Add, lambda ctx, add: ctx.value("own") == add.number)

    def work(number: int) -> None:
        for _ in range(500):
            assert bus.execute(Add(number), shared.with_value("own", number))

    in_threads(work)
    in_threads(lambda number: shared.cancel(number))
    assert shared.error.reason in range(4)


def test_cancelled_from_another_thread() -> None:
    ctx = ROOT.with_cancel()
    thread = threading.Thread(target=ctx.cancel, args=("elsewhere",))
    thread.start()
    thread.join()
    with pytest.raises(ContextCancelledError, match="elsewhere"):
        ctx.check()


def test_tasks_of_one_loop_have_their_own_children() -> None:
    bus = CommandBus()

    async def handler(ctx: Context, add: Add) -> bool:
        mine = ctx.with_value("own", add.number)
        await asyncio.sleep(0)
        return mine.value("own") == add.number and ctx.value("own") is None

    bus.register_handler(Add, handler)

    async def main() -> list[bool]:
        ctx = ROOT.with_correlation_id("c")
        return await asyncio.gather(
            *(bus.execute_async(Add(n), ctx) for n in range(50))
        )

    assert all(asyncio.run(main()))


def test_deadlines_go_by_the_clock_of_the_bus_or_of_the_root() -> None:
    clock = ManualClock()
    bus = CommandBus(clock=clock)

    def handler(ctx: Context, command: Add) -> tuple[float | None, bool]:
        inner = ctx.with_timeout(5)
        clock.advance(10)
        return inner.remaining(), inner.done

    bus.register_handler(Add, handler)
    assert bus.execute(Add(1)) == (0.0, True)
    late = Context.background(clock=clock).with_timeout(5)
    clock.advance(10)
    with pytest.raises(DeadlineExceededError):
        bus.execute(Add(1), late)


# Chains of contexts

CHAIN = """
import asyncio, gc, tracemalloc
from cqrs_fast import CommandBus, TimeoutMiddleware
from support import Add
bus = CommandBus(middleware=[{middleware}])
sizes, tasks, steps = [], set(), {steps}

async def handler(ctx, add):
    if add.number % 10_000 == 5_000:
        sizes.append(tracemalloc.get_traced_memory()[0])
    if add.number == steps:
        done.set_result(None)
        return
    task = asyncio.ensure_future(bus.execute_async(Add(add.number + 1), ctx))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    if {suspends}:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

bus.register_handler(Add, handler)

async def main():
    global done
    done = asyncio.get_running_loop().create_future()
    first = asyncio.ensure_future(bus.execute_async(Add(0)))
    await done
    await first

tracemalloc.start()
asyncio.run(main())
print(sizes[-1] - sizes[0])
"""


@pytest.mark.parametrize("suspends", ["True", "False"])
@pytest.mark.parametrize("middleware", ["", "TimeoutMiddleware(600.0)"])
def test_handlers_that_start_the_next_one_with_their_context_keep_nothing(
    middleware: str, suspends: str
) -> None:
    source = CHAIN.replace("{middleware}", middleware).replace("{steps}", "30_000")
    source = source.replace("{suspends}", suspends)
    assert int(run_script(source)) < 100_000


NESTED = """
from cqrs_fast import CommandBus, TimeoutMiddleware
from support import Add, suspend
bus = CommandBus(middleware=[{middleware}])
last = None

async def handler(ctx, add):
    global last
    last = ctx
    await suspend()

bus.register_handler(Add, handler)
dispatches = []
for number in range(200_000):
    dispatches.append(bus.execute_async(Add(number), last))
    dispatches[-1].send(None)
while dispatches:
    dispatches.pop({end}).close()
bus.close(0)
try:
    bus.execute(Add(), last)
except Exception as error:
    print(type(error).__name__)
last = None
"""


@pytest.mark.parametrize("end", ["-1", "0"], ids=["inner first", "outer first"])
@pytest.mark.parametrize("middleware", ["", "TimeoutMiddleware(600.0)"])
def test_a_chain_of_ended_dispatches_is_released_without_recursion(
    middleware: str, end: str
) -> None:
    source = NESTED.replace("{middleware}", middleware).replace("{end}", end)
    if end == "0":
        source = source.replace("200_000", "20_000")
    assert run_script(source) == "AsyncHandlerError\n"


def test_a_dispatch_in_a_late_child_of_an_ended_one_belongs_to_what_is_in_flight() -> (
    None
):
    bus = CommandBus()
    kept: list[Context] = []

    async def inner(ctx: Context, ask: Ask) -> None:
        kept.append(ctx)

    async def outer(ctx: Context, add: Add) -> bool:
        drive(asks.execute_async(Ask(), ctx))
        bus.close(0)
        # Its own dispatch is over; the one it was made in is not.
        late = kept[0].with_value("key", 1)
        return bool(drive(bus.execute_async("late", late)))

    asks = QueryBus()
    asks.register_handler(Ask, inner)
    bus.register_handler(Add, outer)
    bus.register_handler(str, lambda message: True)
    assert drive(bus.execute_async(Add()))
    with pytest.raises(BusClosedError):
        drive(bus.execute_async("late", kept[0]))
