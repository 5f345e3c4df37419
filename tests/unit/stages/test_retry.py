"""RetryMiddleware: which dispatches run again, until when, and what ends that."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from support import TRANSPARENT, Add, Ask, Trace, eventually

from cqrs_fast import (
    BusClosedError,
    CircuitOpenError,
    Command,
    CommandBus,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    Middleware,
    QueryBus,
    RejectedError,
    RetryMiddleware,
    TimeoutMiddleware,
    ValidationError,
)
from cqrs_fast.base.clock import ManualClock
from cqrs_fast.stages.retry import quiet_retry


class Pay(Command[int]):
    idempotent: ClassVar[bool] = True


class Keyed(Command[int]):
    idempotency_key: str | None = None


class World:
    """One way to dispatch through a bus: execute, or execute_async on a loop."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.clock = ManualClock(auto_advance=True)
        self.calls = 0

    def bus(
        self,
        middleware: list[Any],
        handler: Callable[[], Any],
        message: Any = Ask,
        **options: Any,
    ) -> Any:
        options.setdefault("clock", self.clock)
        kind = CommandBus if issubclass(message, Command) else QueryBus
        bus = kind(middleware=middleware, **options)

        def handle(message: Any) -> Any:
            self.calls += 1
            return handler()

        async def handle_async(message: Any) -> Any:
            await asyncio.sleep(0)
            result = handle(message)
            await asyncio.sleep(0)
            return result

        bus.register_handler(message, handle_async if self.is_async else handle)
        return bus

    def __call__(self, bus: Any, message: Any = None, ctx: Any = None) -> Any:
        message = Ask() if message is None else message
        if not self.is_async:
            return bus.execute(message, ctx)

        async def run() -> Any:
            return await bus.execute_async(message, ctx)

        return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def failing(*errors: BaseException, result: object = "done") -> Callable[[], Any]:
    """Return a handler's body that raises each in turn, then returns."""
    left = list(errors)

    def body() -> Any:
        if left:
            raise left.pop(0)
        return result

    return body


def errors(count: int) -> list[Exception]:
    return [OSError(number) for number in range(count)]


class Heard:
    def __init__(self) -> None:
        self.calls: list[tuple[int, float, type[Exception]]] = []

    def __call__(self, attempt: int, delay: float, error: type[Exception]) -> None:
        self.calls.append((attempt, delay, error))


# What runs again


@pytest.mark.parametrize(
    ("attempts", "failures", "calls"),
    [(2, 0, 1), (3, 2, 3), (3, 3, 3), (10, 4, 5), (2, 9, 2)],
)
def test_attempts_are_counted_in_all(
    world: World, attempts: int, failures: int, calls: int
) -> None:
    raised = errors(failures)
    stage = RetryMiddleware(attempts)
    bus = world.bus([stage], failing(*raised))
    if failures < attempts:
        assert world(bus) == "done"
    else:
        with pytest.raises(OSError, match=str(attempts - 1)) as caught:
            world(bus)
        assert caught.value is raised[attempts - 1]
    assert world.calls == calls
    seen = stage.snapshot()
    assert seen.retries == calls - 1
    assert seen.exhausted == (failures >= attempts)


def test_only_what_lies_inside_runs_again(world: World) -> None:
    log: list[str] = []
    stage = RetryMiddleware()
    bus = world.bus(
        [Trace("outer", log), stage, Trace("inner", log)], failing(*errors(2))
    )
    assert world(bus) == "done"
    assert log == ["outer>", *["inner>", "!inner"] * 2, "inner>", "<inner", "<outer"]


def test_an_around_inside_it_runs_again(world: World) -> None:
    log: list[str] = []

    def around(ctx: Any, message: Any, next: Any) -> Any:
        log.append("around")
        return next(ctx, message)

    async def around_async(ctx: Any, message: Any, next: Any) -> Any:
        log.append("around")
        return await next(ctx, message)

    inside = around_async if world.is_async else around
    bus = world.bus([RetryMiddleware(), inside], failing(*errors(2)))
    assert world(bus) == "done"
    assert log == ["around"] * 3


def test_one_retry_inside_another_begins_anew(world: World) -> None:
    heard = Heard()
    bus = world.bus(
        [RetryMiddleware(3), RetryMiddleware(2, on_retry=heard)], failing(*errors(9))
    )
    with pytest.raises(OSError, match="5"):
        world(bus)
    assert world.calls == 6
    assert [attempt for attempt, _, _ in heard.calls] == [1, 1, 1]


