"""CircuitBreakerMiddleware: each handler's own breaker, under both drivers."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from support import DRIVERS, TRANSPARENT, Add, Ask, Driver, drive, suspend

from cqrs_fast import (
    CircuitBreakerMiddleware,
    CircuitEvent,
    CircuitOpenError,
    Command,
    CommandBus,
    Context,
    HandlerNotFoundError,
    QueryBus,
    RateLimitExceededError,
    TimeoutMiddleware,
)
from cqrs_fast.base.clock import ManualClock

TIMEOUT = 10.0


class Other(Command[int]):
    pass


class World:
    """A bus with a breaker, and a handler that fails while it is told to."""

    def __init__(self, driver: Driver, *outside: Any, **settings: Any) -> None:
        self.driver = driver
        self.clock = ManualClock()
        self.events: list[CircuitEvent] = []
        settings.setdefault("failure_threshold", 2)
        settings.setdefault("on_event", self.events.append)
        self.breaker = CircuitBreakerMiddleware(timeout=TIMEOUT, **settings)
        self.bus = CommandBus(middleware=[*outside, self.breaker], clock=self.clock)
        self.error: BaseException | None = None
        self.calls = 0
        self.inside: Any = None

        def handle(ctx: Context, message: Any) -> int:
            self.calls += 1
            if self.inside is not None:
                self.inside()
            if self.error is not None:
                raise self.error
            return 1

        self.bus.register_handler(Add, driver.handler(handle))
        self.bus.register_handler(Other, driver.handler(handle))

    def dispatch(self, message: Any = None) -> Any:
        return self.driver(self.bus, Add() if message is None else message)

    def fail(self, times: int = 1, error: BaseException | None = None) -> None:
        self.error = error or OSError()
        for _ in range(times):
            with pytest.raises(type(self.error)):
                self.dispatch()
        self.error = None

    def refused(self) -> CircuitOpenError:
        before = self.calls
        with pytest.raises(CircuitOpenError) as caught:
            self.dispatch()
        assert self.calls == before
        return caught.value

    def half_open(self) -> None:
        self.fail(2)
        self.clock.advance(TIMEOUT)

    @property
    def path(self) -> list[str]:
        return [event.after for event in self.events]


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Driver:
    found: Driver = request.param
    return found


def test_it_opens_refuses_probes_and_closes(driver: Driver) -> None:
    world = World(driver)
    world.fail()
    assert world.breaker.get_state("Add") == "closed"
    world.fail()
    assert world.breaker.get_state("Add") == "open"
    world.clock.advance(2.5)
    error = world.refused()
    assert error.retry_after == 7.5
    assert (error.middleware, error.name) == ("CircuitBreakerMiddleware", "Add")
    assert (error.state, error.failures) == ("open", 2)
    world.clock.advance(7.5)
    assert world.breaker.get_state("Add") == "half-open"
    assert world.events[-1].after == "open"  # looking took no probe
    assert world.dispatch() == 1
    assert world.breaker.get_state("Add") == "closed"
    assert world.path == ["open", "half-open", "closed"]
    assert {event.name for event in world.events} == {"Add"}


def test_failed_probe_opens_it_again(driver: Driver) -> None:
    world = World(driver)
    world.half_open()
    world.fail()
    assert world.refused().retry_after == TIMEOUT
    assert world.path == ["open", "half-open", "open"]


def test_success_ends_the_streak(driver: Driver) -> None:
    world = World(driver)
    for _ in range(3):
        world.fail()
        world.dispatch()
    assert world.breaker.get_state() == "closed"
    assert world.events == []


def test_each_handler_has_its_own(driver: Driver) -> None:
    world = World(driver)
    world.fail(2)
    assert world.dispatch(Other()) == 1
    assert world.breaker.get_state("Other") == "closed"
    assert world.breaker.get_state() == "open"
    assert world.breaker.snapshot("Add").opened == 1
    assert world.breaker.snapshot("Other").opened == 0
    world.breaker.reset()
    assert world.dispatch() == 1


def test_one_for_the_bus(driver: Driver) -> None:
    world = World(driver, per="bus")
    world.fail(2)
    with pytest.raises(CircuitOpenError) as caught:
        world.dispatch(Other())
    assert caught.value.name == "Other"
    assert world.breaker.get_state("Other") == "open"
    assert world.breaker.snapshot().opened == 1
    assert world.events[0].name is None


@pytest.mark.parametrize("error", [RateLimitExceededError, *TRANSPARENT])
def test_probe_that_tells_nothing_is_given_back(
    driver: Driver, error: type[BaseException]
) -> None:
    world = World(driver)
    world.half_open()
    world.fail(3, error())
    assert world.breaker.snapshot("Add").probes == 0
    assert world.breaker.get_state("Add") == "half-open"
    assert world.dispatch() == 1
    assert world.path == ["open", "half-open", "closed"]


def test_reset_during_a_probe_lets_it_count_nothing(driver: Driver) -> None:
    world = World(driver)
    world.half_open()
    world.inside = world.breaker.reset
    world.fail()
    assert world.breaker.get_state("Add") == "closed"
    snapshot = world.breaker.snapshot("Add")
    assert (snapshot.late_results, snapshot.failures) == (1, 0)
    assert world.path == ["open", "half-open", "closed"]


def test_late_result_changes_nothing(driver: Driver) -> None:
    """What was admitted before the circuit opened no longer counts."""
    world = World(driver)

    def inside() -> None:
        world.inside = None
        world.fail(2)

    world.inside = inside
    assert world.dispatch() == 1
    assert world.breaker.get_state("Add") == "open"
    assert world.breaker.snapshot("Add").late_results == 1
    assert world.path == ["open"]


def test_hung_probe_costs_one_caller_a_cycle(driver: Driver) -> None:
    world = World(driver, probe_timeout=4)
    world.half_open()
    states = []

    def inside() -> None:
        states.append(world.refused().retry_after)
        world.clock.advance(4)
        states.append(world.refused().retry_after)
        world.clock.advance(TIMEOUT)
        world.inside = None
        assert world.dispatch() == 1

    world.inside = inside
    assert world.dispatch() == 1
    assert states == [None, TIMEOUT]
    assert world.path == ["open", "half-open", "open", "half-open", "closed"]
    assert world.breaker.snapshot("Add").late_results == 1


def test_forced_states(driver: Driver) -> None:
    world = World(driver)
    world.breaker.force_open("Add")
    error = world.refused()
    assert (error.state, error.retry_after) == ("forced-open", None)
    assert world.dispatch(Other()) == 1
    world.clock.advance(1000)
    assert world.breaker.get_state() == "forced-open"
    world.breaker.disable("Add")
    world.fail(5)
    assert world.breaker.get_state("Add") == "disabled"
    world.breaker.reset("Add")
    assert world.breaker.get_state() == "closed"
    assert world.path == ["forced-open", "disabled", "closed"]


def test_lower_threshold_applies_from_the_next_failure(driver: Driver) -> None:
    world = World(driver, failure_threshold=10)
    world.fail(3)
    world.breaker.update(failure_threshold=3)
    assert world.breaker.get_state("Add") == "closed"
    world.fail()
    assert world.breaker.get_state("Add") == "open"


def test_callback_may_use_every_method(driver: Driver) -> None:
    told = []

    def listener(event: CircuitEvent) -> None:
        told.append(event.after)
        if len(told) > 1:
            return
        world.breaker.snapshot("Add")
        world.breaker.get_state()
        world.breaker.update(failure_threshold=3)
        world.breaker.force_open("Add")
        world.breaker.disable("Add")
        world.breaker.reset("Add")
        assert world.dispatch() == 1
        world.bus.describe()

    world = World(driver, on_event=listener)

    def inside() -> None:
        world.error = None if world.breaker.snapshot().opened else OSError()

    world.inside = inside
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011
            world.dispatch()
    assert told == ["open", "forced-open", "disabled", "closed"]


def test_state_survives_changes_of_the_pipeline(driver: Driver) -> None:
    world = World(driver)
    world.fail(2)
    world.bus.remove_middleware(world.breaker)
    assert world.dispatch() == 1
    world.bus.add_middleware(world.breaker)
    assert world.refused().retry_after == TIMEOUT


def test_a_retry_outside_enters_anew_each_time() -> None:
    world = World(DRIVERS[0])

    def again(ctx: Context, message: Any, next: Any) -> Any:
        for _ in range(5):
            try:
                return next(ctx, message)
            except OSError:
                pass
        raise AssertionError

    world.bus.add_middleware(again, index=0)
    world.error = OSError()
    with pytest.raises(CircuitOpenError):
        world.dispatch()
    assert world.calls == 2


@pytest.mark.parametrize("late", [False, True])
def test_lease_is_no_shorter_than_the_timeout_of_an_attempt(late: bool) -> None:
    clock = ManualClock()
    breaker = CircuitBreakerMiddleware(1, 1.0)
    attempt = TimeoutMiddleware(5.0)
    bus = CommandBus(middleware=[breaker] if late else [breaker, attempt], clock=clock)
    takes = [0.0]

    def handle(command: Add) -> int:
        clock.advance(takes[0])
        if takes[0] == 0.0:
            raise ConnectionError
        return 1

    bus.register_handler(Add, handle)
    if late:
        bus.add_middleware(attempt)
    with pytest.raises(ConnectionError):
        bus.execute(Add())
    clock.advance(1.0)
    takes[0] = 4.9
    assert bus.execute(Add()) == 1
    assert breaker.get_state("Add") == "closed"
    assert breaker.snapshot().late_results == 0
    [route] = bus.describe()
    assert route.stages[0].settings["probe_timeout"] == 5.0


def test_lease_that_is_given_is_kept() -> None:
    breaker = CircuitBreakerMiddleware(1, 1.0, probe_timeout=2.0)
    bus = CommandBus(middleware=[breaker, TimeoutMiddleware(5.0)])
    bus.register_handler(Add, lambda command: 1)
    [route] = bus.describe()
    assert route.stages[0].settings["probe_timeout"] == 2.0


def test_queries_and_commands_of_one_name_are_apart() -> None:
    breaker = CircuitBreakerMiddleware(1)
    commands, queries = CommandBus(middleware=[breaker]), QueryBus(middleware=[breaker])

    def fail(message: Any) -> None:
        raise OSError

    commands.register_handler("Same", fail)
    queries.register_handler("Same", lambda message: 1)
    queries.register_handler(Ask, lambda message: 1)

    class SameCommand:
        def command_name(self) -> str:
            return "Same"

    class SameQuery:
        def query_name(self) -> str:
            return "Same"

    with pytest.raises(OSError):  # noqa: PT011
        commands.execute(SameCommand())
    assert queries.execute(SameQuery()) == 1
    assert breaker.get_state("Same") == "open"
    assert breaker.get_state("Ask") == "closed"


def test_unknown_name_makes_no_state() -> None:
    breaker = CircuitBreakerMiddleware()
    assert breaker.get_state() == "closed"
    bus = CommandBus(middleware=[breaker])
    bus.register_handler(Add, lambda message: 1)
    with pytest.raises(HandlerNotFoundError):
        bus.execute(Other())
    for method in ("get_state", "snapshot", "reset", "force_open", "disable"):
        with pytest.raises(HandlerNotFoundError, match="Did you mean 'Add'"):
            getattr(breaker, method)("Ad")
        with pytest.raises(TypeError, match="name must be a registered name"):
            getattr(breaker, method)(Add)


async def hung(message: Any) -> Any:
    return await suspend()


def hanging() -> tuple[CommandBus, CircuitBreakerMiddleware, ManualClock]:
    """Return a half-open breaker whose handler hangs."""
    clock = ManualClock()
    breaker = CircuitBreakerMiddleware(1, TIMEOUT)
    bus = CommandBus(middleware=[breaker], clock=clock)
    bus.register_handler(Add, hung)
    dispatch = bus.execute_async(Add())
    dispatch.send(None)
    with pytest.raises(OSError):  # noqa: PT011
        dispatch.throw(OSError())
    clock.advance(TIMEOUT)
    return bus, breaker, clock


@pytest.mark.parametrize("end", ["close", "collect", "cancel"])
def test_probe_that_is_abandoned_gives_its_place_back(end: str) -> None:
    bus, breaker, _ = hanging()
    dispatch: Any = bus.execute_async(Add())
    dispatch.send(None)
    assert breaker.snapshot("Add").probes == 1
    if end == "close":
        dispatch.close()
    elif end == "cancel":
        with pytest.raises(asyncio.CancelledError):
            dispatch.throw(asyncio.CancelledError())
    else:
        del dispatch
        gc.collect()
    assert breaker.snapshot("Add").probes == 0
    assert breaker.get_state("Add") == "half-open"


def test_dispatch_that_never_ran_takes_no_probe() -> None:
    bus, breaker, _ = hanging()
    bus.execute_async(Add()).close()
    assert breaker.snapshot("Add").probes == 0


def test_one_of_sixteen_tasks_is_the_probe() -> None:
    clock = ManualClock()
    breaker = CircuitBreakerMiddleware(1, TIMEOUT)
    bus = CommandBus(middleware=[breaker], clock=clock)
    fails = [True]
    calls = []

    async def handle(message: Add) -> int:
        calls.append(1)
        await asyncio.sleep(0)
        if fails[0]:
            raise OSError
        return 1

    bus.register_handler(Add, handle)

    async def main() -> list[Any]:
        with pytest.raises(OSError):  # noqa: PT011
            await bus.execute_async(Add())
        fails[0] = False
        clock.advance(TIMEOUT)
        calls.clear()
        dispatches = [bus.execute_async(Add()) for _ in range(16)]
        return await asyncio.gather(*dispatches, return_exceptions=True)

    results = asyncio.run(main())
    assert len(calls) == 1
    assert results.count(1) == 1
    assert sum(isinstance(one, CircuitOpenError) for one in results) == 15


def test_one_of_sixteen_threads_is_the_probe() -> None:
    world = World(DRIVERS[0])
    world.half_open()
    together = threading.Barrier(16)
    done = threading.Event()
    world.calls = 0
    world.inside = lambda: done.wait(20)
    refused = []

    def caller() -> None:
        together.wait(20)
        try:
            world.dispatch()
        except CircuitOpenError as error:
            refused.append(error)
            if len(refused) == 15:
                done.set()

    threads = [threading.Thread(target=caller) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (world.calls, len(refused)) == (1, 15)
    assert world.breaker.get_state() == "closed"


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    breaker = CircuitBreakerMiddleware(3, 7.0, failure_on=OSError, per="bus")
    bus = CommandBus(middleware=[breaker])
    bus.register_handler(Add, lambda message: 1)
    (info,) = bus.describe()[0].stages
    assert info.kind == "CircuitBreakerMiddleware"
    assert info.settings == breaker.settings()
    assert info.settings["failure_threshold"] == 3
    assert info.settings["timeout"] == info.settings["probe_timeout"] == 7.0
    assert info.settings["failure_on"] == ["OSError"]
    assert info.settings["per"] == "bus"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"per": "principal"}, ValueError, "per must be .* got 'principal': .* caller"),
        ({"per": "user"}, ValueError, "per must be 'handler' or 'bus', got 'user'"),
        ({"per": None}, TypeError, "per must be a string, got None"),
        ({"failure_threshold": 0}, ValueError, "failure_threshold must be .* got 0"),
        ({"timeout": -1}, ValueError, "timeout must be more than 0 .* got -1"),
        ({"seed": True}, TypeError, "seed must be an int, got True"),
        ({"window": 5}, TypeError, "window"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        CircuitBreakerMiddleware(**arguments)


@pytest.mark.parametrize("name", ["seed", "clock", "nothing"])
def test_what_cannot_be_updated_is_refused_and_nothing_is_changed(name: str) -> None:
    breaker = CircuitBreakerMiddleware()
    before = breaker.settings()
    with pytest.raises(TypeError, match=f"has no setting '{name}'"):
        breaker.update(failure_threshold=1, **{name: 1})
    with pytest.raises(ValueError, match="timeout must be"):
        breaker.update(failure_threshold=1, timeout=0)
    assert breaker.settings() == before


def test_the_extent_of_breakers_changes_in_no_pipeline_that_was_built() -> None:
    breaker = CircuitBreakerMiddleware()
    breaker.update(per="bus")
    bus = CommandBus(middleware=[breaker])
    bus.register_handler(Add, lambda message: 1)
    with pytest.raises(ValueError, match="per must stay 'bus', got 'handler'"):
        breaker.update(failure_threshold=1, per="handler")
    assert breaker.settings()["failure_threshold"] == 5
    breaker.update(failure_threshold=1, per="bus")
    assert breaker.settings()["failure_threshold"] == 1


# Other settings for a bus that is built anew: see Stage.revise


def rebuilt(world: World, *middleware: Any) -> CommandBus:
    bus = CommandBus(middleware=middleware, clock=world.clock)
    bus.register_handler(Add, lambda command: 1)
    return bus


def test_revised_settings_wait_for_apply_and_keep_every_state(
    revise: Any, driver: Driver
) -> None:
    world = World(driver)
    world.fail(2)
    change = revise(world.breaker, failure_threshold=1, timeout=20.0)
    new = rebuilt(world, change.element)
    shown = world.breaker.settings()
    assert change.stage is world.breaker
    assert (shown["failure_threshold"], shown["timeout"]) == (2, TIMEOUT)
    assert world.breaker.get_state("Add") == "open"
    change.apply()
    change.settle()
    assert world.breaker.settings() == shown | {
        "failure_threshold": 1,
        "timeout": 20.0,
        "probe_timeout": 20.0,
    }
    with pytest.raises(CircuitOpenError):
        new.execute(Add())
    world.clock.advance(TIMEOUT)
    assert new.execute(Add()) == 1
    assert world.breaker.get_state("Add") == "closed"
    world.fail()
    assert world.refused().retry_after == 20.0
    assert world.breaker.snapshot("Add").opened == 2


def test_a_name_that_comes_with_revised_settings_has_them_once_they_apply(
    revise: Any,
) -> None:
    def broken(command: Add) -> int:
        raise OSError("gone")

    breaker = CircuitBreakerMiddleware(2)
    change = revise(breaker, failure_threshold=1)
    bus = CommandBus(middleware=[change.element])
    bus.register_handler(Add, broken)
    change.apply()
    with pytest.raises(OSError, match="gone"):
        bus.execute(Add())
    assert breaker.get_state("Add") == "open"


def test_revised_leases_follow_the_timeouts_of_the_routes_built_with_them(
    revise: Any,
) -> None:
    world = World(DRIVERS[0])
    rebuilt(world, world.breaker, TimeoutMiddleware(60.0))

    def lease() -> Any:
        (route,) = bus.describe()
        return route.stages[0].settings["probe_timeout"]

    change = revise(world.breaker, failure_threshold=3)
    bus = rebuilt(world, change.element, TimeoutMiddleware(15.0))
    assert lease() == 60.0
    change.apply()
    assert lease() == 15.0


def test_breakers_of_another_extent_begin_anew(revise: Any, driver: Driver) -> None:
    world = World(driver)
    world.fail(2)
    change = revise(world.breaker, per="bus")
    new = rebuilt(world, change.element)
    new.register_handler(Other, lambda command: 1)
    assert world.breaker.get_state() == "open"
    change.apply()
    assert world.breaker.get_state() == "closed"
    assert world.breaker.settings()["per"] == "bus"
    assert new.execute(Add()) == 1
    world.breaker.force_open("Other")
    with pytest.raises(CircuitOpenError):
        new.execute(Add())


def test_settings_that_go_run_no_code_until_the_change_is_dropped(revise: Any) -> None:
    class Judge:
        def __call__(self, result: Any, error: Any) -> bool:
            return error is not None

        def __del__(self) -> None:
            gone.append(1)

    gone: list[int] = []
    breaker = CircuitBreakerMiddleware(is_failure=Judge())
    bus = CommandBus(middleware=[breaker])
    bus.register_handler(Add, lambda command: 1)
    change = revise(breaker, is_failure=None)
    change.apply()
    change.settle()
    assert not gone
    del change
    assert gone


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"per": "principal"}, ValueError, "per must be"),
        ({"seed": 1}, TypeError, "has no setting 'seed'"),
        ({"colour": 1}, TypeError, "has no setting 'colour'"),
        ({"timeout": 0}, ValueError, "timeout must be"),
    ],
)
def test_senseless_revised_settings_are_refused(
    revise: Any, wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    breaker = CircuitBreakerMiddleware()
    before = breaker.settings()
    with pytest.raises(error, match=text):
        revise(breaker, failure_threshold=1, **wrong)
    assert breaker.settings() == before


def test_awaitables_stepped_by_hand_go_through() -> None:
    world = World(DRIVERS[3])
    assert drive(world.bus.execute_async(Add())) == 1


@pytest.mark.parametrize("method", ["force_open", "disable"])
def test_what_is_forced_on_all_holds_for_those_registered_later(method: str) -> None:
    breaker = CircuitBreakerMiddleware()
    getattr(breaker, method)()
    bus = CommandBus(middleware=[breaker])
    bus.register_handler("Later", lambda command: 1)
    expected = {"force_open": "forced-open", "disable": "disabled"}[method]
    assert breaker.get_state("Later") == breaker.get_state() == expected
    breaker.reset()
    bus.register_handler("Last", lambda command: 1)
    assert breaker.get_state() == "closed"
