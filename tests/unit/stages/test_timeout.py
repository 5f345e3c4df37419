"""TimeoutMiddleware: what is interrupted, what is refused, what is late."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import virtual_time
from support import DRIVERS, Add, Driver, Halt, eventually

from cqrs_fast import (
    BulkheadMiddleware,
    CommandBus,
    Context,
    DeadlineExceededError,
    Middleware,
    RetryMiddleware,
    TimeoutMiddleware,
)
from cqrs_fast.base.clock import ManualClock


class Seen(Middleware):
    """Keep the errors that pass, and what the context says inside."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.remaining: list[float | None] = []

    def before(self, call: Any) -> None:
        self.remaining.append(call.context.remaining())

    def on_error(self, call: Any) -> None:
        self.errors.append(call.error)


class Advancing(Middleware):
    """Let time pass on the way in."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def before(self, call: Any) -> None:
        self.clock.advance(2.0)


class LookingBack(Middleware):
    def __init__(self) -> None:
        self.remaining: list[float | None] = []

    def after(self, call: Any) -> None:
        self.remaining.append(call.context.remaining())


def bus_of(
    handler: Callable[..., Any], *middleware: Any, clock: Any = None, **options: Any
) -> CommandBus:
    bus = CommandBus(middleware=middleware, clock=clock, enable_metrics=True, **options)
    bus.register_handler(Add, handler)
    return bus


def outcome(bus: CommandBus, name: str) -> int:
    return bus.stats().messages["Add"].outcomes[name]


# Sync and async alike


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
@pytest.mark.parametrize("own_clock", [False, True], ids=["bus clock", "own clock"])
@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_late_result_is_delivered_and_counted(
    driver: Driver, seconds: float, own_clock: bool
) -> None:
    clock = ManualClock()
    timeout = TimeoutMiddleware(1.0, clock=clock if own_clock else None)

    def work(ctx: Context, command: Add) -> str:
        clock.advance(seconds)
        return "done"

    bus = bus_of(driver.handler(work), timeout, clock=None if own_clock else clock)
    assert driver(bus, Add()) == "done"
    assert timeout.stats().late_completions == (1 if seconds > 1 else 0)
    assert outcome(bus, "ok") == 1


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_late_result_is_an_error_where_asked_for(driver: Driver) -> None:
    clock = ManualClock()
    timeout = TimeoutMiddleware(1.0, on_late="raise")
    work = driver.handler(lambda ctx, command: clock.advance(1.0))
    bus = bus_of(work, timeout, clock=clock)
    with pytest.raises(DeadlineExceededError) as caught:
        driver(bus, Add())
    assert (caught.value.timeout, caught.value.stage) == (1.0, "handler")
    assert outcome(bus, "timeout") == 1
    assert timeout.stats().late_completions == 1


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
@pytest.mark.parametrize("on_late", ["return", "raise"])
def test_late_error_stays_itself(driver: Driver, on_late: Any) -> None:
    clock = ManualClock()
    error = LookupError("mine")

    def work(ctx: Context, command: Add) -> None:
        clock.advance(2.0)
        raise error

    timeout = TimeoutMiddleware(1.0, on_late=on_late)
    bus = bus_of(driver.handler(work), timeout, clock=clock)
    with pytest.raises(LookupError) as caught:
        driver(bus, Add())
    assert caught.value is error
    assert timeout.stats().late_completions == 1


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_base_exception_passes_uncounted(driver: Driver) -> None:
    clock = ManualClock()
    halt = Halt()

    def work(ctx: Context, command: Add) -> None:
        clock.advance(2.0)
        raise halt

    timeout = TimeoutMiddleware(1.0)
    bus = bus_of(driver.handler(work), timeout, clock=clock)
    with pytest.raises(Halt) as caught:
        driver(bus, Add())
    assert caught.value is halt
    assert timeout.stats().late_completions == 0


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
@pytest.mark.parametrize("own_clock", [False, True], ids=["bus clock", "own clock"])
def test_handler_does_not_start_after_the_deadline(
    driver: Driver, own_clock: bool
) -> None:
    clock = ManualClock()
    started: list[bool] = []

    class Slow(Middleware):
        def before(self, call: Any) -> None:
            clock.advance(1.0)

    timeout = TimeoutMiddleware(1.0, clock=clock if own_clock else None)
    work = driver.handler(lambda ctx, command: started.append(True))
    bus = bus_of(work, timeout, Slow(), clock=None if own_clock else clock)
    with pytest.raises(DeadlineExceededError) as caught:
        driver(bus, Add())
    assert (caught.value.timeout, caught.value.stage) == (1.0, "queue")
    assert started == []
    assert timeout.stats().late_completions == 0


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_context_inside_has_the_deadline_and_outside_has_not(driver: Driver) -> None:
    clock = ManualClock()
    outside, inside = LookingBack(), Seen()
    remaining: list[float | None] = []
    work = driver.handler(lambda ctx, command: remaining.append(ctx.remaining()))
    bus = bus_of(work, outside, TimeoutMiddleware(3.0), inside, clock=clock)
    driver(bus, Add())
    assert remaining == inside.remaining == [3.0]
    assert outside.remaining == [None]
    ctx = Context.background(clock=clock).with_timeout(9.0)
    driver(bus, Add(), ctx)
    assert remaining[1:] == [3.0]
    assert outside.remaining[1:] == [9.0]


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
@pytest.mark.parametrize(
    ("outer", "inner", "caller", "nearest"),
    [(3, 5, None, 3), (5, 3, None, 3), (5, 4, 3, 3), (3, 4, 5, 3), (4, 3, 5, 3)],
)
def test_nearest_deadline_counts(
    driver: Driver, outer: float, inner: float, caller: float | None, nearest: float
) -> None:
    clock = ManualClock()
    remaining: list[float | None] = []
    work = driver.handler(lambda ctx, command: remaining.append(ctx.remaining()))
    bus = bus_of(work, TimeoutMiddleware(outer), TimeoutMiddleware(inner), clock=clock)
    ctx = None
    if caller is not None:
        ctx = Context.background(clock=clock).with_timeout(caller)
    driver(bus, Add(), ctx)
    assert remaining == [nearest]


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_nested_dispatch_inherits_the_deadline(driver: Driver) -> None:
    clock = ManualClock()
    seen: list[float | None] = []
    inner = CommandBus(clock=clock)
    inner.register_handler(
        Add, lambda ctx, command: seen.append(ctx.remaining()), with_context=True
    )

    def work(ctx: Context, command: Add) -> None:
        clock.advance(1.0)
        inner.execute(command, ctx)

    bus = bus_of(driver.handler(work), TimeoutMiddleware(3.0), clock=clock)
    driver(bus, Add())
    assert seen == [2.0]


@pytest.mark.parametrize("seconds", [None, 0, 0.0])
def test_no_limit_is_left_out_of_the_route(seconds: Any) -> None:
    bus = bus_of(lambda command: 1, TimeoutMiddleware(seconds))
    assert [stage.kind for stage in bus.describe()[0].stages] == ["Metrics"]


def test_settings_are_described() -> None:
    bus = bus_of(lambda command: 1, TimeoutMiddleware(2.5, on_late="raise"))
    info = bus.describe()[0].stages[1]
    assert info.kind == "TimeoutMiddleware"
    assert info.settings == {"seconds": 2.5, "on_late": "raise"}


def test_a_revised_timeout_is_another_with_the_same_count(revise: Any) -> None:
    clock = ManualClock()
    old = TimeoutMiddleware(2.0, on_late="raise")
    change = revise(old, seconds=1.0)
    bus = bus_of(lambda command: clock.advance(1.5), change.element, clock=clock)
    change.apply()
    change.settle()
    with pytest.raises(DeadlineExceededError):
        bus.execute(Add())
    assert change.stage.settings() == {"seconds": 1.0, "on_late": "raise"}
    assert old.settings() == {"seconds": 2.0, "on_late": "raise"}
    assert old.stats() == change.stage.stats()
    assert old.stats().late_completions == 1
    off = revise(change.stage, seconds=None, on_late="return")
    bus = bus_of(lambda command: 1, off.element)
    assert [info.kind for info in bus.describe()[0].stages] == ["Metrics"]


def test_a_timeout_changes_in_place_for_who_comes_in_then() -> None:
    clock = ManualClock()
    timeout = TimeoutMiddleware(1.0)
    timeout.update(seconds=0)
    timeout.update(seconds=2.0)

    def handle(ctx: Context, command: Add) -> float:
        before = ctx.remaining()
        timeout.update(seconds=1.5, on_late="raise")
        assert ctx.remaining() == before
        return before

    bus = bus_of(handle, timeout, clock=clock)
    assert [bus.execute(Add()) for _ in range(2)] == [2.0, 1.5]
    assert timeout.settings() == {"seconds": 1.5, "on_late": "raise"}


@pytest.mark.parametrize(
    ("seconds", "later", "text"),
    [
        (1.0, 0, "seconds must stay more than 0, got 0: pipelines were built"),
        (1.0, None, "seconds must stay more than 0, got None"),
        (None, 1.0, "seconds must stay 0, got 1.0: pipelines were built"),
        (1.0, 2.0, "seconds must be at most 1.0, got 2.0: breakers of pipelines"),
    ],
)
def test_pipelines_that_were_built_neither_lose_nor_get_a_timeout_nor_a_longer_one(
    seconds: float | None, later: float | None, text: str
) -> None:
    timeout = TimeoutMiddleware(seconds)
    bus_of(lambda command: 1, timeout)
    with pytest.raises(ValueError, match=text):
        timeout.update(seconds=later, on_late="raise")
    assert timeout.settings() == {"seconds": seconds, "on_late": "return"}


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"seconds": -1}, ValueError, "seconds must be"),
        ({"on_late": "drop"}, ValueError, "on_late must be"),
        ({"clock": None}, TypeError, r"update\(\) has no setting 'clock'"),
    ],
)
def test_a_senseless_revised_timeout_is_refused(
    revise: Any, wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        revise(TimeoutMiddleware(1.0), **wrong)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"seconds": "1"}, TypeError, "seconds must be a number .*'1'"),
        ({"seconds": True}, TypeError, "seconds must be a number .*True"),
        ({"seconds": -1.0}, ValueError, "seconds must be from 0 .*-1.0"),
        ({"seconds": float("nan")}, ValueError, "seconds must be .*nan"),
        ({"seconds": float("inf")}, ValueError, "seconds must be .*inf"),
        ({"seconds": 1, "on_late": "drop"}, ValueError, "on_late must be .*'drop'"),
        ({"seconds": 1, "on_late": 1}, TypeError, "on_late must be a string, got 1"),
        ({"seconds": 1, "clock": 7}, TypeError, "clock must be callable .* 7"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        TimeoutMiddleware(**arguments)


# Interrupting an async handler; a manual clock tells when


def cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def ticks(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Sleeper:
    """A handler that waits for ever, and what interrupted it."""

    def __init__(self) -> None:
        self.started = 0
        self.saw: list[BaseException] = []

    async def __call__(self, command: Add) -> None:
        self.started += 1
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.saw.append(error)
            raise


def run_with(
    bus: CommandBus, script: Callable[[asyncio.Task[Any]], Awaitable[Any]]
) -> Any:
    """Dispatch in a task of its own, run `script(task)`, return what became of it."""

    async def main() -> Any:
        async def dispatch() -> Any:
            try:
                return await bus.execute_async(Add())
            finally:
                # As asyncio.timeout does: nothing of our own cancelling is left.
                counts.append(cancellations())

        counts: list[int] = []
        task = asyncio.ensure_future(dispatch())
        await ticks()
        await script(task)
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        return result, counts[0]

    return asyncio.run(main())


def advancing(clock: ManualClock, seconds: float) -> Callable[[Any], Awaitable[None]]:
    async def script(task: Any) -> None:
        clock.advance(seconds)
        await ticks()

    return script


def test_suspended_handler_is_interrupted_at_the_deadline() -> None:
    clock, handler, inside, outside = ManualClock(), Sleeper(), Seen(), Seen()
    bus = bus_of(handler, outside, TimeoutMiddleware(1.0), inside, clock=clock)
    error, left = run_with(bus, advancing(clock, 1.0))
    assert isinstance(error, DeadlineExceededError)
    assert (error.timeout, error.stage) == (1.0, "handler")
    assert [type(one) for one in handler.saw] == [asyncio.CancelledError]
    assert inside.errors == outside.errors == [error]
    assert error.__cause__ is handler.saw[0]
    assert left == 0
    assert outcome(bus, "timeout") == 1
    assert clock.waiting == 0


def test_around_inside_sees_a_cancellation_and_stages_behind_it_a_deadline() -> None:
    clock, handler, inside = ManualClock(), Sleeper(), Seen()
    seen: list[BaseException] = []

    async def around(ctx: Context, command: Add, next: Any) -> Any:
        try:
            return await next(ctx, command)
        except BaseException as error:
            seen.append(error)
            raise

    bus = bus_of(handler, TimeoutMiddleware(1.0), around, inside, clock=clock)
    error, left = run_with(bus, advancing(clock, 1.0))
    assert isinstance(error, DeadlineExceededError)
    assert error.timeout == 1.0
    assert [type(one) for one in seen] == [asyncio.CancelledError]
    assert [type(one) for one in inside.errors] == [DeadlineExceededError]
    assert left == 0


def test_dispatch_inside_the_handler_sees_a_deadline_too() -> None:
    clock, handler, inside = ManualClock(), Sleeper(), Seen()
    inner = bus_of(handler, inside)

    async def work(ctx: Context, command: Add) -> Any:
        return await inner.execute_async(command, ctx)

    bus = bus_of(work, TimeoutMiddleware(1.0), clock=clock)
    error, left = run_with(bus, advancing(clock, 1.0))
    assert isinstance(error, DeadlineExceededError)
    assert [type(one) for one in inside.errors] == [DeadlineExceededError]
    assert outcome(inner, "timeout") == 1
    assert left == 0


def test_recovering_behind_an_around_keeps_its_result() -> None:
    clock, handler = ManualClock(), Sleeper()

    class Recover(Middleware):
        def on_error(self, call: Any) -> None:
            call.result = "recovered"

    async def around(ctx: Context, command: Add, next: Any) -> Any:
        return await next(ctx, command)

    timeout = TimeoutMiddleware(1.0)
    bus = bus_of(handler, timeout, around, Recover(), clock=clock)
    assert run_with(bus, advancing(clock, 1.0)) == ("recovered", 0)
    assert timeout.stats().late_completions == 1


def test_callers_cancellation_is_none_of_the_timeouts() -> None:
    clock, handler, inside = ManualClock(), Sleeper(), Seen()

    async def script(task: asyncio.Task[Any]) -> None:
        task.cancel()

    bus = bus_of(handler, TimeoutMiddleware(1.0), inside, clock=clock)
    error, left = run_with(bus, script)
    assert type(error) is asyncio.CancelledError
    assert [type(one) for one in inside.errors] == [asyncio.CancelledError]
    assert left == 1
    assert outcome(bus, "cancelled") == 1
    assert clock.waiting == 0


@pytest.mark.parametrize("first", ["caller", "timeout"])
@pytest.mark.parametrize("behind", [False, True], ids=["flat", "behind an around"])
def test_caller_who_cancels_in_the_same_tick_wins(first: str, behind: bool) -> None:
    clock, handler = ManualClock(), Sleeper()

    async def around(ctx: Context, command: Add, next: Any) -> Any:
        return await next(ctx, command)

    async def script(task: asyncio.Task[Any]) -> None:
        loop = asyncio.get_running_loop()
        if first == "caller":
            loop.call_soon(task.cancel)
        clock.advance(1.0)
        if first == "timeout":
            loop.call_soon(task.cancel)

    elements = [around] if behind else []
    inside = Seen()
    bus = bus_of(handler, TimeoutMiddleware(1.0), *elements, inside, clock=clock)
    error, left = run_with(bus, script)
    assert type(error) is asyncio.CancelledError
    assert [type(one) for one in inside.errors] == [asyncio.CancelledError]
    assert left == 1


def test_handler_that_suppresses_the_cancellation_keeps_its_value() -> None:
    clock = ManualClock()

    async def stubborn(command: Add) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "kept"

    timeout = TimeoutMiddleware(1.0)
    bus = bus_of(stubborn, timeout, clock=clock)
    assert run_with(bus, advancing(clock, 1.0)) == ("kept", 0)
    assert timeout.stats().late_completions == 1
    assert outcome(bus, "ok") == 1


def test_error_of_the_handlers_cleanup_stays_itself() -> None:
    clock = ManualClock()
    error = LookupError("cleanup")

    async def work(command: Add) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    bus = bus_of(work, TimeoutMiddleware(1.0), clock=clock)
    assert run_with(bus, advancing(clock, 1.0)) == (error, 0)


def told_of_the_deadline(error: BaseException) -> DeadlineExceededError:
    """Return the deadline between an error and the cancellation in its context."""
    context = error.__context__
    while not isinstance(context, DeadlineExceededError):
        assert context is not None
        context = context.__context__
    assert isinstance(context.__context__, asyncio.CancelledError)
    assert context.__cause__ is context.__context__
    return context


def cleanup(error: BaseException) -> None:
    raise error


def handled_before(error: BaseException) -> None:
    try:
        raise KeyError("first")
    except KeyError:
        raise error  # noqa: B904


def grouped(error: BaseException) -> None:
    try:
        raise error
    except OSError as raised:
        raise ExceptionGroup("several", [raised, KeyError()]) from None


@pytest.mark.parametrize("fail", [cleanup, handled_before, grouped])
def test_error_that_answers_the_interruption_tells_of_the_deadline(
    fail: Callable[[BaseException], None],
) -> None:
    clock = ManualClock()

    async def work(command: Add) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            fail(OSError("cleanup"))

    bus = bus_of(work, TimeoutMiddleware(1.0), clock=clock)
    error, left = run_with(bus, advancing(clock, 1.0))
    assert left == 0
    assert isinstance(error, (OSError, ExceptionGroup))
    for one in getattr(error, "exceptions", [error])[:1]:
        deadline = told_of_the_deadline(one)
        assert (deadline.timeout, deadline.stage, deadline.name) == (
            1.0,
            "handler",
            "Add",
        )


def test_error_in_a_circle_of_contexts_is_handed_out_as_it_is() -> None:
    clock = ManualClock()
    error = OSError("cleanup")
    error.__context__ = KeyError()
    error.__context__.__context__ = error

    async def work(command: Add) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise error

    bus = bus_of(work, TimeoutMiddleware(1.0), clock=clock)
    assert run_with(bus, advancing(clock, 1.0)) == (error, 0)


@pytest.mark.parametrize("run_async", [False, True])
@pytest.mark.parametrize("where", ["timeout", "late", "caller", "wait"])
def test_deadline_names_the_message(where: str, run_async: bool) -> None:
    clock = ManualClock(auto_advance=where == "wait")
    stages: list[Any] = []
    ctx = None
    if where == "caller":
        ctx = Context.background(clock=clock).with_timeout(0.0)
    elif where == "late":
        stages = [TimeoutMiddleware(1.0, on_late="raise")]
    elif where == "timeout":
        stages = [TimeoutMiddleware(1.0), Advancing(clock)]
    else:
        slots = BulkheadMiddleware(1, max_queue=1)
        stages = [TimeoutMiddleware(1.0), slots]
        holder = bus_of(Sleeper(), slots).execute_async(Add())
    bus = bus_of(lambda command: clock.advance(2.0), *stages, clock=clock)

    async def main() -> None:
        await bus.execute_async(Add(), ctx)

    if where == "wait":
        suspended = asyncio.new_event_loop()
        suspended.run_until_complete(first_step(holder))
    with pytest.raises(DeadlineExceededError, match=r"^'Add': the deadline ") as caught:
        asyncio.run(main()) if run_async else bus.execute(Add(), ctx)
    assert caught.value.name == "Add"
    if where == "wait":
        holder.close()
        suspended.close()


async def first_step(dispatch: Any) -> None:
    dispatch.send(None)


def test_nearer_of_two_nested_timeouts_interrupts() -> None:
    for outer, inner, expected in ((3.0, 1.0, 1.0), (1.0, 3.0, 1.0)):
        clock, handler = ManualClock(), Sleeper()
        stages = TimeoutMiddleware(outer), TimeoutMiddleware(inner)
        bus = bus_of(handler, *stages, clock=clock)
        error, left = run_with(bus, advancing(clock, 1.0))
        assert isinstance(error, DeadlineExceededError)
        assert error.timeout == expected
        assert left == 0


def test_callers_nearer_deadline_interrupts_under_a_timeout_only() -> None:
    clock = ManualClock()

    async def main(*middleware: Any) -> Any:
        bus = bus_of(Sleeper(), *middleware, clock=clock)
        ctx = Context.background(clock=clock).with_timeout(1.0)
        task = asyncio.ensure_future(bus.execute_async(Add(), ctx))
        await ticks()
        clock.advance(1.0)
        await ticks()
        if not task.done():
            task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    error = asyncio.run(main(TimeoutMiddleware(5.0)))
    assert isinstance(error, DeadlineExceededError)
    assert error.timeout is None
    assert isinstance(asyncio.run(main()), asyncio.CancelledError)


# On the event loop's own timers


def pending(loop: Any) -> list[Any]:
    return [handle for handle in loop._scheduled if not handle.cancelled()]


def test_handler_is_interrupted_in_real_time() -> None:
    handler = Sleeper()
    bus = bus_of(handler, TimeoutMiddleware(0.005))

    async def main() -> None:
        with pytest.raises(DeadlineExceededError):
            await bus.execute_async(Add())
        assert pending(asyncio.get_running_loop()) == []
        assert cancellations() == 0

    asyncio.run(main())
    assert handler.started == 1


@pytest.mark.parametrize("on_loop", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("limited", [False, True], ids=["no limit", "limited"])
@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_deadline_of_one_attempt_ends_no_other(
    on_loop: bool, limited: bool, delay: float
) -> None:
    clock = ManualClock(auto_advance=True)
    remaining: list[float | None] = []

    def fail(ctx: Context, command: Add) -> int:
        # The context was shown the deadline of this attempt, which then passes.
        remaining.append(ctx.remaining())
        clock.advance(1.5)
        raise ConnectionError

    retry = RetryMiddleware(3, delay, jitter="none", retry_commands=True)
    bus = bus_of(fail, retry, TimeoutMiddleware(1), clock=clock)
    caller = Context.background(clock=clock)
    if limited:
        caller = caller.with_timeout(100)

    async def main() -> int:
        return await bus.execute_async(Add(), caller)

    with pytest.raises(ConnectionError):
        _ = asyncio.run(main()) if on_loop else bus.execute(Add(), caller)
    assert remaining == [1.0, 1.0, 1.0]


class FailingClock:
    """Real time, but for the readings that are to fail."""

    def __init__(self) -> None:
        self.readings = 0
        self.fails_at = 0

    def __call__(self) -> int:
        self.readings += 1
        if self.readings == self.fails_at:
            raise OSError("clock")
        return time.monotonic_ns()


@pytest.mark.parametrize("reading", [1, 2, 3, 4])
def test_clock_that_fails_leaves_no_timer_behind(reading: int) -> None:
    clock = FailingClock()
    handler = Sleeper()
    quick = bus_of(suspend_once, TimeoutMiddleware(0.005, clock=clock))
    bus = bus_of(handler, TimeoutMiddleware(0.005, clock=clock))

    async def main() -> None:
        clock.fails_at = reading
        with suppress(OSError):
            await quick.execute_async(Add())
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                await bus.execute_async(Add())
        assert pending(asyncio.get_running_loop()) == []

    asyncio.run(main())
    assert handler.started == 2


async def suspend_once(command: Add) -> None:
    await asyncio.sleep(0)


def test_clock_that_fails_when_a_timer_ends_delays_no_deadline() -> None:
    clock = FailingClock()
    bus = bus_of(Sleeper(), TimeoutMiddleware(0.005, clock=clock))

    async def main() -> None:
        waiting = asyncio.ensure_future(bus.execute_async(Add()))
        await asyncio.sleep(0)
        clock.fails_at = clock.readings + 1
        with pytest.raises(DeadlineExceededError):
            await waiting

    asyncio.run(main())


def test_no_timer_is_set_for_a_handler_that_does_not_suspend() -> None:
    async def ready(command: Add) -> int:
        return 1

    bus = bus_of(ready, TimeoutMiddleware(5.0))

    async def main() -> None:
        assert await bus.execute_async(Add()) == 1
        assert asyncio.get_running_loop()._scheduled == []  # type: ignore[attr-defined]

    asyncio.run(main())


def test_an_event_loop_is_collected_in_spite_of_a_timer_that_was_left() -> None:
    async def brief(command: Add) -> None:
        await asyncio.sleep(0)

    bus = bus_of(brief, TimeoutMiddleware(60.0))
    loops: list[weakref.ref[Any]] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        for _ in range(100):
            await bus.execute_async(Add())

    for _ in range(3):
        asyncio.run(main())
    asyncio.run(bus.execute_async(Add()))  # of another loop, which is used last now
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_many_pending_handlers_share_one_timer_of_the_loop() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def wait(command: Add) -> int:
            await gate.wait()
            return 1

        bus = bus_of(wait, TimeoutMiddleware(5.0))
        loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(bus.execute_async(Add())) for _ in range(1000)]
        await ticks()
        assert len(pending(loop)) == 1
        gate.set()
        assert await asyncio.gather(*tasks) == [1] * 1000
        assert pending(loop) == []

    asyncio.run(main())


def test_deadlines_pass_in_their_order_whatever_the_order_of_the_calls() -> None:
    ended: list[float] = []

    async def main() -> None:
        async def call(seconds: float) -> None:
            bus = bus_of(Sleeper(), TimeoutMiddleware(seconds))
            with pytest.raises(DeadlineExceededError):
                await bus.execute_async(Add())
            ended.append(seconds)

        await asyncio.gather(*map(call, (0.012, 0.002, 0.022, 0.007, 0.017)))
        assert pending(asyncio.get_running_loop()) == []

    asyncio.run(main())
    assert ended == sorted(ended)


@pytest.mark.parametrize("seed", range(5))
def test_random_deadlines_pass_in_their_order(seed: int) -> None:
    chosen = random.Random(seed)
    ended: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        doors: dict[int, asyncio.Event] = {}

        async def wait(command: Add) -> int:
            doors[command.number] = asyncio.Event()
            await doors[command.number].wait()
            return command.number

        async def call(number: int, seconds: float) -> None:
            bus = bus_of(wait, TimeoutMiddleware(seconds), clock=virtual_time.clock)
            try:
                await bus.execute_async(Add(number))
            except DeadlineExceededError:
                ended.append(seconds)

        seconds = [chosen.randrange(1_000) / 10 + 1.0 for _ in range(500)]
        calls = [asyncio.ensure_future(call(*one)) for one in enumerate(seconds)]
        await ticks()
        for number in chosen.sample(range(500), 300):
            doors[number].set()
            if chosen.random() < 0.1:
                await asyncio.sleep(0.1)
        await asyncio.gather(*calls)
        assert pending(loop) == []

    virtual_time.run_virtual(main)
    assert len(ended) >= 150
    assert ended == sorted(ended)


@pytest.mark.alone
def test_a_deadline_costs_the_same_beside_many_later_ones() -> None:
    async def brief(command: Add) -> None:
        await asyncio.sleep(0)

    async def main() -> tuple[float, float]:
        long = bus_of(Sleeper(), TimeoutMiddleware(600.0))
        short = bus_of(brief, TimeoutMiddleware(1.0))

        async def fastest() -> float:
            best = 1e9
            for _ in range(30):
                began = time.perf_counter()
                for _ in range(20):
                    await short.execute_async(Add())
                best = min(best, time.perf_counter() - began)
            return best

        alone = await fastest()
        calls = (long.execute_async(Add()) for _ in range(20_000))
        tasks = [asyncio.ensure_future(call) for call in calls]
        await ticks()
        beside = await fastest()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return alone, beside

    # A list that is walked would make it hundreds of times as much.
    alone, beside = asyncio.run(main())
    assert beside < 3 * alone


class Uncancellable(asyncio.Task[Any]):
    """A task class of a user whose cancel() fails, once for each of its errors."""

    errors: list[BaseException] = []  # noqa: RUF012

    def cancel(self, msg: Any = None) -> bool:
        if self.errors:
            raise self.errors.pop()
        return super().cancel(msg)


@pytest.mark.parametrize("error", [OSError(), KeyboardInterrupt()], ids=repr)
def test_a_task_that_cannot_be_cancelled_costs_no_other_its_deadline(
    error: BaseException,
) -> None:
    handler = Sleeper()
    bus = bus_of(handler, TimeoutMiddleware(0.005))
    loop = asyncio.new_event_loop()
    loop.set_task_factory(lambda loop, coro, **given: Uncancellable(coro, loop=loop))
    tasks = [loop.create_task(bus.execute_async(Add())) for _ in range(10)]

    async def nine_ended() -> None:
        while sum(task.done() for task in tasks) < 9:
            await asyncio.sleep(0.001)

    Uncancellable.errors = [error]
    waiting = loop.create_task(nine_ended())
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(waiting)
    loop.run_until_complete(asyncio.wait_for(waiting, 5.0))
    for task in tasks:
        task.cancel()
    outcomes = loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    types = sorted(type(one).__name__ for one in outcomes)
    assert types == ["CancelledError"] + ["DeadlineExceededError"] * 9
    assert bus.close(0).drained


def test_where_handlers_suspend_at_a_high_rate_one_timer_at_most_is_left() -> None:
    async def brief(command: Add) -> int:
        await asyncio.sleep(0)
        return 1

    bus = bus_of(brief, TimeoutMiddleware(60.0))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(500):
            await bus.execute_async(Add())
        (left,) = pending(loop)
        assert left.when() - loop.time() <= 1.0

    asyncio.run(main())


def test_collected_dispatch_leaves_no_timer() -> None:
    clock = ManualClock()
    bus = bus_of(Sleeper(), TimeoutMiddleware(1.0), clock=clock)

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        dispatch = bus.execute_async(Add())
        dispatch.send(None)  # suspended, and never stepped again
        assert clock.waiting == 1
        del dispatch
        gc.collect()
        assert clock.waiting == 0
        clock.advance(2.0)
        await ticks()
        assert task.cancelling() == 0

    asyncio.run(main())


def test_one_object_serves_event_loops_in_several_threads() -> None:
    bus = bus_of(Sleeper(), TimeoutMiddleware(0.005))
    raised: list[type[BaseException]] = []

    async def main() -> None:
        for _ in range(5):
            try:
                await bus.execute_async(Add())
            except DeadlineExceededError as error:
                raised.append(type(error))

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert raised == [DeadlineExceededError] * 20
    assert bus.stats().total.in_flight == 0


def test_manual_clock_of_another_thread_interrupts() -> None:
    clock, handler = ManualClock(), Sleeper()
    bus = bus_of(handler, TimeoutMiddleware(1.0), clock=clock)
    raised: list[BaseException] = []

    async def main() -> None:
        try:
            await bus.execute_async(Add())
        except DeadlineExceededError as error:
            raised.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    eventually(lambda: clock.waiting == 1)
    clock.advance(1.0)
    thread.join(10)
    assert len(raised) == 1
