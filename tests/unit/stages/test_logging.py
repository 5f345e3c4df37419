"""LoggingMiddleware: one record for each dispatch, and nothing of what it carried."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cqrs_fast import (
    BusClosedError,
    Command,
    CommandBus,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    QueryBus,
    RejectedError,
    ValidationError,
)
from cqrs_fast.base.clock import ManualClock
from cqrs_fast.stages.logging import LoggingMiddleware

Handler = Callable[[Any], Any]
SECRET = "hunter2"


class CreateUser(Command[object]):
    password: str = SECRET


class Other(Command[object]):
    pass


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)

    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.seen]


class World:
    """One way to dispatch: a sync handler and execute, or their async twins."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.clock = ManualClock()

    def bus(
        self, *middleware: Any, handler: Handler = lambda message: None
    ) -> CommandBus:
        bus = CommandBus(middleware=middleware, clock=self.clock)
        bus.register_handler(CreateUser, self.handler(handler))
        return bus

    def handler(self, function: Handler) -> Handler:
        async def handle(message: Any) -> Any:
            await asyncio.sleep(0)
            return function(message)

        return handle if self.is_async else function

    def dispatch(self, bus: CommandBus, message: Any = None, ctx: Any = None) -> Any:
        message = CreateUser() if message is None else message
        if self.is_async:

            async def run() -> Any:
                return await bus.execute_async(message, ctx)

            return asyncio.run(run())
        return bus.execute(message, ctx)

    def taking(self, seconds: float) -> Handler:
        return lambda message: self.clock.advance(seconds)


def raising(error: BaseException) -> Handler:
    def handle(message: Any) -> Any:
        raise error

    return handle


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture
def records() -> Iterator[Records]:
    logger = logging.getLogger("cqrs_fast")
    handler = Records()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(1)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagate


OUTCOMES = [
    (None, "ok", logging.INFO, "CMD CreateUser ok in 5.000 ms"),
    (
        KeyError(SECRET),
        "error",
        logging.WARNING,
        "CMD CreateUser error in 5.000 ms: KeyError",
    ),
    (
        RejectedError(name=SECRET),
        "rejected_other",
        logging.WARNING,
        "CMD CreateUser rejected_other in 5.000 ms: RejectedError",
    ),
    (
        ValidationError([("$.password", "invalid", SECRET)]),
        "invalid",
        logging.WARNING,
        "CMD CreateUser invalid in 5.000 ms: ValidationError",
    ),
    (
        DeadlineExceededError(timeout=1.0),
        "timeout",
        logging.WARNING,
        "CMD CreateUser timeout in 5.000 ms: DeadlineExceededError",
    ),
    (
        asyncio.CancelledError(SECRET),
        "cancelled",
        logging.WARNING,
        "CMD CreateUser cancelled in 5.000 ms: CancelledError",
    ),
]


@pytest.mark.parametrize(
    ("error", "outcome", "level", "text"), OUTCOMES, ids=[row[1] for row in OUTCOMES]
)
def test_a_dispatch_is_one_record_of_name_outcome_and_duration(
    world: World,
    records: Records,
    error: BaseException | None,
    outcome: str,
    level: int,
    text: str,
) -> None:
    def handle(message: Any) -> Any:
        world.clock.advance(0.005)
        if error is not None:
            raise error
        return SECRET

    bus = world.bus(LoggingMiddleware("CMD"), handler=handle)
    if error is None:
        assert world.dispatch(bus) == SECRET
    else:
        with pytest.raises(type(error)):
            world.dispatch(bus)
    (record,) = records.seen
    assert record.getMessage() == text
    assert record.levelno == level
    assert record.exc_info is None
    shown = vars(record)
    assert shown["message_name"] == "CreateUser"
    assert shown["outcome"] == outcome
    assert shown["duration_ms"] == 5.0
    assert shown["error_type"] == (None if error is None else type(error).__name__)
    assert SECRET not in repr(shown)


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("", "CreateUser ok in 0.000 ms"),
        ("CMD", "CMD CreateUser ok in 0.000 ms"),
        ("CMD ", "CMD CreateUser ok in 0.000 ms"),
        ("100%s:", "100%s: CreateUser ok in 0.000 ms"),
    ],
)
def test_the_prefix_leads_the_text(
    world: World, records: Records, prefix: str, text: str
) -> None:
    world.dispatch(world.bus(LoggingMiddleware(prefix)))
    assert records.texts() == [text]