def test_what_a_stage_inside_raises_is_retried(world: World) -> None:
    class Moody(Middleware):
        calls = 0

        def before(self, call: Any) -> None:
            self.calls += 1
            if self.calls < 3:
                raise OSError

    assert world(world.bus([RetryMiddleware(), Moody()], failing())) == "done"
    assert world.calls == 1


def test_retries_are_counted_by_the_metrics(world: World) -> None:
    bus = world.bus([RetryMiddleware()], failing(*errors(2)), enable_metrics=True)
    assert world(bus) == "done"
    total = bus.stats().total
    assert (total.count, total.retries, total.errors) == (1, 2, 0)


@pytest.mark.parametrize(
    "error",
    [ValidationError([]), RejectedError(), CircuitOpenError(0.0), BusClosedError()],
    ids=lambda error: type(error).__name__,
)
def test_some_errors_are_never_retried(world: World, error: Exception) -> None:
    bus = world.bus([RetryMiddleware(5)], failing(error))
    with pytest.raises(type(error)) as caught:
        world(bus)
    assert caught.value is error
    assert world.calls == 1


def test_a_message_without_a_handler_inside_is_not_retried(world: World) -> None:
    inner = QueryBus()
    bus = world.bus([RetryMiddleware(5)], lambda: inner.execute(Ask()))
    with pytest.raises(LookupError, match="Ask"):
        world(bus)
    assert world.calls == 1


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_what_is_no_exception_is_never_retried(
    world: World, kind: type[BaseException]
) -> None:
    error = kind()
    stage = RetryMiddleware(5)
    bus = world.bus([stage], failing(error))
    if world.is_async:
        # A loop would not let all of these reach the caller.
        with pytest.raises(kind) as caught:
            step(bus.execute_async(Ask()))
    else:
        with pytest.raises(kind) as caught:
            world(bus)
    assert caught.value is error
    assert world.calls == 1
    assert stage.snapshot().failed == 0


def step(awaitable: Any) -> None:
    steps = awaitable.__await__()
    while True:
        next(steps)


def test_never_on_and_retry_on_choose(world: World) -> None:
    stage = RetryMiddleware(5, retry_on=OSError, never_on=(ConnectionError,))
    bus = world.bus([stage], failing(OSError(), ConnectionError()))
    with pytest.raises(ConnectionError):
        world(bus)
    assert world.calls == 2


def test_the_last_error_itself_is_raised_and_the_earlier_are_gone(
    world: World,
) -> None:
    seen: list[weakref.ref[Exception]] = []

    class Broken(Exception):
        pass

    def fail() -> None:
        gc.collect()
        assert [error() for error in seen] == [None] * len(seen)
        error = Broken(len(seen))
        seen.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    with pytest.raises(Broken, match="3") as caught:
        world(world.bus([RetryMiddleware(4)], fail))
    gc.collect()
    assert [error() for error in seen] == [None, None, None, caught.value]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


# Commands


@dataclass(frozen=True)
class BookCommand:
    idempotency_key: str | None


class Liar(Command[int]):
    """What stands there is a field, and the class promises nothing."""

    idempotent: bool = True  # type: ignore[misc]


class Truthy(Command[int]):
    idempotent: ClassVar[int] = 1  # type: ignore[assignment]


class Raising(Command[int]):
    @property
    def idempotency_key(self) -> str:
        raise LookupError


COMMANDS: list[tuple[Any, bool]] = [
    (Pay(), True),
    (Keyed("k"), True),
    (Keyed(None), False),
    (BookCommand("k"), True),
    (BookCommand(None), False),
    (Raising(), False),
]


@pytest.mark.parametrize(("message", "again"), COMMANDS, ids=repr)
def test_a_command_runs_again_only_if_it_says_that_it_may(
    world: World, message: Any, again: bool
) -> None:
    bus = CommandBus(middleware=[RetryMiddleware()], clock=world.clock)
    body = failing(OSError("first"))

    def handle(message: Any) -> Any:
        return body()

    async def handle_async(message: Any) -> Any:
        return body()

    bus.register_handler(type(message), handle_async if world.is_async else handle)
    if again:
        assert world(bus, message) == "done"
    else:
        with pytest.raises(OSError, match="first"):
            world(bus, message)


