"""LoadSheddingMiddleware: what would not be done in time is rejected at once."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from typing import Any, ClassVar

import pytest

from cqrs_fast import (
    AuthenticationMiddleware,
    Command,
    CommandBus,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    LoadSheddingMiddleware,
    LoadSheddingStats,
    OverloadedError,
    Query,
    QueryBus,
    RateLimitExceededError,
    RejectedError,
    TimeoutMiddleware,
)
from cqrs_fast.base.clock import ManualClock

SECOND = 1_000_000_000


class Find(Query[int]):
    pass


class Other(Query[int]):
    pass


class Urgent(Query[int]):
    priority: ClassVar[str] = "critical"


class Idle(Query[int]):
    priority: ClassVar[str] = "low"


class Told(Query[int]):
    priority: str = "critical"


class Named(Query[int]):
    """Registered by its name alone."""

    priority: ClassVar[str] = "critical"


class PlainCommand(Command[int]):
    pass


class World:
    """One way to dispatch, by a manual clock: a sync handler, or its async twin."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.clock = ManualClock(50.0)
        self.took = 0.0
        self.error: BaseException | None = None
        self.runs = 0
        self.build()

    def build(
        self,
        *outside: Any,
        inside: tuple[Any, ...] = (),
        shedding: LoadSheddingMiddleware | None = None,
    ) -> None:
        self.shedding = shedding or LoadSheddingMiddleware(min_samples=1)
        middleware = [*outside, self.shedding, *inside]
        self.bus = QueryBus(
            middleware=middleware, clock=self.clock, enable_metrics=True
        )
        handler = self.handle_async if self.is_async else self.handle
        for message in (Find, Other, Urgent, Idle, Told, "Named"):
            self.bus.register_handler(message, handler)

    def handle(self, message: Any) -> int:
        self.runs += 1
        self.clock.advance(self.took)
        if self.error is not None:
            raise self.error
        return self.runs

    async def handle_async(self, message: Any) -> int:
        await asyncio.sleep(0)
        result = self.handle(message)
        await asyncio.sleep(0)
        return result

    def ask(
        self, left: float | None = None, message: Any = None, ctx: Any = None
    ) -> int:
        """Dispatch with so many seconds left, None for no deadline."""
        message = Find() if message is None else message
        if left is not None:
            ctx = Context.background(clock=self.clock).with_timeout(left)
        if not self.is_async:
            answer: int = self.bus.execute(message, ctx)
            return answer

        async def run() -> int:
            # Not out of the task: asyncio treats some errors in its own way.
            try:
                found: int = await self.bus.execute_async(message, ctx)
            except BaseException as error:
                return error  # type: ignore[return-value]  # raised below
            return found

        found = asyncio.run(run())
        if isinstance(found, BaseException):
            raise found
        return found

    def serve(self, took: float, *, error: BaseException | None = None) -> None:
        """Measure one dispatch without a deadline that takes so long."""
        self.took, self.error = took, error
        if error is None:
            self.ask()
        else:
            with pytest.raises(type(error)):
                self.ask()
        self.took, self.error = 0.0, None

    def rejected(self, left: float, message: Any = None) -> OverloadedError:
        runs = self.runs
        with pytest.raises(OverloadedError) as caught:
            self.ask(left, message)
        assert self.runs == runs
        return caught.value

    def touch(self) -> None:
        """Let one pass now that is not measured."""
        self.serve(0.0, error=RejectedError())

    def measure(self, took: float) -> None:
        """Let one be measured, and another one pass right after it."""
        self.serve(took)
        self.touch()

    @property
    def mean(self) -> float | None:
        return self.shedding.stats().service_time


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


# Who is rejected


def test_less_time_than_it_takes_is_rejected_before_anything_runs(
    world: World,
) -> None:
    world.measure(2.0)
    error = world.rejected(1.75)
    assert (error.middleware, error.name) == ("LoadSheddingMiddleware", "Find")
    assert str(error) == (
        "'Find' was rejected by LoadSheddingMiddleware: there is no room or no time "
        "for it; retry after 1 s"
    )
    assert world.shedding.stats() == LoadSheddingStats(2, 1, 2.0)


@pytest.mark.parametrize(("left_ns", "admits"), [(0, True), (-1, False), (1, True)])
def test_the_time_that_it_takes_is_enough(
    world: World, left_ns: int, admits: bool
) -> None:
    world.measure(2.0)
    left = (2 * SECOND + left_ns) / SECOND
    if admits:
        assert world.ask(left) == 3
    else:
        world.rejected(left)


