"""Generator middleware, sync: one table for both drivers, then what is awkward."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from support import DRIVERS, Add, Ask, Driver, Halt, drive, suspend

from cqrs_fast import (
    CommandBus,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    Middleware,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    ResultTypeError,
    RetryMiddleware,
    Stop,
    TimeoutMiddleware,
    middleware,
)
from cqrs_fast.base.clock import ManualClock

drivers = pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
Script = Callable[[list[Any]], Callable[..., Any]]


class Oops(Exception):
    """What handlers of these tests fail with."""


def leaves_the_outcome(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        log.append("in")
        result = yield
        log.append(result)

    return generator


def replaces_the_result(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        return (yield) * 10

    return generator


def leaves_errors(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        finally:
            log.append("left")

    return generator


def recovers(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except Oops as error:
            log.append(type(error).__name__)
            return 70

    return generator


def recovers_with_none(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except Oops:
            log.append("caught")

    return generator


def replaces_the_error(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except Oops as error:
            raise LookupError("other") from error

    return generator


def catches_everything(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except BaseException as error:
            log.append(type(error).__name__)
            return 1

    return generator


def stops(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        if message.number >= 0:
            return 5
        yield

    return generator


def stops_with_none(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        if message.number >= 0:
            return Stop(None)
        yield

    return generator


def forgets_a_branch(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        if message.number < 0:
            yield

    return generator


def fails_on_the_way_in(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        raise Oops("in")
        yield

    return generator


def fails_on_the_way_out(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        yield
        raise Oops("out")

    return generator


def yields_twice(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
            yield
        finally:
            log.append("closed")

    return generator


def yields_twice_after_an_error(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        try:
            yield
        except Oops:
            yield
        finally:
            log.append("closed")

    return generator


def yields_a_number(log: list[Any]) -> Any:
    def generator(ctx: Any, message: Any) -> Any:
        try:
            yield 3
        finally:
            log.append("closed")

    return generator


def raises(error: BaseException) -> Callable[..., Any]:
    def handler(ctx: Any, message: Any) -> Any:
        raise error

    return handler


def answers(ctx: Any, message: Any) -> Any:
    return message.number


# script, handler, outcome (a value, or an exception's class and text), what was logged
CASES: list[tuple[Script, Callable[..., Any], Any, list[Any]]] = [
    (leaves_the_outcome, answers, 4, ["in", 4]),
    (leaves_the_outcome, lambda ctx, message: None, None, ["in", None]),
    (replaces_the_result, answers, 40, []),
    (leaves_errors, answers, 4, ["left"]),
    (leaves_errors, raises(Oops("no")), (Oops, "no"), ["left"]),
    (leaves_errors, raises(Halt("no")), (Halt, "no"), ["left"]),
    (recovers, raises(Oops()), 70, ["Oops"]),
    (recovers, raises(KeyError("k")), (KeyError, "k"), []),
    (recovers_with_none, raises(Oops()), None, ["caught"]),
    (replaces_the_error, raises(Oops()), (LookupError, "other"), []),
    (catches_everything, raises(Oops()), 1, ["Oops"]),
    (catches_everything, raises(Halt("h")), (Halt, "h"), ["Halt"]),
    (
        catches_everything,
        raises(KeyboardInterrupt("k")),
        (KeyboardInterrupt, "k"),
        ["KeyboardInterrupt"],
    ),
    (stops, raises(Halt("not run")), 5, []),
    (stops_with_none, raises(Halt("not run")), None, []),
    (
        forgets_a_branch,
        raises(Halt("not run")),
        (RuntimeError, r"forgets_a_branch.*ended without its yield.*return value"),
        [],
    ),
    (fails_on_the_way_in, raises(Halt("not run")), (Oops, "in"), []),
    (fails_on_the_way_out, answers, (Oops, "out"), []),
    (
        yields_twice,
        answers,
        (RuntimeError, "yields_twice.*once more.*once"),
        ["closed"],
    ),
    (
        yields_twice_after_an_error,
        raises(Oops()),
        (RuntimeError, "yielded once more"),
        ["closed"],
    ),
    (
        yields_a_number,
        raises(Halt("not run")),
        (TypeError, "yields_a_number.*yielded a int.*yield ctx"),
        ["closed"],
    ),
]


def checked(call: Callable[[], Any], expected: Any) -> None:
    if not isinstance(expected, tuple):
        assert call() == expected
        return
    kind, text = expected
    with pytest.raises(kind, match=text) as raised:
        call()
    assert type(raised.value) is kind


@drivers
@pytest.mark.parametrize(
    ("script", "handler", "expected", "logged"),
    CASES,
    ids=[f"{case[0].__name__}-{index}" for index, case in enumerate(CASES)],
)
def test_a_generator_is_the_way_in_and_out(
    driver: Driver, script: Script, handler: Any, expected: Any, logged: list[Any]
) -> None:
    log: list[Any] = []
    seen: list[str] = []

    class Outside(Middleware):
        def after(self, call: Any) -> None:
            seen.append("result")

        def on_error(self, call: Any) -> None:
            seen.append(type(call.error).__name__)

    bus = CommandBus(middleware=[Outside(), middleware(script(log))])
    bus.register_handler(Add, driver.handler(handler))
    for _ in range(2):
        log.clear()
        seen.clear()
        checked(lambda: driver(bus, Add(4)), expected)
        assert log == logged
        kind = expected[0].__name__ if isinstance(expected, tuple) else "result"
        assert seen == [kind]


@drivers
def test_an_error_passes_as_the_same_object_with_its_own_traceback(
    driver: Driver,
) -> None:
    def lines(error: BaseException) -> list[str]:
        found, traceback = [], error.__traceback__
        while traceback is not None:
            found.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        return found

    oops = Oops()
    bus = CommandBus(middleware=[leaves_errors([])])
    bus.register_handler(Add, driver.handler(raises(oops)))
    with pytest.raises(Oops) as raised:
        driver(bus, Add())
    assert raised.value is oops
    assert oops.__context__ is None
    assert "generator" not in lines(oops)


def test_stop_iteration_of_a_handler_passes_as_it_is() -> None:
    stop = StopIteration(3)
    bus = CommandBus(middleware=[leaves_errors([])])
    bus.register_handler(Add, lambda add: raises(stop)(None, add))
    with pytest.raises(StopIteration) as raised:
        bus.execute(Add())
    assert raised.value is stop


@drivers
def test_an_error_raised_in_place_of_another_has_it_as_its_context(
    driver: Driver,
) -> None:
    oops = Oops()
    bus = CommandBus(middleware=[replaces_the_error([])])
    bus.register_handler(Add, driver.handler(raises(oops)))
    with pytest.raises(LookupError) as raised:
        driver(bus, Add())
    assert raised.value.__cause__ is oops


@drivers
def test_generators_nest_among_other_middleware(driver: Driver) -> None:
    log: list[str] = []

    def named(name: str) -> Any:
        @middleware
        def generator(ctx: Any, message: Any) -> Any:
            log.append(f"{name}>")
            try:
                yield
            except BaseException as error:
                log.append(f"!{name}")
                raise error
            log.append(f"<{name}")

        return generator

    def body(ctx: Any, message: Any) -> Any:
        log.append("A>")
        result = yield (ctx, message)
        log.append("<A")
        return result

    bus = CommandBus(middleware=[named("G"), driver.around(body), named("H")])
    bus.register_handler(Add, driver.handler(answers), middleware=[named("I")])
    assert driver(bus, Add(4)) == 4
    assert " ".join(log) == "G> A> H> I> <I <H <A <G"


def test_what_a_generator_returns_may_be_no_promise() -> None:
    async def later() -> int:
        return 1

    @middleware
    def replaces(ctx: Any, message: Any) -> Any:
        yield
        return later()

    bus = CommandBus(middleware=[replaces])
    bus.register_handler(Add, lambda add: 1)
    text = "is an awaitable, a coroutine, expected .* the middleware .*replaces gave it"
    for call in (lambda: bus.execute(Add()), lambda: drive(bus.execute_async(Add()))):
        with pytest.raises(ResultTypeError, match=text):
            call()


# Contexts


@drivers
def test_the_inside_gets_the_context_that_is_yielded(driver: Driver) -> None:
    seen: dict[str, Any] = {}

    class Outside(Middleware):
        def after(self, call: Any) -> None:
            seen["outside"] = call.context.principal

    @middleware
    def authenticated(ctx: Any, message: Any) -> Any:
        yield ctx.with_principal("ann").with_value("key", "value")

    def handler(ctx: Context, message: Any) -> Any:
        seen["inside"] = ctx.principal
        return ctx.value("key")

    bus = CommandBus(middleware=[Outside(), authenticated])
    bus.register_handler(Add, driver.handler(handler))
    ctx = Context.background().with_principal("bob")
    assert driver(bus, Add(), ctx) == "value"
    assert seen == {"inside": "ann", "outside": "bob"}


@drivers
@pytest.mark.parametrize("foreign", [False, True])
def test_a_nested_dispatch_with_that_context_is_nested(
    driver: Driver, foreign: bool
) -> None:
    inner = CommandBus()
    inner.register_handler(Add, lambda ctx, add: ctx.value("key"))

    @middleware
    def giving(ctx: Any, message: Any) -> Any:
        base = Context.background() if foreign else ctx
        yield base.with_value("key", "given")

    def handler(ctx: Context, message: Any) -> Any:
        # A bus that drains takes nested dispatches alone.
        inner.close(0.0)
        return inner.execute(Add(), ctx)

    bus = CommandBus(middleware=[giving])
    bus.register_handler(Add, driver.handler(handler))
    assert driver(bus, Add()) == "given"


@drivers
def test_the_deadline_of_that_context_holds_for_the_inside_alone(
    driver: Driver,
) -> None:
    log: list[Any] = []

    class Outside(Middleware):
        def on_error(self, call: Any) -> None:
            log.append(call.context.remaining())

    @middleware
    def over(ctx: Any, message: Any) -> Any:
        try:
            yield ctx.with_timeout(0)
        except DeadlineExceededError:
            log.append("refused")
            raise

    bus = CommandBus(middleware=[Outside(), over])
    bus.register_handler(Add, driver.handler(answers))
    with pytest.raises(DeadlineExceededError):
        driver(bus, Add())
    assert log == ["refused", None]


@drivers
def test_a_cancelled_context_ends_the_inside_before_it_begins(driver: Driver) -> None:
    @middleware
    def cancelling(ctx: Any, message: Any) -> Any:
        inside = ctx.with_cancel()
        inside.cancel("because")
        yield inside

    bus = CommandBus(middleware=[cancelling])
    bus.register_handler(Add, driver.handler(raises(Halt("not run"))))
    with pytest.raises(ContextCancelledError, match="because"):
        driver(bus, Add())


@drivers
@pytest.mark.parametrize("foreign", [False, True])
def test_no_context_extends_the_deadline_outside_of_it(
    driver: Driver, foreign: bool
) -> None:
    @middleware
    def giving(ctx: Any, message: Any) -> Any:
        base = Context.background() if foreign else ctx
        yield base.with_timeout(1000.0)

    def handler(ctx: Context, message: Any) -> Any:
        return ctx.remaining()

    bus = CommandBus(middleware=[TimeoutMiddleware(5.0), giving])
    bus.register_handler(Add, driver.handler(handler))
    assert 4.0 < driver(bus, Add()) <= 5.0


def test_a_timeout_around_and_one_inside_keep_their_own_deadlines() -> None:
    seen: list[float] = []

    class Looking(Middleware):
        def after(self, call: Any) -> None:
            seen.append(call.context.remaining())

    @middleware
    def giving(ctx: Any, message: Any) -> Any:
        yield ctx.with_value("a", 1)

    bus = CommandBus(
        middleware=[TimeoutMiddleware(500.0), Looking(), giving, TimeoutMiddleware(5.0)]
    )

    async def handler(ctx: Context, message: Any) -> Any:
        await asyncio.sleep(0)
        seen.append(ctx.remaining() or 0.0)

    bus.register_handler(Add, handler)
    asyncio.run(bus.execute_async(Add()))
    assert seen[0] <= 5.0 < 400.0 < seen[1] <= 500.0


def test_the_deadline_of_a_yielded_context_bounds_a_wait_inside() -> None:
    clock = ManualClock()

    @middleware
    def giving(ctx: Any, message: Any) -> Any:
        yield ctx.with_timeout(5.0)

    limiter = RateLimitingMiddleware(1, 1000.0, max_wait=5000.0)
    bus = CommandBus(middleware=[giving, limiter], clock=clock)
    bus.register_handler(Add, lambda add: 1)
    assert bus.execute(Add()) == 1
    # It does not wait for what would come after the deadline.
    with pytest.raises(RateLimitExceededError):
        bus.execute(Add())


# Ends from outside


def held(log: list[Any]) -> CommandBus:
    @middleware
    def generator(ctx: Any, message: Any) -> Any:
        log.append("in")
        try:
            yield
        except BaseException as error:
            log.append(type(error).__name__)
            raise
        finally:
            log.append("left")

    bus = CommandBus(middleware=[generator])

    async def handler(add: Add) -> None:
        await suspend()

    bus.register_handler(Add, handler)
    return bus


@pytest.mark.parametrize("end", ["close", "throw", "drop"])
def test_what_was_entered_is_left_whatever_ends_the_dispatch(end: str) -> None:
    log: list[Any] = []
    bus = held(log)
    dispatch = bus.execute_async(Add())
    dispatch.send(None)
    if end == "close":
        dispatch.close()
    elif end == "throw":
        with pytest.raises(asyncio.CancelledError):
            dispatch.throw(asyncio.CancelledError())
    del dispatch
    gc.collect()
    expected = "CancelledError" if end == "throw" else "GeneratorExit"
    assert log == ["in", expected, "left"]
    assert bus.stats().total.in_flight == 0


def test_a_dispatch_in_a_cycle_is_collected_with_its_generator() -> None:
    log: list[Any] = []

    class Holder:
        dispatch: Any = None

    @middleware
    def generator(ctx: Any, message: Any) -> Any:
        kept = message.holder
        try:
            yield
        finally:
            log.append(kept is not None)

    class Hold:
        def __init__(self, holder: Any) -> None:
            self.holder = holder

        @classmethod
        def command_name(cls) -> str:
            return "Hold"

    bus = CommandBus(middleware=[generator])

    async def handler(hold: Any) -> None:
        await suspend()

    bus.register_handler(Hold, handler)
    holder = Holder()
    seen = weakref.ref(holder)
    holder.dispatch = bus.execute_async(Hold(holder))
    holder.dispatch.send(None)
    del holder
    gc.collect()
    assert seen() is None
    assert log == [True]


def test_each_attempt_has_a_generator_of_its_own() -> None:
    log: list[Any] = []
    made: list[int] = []

    @middleware
    def inside(ctx: Any, message: Any) -> Any:
        made.append(len(made))
        number = made[-1]
        try:
            yield ctx.with_value("attempt", number)
        except Oops:
            log.append(f"!{number}")
            raise
        log.append(f"<{number}")

    @middleware
    def outside(ctx: Any, message: Any) -> Any:
        result = yield
        log.append(("outside", result))

    def handler(ctx: Context, message: Any) -> Any:
        if ctx.value("attempt") < 2:
            raise Oops
        return ctx.value("attempt")

    retry = RetryMiddleware(3, 0.0, jitter="none")
    bus = QueryBus(middleware=[outside, retry, inside])
    bus.register_handler(Ask, handler)
    assert bus.execute(Ask()) == 2
    assert log == ["!0", "!1", "<2", ("outside", 2)]


# Re-entrancy, threads, references


@drivers
def test_a_generator_may_dispatch_and_change_the_bus(driver: Driver) -> None:
    log: list[Any] = []
    bus = CommandBus()

    @middleware
    def reentrant(ctx: Any, message: Any) -> Any:
        log.append(message.number)
        if message.number:
            log.append(driver(bus, Add(message.number - 1), ctx))
        yield
        if message.number == 2:
            bus.remove_middleware(reentrant)

    bus.add_middleware(reentrant)
    bus.register_handler(Add, driver.handler(answers))
    assert driver(bus, Add(2)) == 2
    assert log == [2, 1, 0, 0, 1]
    assert driver(bus, Add(2)) == 2
    assert log == [2, 1, 0, 0, 1]


def test_many_threads_share_one_generator_middleware() -> None:
    outcomes: list[list[int]] = []

    @middleware
    def generator(ctx: Any, message: Any) -> Any:
        result = yield ctx.with_value("n", message.number)
        return (message.number, result)

    bus = CommandBus(middleware=[generator])
    bus.register_handler(Add, lambda ctx, add: ctx.value("n"))

    def run(base: int) -> None:
        found = [bus.execute(Add(base + n)) == (base + n,) * 2 for n in range(500)]
        outcomes.append([found.count(True)])

    threads = [threading.Thread(target=run, args=(1000 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [[500]] * 6


@pytest.mark.parametrize(
    "script", [case[0] for case in CASES], ids=lambda s: s.__name__
)
@pytest.mark.parametrize("fails", [False, True])
def test_no_dispatch_leaves_an_object_behind(script: Script, fails: bool) -> None:
    bus = CommandBus(middleware=[script([])])

    def handler(add: Add) -> int:
        if fails:
            raise Oops
        return 4

    bus.register_handler(Add, handler)

    def run() -> None:
        for _ in range(50):
            for call in (bus.execute, lambda add: drive(bus.execute_async(add))):
                with suppress(Exception):
                    call(Add(4))

    log = bus.middleware[0].__closure__
    run()
    gc.collect()
    for cell in log or ():
        cell.cell_contents.clear()
    before = len(gc.get_objects())
    run()
    gc.collect()
    for cell in log or ():
        cell.cell_contents.clear()
    assert len(gc.get_objects()) <= before + 2


# What is one, and what is none


class Callable_:
    def __call__(self, ctx: Any, message: Any) -> Generator[Any, Any, Any]:
        return (yield) + 1

    def method(self, ctx: Any, message: Any) -> Generator[Any, Any, Any]:
        return (yield) + 1


def with_more(more: int, ctx: Any, message: Any) -> Generator[Any, Any, Any]:
    return (yield) + more


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize(
    "form",
    [Callable_(), Callable_().method, partial(with_more, 1)],
    ids=["object", "method", "partial"],
)
def test_every_callable_that_is_a_generator_function_is_one(
    form: Any, marked: bool
) -> None:
    bus = CommandBus(middleware=[middleware(form) if marked else form])
    bus.register_handler(Add, lambda add: 4)
    assert bus.execute(Add()) == 5
    (stage,) = bus.describe()[0].stages
    assert stage.kind == "generator"
    assert "test_generators" in stage.settings["function"]
    assert not bus.describe()[0].is_async


def test_a_generator_of_another_kind_serves_too() -> None:
    class Counting(Generator[Any, Any, Any]):
        def __init__(self, made: Generator[Any, Any, Any]) -> None:
            self.made = made

        def send(self, value: Any) -> Any:
            return self.made.send(value)

        def throw(self, *raised: Any) -> Any:
            return self.made.throw(*raised)

    def plain(ctx: Any, message: Any) -> Any:
        return (yield) + 1

    def wrapping(ctx: Any, message: Any) -> Any:
        return Counting(plain(ctx, message))

    from cqrs_fast.pipeline.generators import GeneratorStage

    bus = CommandBus(middleware=[GeneratorStage(wrapping)])
    bus.register_handler(Add, lambda add: 4)
    assert bus.execute(Add()) == 5
    bus.register_handler(Add, raises(Oops("no")), replace=True)
    with pytest.raises(Oops, match="no"):
        bus.execute(Add())


def test_a_stage_of_a_function_that_returns_no_generator_says_so() -> None:
    from cqrs_fast.pipeline.generators import GeneratorStage

    bus = CommandBus(middleware=[GeneratorStage(answers)])
    bus.register_handler(Add, lambda add: 4)
    with pytest.raises(TypeError, match=r"answers returned 7, no generator"):
        bus.execute(Add(7))


@pytest.mark.parametrize("parameters", ["next", "ctx, message, next", "", "a, b, c, d"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_generator_function_of_other_parameters_is_refused(
    kind: str, parameters: str
) -> None:
    names: dict[str, Any] = {}
    exec(f"{kind} wrong({parameters}):\n    yield", names)
    text = r"wrong is an? (async )?generator function: .*\(ctx, message\) and no next"
    for attempt in (
        lambda: middleware(names["wrong"]),
        lambda: CommandBus(middleware=[names["wrong"]]),
    ):
        with pytest.raises(TypeError, match=text):
            attempt()


@pytest.mark.parametrize("option", ["blocking", "returns_awaitable"])
def test_a_generator_needs_no_declaration(option: str) -> None:
    with pytest.raises(
        TypeError, match=rf"{option}=True is for an around or a factory"
    ):
        middleware(**{option: True})(with_more_of_none)


def with_more_of_none(ctx: Any, message: Any) -> Generator[Any, Any, Any]:
    yield


def test_stop_shows_its_answer() -> None:
    assert repr(Stop(3)) == "Stop(3)"
    assert Stop().value is None


def test_a_context_manager_is_left_with_the_error_of_a_failed_handler() -> None:
    log: list[str] = []

    @contextmanager
    def transaction() -> Any:
        log.append("begin")
        try:
            yield
        except BaseException:
            log.append("rollback")
            raise
        log.append("commit")

    @middleware
    def in_transaction(ctx: Any, message: Any) -> Any:
        with transaction():
            yield

    bus = CommandBus(middleware=[in_transaction])

    @bus.handler
    async def add(add: Add) -> int:
        await asyncio.sleep(0)
        log.append("handler")
        if add.number < 0:
            raise Oops
        return add.number

    assert asyncio.run(bus.execute_async(Add(3))) == 3
    with pytest.raises(Oops):
        asyncio.run(bus.execute_async(Add(-1)))
    assert " ".join(log) == "begin handler commit begin handler rollback"