@pytest.mark.parametrize(
    ("seconds", "slow"), [(0.5, False), (1.0, False), (1.001, True)]
)
def test_slower_than_the_threshold_is_a_warning(
    world: World, records: Records, seconds: float, slow: bool
) -> None:
    stage = LoggingMiddleware(slow_threshold=1.0, sample=1000)
    world.dispatch(world.bus(stage, handler=world.taking(seconds)))
    assert [record.levelno for record in records.seen] == [logging.WARNING] * slow
    assert all(text.endswith(" ms, slow") for text in records.texts())


def test_sampling_takes_every_nth_success_and_every_failure(
    world: World, records: Records
) -> None:
    fails = iter([False, False, True, False, False, False, True, False])

    def handle(message: Any) -> None:
        if next(fails):
            raise KeyError

    bus = world.bus(LoggingMiddleware(sample=3), handler=handle)
    for _ in range(8):
        with contextlib.suppress(KeyError):
            world.dispatch(bus)
    outcomes = [vars(record)["outcome"] for record in records.seen]
    assert outcomes == ["error", "ok", "error", "ok"]


def test_messages_in_turn_are_sampled_each_by_its_own_count(
    world: World, records: Records
) -> None:
    bus = world.bus(LoggingMiddleware(sample=2))
    bus.register_handler(Other, world.handler(lambda message: None))
    for _ in range(4):
        world.dispatch(bus)
        world.dispatch(bus, Other())
    names = [vars(record)["message_name"] for record in records.seen]
    assert names == ["CreateUser", "Other", "CreateUser", "Other"]


@pytest.mark.parametrize(
    ("level", "success", "failure"), [(10, 10, 30), (30, 30, 30), (40, 40, 40)]
)
def test_a_failure_is_logged_at_warning_or_higher(
    world: World, records: Records, level: int, success: int, failure: int
) -> None:
    stage = LoggingMiddleware(level=level)
    world.dispatch(world.bus(stage))
    with pytest.raises(KeyError):
        world.dispatch(world.bus(stage, handler=raising(KeyError())))
    assert [record.levelno for record in records.seen] == [success, failure]


def test_a_logger_that_takes_no_such_record_is_given_none(
    world: World, records: Records
) -> None:
    logging.getLogger("cqrs_fast").setLevel(logging.WARNING)
    world.dispatch(world.bus(LoggingMiddleware()))
    assert records.seen == []


