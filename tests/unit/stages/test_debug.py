"""DebugMiddleware: what goes in and what comes out, with secrets hidden."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cqrs_fast import BusClosedError, Command, CommandBus, Secret
from cqrs_fast.base.clock import ManualClock
from cqrs_fast.stages.debug import DebugMiddleware

SECRET = "hunter2"
Handler = Callable[[Any], Any]


class Login(Command[object]):
    user: str
    pin: Secret[str] = SECRET
    api_token: str = SECRET


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)

    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.seen]


@pytest.fixture
def records() -> Iterator[Records]:
    logger = logging.getLogger("cqrs_fast")
    handler = Records()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


class World:
    """One way to dispatch: a sync handler and execute, or their async twins."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.clock = ManualClock()

    def bus(self, stage: DebugMiddleware, handler: Handler) -> CommandBus:
        async def handle(message: Any) -> Any:
            await asyncio.sleep(0)
            return handler(message)

        bus = CommandBus(middleware=[stage], clock=self.clock)
        bus.register_handler(Login, handle if self.is_async else handler)
        return bus

    def login(self, bus: CommandBus, user: str = "ann") -> Any:
        if not self.is_async:
            return bus.execute(Login(user))

        async def run() -> Any:
            return await bus.execute_async(Login(user))

        return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


RESULTS = [
    (None, "None"),
    (7, "7"),
    ("line\nline", "'line\\nline'"),
    ("x" * 300, "'" + "x" * 200 + "'..."),
    ({"password": SECRET, "name": "ann"}, "{'password': '***', 'name': 'ann'}"),
    (Login("bob"), "Login(user='bob', pin='***', api_token='***')"),
    (Records(), "<Records>"),
]


@pytest.mark.parametrize(("result", "shown"), RESULTS)
def test_a_dispatch_is_two_records_with_secrets_hidden(
    world: World, records: Records, result: object, shown: str
) -> None:
    def handle(message: Login) -> object:
        world.clock.advance(0.25)
        return result

    assert world.login(world.bus(DebugMiddleware(), handle)) is result
    assert records.texts() == [
        "Login received Login(user='ann', pin='***', api_token='***')",
        f"Login returned {shown} after 250.000 ms",
    ]
    for record in records.seen:
        assert record.levelno == logging.DEBUG
        assert vars(record)["message_name"] == "Login"
        assert SECRET not in repr(vars(record))
    assert vars(records.seen[1])["duration_ms"] == 250.0


@pytest.mark.parametrize(
    "error", [KeyError(SECRET), asyncio.CancelledError(SECRET)], ids=repr
)
def test_of_an_error_only_its_class_is_told(
    world: World, records: Records, error: BaseException
) -> None:
    def handle(message: Login) -> object:
        raise error

    with pytest.raises(type(error)):
        world.login(world.bus(DebugMiddleware(), handle))
    name = type(error).__name__
    assert records.texts()[1] == f"Login raised {name} after 0.000 ms"
    assert SECRET not in repr([vars(record) for record in records.seen])


def test_a_field_cannot_forge_a_line_of_the_log(world: World, records: Records) -> None:
    bus = world.bus(DebugMiddleware(), lambda message: message.user)
    world.login(bus, "ann\r\n\x1b[31mERROR root")
    assert all(text.isprintable() for text in records.texts())


def test_a_refused_dispatch_is_shown_too(world: World, records: Records) -> None:
    bus = world.bus(DebugMiddleware(), lambda message: None)
    bus.close()
    with pytest.raises(BusClosedError):
        world.login(bus)
    assert "received" in records.texts()[0]
    assert "raised BusClosedError" in records.texts()[1]


def test_a_logger_that_takes_no_such_record_is_given_none(
    world: World, records: Records
) -> None:
    logging.getLogger("cqrs_fast").setLevel(logging.INFO)
    world.login(world.bus(DebugMiddleware(), lambda message: None))
    assert records.seen == []


def test_logger_and_level_are_those_that_were_given(
    world: World, records: Records
) -> None:
    stage = DebugMiddleware("cqrs_fast.debugging", logging.INFO)
    world.login(world.bus(stage, lambda message: None))
    assert [r.levelno for r in records.seen] == [logging.INFO] * 2
    assert {r.name for r in records.seen} == {"cqrs_fast.debugging"}


def test_what_a_logger_raises_changes_no_outcome(
    world: World, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError

    monkeypatch.setattr("cqrs_fast.base.callbacks._last", {})
    logger = logging.getLogger("tests.debug_broken")
    logger.setLevel(logging.DEBUG)
    broken = Broken()
    logger.addHandler(broken)
    try:
        bus = world.bus(DebugMiddleware(logger), lambda message: 7)
        assert world.login(bus) == 7
    finally:
        logger.removeHandler(broken)
    (record,) = records.seen
    assert "OSError" in record.getMessage()


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    bus = World(False).bus(DebugMiddleware(level=15), lambda message: None)
    (info,) = bus.describe()[0].stages
    assert info.kind == "DebugMiddleware"
    assert info.settings == {"logger": "cqrs_fast", "level": 15}


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"logger": print}, TypeError, "logger must be a logging.Logger, .*print"),
        ({"level": 1.0}, TypeError, "level must be an int, got 1.0"),
        ({"level": -1}, ValueError, "level must be from 1 to 1000, got -1"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        DebugMiddleware(**arguments)
