"""FallbackMiddleware: a result in place of an error."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from support import DRIVERS, TRANSPARENT, Add, Driver, Trace, drive

from cqrs_fast import (
    Command,
    CommandBus,
    Context,
    FallbackMiddleware,
    Middleware,
    TimeoutMiddleware,
)
from cqrs_fast.base.clock import ManualClock


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Driver:
    chosen: Driver = request.param
    return chosen


def dispatch(
    driver: Driver, *middleware: Any, error: BaseException | None = None
) -> Any:
    def handler(ctx: Context, message: Add) -> Any:
        if error is not None:
            raise error
        return "result"

    bus = CommandBus(middleware=middleware)
    bus.register_handler(Add, driver.handler(handler))
    return driver(bus, Add(3))


def test_its_result_takes_the_place_of_the_error(driver: Driver) -> None:
    seen: list[Any] = []
    error = OSError()

    def fallback(*told: Any) -> str:
        seen.extend(told)
        return "instead"

    log: list[str] = []
    outer = Trace("outer", log)
    assert dispatch(driver, outer, FallbackMiddleware(fallback), error=error) == (
        "instead"
    )
    context, message, given = seen
    assert isinstance(context, Context)
    assert message == Add(3)
    assert given is error
    assert log == ["outer>", "<outer"]


LATE: list[Any] = []


def late_bus(clock: ManualClock, *middleware: Any, seconds: float = 2.0) -> CommandBus:
    LATE.clear()
    bus = CommandBus(middleware=middleware, clock=clock)

    def late(ctx: Context, message: Add) -> None:
        clock.advance(seconds)
        raise OSError("late")

    bus.register_handler(Add, late)
    return bus


def noted(ctx: Context, message: Add, error: Exception) -> str:
    LATE.append(error)
    return "instead"


@pytest.mark.parametrize("run_async", [False, True])
@pytest.mark.parametrize("on_late", ["return", "raise"])
def test_it_does_not_start_after_the_deadline_of_a_timeout_outside(
    on_late: Any, run_async: bool
) -> None:
    clock = ManualClock()
    timeout = TimeoutMiddleware(1.0, on_late=on_late)
    bus = late_bus(clock, timeout, FallbackMiddleware(noted))
    with pytest.raises(OSError, match="late"):
        drive(bus.execute_async(Add())) if run_async else bus.execute(Add())
    assert LATE == []
    assert timeout.stats().late_completions == 1


@pytest.mark.parametrize("run_async", [False, True])
def test_it_does_not_start_after_the_callers_deadline(run_async: bool) -> None:
    clock = ManualClock()
    bus = late_bus(clock, FallbackMiddleware(noted))
    ctx = Context.background(clock=clock).with_timeout(1.0)
    with pytest.raises(OSError, match="late"):
        drive(bus.execute_async(Add(), ctx)) if run_async else bus.execute(Add(), ctx)
    assert LATE == []


@pytest.mark.parametrize("run_async", [False, True])
def test_it_answers_for_a_timeout_that_lies_inside_of_it(run_async: bool) -> None:
    clock = ManualClock()
    bus = late_bus(clock, FallbackMiddleware(noted), TimeoutMiddleware(1.0))
    result = drive(bus.execute_async(Add())) if run_async else bus.execute(Add())
    assert result == "instead"
    assert [type(error) for error in LATE] == [OSError]


@pytest.mark.parametrize("run_async", [False, True])
def test_it_answers_before_the_deadline(run_async: bool) -> None:
    clock = ManualClock()
    timeout = TimeoutMiddleware(1.0)
    bus = late_bus(clock, timeout, FallbackMiddleware(noted), seconds=0.5)
    result = drive(bus.execute_async(Add())) if run_async else bus.execute(Add())
    assert result == "instead"


def test_none_is_a_result(driver: Driver) -> None:
    stage = FallbackMiddleware(lambda *told: None)
    assert dispatch(driver, stage, error=OSError()) is None


def test_a_success_is_left_alone(driver: Driver) -> None:
    stage = FallbackMiddleware(lambda *told: pytest.fail("called"))
    assert dispatch(driver, stage) == "result"


@pytest.mark.parametrize(
    ("on", "error", "answered"),
    [
        (OSError, ConnectionError(), True),
        (OSError, ValueError(), False),
        ((OSError, ValueError), ValueError(), True),
        ((), OSError(), False),
    ],
)
def test_only_the_named_classes_are_answered(
    driver: Driver, on: Any, error: Exception, answered: bool
) -> None:
    stage = FallbackMiddleware(lambda *told: "instead", on)
    if answered:
        assert dispatch(driver, stage, error=error) == "instead"
    else:
        with pytest.raises(type(error)) as caught:
            dispatch(driver, stage, error=error)
        assert caught.value is error


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_what_is_no_exception_passes(driver: Driver, kind: type[BaseException]) -> None:
    error = kind()
    stage = FallbackMiddleware(lambda *told: pytest.fail("called"))
    with pytest.raises(kind) as caught:
        dispatch(driver, stage, error=error)
    assert caught.value is error


@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt])
def test_what_it_raises_is_chained_to_the_error(
    driver: Driver, kind: type[BaseException]
) -> None:
    error, raised = OSError(), kind()

    def fallback(*told: Any) -> None:
        raise raised

    with pytest.raises(kind) as caught:
        dispatch(driver, FallbackMiddleware(fallback), error=error)
    assert caught.value is raised
    assert raised.__context__ is error


def test_it_may_raise_the_error_again(driver: Driver) -> None:
    error = OSError("mine")

    def fallback(ctx: Context, message: Add, given: Exception) -> None:
        raise given

    with pytest.raises(OSError, match="mine") as caught:
        dispatch(driver, FallbackMiddleware(fallback), error=error)
    assert caught.value is error
    assert error.__context__ is None


def test_an_awaitable_fails_the_dispatch(driver: Driver) -> None:
    async def later() -> None: ...

    with pytest.raises(TypeError, match="fallback returned an awaitable") as caught:
        dispatch(driver, FallbackMiddleware(lambda *told: later()), error=OSError())
    assert isinstance(caught.value.__context__, OSError)


def test_it_answers_for_the_middleware_inside_it(driver: Driver) -> None:
    class Refuse(Middleware):
        def before(self, call: Any) -> None:
            raise PermissionError

    stage = FallbackMiddleware(lambda *told: "instead", PermissionError)
    assert dispatch(driver, stage, Refuse()) == "instead"
    with pytest.raises(PermissionError):
        dispatch(driver, Refuse(), stage)


def test_it_may_dispatch(driver: Driver) -> None:
    class Other(Command[int]):
        pass

    other = CommandBus()
    other.register_handler(Other, lambda message: 7)
    stage = FallbackMiddleware(lambda ctx, message, error: other.execute(Other(), ctx))
    assert dispatch(driver, stage, error=OSError()) == 7


def plain(ctx: Context, message: Any, error: Exception) -> None: ...


async def not_plain(ctx: Context, message: Any, error: Exception) -> None: ...


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    bus = CommandBus(middleware=[FallbackMiddleware(plain, (OSError, ValueError))])
    bus.register_handler(Add, lambda message: None)
    (info,) = bus.describe()[0].stages
    assert info.kind == "FallbackMiddleware"
    assert info.settings == {
        "fallback": f"{__name__}.plain",
        "on": ["OSError", "ValueError"],
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((7,), "fallback must be callable, got 7"),
        ((not_plain,), "fallback must be no async function"),
        ((functools.partial(not_plain),), "fallback must be no async function"),
        ((plain, "OSError"), "on must be an Exception class .*'OSError'"),
        ((plain, BaseException), "on must be an Exception class"),
        ((plain, (OSError, KeyboardInterrupt)), "on must be an Exception class"),
        ((plain, OSError()), "on must be an Exception class"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        FallbackMiddleware(*arguments)