def test_one_without_a_deadline_always_passes(world: World) -> None:
    world.measure(100.0)
    assert world.ask() == 3
    world.touch()
    assert world.ask(ctx=Context.background().with_cancel()) == 5


def test_nobody_is_rejected_before_enough_are_measured(world: World) -> None:
    world.build(shedding=LoadSheddingMiddleware(min_samples=3))
    world.measure(2.0)
    for _ in range(2):
        assert world.ask(0.5) > 0
    world.rejected(0.5)
    assert LoadSheddingMiddleware().settings() == {"min_samples": 100}


@pytest.mark.parametrize(
    ("timeout", "left", "admits"),
    [(1.0, None, False), (1.0, 9.0, False), (9.0, 1.0, False), (9.0, 9.0, True)],
)
def test_the_nearest_deadline_counts_whoever_has_set_it(
    world: World, timeout: float, left: float | None, admits: bool
) -> None:
    world.measure(1.5)
    world.bus.add_middleware(TimeoutMiddleware(timeout), 0)
    if admits:
        assert world.ask(left) > 0
    else:
        with pytest.raises(OverloadedError):
            world.ask(left)


def test_time_that_was_spent_outside_is_gone_and_no_service_time(
    world: World,
) -> None:
    spent = [0.0]

    def authenticate(ctx: Context, message: Any) -> str:
        world.clock.advance(spent[0])
        return "me"

    world.build(TimeoutMiddleware(3.0), AuthenticationMiddleware(authenticate))
    spent[0] = 0.5
    world.measure(2.0)
    assert world.mean == 2.0
    world.touch()
    spent[0] = 0.75
    assert world.ask() > 0
    spent[0] = 0.99
    world.serve(2.0)
    world.touch()
    spent[0] = 1.25
    # More than a second after the last one: it passes, whatever time it has.
    assert world.ask() > 0
    spent[0] = 0.0
    world.touch()
    world.rejected(1.5)


def test_each_name_and_each_kind_of_bus_has_a_time_of_its_own(world: World) -> None:
    world.measure(2.0)
    for _ in range(3):
        assert world.ask(0.5, Other()) > 0
    world.rejected(0.5)
    commands = CommandBus(middleware=[world.shedding], clock=world.clock)
    commands.register_handler("Find", lambda command: 7)
    ctx = Context.background(clock=world.clock).with_timeout(0.5)
    command = type("Find", (PlainCommand,), {})
    for _ in range(3):
        assert commands.execute(command(), ctx) == 7


def test_the_time_of_a_name_outlives_its_routes(world: World) -> None:
    world.measure(2.0)
    world.bus.register_handler(
        Find, world.handle_async if world.is_async else world.handle, replace=True
    )
    world.rejected(0.5)


# What is critical


@pytest.mark.parametrize("message", [Urgent, Named])
def test_what_is_critical_is_never_rejected(world: World, message: type[Any]) -> None:
    world.took = 2.0
    for _ in range(3):
        world.ask(None, message())
    world.took = 0.0
    for _ in range(5):
        assert world.ask(0.01, message()) > 0
    assert world.shedding.stats().rejected == 0


def test_a_critical_class_has_no_such_stage(world: World) -> None:
    kinds = {
        info.name: [stage.kind for stage in info.stages]
        for info in world.bus.describe()
    }
    assert kinds.pop("Urgent") == ["Metrics"]
    assert set(map(tuple, kinds.values())) == {("Metrics", "LoadSheddingMiddleware")}


@pytest.mark.parametrize("message", [Idle, Told])
def test_another_priority_and_that_of_an_instance_save_nobody(
    world: World, message: type[Any]
) -> None:
    world.took = 2.0
    world.ask(None, message())
    world.took, world.error = 0.0, RejectedError()
    with pytest.raises(RejectedError):
        world.ask(None, message())
    world.error = None
    world.rejected(0.5, message())


# At least one call a second


def test_one_a_second_passes_and_is_told_of_to_the_nanosecond(world: World) -> None:
    world.measure(2.0)
    world.clock.advance(0.25)
    assert world.rejected(1.0).retry_after == 0.75
    world.clock.advance(0.75 - 1e-9)
    assert world.rejected(1.0).retry_after == 1e-9
    world.clock.advance(1e-9)
    runs = world.runs
    assert world.ask(1.0) == runs + 1
    # That was the one of this second.
    assert world.rejected(1.0).retry_after == 1.0