@pytest.mark.parametrize("by_name", [False, True])
def test_records_go_to_the_logger_that_was_given(
    world: World, records: Records, by_name: bool
) -> None:
    logger = logging.getLogger("tests.stage_logging")
    logger.setLevel(logging.INFO)
    given = logger.name if by_name else logger
    stage = LoggingMiddleware(logger=given)
    own = Records()
    logger.addHandler(own)
    try:
        world.dispatch(world.bus(stage))
    finally:
        logger.removeHandler(own)
    assert len(own.seen) == 1
    assert records.seen == []


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_log_handler_raises_changes_no_outcome(
    world: World, records: Records, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(SECRET)

    monkeypatch.setattr("cqrs_fast.base.callbacks._last", {})
    logger = logging.getLogger("tests.broken")
    logger.setLevel(logging.INFO)
    broken = Broken()
    logger.addHandler(broken)
    error = KeyError("the handler's own")
    handler = raising(error) if fails else (lambda message: 7)
    bus = world.bus(LoggingMiddleware(logger=logger), handler=handler)
    try:
        if fails:
            with pytest.raises(KeyError) as caught:
                world.dispatch(bus)
            assert caught.value is error
        else:
            assert world.dispatch(bus) == 7
    finally:
        logger.removeHandler(broken)
    (record,) = records.seen
    assert "OSError" in record.getMessage()


def test_a_refused_dispatch_is_logged_too(world: World, records: Records) -> None:
    bus = world.bus(LoggingMiddleware())
    context = Context.background().with_cancel()
    context.cancel()
    with pytest.raises(ContextCancelledError):
        world.dispatch(bus, ctx=context)
    bus.close()
    with pytest.raises(BusClosedError):
        world.dispatch(bus)
    kinds = [vars(record)["error_type"] for record in records.seen]
    assert kinds == ["ContextCancelledError", "BusClosedError"]


def test_a_record_has_the_messages_own_name(world: World, records: Records) -> None:
    class CreateAdmin(CreateUser):
        pass

    world.dispatch(world.bus(LoggingMiddleware()), CreateAdmin())
    assert records.texts() == ["CreateAdmin ok in 0.000 ms"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\r\nroot ok", "a\\r\\nroot ok"),
        ("n" * 300, "n" * 200 + "..."),
        ("größer", "größer"),
    ],
)
def test_a_name_cannot_forge_a_line_of_the_log(
    world: World, records: Records, name: str, shown: str
) -> None:
    class Named:
        def command_name(self) -> str:
            return name

    bus = CommandBus(middleware=[LoggingMiddleware()], clock=world.clock)
    bus.register_handler(Named, world.handler(lambda message: None))
    world.dispatch(bus, Named())
    (record,) = records.seen
    assert vars(record)["message_name"] == shown
    assert record.getMessage() == f"{shown} ok in 0.000 ms"


def test_one_object_serves_both_kinds_of_bus(records: Records) -> None:
    stage = LoggingMiddleware()
    commands = CommandBus(middleware=[stage])
    queries = QueryBus(middleware=[stage])
    commands.register_handler("A", lambda message: 1)
    queries.register_handler("B", lambda message: 2)
    commands.execute(type("A", (), {})())
    queries.execute(type("B", (), {})())
    names = [vars(record)["message_name"] for record in records.seen]
    assert names == ["A", "B"]


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    for sample in (1, 5):
        stage = LoggingMiddleware("CMD", level=10, slow_threshold=0.5, sample=sample)
        bus = World(False).bus(stage)
        (info,) = bus.describe()[0].stages
        assert info.kind == "LoggingMiddleware"
        assert info.settings == {
            "prefix": "CMD",
            "logger": "cqrs_fast",
            "level": 10,
            "slow_threshold": 0.5,
            "sample": sample,
        }


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"prefix": None}, TypeError, "prefix must be a string, got None"),
        ({"logger": True}, TypeError, "logger must be a logging.Logger, .* got True"),
        ({"level": "INFO"}, TypeError, "level must be an int, got 'INFO'"),
        ({"level": True}, TypeError, "level must be an int, got True"),
        ({"level": 0}, ValueError, "level must be from 1 to 1000, got 0"),
        ({"slow_threshold": "1"}, TypeError, "slow_threshold must be a number .*'1'"),
        ({"slow_threshold": True}, TypeError, "slow_threshold must be a number .*True"),
        ({"slow_threshold": 0}, ValueError, "slow_threshold must be more than 0 .*0"),
        ({"slow_threshold": float("nan")}, ValueError, "slow_threshold .*nan"),
        ({"slow_threshold": float("inf")}, ValueError, "slow_threshold .*inf"),
        ({"sample": 0}, ValueError, "sample must be from 1 to 2147483647, got 0"),
        ({"sample": 1.5}, TypeError, "sample must be an int, got 1.5"),
        ({"sample": True}, TypeError, "sample must be an int, got True"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        LoggingMiddleware(**arguments)


def test_the_logging_module_is_imported_only_where_a_stage_is_made() -> None:
    script = (
        "import sys, cqrs_fast.stages.logging as stage\n"
        "assert 'logging' not in sys.modules\n"
        "stage.LoggingMiddleware()\n"
        "assert sys.modules['logging'].Logger\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
