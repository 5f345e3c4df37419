"""SlowCallMiddleware: one record for each dispatch that took its time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cqrs_fast import Command, CommandBus, Query, QueryBus, middleware
from cqrs_fast.base.clock import ManualClock
from cqrs_fast.stages.slow_call import SlowCallMiddleware

SECRET = "hunter2"


class FindUsers(Query[object]):
    password: str = SECRET


class CreateUser(Command[object]):
    pass


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


@pytest.fixture
def records() -> Iterator[Records]:
    logger = logging.getLogger("cqrs_fast")
    handler = Records()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


class World:
    """One way to dispatch: a sync handler and execute, or their async twins."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.clock = ManualClock()

    def take(
        self, seconds: float, *middleware: Any, error: BaseException | None = None
    ) -> object:
        """Dispatch a query whose handler takes so long."""

        def handle(query: FindUsers) -> str:
            self.clock.advance(seconds)
            if error is not None:
                raise error
            return SECRET

        async def handle_async(query: FindUsers) -> str:
            await asyncio.sleep(0)
            return handle(query)

        bus = QueryBus(middleware=middleware, clock=self.clock)
        if not self.is_async:
            bus.register_handler(FindUsers, handle)
            return bus.execute(FindUsers())
        bus.register_handler(FindUsers, handle_async)

        async def run() -> object:
            return await bus.execute_async(FindUsers())

        return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("seconds", "slow"), [(0.099, 0), (0.1, 1), (2.0, 1)])
def test_what_takes_the_threshold_or_more_is_one_record(
    world: World, records: Records, seconds: float, slow: int, fails: bool
) -> None:
    stage = SlowCallMiddleware(0.1)
    if fails:
        with pytest.raises(KeyError):
            world.take(seconds, stage, error=KeyError(SECRET))
    else:
        assert world.take(seconds, stage) == SECRET
    assert len(records.seen) == slow
    for record in records.seen:
        ms = seconds * 1000
        assert record.getMessage() == f"slow query: FindUsers took {ms:.3f} ms"
        assert record.levelno == logging.WARNING
        assert vars(record)["message_name"] == "FindUsers"
        assert vars(record)["duration_ms"] == pytest.approx(ms)
        assert SECRET not in repr(vars(record))


def test_a_command_is_called_one(records: Records) -> None:
    clock = ManualClock()
    bus = CommandBus(middleware=[SlowCallMiddleware(1)], clock=clock)
    bus.register_handler(CreateUser, lambda command: clock.advance(1.0))
    bus.execute(CreateUser())
    texts = [record.getMessage() for record in records.seen]
    assert texts == ["slow command: CreateUser took 1000.000 ms"]


def test_only_what_lies_inside_is_measured(world: World, records: Records) -> None:
    @middleware(returns_awaitable=True)
    def before(ctx: Any, message: Any, next: Any) -> Any:
        world.clock.advance(5.0)
        return next(ctx, message)

    world.take(0.0, before, SlowCallMiddleware(1.0))
    assert records.seen == []


def test_the_level_is_the_one_that_was_asked_for(
    world: World, records: Records
) -> None:
    world.take(1.0, SlowCallMiddleware(1.0, level=logging.ERROR))
    assert [record.levelno for record in records.seen] == [logging.ERROR]


def test_a_logger_that_takes_no_such_record_is_given_none(
    world: World, records: Records
) -> None:
    logging.getLogger("cqrs_fast").setLevel(logging.ERROR)
    world.take(1.0, SlowCallMiddleware(1.0))
    assert records.seen == []


def test_what_a_logger_raises_changes_no_outcome(
    world: World, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError

    monkeypatch.setattr("cqrs_fast.base.callbacks._last", {})
    logger = logging.getLogger("tests.slow_broken")
    broken = Broken()
    logger.addHandler(broken)
    try:
        assert world.take(1.0, SlowCallMiddleware(1.0, logger=logger)) == SECRET
    finally:
        logger.removeHandler(broken)
    (record,) = records.seen
    assert "OSError" in record.getMessage()


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    bus = QueryBus(middleware=[SlowCallMiddleware(0.25, logger="slow", level=40)])
    bus.register_handler(FindUsers, lambda query: None)
    (info,) = bus.describe()[0].stages
    assert info.kind == "SlowCallMiddleware"
    assert info.settings == {"threshold": 0.25, "logger": "slow", "level": 40}


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"threshold": "1"}, TypeError, "threshold must be a number .*'1'"),
        ({"threshold": True}, TypeError, "threshold must be a number .*True"),
        ({"threshold": 0}, ValueError, "threshold must be more than 0 .*0"),
        ({"threshold": -1.0}, ValueError, "threshold must be more than 0 .*-1.0"),
        ({"threshold": float("nan")}, ValueError, "threshold must be .*nan"),
        ({"threshold": float("inf")}, ValueError, "threshold must be .*inf"),
        ({"threshold": 1, "logger": 7}, TypeError, "logger must be .* got 7"),
        ({"threshold": 1, "level": 1001}, ValueError, "level must be .* got 1001"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        SlowCallMiddleware(**arguments)