def test_one_slow_minute_does_not_shed_for_ever(world: World) -> None:
    for _ in range(30):
        world.measure(2.0)
    passed = []
    for tenth in range(300):
        world.clock.advance(0.1)
        try:
            world.ask(1.0)
        except OverloadedError:
            pass
        else:
            passed.append(tenth)
    # 2 s * (15/16)**n is less than 1 s after 11 of them: then everybody passes.
    assert passed[:11] == [10 * number + 9 for number in range(11)]
    assert passed[11:] == list(range(110, 300))
    assert world.mean is not None
    assert world.mean < 1e-4


def test_one_that_cannot_even_start_is_not_the_one_of_its_second(world: World) -> None:
    spent = [0.0]

    def authenticate(ctx: Context, message: Any) -> str:
        world.clock.advance(spent[0])
        return "me"

    world.build(AuthenticationMiddleware(authenticate))
    world.measure(2.0)
    world.clock.advance(1.0)
    spent[0] = 0.5
    for _ in range(2):
        assert world.rejected(0.5).retry_after is None
    spent[0] = 0.0
    assert world.ask(0.5) > 0


@pytest.mark.parametrize("error", [ContextCancelledError(), KeyboardInterrupt()])
def test_one_that_is_cancelled_gives_its_second_back(
    world: World, error: BaseException
) -> None:
    world.measure(2.0)
    world.clock.advance(1.0)
    world.error = error
    with pytest.raises(type(error)):
        world.ask(1.0)
    world.error = None
    assert world.ask(1.0) > 0
    assert world.mean == 2.0 - 2.0 / 16
    world.rejected(1.0)


def test_one_that_came_in_before_the_last_that_passed_is_rejected() -> None:
    # Sync: the other one passes in the middle of it, by a nested dispatch.
    world = World(is_async=False)
    nested: list[int] = []

    def authenticate(ctx: Context, message: Any) -> str:
        if not nested:
            nested.append(0)
            world.clock.advance(1.0)
            nested.append(world.ask(1.0))
            world.clock.advance(0.25)
        return "me"

    world.build(AuthenticationMiddleware(authenticate))
    nested.append(0)
    world.measure(2.0)
    nested.clear()
    with pytest.raises(OverloadedError):
        world.ask(1.5)
    assert nested[1] > 0


def test_a_clock_that_goes_back_sheds_nobody_for_ever() -> None:
    now = [100 * SECOND]
    shedding = LoadSheddingMiddleware(min_samples=1)
    bus = QueryBus(middleware=[TimeoutMiddleware(1.0), shedding], clock=lambda: now[0])
    took = [2 * SECOND]

    def handle(query: Find) -> int:
        now[0] += took[0]
        return 1

    bus.register_handler(Find, handle)
    bus.execute(Find())
    took[0] = 0
    bus.execute(Find())
    with pytest.raises(OverloadedError):
        bus.execute(Find())
    now[0] = 0
    assert bus.execute(Find()) == 1
    with pytest.raises(OverloadedError):
        bus.execute(Find())


# What is measured


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_is_a_moving_one_of_a_sixteenth(world: World, seed: int) -> None:
    times = random.Random(seed)
    expected = None
    for _ in range(200):
        took_ns = times.randrange(3 * SECOND)
        world.serve(took_ns / SECOND)
        if expected is None:
            expected = float(took_ns)
        else:
            expected += (took_ns - expected) / 16
        assert world.mean == pytest.approx(expected / SECOND, abs=2e-9)


def test_an_error_is_measured_as_a_result_is(world: World) -> None:
    world.serve(2.0, error=KeyError())
    assert world.mean == 2.0


@pytest.mark.parametrize(
    "error",
    [
        RejectedError(),
        RateLimitExceededError(),
        ContextCancelledError(),
        DeadlineExceededError(stage="queue"),
        DeadlineExceededError(stage="context"),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        GeneratorExit(),
    ],
    ids=repr,
)
def test_what_says_nothing_of_the_work_is_not_measured(
    world: World, error: BaseException
) -> None:
    world.serve(0.125, error=error)
    assert world.mean is None
    world.serve(2.0)
    world.serve(0.125, error=error)
    assert world.mean == 2.0


