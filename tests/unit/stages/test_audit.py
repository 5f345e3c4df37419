"""AuditMiddleware: a sink is told of every dispatch that ended, whichever way."""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from cqrs_fast import (
    BusClosedError,
    Command,
    CommandBus,
    Context,
    DeadlineExceededError,
)
from cqrs_fast.base.clock import ManualClock
from cqrs_fast.stages.audit import AuditMiddleware
from cqrs_fast.stages.authentication import AuthenticationMiddleware
from cqrs_fast.stats import AuditEvent

Handler = Callable[[Any], Any]


class Transfer(Command[object]):
    amount: int = 1


class World:
    """One way to dispatch: a sync handler and execute, or their async twins."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.clock = ManualClock()

    def bus(self, *middleware: Any, handler: Handler = lambda message: 7) -> CommandBus:
        async def handle(message: Any) -> Any:
            await asyncio.sleep(0)
            return handler(message)

        bus = CommandBus(middleware=middleware, clock=self.clock)
        bus.register_handler(Transfer, handle if self.is_async else handler)
        return bus

    def dispatch(
        self, bus: CommandBus, ctx: Context | None = None, message: Any = None
    ) -> Any:
        message = Transfer() if message is None else message
        if not self.is_async:
            return bus.execute(message, ctx)

        async def run() -> Any:
            return await bus.execute_async(message, ctx)

        return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def outcome(world: World, bus: CommandBus, context: Context) -> Any:
    """Return the result of a dispatch, or the exception that it ended with."""
    try:
        return world.dispatch(bus, context)
    except BaseException as error:
        return error


OUTCOMES = [
    None,
    KeyError("k"),
    asyncio.CancelledError(),
    GeneratorExit(),
]


@pytest.mark.parametrize("error", OUTCOMES, ids=repr)
def test_a_dispatch_is_one_event(world: World, error: BaseException | None) -> None:
    events: list[AuditEvent] = []

    def handle(message: Any) -> Any:
        world.clock.advance(0.25)
        if error is not None:
            raise error
        return 7

    bus = world.bus(AuditMiddleware(events.append), handler=handle)
    earliest = time.time()
    context = Context.background().with_principal("ann")
    assert outcome(world, bus, context) is (7 if error is None else error)
    (event,) = events
    assert event.name == "Transfer"
    assert event.principal == "ann"
    assert earliest - 0.001 <= event.timestamp <= time.time()
    assert event.duration == 0.25
    assert event.success is (error is None)
    assert event.error is error


def test_a_cancelled_task_is_an_event_too() -> None:
    events: list[AuditEvent] = []
    bus = CommandBus(middleware=[AuditMiddleware(events.append)])

    async def wait_for_ever(message: Any) -> None:
        await asyncio.Event().wait()

    bus.register_handler(Transfer, wait_for_ever)

    async def run() -> None:
        task = asyncio.ensure_future(bus.execute_async(Transfer()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    (event,) = events
    assert not event.success
    assert isinstance(event.error, asyncio.CancelledError)


def test_an_event_has_the_principal_found_inside(world: World) -> None:
    events: list[AuditEvent] = []
    bus = world.bus(
        AuditMiddleware(events.append),
        AuthenticationMiddleware(lambda ctx, message: "ann"),
    )
    world.dispatch(bus)
    assert [event.principal for event in events] == ["ann"]


def test_a_dispatch_that_is_refused_is_an_event(world: World) -> None:
    events: list[AuditEvent] = []

    def authenticate(ctx: Context, message: Any) -> Any:
        raise PermissionError

    bus = world.bus(
        AuditMiddleware(events.append), AuthenticationMiddleware(authenticate)
    )
    with pytest.raises(PermissionError):
        world.dispatch(bus)
    with pytest.raises(DeadlineExceededError):
        world.dispatch(bus, Context.background().with_timeout(0))
    bus.close()
    with pytest.raises(BusClosedError):
        world.dispatch(bus, Context.background().with_principal("eve"))
    assert [type(event.error).__name__ for event in events] == [
        "PermissionError",
        "DeadlineExceededError",
        "BusClosedError",
    ]
    assert [event.principal for event in events] == [None, None, "eve"]
    assert not any(event.success for event in events)


def test_an_event_has_the_messages_own_name(world: World) -> None:
    class Donate(Transfer):
        pass

    events: list[AuditEvent] = []
    world.dispatch(world.bus(AuditMiddleware(events.append)), message=Donate())
    assert [event.name for event in events] == ["Donate"]


async def _late(event: AuditEvent) -> None:
    raise AssertionError("never run")


def _broken(event: AuditEvent) -> None:
    raise OSError("disk full")


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("sink", "told"),
    [(_broken, "OSError"), (lambda event: _late(event), "TypeError")],
    ids=["raises", "awaitable"],
)
def test_a_broken_sink_changes_nothing(
    world: World,
    sink: Callable[[AuditEvent], Any],
    told: str,
    fails: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("cqrs_fast.base.callbacks._last", {})
    error = KeyError("the handler's own")

    def handle(message: Any) -> Any:
        if fails:
            raise error
        return 7

    bus = world.bus(AuditMiddleware(sink), handler=handle)
    with warnings.catch_warnings(), caplog.at_level(logging.ERROR, "cqrs_fast"):
        warnings.simplefilter("error")
        if fails:
            with pytest.raises(KeyError) as caught:
                world.dispatch(bus)
            assert caught.value is error
        else:
            assert world.dispatch(bus) == 7
    (record,) = caplog.records
    assert f"audit sink of Transfer raised {told}" in record.getMessage()


def test_an_interrupt_inside_the_sink_is_not_swallowed() -> None:
    def sink(event: AuditEvent) -> None:
        raise KeyboardInterrupt

    bus = World(False).bus(AuditMiddleware(sink))
    with pytest.raises(KeyboardInterrupt):
        bus.execute(Transfer())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "sink must be callable, got None"),
        ([], r"sink must be callable, got \[\]"),
        (_late, "sink must be no async function: put the event into a queue"),
    ],
)
def test_what_is_no_plain_callable_is_refused_by_name(given: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        AuditMiddleware(given)


def test_an_event_cannot_be_changed() -> None:
    event = AuditEvent("Transfer", None, 0.0, 0.0, True, None)
    with pytest.raises(AttributeError):
        event.success = False  # type: ignore[misc]  # that is what is tested


def test_settings_tell_where_the_sink_is_defined() -> None:
    bus = World(False).bus(AuditMiddleware(_broken))
    (info,) = bus.describe()[0].stages
    assert info.kind == "AuditMiddleware"
    assert info.settings == {"sink": f"{__name__}._broken"}