@pytest.mark.parametrize("message", [Add, Liar, Truthy])
def test_a_command_that_does_not_is_warned_of_once(world: World, message: Any) -> None:
    stage = RetryMiddleware()
    with pytest.warns(RuntimeWarning, match=f"command '{message.__name__}'") as caught:
        bus = world.bus([stage], failing(OSError("first")), message)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.raises(OSError, match="first"):
        world(bus, message())
    assert [info.stages for info in bus.describe()] == [[]]
    # A second bus, and a handler that is replaced: not again.
    world.bus([stage], failing(), message)
    bus.register_handler(message, lambda message: None, replace=True)
    with pytest.warns(RuntimeWarning, match="command"):
        world.bus([RetryMiddleware()], failing(), message)


def test_each_command_is_warned_of() -> None:
    stage = RetryMiddleware()
    bus = CommandBus(middleware=[stage])
    for message in (Add, Liar):
        with pytest.warns(RuntimeWarning, match=message.__name__):
            bus.register_handler(message, lambda message: None)


def test_a_warning_that_raises_refuses_the_registration() -> None:
    bus = CommandBus(middleware=[RetryMiddleware()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(RuntimeWarning, match="Add"):
                bus.register_handler(Add, lambda message: None)


def test_retry_commands_lets_every_command_run_again(world: World) -> None:
    stage = RetryMiddleware(retry_commands=True)
    bus = world.bus([stage], failing(OSError()), Add)
    assert world(bus, Add()) == "done"


def test_a_command_registered_by_name_is_looked_at_when_it_fails() -> None:
    clock = ManualClock(auto_advance=True)
    for message, calls in ((Pay(), 3), (Add(), 1)):
        seen: list[object] = []

        def handle(message: Any, seen: list[object] = seen) -> None:
            seen.append(message)
            raise OSError

        bus = CommandBus(middleware=[RetryMiddleware()], clock=clock)
        bus.register_handler(type(message).__name__, handle)
        with pytest.raises(OSError):  # noqa: PT011
            bus.execute(message)
        assert len(seen) == calls


def test_one_attempt_leaves_it_out() -> None:
    bus = QueryBus(middleware=[RetryMiddleware(1)])
    bus.register_handler(Ask, lambda query: None)
    assert bus.describe()[0].stages == []


# Delays and deadlines


def test_delays_pass_on_the_clock_of_the_bus(world: World) -> None:
    heard = Heard()
    stage = RetryMiddleware(4, 0.1, jitter="none", on_retry=heard)
    assert world(world.bus([stage], failing(*errors(3)))) == "done"
    assert heard.calls == [(1, 0.1, OSError), (2, 0.2, OSError), (3, 0.4, OSError)]
    assert world.clock() == 700_000_000


def test_a_clock_of_its_own_is_used(world: World) -> None:
    clock = ManualClock(auto_advance=True)
    stage = RetryMiddleware(2, 0.1, jitter="none", max_elapsed=9.0, clock=clock)
    assert world(world.bus([stage], failing(*errors(1)))) == "done"
    assert clock() == 100_000_000
    assert world.clock() == 0


def test_the_same_seed_gives_the_same_delays(world: World) -> None:
    def delays() -> list[float]:
        heard = Heard()
        world.clock = ManualClock(auto_advance=True)
        stage = RetryMiddleware(9, seed=5, on_retry=heard)
        with pytest.raises(OSError, match="8"):
            world(world.bus([stage], failing(*errors(9))))
        return [delay for _, delay, _ in heard.calls]

    assert delays() == delays()


def test_an_error_may_ask_for_a_longer_delay(world: World) -> None:
    class Asking(Exception):
        retry_after = 2.0

    class Broken(Exception):
        @property
        def retry_after(self) -> float:
            raise RuntimeError

    heard = Heard()
    stage = RetryMiddleware(4, 0.1, jitter="none", max_delay=1.5, on_retry=heard)
    assert world(world.bus([stage], failing(Asking(), Broken()))) == "done"
    assert [delay for _, delay, _ in heard.calls] == [1.5, 0.2]


def limited(world: World, seconds: float) -> Context:
    return Context.background(clock=world.clock).with_timeout(seconds)


@pytest.mark.parametrize(
    ("seconds", "calls"), [(0.05, 1), (0.1, 1), (0.11, 2), (0.3, 2), (0.31, 3)]
)
def test_no_delay_is_begun_that_would_reach_the_deadline(
    world: World, seconds: float, calls: int
) -> None:
    stage = RetryMiddleware(9, 0.1, jitter="none")
    raised = errors(9)
    bus = world.bus([stage], failing(*raised))
    with pytest.raises(OSError, match=str(calls - 1)) as caught:
        world(bus, ctx=limited(world, seconds))
    assert caught.value is raised[calls - 1]
    assert world.calls == calls
    assert world.clock() < seconds * 1e9
    assert stage.snapshot().too_late == 1


def test_a_longer_delay_that_would_pass_the_deadline_gives_up_at_once(
    world: World,
) -> None:
    class Asking(Exception):
        retry_after = 3.0

    bus = world.bus([RetryMiddleware(9)], failing(Asking()))
    with pytest.raises(Asking):
        world(bus, ctx=limited(world, 2.0))
    assert world.clock() == 0


@pytest.mark.parametrize(("passed", "calls"), [(0.5, 3), (1.0, 1), (2.0, 1)])
def test_a_deadline_error_is_retried_while_there_is_time(
    world: World, passed: float, calls: int
) -> None:
    def fail() -> None:
        if world.calls == 1:
            world.clock.advance(passed)
        raise DeadlineExceededError(0.1, "handler")

    bus = world.bus([RetryMiddleware(3, 0.0)], fail)
    with pytest.raises(DeadlineExceededError, match="handler"):
        world(bus, ctx=limited(world, 1.0))
    assert world.calls == calls


@pytest.mark.filterwarnings("ignore::cqrs_fast.MiddlewareOrderWarning")
@pytest.mark.parametrize(("outer", "calls"), [(None, 3), (0.55, 2)])
def test_a_timeout_inside_it_is_of_each_attempt(
    world: World, outer: float | None, calls: int
) -> None:
    def take() -> None:
        world.clock.advance(0.3)

    stages = [
        TimeoutMiddleware(outer),
        RetryMiddleware(3, 0.0),
        TimeoutMiddleware(0.2, on_late="raise"),
    ]
    bus = world.bus(stages, take)
    with pytest.raises(DeadlineExceededError):
        world(bus)
    assert world.calls == calls


def test_no_attempt_begins_once_max_elapsed_is_over(world: World) -> None:
    def fail() -> None:
        world.clock.advance(0.4)
        raise OSError(world.calls)

    stage = RetryMiddleware(9, 0.1, jitter="none", max_elapsed=1.0)

    # Time that passed further out does not count.
    def before(ctx: Any, message: Any) -> Any:
        world.clock.advance(5.0)
        yield

    bus = world.bus([before, stage], fail)
    with pytest.raises(OSError, match="2"):
        world(bus)
    assert world.calls == 2
    assert stage.snapshot().too_late == 1


def test_the_budget_is_shared_and_the_last_real_error_is_raised(world: World) -> None:
    stage = RetryMiddleware(2, 0.0, budget=50, budget_min_per_sec=0)
    ok = world.bus([stage], failing())
    for _ in range(2):
        world(ok)
    assert stage.snapshot().budget_left == 1
    raised = errors(4)
    bus = world.bus([stage], failing(*raised))
    # 2 first attempts of the other bus and 2 of this one pay for 2 retries.
    for expected in (1, 3):
        with pytest.raises(OSError, match=str(expected)):
            world(bus)
    error = OSError("down")
    bus = world.bus([stage], failing(error))
    with pytest.raises(OSError, match="down") as caught:
        world(bus)
    assert caught.value is error
    seen = stage.snapshot()
    assert (seen.retries, seen.exhausted, seen.budget_refused) == (2, 2, 1)
    assert seen.failed == 5


# What ends a delay


class Waiting:
    """A dispatch in a thread of its own that waits for its second attempt."""

    def __init__(self, world: World, ctx: Context | None = None) -> None:
        self.clock = ManualClock()
        world.clock = self.clock
        self.error = OSError("first")
        self.stage = RetryMiddleware(3, 1.0, jitter="none")
        self.bus = world.bus([self.stage], failing(self.error))
        self.outcome: Any = None

        def run() -> None:
            try:
                self.outcome = world(self.bus, None, ctx)
            except BaseException as error:
                self.outcome = error

        self.thread = threading.Thread(target=run)
        self.thread.start()
        eventually(lambda: self.clock.waiting == 1)

    def end(self) -> Any:
        self.thread.join(5.0)
        assert not self.thread.is_alive()
        assert self.clock.waiting == 0
        return self.outcome


@pytest.fixture
def waiting(world: World) -> Iterator[Waiting]:
    dispatch = Waiting(world)
    yield dispatch
    dispatch.clock.advance(100.0)
    dispatch.thread.join(5.0)


def test_the_time_ends_a_delay(world: World, waiting: Waiting) -> None:
    waiting.clock.advance(1.0)
    assert waiting.end() == "done"
    assert world.calls == 2


def test_a_drain_ends_a_delay_with_the_last_real_error(
    world: World, waiting: Waiting
) -> None:
    assert waiting.bus.close(5.0).drained
    assert waiting.end() is waiting.error
    assert world.calls == 1
    assert waiting.stage.snapshot().failed == 1


def test_no_delay_begins_in_a_drain(world: World) -> None:
    def fail() -> None:
        bus.close(0)
        raise OSError("first")

    heard = Heard()
    bus = world.bus([RetryMiddleware(3, 0.0, on_retry=heard)], fail)
    with pytest.raises(OSError, match="first"):
        world(bus)
    assert world.calls == 1
    assert heard.calls == []


def test_a_cancelled_context_ends_a_delay(world: World) -> None:
    ctx = Context.background().with_cancel()
    waiting = Waiting(world, ctx)
    ctx.cancel("enough")
    outcome = waiting.end()
    assert isinstance(outcome, ContextCancelledError)
    assert outcome.reason == "enough"
    assert world.calls == 1


def test_no_delay_begins_once_the_context_is_cancelled(world: World) -> None:
    ctx = Context.background().with_cancel()

    def fail() -> None:
        ctx.cancel()
        raise OSError("first")

    bus = world.bus([RetryMiddleware(3, 0.0)], fail)
    with pytest.raises(OSError, match="first"):
        world(bus, ctx=ctx)
    assert world.calls == 1


def test_a_cancelled_task_ends_its_delay() -> None:
    world = World(is_async=True)
    world.clock = ManualClock()
    bus = world.bus([RetryMiddleware(3, 1.0)], failing(*errors(3)))

    async def main() -> None:
        task = asyncio.ensure_future(bus.execute_async(Ask()))
        while world.clock.waiting == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert world.clock.waiting == 0
    assert world.calls == 1
    assert bus.close(0).drained


def test_an_interrupt_from_the_keyboard_ends_a_delay() -> None:
    world = World(is_async=False)
    world.clock = clock = ManualClock()
    bus = world.bus([RetryMiddleware(3, 1.0)], failing(*errors(3)))
    interrupted = threading.Event()
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def interrupt() -> None:
        eventually(lambda: clock.waiting == 1)
        # A signal that comes just before the thread blocks waits for the next one.
        while not interrupted.wait(0.05):
            signal.pthread_kill(main_thread, signal.SIGINT)
            if interrupted.wait(1.0):
                return

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    helper = threading.Thread(target=interrupt)
    try:
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            bus.execute(Ask())
        interrupted.set()
        helper.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert clock.waiting == 0
    assert world.calls == 1
    assert bus.close(0).drained


# The listener and the settings


def test_the_listener_may_use_everything(world: World) -> None:
    seen: list[object] = []

    def listen(*told: object) -> None:
        seen.append(bus.stats().total.in_flight)
        seen.append(stage.snapshot().retries)
        stage.update(max_attempts=2)
        other.execute(Ask())

    stage = RetryMiddleware(5, on_retry=listen, budget=20)
    other = QueryBus(middleware=[stage])
    other.register_handler(Ask, lambda query: None)
    bus = world.bus([stage], failing(*errors(4)), enable_metrics=True)
    with pytest.raises(OSError, match="1"):
        world(bus)
    assert seen == [1, 1]


def test_what_the_listener_raises_changes_no_outcome(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[tuple[str, str, BaseException]] = []
    monkeypatch.setattr(
        "cqrs_fast.policies.retry_policy.report_callback_error",
        lambda *told: reported.append(told),
    )

    def listen(*told: object) -> None:
        raise LookupError

    stage = RetryMiddleware(on_retry=listen)
    assert world(world.bus([stage], failing(OSError()))) == "done"
    ((kind, name, error),) = reported
    assert (kind, name) == ("on_retry", "Ask")
    assert isinstance(error, LookupError)


def test_update_is_seen_by_the_next_failure(world: World) -> None:
    stage = RetryMiddleware(5)
    bus = world.bus([stage], failing(*errors(9)))
    stage.update(max_attempts=2, base_delay=0.0)
    with pytest.raises(OSError, match="1"):
        world(bus)
    assert world.clock() == 0
    stage.update(max_attempts=1)
    with pytest.raises(OSError, match="2"):
        world(bus)
    stage.update(max_attempts=2, budget=1, budget_min_per_sec=0)
    with pytest.raises(OSError, match="3"):
        world(bus)
    assert stage.snapshot().budget_refused == 1


def test_update_of_retry_commands_counts_where_the_retry_was_built_in(
    world: World,
) -> None:
    stage = RetryMiddleware(2, 0.0, retry_commands=True)
    bus = world.bus([stage], failing(*errors(9)), Add)
    stage.update(retry_commands=False)
    with pytest.raises(OSError, match="0"):
        world(bus, Add())
    stage.update(retry_commands=True)
    with pytest.raises(OSError, match="2"):
        world(bus, Add())


def test_a_clock_that_fails_lets_no_update_begin() -> None:
    failing_clock: list[int] = []

    def read() -> int:
        if failing_clock:
            raise OSError("no time")
        return 0

    stage = RetryMiddleware(3, clock=read)
    failing_clock.append(1)
    with pytest.raises(OSError, match="no time"):
        stage.update(max_attempts=7)
    assert stage.settings()["max_attempts"] == 3


def test_update_changes_all_or_nothing() -> None:
    stage = RetryMiddleware()
    before = stage.settings()
    with pytest.raises(ValueError, match="max_delay"):
        stage.update(max_attempts=7, max_delay=-1)
    for name in ("seed", "clock"):
        unknown: dict[str, Any] = {"max_attempts": 7, name: 1}
        with pytest.raises(TypeError, match=f"no setting '{name}'"):
            stage.update(**unknown)
    assert stage.settings() == before


# Other settings for a bus that is built anew: see Stage.revise


def test_a_revised_retry_is_another_with_the_same_budget_and_counters(
    revise: Any, world: World
) -> None:
    # Without first attempts, the budget has 2 retries.
    old = RetryMiddleware(3, budget=1, budget_min_per_sec=1, budget_ttl=2.0)
    with pytest.raises(OSError, match="2"):
        world(world.bus([old], failing(*errors(9))))
    change = revise(old, max_attempts=2, base_delay=0.0)
    new = change.stage
    assert new is not old
    assert old.settings()["max_attempts"] == 3
    assert new.settings() == old.settings() | {"max_attempts": 2, "base_delay": 0.0}
    bus = world.bus([change.element], failing(*errors(9)))
    change.apply()
    change.settle()
    assert new.snapshot() == old.snapshot()
    assert new.snapshot().budget_left == 0
    with pytest.raises(OSError, match="0"):
        world(bus)
    assert new.snapshot().budget_refused == old.snapshot().budget_refused == 1
    assert new.snapshot().retries == 2


def test_a_retry_that_has_begun_goes_on_as_it_began(revise: Any, world: World) -> None:
    old = RetryMiddleware(5, 0.5, jitter="none", multiplier=1.0)

    def fail() -> None:
        change = revise(old, max_attempts=1, base_delay=9.0)
        change.apply()
        change.settle()
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        world(world.bus([old], fail))
    assert world.calls == 5
    assert world.clock() == 2e9


def test_credits_survive_a_revised_life_and_are_never_doubled(
    revise: Any, world: World
) -> None:
    old = RetryMiddleware(2, 0.0, budget=100, budget_min_per_sec=0)
    bus = world.bus([old], lambda: "done")
    for _ in range(4):
        world(bus)
    change = revise(old, budget_ttl=1.0)
    change.apply()
    change.settle()
    assert old.snapshot().budget_left == 4
    assert change.stage.snapshot().budget_left == 4
    failed = world.bus([change.stage, old], failing(*errors(2)))
    assert world(failed) == "done"
    # The inner one began twice: three first attempts, two retries.
    assert change.stage.snapshot().budget_left == 5


def test_a_revised_retry_may_turn_on_and_off(revise: Any, world: World) -> None:
    off = RetryMiddleware(1)
    on = revise(off, max_attempts=3, base_delay=0.0)
    bus = world.bus([on.element], failing(*errors(2)))
    on.apply()
    on.settle()
    assert world(bus) == "done"
    off_again = revise(on.stage, max_attempts=1)
    bus = world.bus([off_again.element], failing(*errors(2)))
    assert bus.describe()[0].stages == []
    with pytest.raises(OSError, match="0"):
        world(bus)


def test_revised_retries_form_no_chain(revise: Any) -> None:
    listener = type("Listener", (), {"__call__": lambda *args: None})()
    told = weakref.ref(listener)
    stage = RetryMiddleware(on_retry=listener)
    del listener
    for _ in range(3):
        change = revise(stage, on_retry=None)
        change.apply()
        change.settle()
        stage = change.stage
    assert told() is None


def test_a_quiet_retry_and_what_it_becomes_warn_of_nothing(
    revise: Any, world: World
) -> None:
    stage = quiet_retry(max_attempts=2)
    bus = world.bus([stage], failing(), Add)
    assert bus.describe()[0].stages == []
    change = revise(stage, max_attempts=3)
    world.bus([change.element], failing(), Add)
    change = revise(stage, retry_commands=True)
    bus = world.bus([change.element], failing(), Add)
    assert len(bus.describe()[0].stages) == 1


def test_senseless_revised_settings_are_refused(revise: Any) -> None:
    stage = RetryMiddleware()
    with pytest.raises(ValueError, match="max_delay"):
        revise(stage, max_attempts=7, max_delay=-1)
    with pytest.raises(TypeError, match="retry_commands must be a bool"):
        revise(stage, retry_commands=1)
    for name in ("seed", "clock", "colour"):
        with pytest.raises(TypeError, match=f"no setting '{name}'"):
            revise(stage, max_attempts=7, **{name: 1})


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    bus = QueryBus(middleware=[RetryMiddleware(4, 0.5, never_on=KeyError)])
    bus.register_handler(Ask, lambda query: None)
    (info,) = bus.describe()[0].stages
    assert info.kind == "RetryMiddleware"
    assert info.settings == {
        "max_attempts": 4,
        "base_delay": 0.5,
        "max_delay": 5.0,
        "multiplier": 2.0,
        "jitter": "full",
        "max_elapsed": None,
        "retry_on": ["Exception"],
        "never_on": ["KeyError", "DETERMINISTIC"],
        "budget": None,
        "budget_min_per_sec": 10,
        "budget_ttl": 10.0,
        "on_retry": None,
        "retry_commands": False,
    }


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"max_attempts": 0}, ValueError, "max_attempts must be from 1 to .* got 0"),
        ({"base_delay": -1}, ValueError, "base_delay must be from 0 .* got -1"),
        ({"jitter": "decorrelated"}, ValueError, "'full' or 'equal' or 'none'"),
        ({"retry_commands": 1}, TypeError, "retry_commands must be a bool, got 1"),
        ({"attempts": 3}, TypeError, "attempts"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        RetryMiddleware(**arguments)


def test_it_is_shared_by_two_kinds_of_buses(world: World) -> None:
    stage = RetryMiddleware(2)
    queries = world.bus([stage], failing(OSError()))
    commands = world.bus([stage], failing(OSError()), Pay)
    assert world(queries) == "done"
    assert world(commands, Pay()) == "done"
    assert stage.snapshot().retries == 2


def test_a_budget_follows_the_clock_of_the_bus() -> None:
    """Made before there is a bus, it has read real time, which is another."""
    clock = ManualClock(1000.0, auto_advance=True)
    stage = RetryMiddleware(2, 0.0, budget=100, budget_min_per_sec=0)
    bus = QueryBus(middleware=[stage], clock=clock)
    bus.register_handler(Ask, lambda ask: ask.number)
    for number in range(5):
        bus.execute(Ask(number))
    assert stage.snapshot().budget_left == 5
    clock.advance(11.0)
    assert stage.snapshot().budget_left == 0