def test_what_was_interrupted_only_raises_the_mean(world: World) -> None:
    world.build(inside=(TimeoutMiddleware(0.5, on_late="raise"),))
    world.serve(0.25)
    for took, mean in ((0.75, 0.25 + 0.5 / 16), (0.5, 0.25 + 0.5 / 16 + 0.21875 / 16)):
        world.took = took
        with pytest.raises(DeadlineExceededError):
            world.ask()
        assert world.mean == mean
    world.build(inside=(TimeoutMiddleware(0.5, on_late="raise"),))
    for took in (2.0, 1.0):
        world.took = took
        with pytest.raises(DeadlineExceededError):
            world.ask()
        assert world.mean == 2.0


def test_a_dispatch_that_is_dropped_while_it_runs_is_not_measured() -> None:
    clock = ManualClock()
    shedding = LoadSheddingMiddleware(min_samples=1)
    bus = QueryBus(middleware=[shedding], clock=clock)

    async def handle(query: Find) -> int:
        clock.advance(5.0)
        await asyncio.sleep(1)
        return 1

    bus.register_handler(Find, handle)

    async def main() -> None:
        dispatch = bus.execute_async(Find())
        dispatch.send(None)
        dispatch.close()
        task = asyncio.ensure_future(bus.execute_async(Find()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert shedding.stats() == LoadSheddingStats(2, 0, None)


# Settings, statistics, threads


def test_settings_change_in_place_and_times_stay(world: World) -> None:
    world.measure(2.0)
    world.shedding.update(min_samples=2)
    assert world.shedding.settings() == {"min_samples": 2}
    assert world.ask(1.0) > 0
    world.shedding.update(min_samples=1)
    world.touch()
    world.rejected(0.5)
    with pytest.raises(TypeError, match="no setting 'weight'"):
        world.shedding.update(min_samples=9, weight=1)
    with pytest.raises(ValueError, match="min_samples must be from 1"):
        world.shedding.update(min_samples=0)
    assert world.shedding.settings() == {"min_samples": 1}


def test_what_it_tells_of_itself(world: World) -> None:
    world.measure(2.0)
    world.took = 3.0
    world.ask(None, Other())
    world.took = 0.0
    world.touch()
    world.rejected(0.5)
    stats = world.shedding.stats()
    assert stats == world.shedding.snapshot() == LoadSheddingStats(4, 1, 3.0)
    (shown,) = world.bus.stats().middleware
    assert (shown.kind, shown.stats) == ("LoadSheddingMiddleware", stats)
    info = next(info for info in world.bus.describe() if info.name == "Find")
    assert info.stages[-1].kind == "LoadSheddingMiddleware"
    assert info.stages[-1].settings == {"min_samples": 1}
    outcomes = world.bus.stats().messages["Find"].outcomes
    assert outcomes["rejected_other"] == 3  # two of them by the handler


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"min_samples": 0}, ValueError, "min_samples must be from 1 .*, got 0"),
        ({"min_samples": 10**9 + 1}, ValueError, "min_samples must be from 1"),
        ({"min_samples": 1.0}, TypeError, "min_samples must be an int, got 1.0"),
        ({"min_samples": True}, TypeError, "min_samples must be an int, got True"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        LoadSheddingMiddleware(**arguments)


def test_threads_lose_no_count() -> None:
    shedding = LoadSheddingMiddleware(min_samples=10)
    bus = QueryBus(middleware=[TimeoutMiddleware(30.0), shedding])
    bus.register_handler(Find, lambda query: 1)
    threads = [
        threading.Thread(target=lambda: [bus.execute(Find()) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = shedding.stats()
    assert (stats.admitted, stats.rejected) == (2000, 0)
    assert stats.service_time is not None
    assert stats.service_time < 1.0


def test_two_buses_that_share_it_keep_means_of_their_own(world: World) -> None:
    world.measure(2.0)
    slow = world.bus
    world.build(shedding=world.shedding)
    world.touch()
    assert world.ask(0.5) > 0
    world.bus = slow
    world.touch()
    world.rejected(0.5)


def test_what_is_unregistered_is_forgotten(world: World) -> None:
    """Names that come and go do not fill the memory, and counts do not fall."""
    world.measure(2.0)
    admitted = world.shedding.stats().admitted
    assert world.shedding.stats().service_time == 2.0
    world.bus.unregister_handler(Find)
    gc.collect()
    assert world.shedding.stats() == LoadSheddingStats(admitted, 0, None)
