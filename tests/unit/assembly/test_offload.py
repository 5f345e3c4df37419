"""Offload: what runs in a worker thread, and who says so."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
import threading
import time
from typing import Any

import pytest
from support import Add, Ask, Trace, eventually

from cqrs_fast import (
    AsyncHandlerError,
    BusConfig,
    CommandBus,
    Config,
    Context,
    Middleware,
    QueryBus,
    RateLimitingMiddleware,
    default_config,
    handles,
    load_config,
    middleware,
)


def thread_of(message: Any) -> int:
    return threading.get_ident()


def run(bus: Any, message: Any) -> Any:
    return asyncio.run(bus.execute_async(message))


# Who says so


OFFLOADING = Config(command_bus=BusConfig(offload=True))
SOURCES: dict[str, Any] = {
    "bus": lambda: CommandBus(offload=True),
    "config": lambda: CommandBus.from_config(OFFLOADING),
    "override": lambda: CommandBus.from_config(default_config(), offload=True),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_bus_may_offload_its_sync_handlers(source: str) -> None:
    bus = SOURCES[source]()
    bus.register_handler(Add, thread_of)
    assert bus.offload
    assert run(bus, Add()) != threading.get_ident()
    assert bus.execute(Add()) == threading.get_ident()
    assert bus.describe()[0].offload
    first = bus.explain(Add).splitlines()[0]
    assert first == "Add (command, sync, offload)"


def test_nothing_is_offloaded_without_being_asked() -> None:
    for bus in (CommandBus(), CommandBus.from_config(default_config())):
        bus.register_handler(Add, thread_of)
        assert not bus.offload
        assert run(bus, Add()) == threading.get_ident()
        assert not bus.describe()[0].offload


def test_a_registration_wins_over_the_bus() -> None:
    bus = CommandBus(offload=True)
    bus.register_handler(Add, thread_of, offload=False)
    assert run(bus, Add()) == threading.get_ident()
    bus = CommandBus()
    bus.handler(Add, offload=True)(thread_of)
    assert run(bus, Add()) != threading.get_ident()


def test_a_bus_that_offloads_takes_async_handlers_as_they_are() -> None:
    async def handler(add: Add) -> int:
        return threading.get_ident()

    bus = CommandBus(offload=True)
    bus.register_handler(Add, handler)
    assert run(bus, Add()) == threading.get_ident()
    assert not bus.describe()[0].offload
    with pytest.raises(TypeError, match="offload=True is for sync handlers; Add has"):
        bus.register_handler(Add, handler, offload=True, replace=True)


class Both:
    @handles(Add)
    def add(self, add: Add) -> int:
        return threading.get_ident()

    @handles(Ask)
    async def ask(self, ask: Ask) -> int:
        return threading.get_ident()


class Marked:
    @handles(Add, offload=False)
    def add(self, add: Add) -> int:
        return threading.get_ident()


def test_register_says_it_of_the_sync_methods_that_do_not() -> None:
    commands, queries = CommandBus(), QueryBus()
    assert commands.register(Both(), offload=True) == ["Add"]
    assert queries.register(Both(), offload=True) == ["Ask"]
    assert run(commands, Add()) != threading.get_ident()
    assert run(queries, Ask()) == threading.get_ident()
    for bus in (CommandBus(offload=True), CommandBus()):
        bus.register(Marked(), offload=True)
        assert run(bus, Add()) == threading.get_ident()
    bus = CommandBus(offload=True)
    bus.register(Both(), offload=False)
    assert run(bus, Add()) == threading.get_ident()


def test_a_reload_says_that_offload_needs_a_restart() -> None:
    from cqrs_fast.config.reload import apply_config

    bus = CommandBus.from_config(default_config())
    assert apply_config(OFFLOADING, [bus]) == ["command_bus.offload"]
    own = CommandBus.from_config(default_config(), offload=False)
    assert apply_config(OFFLOADING, [own]) == []


@pytest.mark.parametrize("value", [1, "yes", None])
def test_offload_of_a_bus_is_a_bool(value: Any) -> None:
    with pytest.raises(TypeError, match="offload must be a bool, got"):
        CommandBus(offload=value)


# What runs in the thread


def test_sync_arounds_are_in_the_thread_of_their_handler() -> None:
    threads: dict[str, int] = {}
    log: list[str] = []

    def note(name: str) -> None:
        threads[name] = threading.get_ident()
        log.append(name)

    @middleware
    def transaction(ctx: Any, message: Any, next: Any) -> Any:
        note("begin")
        try:
            return next(ctx, message)
        finally:
            note("commit")

    def factory(next: Any) -> Any:
        def handle(ctx: Any, message: Any) -> Any:
            note("factory")
            return next(ctx, message)

        return handle

    @middleware
    def generator(ctx: Any, message: Any) -> Any:
        note("generator")
        yield

    class Hooks(Middleware):
        def before(self, call: Any) -> None:
            note("hooks")

    class Outside(Middleware):
        def before(self, call: Any) -> None:
            note("outside")

    elements = [Outside(), transaction, Hooks(), factory, generator]
    bus = CommandBus(middleware=elements, offload=True)
    bus.register_handler(Add, lambda add: note("handler"))
    run(bus, Add())
    expected = [
        "outside",
        "begin",
        "hooks",
        "factory",
        "generator",
        "handler",
        "commit",
    ]
    assert log == expected
    assert threads.pop("outside") == threading.get_ident()
    assert len(set(threads.values())) == 1
    assert threads["handler"] != threading.get_ident()
    bus.execute(Add())
    assert log == expected * 2


@pytest.mark.parametrize("outside", ["nothing", "hooks", "async generator", "factory"])
def test_sync_generators_are_in_the_thread_of_their_handler(outside: str) -> None:
    threads: list[int] = []
    seen: list[str] = []

    @middleware
    def generator(ctx: Any, message: Any) -> Any:
        threads.append(threading.get_ident())
        yield ctx.with_value("a", 1)
        threads.append(threading.get_ident())

    @middleware
    async def async_generator(ctx: Any, message: Any) -> Any:
        seen.append(threading.current_thread().name)
        await asyncio.sleep(0)
        yield

    def factory(next: Any) -> Any:
        async def handle(ctx: Any, message: Any) -> Any:
            seen.append(threading.current_thread().name)
            return await next(ctx, message)

        return handle

    class Hooks(Middleware):
        def before(self, call: Any) -> None:
            seen.append(threading.current_thread().name)

    elements: dict[str, Any] = {
        "nothing": [],
        "hooks": [Hooks()],
        "async generator": [async_generator],
        "factory": [factory],
    }
    log: list[str] = []
    trace = Trace("A", log)
    bus = CommandBus(middleware=[*elements[outside], generator, trace])
    bus.register_handler(
        Add, lambda ctx, add: (threading.get_ident(), ctx.value("a")), offload=True
    )
    worker, value = run(bus, Add())
    assert value == 1
    assert threads == [worker] * 2
    assert worker != threading.get_ident()
    assert set(seen) <= {threading.current_thread().name}
    assert log == ["A>", "<A"]
    kinds = [stage.kind for stage in bus.describe()[0].stages]
    assert kinds[-2:] == ["generator", "Trace"]
    assert len(kinds) == 2 + len(elements[outside])


def test_an_async_around_stays_on_the_loop() -> None:
    threads: list[int] = []

    async def around(ctx: Any, message: Any, next: Any) -> Any:
        threads.append(threading.get_ident())
        return await next(ctx, message)

    @middleware
    def inside(ctx: Any, message: Any, next: Any) -> Any:
        threads.append(threading.get_ident())
        return next(ctx, message)

    bus = CommandBus(middleware=[around, inside])
    bus.register_handler(Add, thread_of, offload=True)
    worker = run(bus, Add())
    assert threads == [threading.get_ident(), worker]
    assert worker != threading.get_ident()


def test_a_sync_around_over_an_async_one_is_refused_with_offload_too() -> None:
    async def inside(ctx: Any, message: Any, next: Any) -> Any:
        return await next(ctx, message)

    def outside(ctx: Any, message: Any, next: Any) -> Any:
        return next(ctx, message)

    bus = CommandBus(middleware=[outside, inside], offload=True)
    bus.register_handler(Add, thread_of)
    with pytest.raises(AsyncHandlerError, match="would end before it has run"):
        run(bus, Add())


def test_a_stage_under_a_sync_around_waits_in_the_thread() -> None:
    def around(ctx: Any, message: Any, next: Any) -> Any:
        return next(ctx, message)

    limiter = RateLimitingMiddleware(100, 1.0, burst=1, max_wait=1.0)
    bus = CommandBus(middleware=[around, limiter])
    bus.register_handler(Add, thread_of, offload=True)

    async def main() -> list[Any]:
        return list(await asyncio.gather(*(bus.execute_async(Add()) for _ in range(3))))

    assert threading.get_ident() not in asyncio.run(main())


@pytest.mark.parametrize("kind", [OSError, StopIteration, KeyboardInterrupt])
def test_what_an_offloaded_around_raises_is_raised(kind: type[BaseException]) -> None:
    log: list[str] = []

    @middleware
    def around(ctx: Any, message: Any, next: Any) -> Any:
        try:
            return next(ctx, message)
        except BaseException as error:
            log.append(type(error).__name__)
            raise

    def handler(add: Add) -> None:
        raise kind("no")

    bus = CommandBus(middleware=[Trace("A", log), around])
    bus.register_handler(Add, handler, offload=True)
    expected = RuntimeError if kind is StopIteration else kind
    with pytest.raises(expected):
        run(bus, Add())
    assert log == ["A>", kind.__name__, "!A"]


def test_context_variables_and_the_context_reach_the_thread() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    inner = CommandBus()
    inner.register_handler(Add, lambda add: add.number)

    @middleware
    def around(ctx: Any, message: Any, next: Any) -> Any:
        return next(ctx.with_value("key", variable.get()), message)

    def handler(ctx: Context, add: Add) -> Any:
        inner.close(0.0)  # a nested dispatch is admitted all the same
        return ctx.value("key"), inner.execute(Add(3), ctx)

    bus = CommandBus(middleware=[around], offload=True)
    bus.register_handler(Add, handler)

    async def main() -> Any:
        variable.set("set")
        return await bus.execute_async(Add())

    assert asyncio.run(main()) == ("set", 3)


def test_a_cancelled_caller_leaves_the_thread_to_finish() -> None:
    log: list[str] = []
    go, began = threading.Event(), threading.Event()

    @middleware
    def transaction(ctx: Any, message: Any, next: Any) -> Any:
        log.append("begin")
        try:
            return next(ctx, message)
        finally:
            log.append("commit")

    def handler(add: Add) -> None:
        began.set()
        go.wait(5)
        log.append("handler")

    bus = CommandBus(middleware=[transaction], offload=True)
    bus.register_handler(Add, handler)

    async def main() -> None:
        task = asyncio.ensure_future(bus.execute_async(Add()))
        while not began.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["begin"]
        go.set()

    asyncio.run(main())
    eventually(lambda: log == ["begin", "handler", "commit"])
    eventually(lambda: bus.stats().total.in_flight == 0)


# What holds the loop


class Timed(Middleware):
    timed = True

    def after(self, call: Any) -> None:
        pass


def held(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if "held the event loop" in record.getMessage()
    ]


def sleepy(add: Add) -> None:
    time.sleep(0.02)


def test_a_handler_that_holds_the_loop_is_told_of_once_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = CommandBus(middleware=[Timed()], loop_block_threshold=0.01)
    bus.register_handler(Add, sleepy)
    for _ in range(2):
        run(bus, Add())
    bus.add_middleware(Trace("A", []))
    run(bus, Add())
    (text,) = held(caplog)
    who = rf"the handler of Add, {re.escape(__name__)}.sleepy, held the event loop"
    assert re.match(rf"{who} for \d+\.\d{{3}} s", text)
    assert "loop_block_threshold=0.01: register it with offload=True" in text


def test_a_handler_that_fails_late_is_told_of_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(add: Add) -> None:
        time.sleep(0.02)
        raise OSError("late")

    bus = CommandBus(middleware=[Timed()], loop_block_threshold=0.01)
    bus.register_handler(Add, handler)
    with pytest.raises(OSError, match="late"):
        run(bus, Add())
    assert len(held(caplog)) == 1


@pytest.mark.parametrize(
    ("case", "bus", "offload"),
    [
        ("no clock is read", CommandBus(loop_block_threshold=0.01), False),
        ("quick enough", CommandBus(middleware=[Timed()]), False),
        ("off", CommandBus(middleware=[Timed()], loop_block_threshold=None), False),
        (
            "in a thread",
            CommandBus(middleware=[Timed()], loop_block_threshold=0.01),
            True,
        ),
    ],
)
def test_nobody_else_is_told_of(
    case: str, bus: CommandBus, offload: bool, caplog: pytest.LogCaptureFixture
) -> None:
    bus.register_handler(Add, sleepy, offload=offload)
    run(bus, Add())
    bus.execute(Add())
    assert held(caplog) == []


def test_logging_that_fails_does_not_change_the_outcome(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any) -> None:
        raise OSError("full")

    monkeypatch.setattr(logging.getLogger("cqrs_fast"), "warning", broken)
    bus = CommandBus(middleware=[Timed()], loop_block_threshold=0.01)
    bus.register_handler(Add, lambda add: sleepy(add) or 4)
    assert run(bus, Add()) == 4


@pytest.mark.parametrize("value", [0, -1, "1", True])
def test_a_threshold_is_seconds(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="loop_block_threshold must be"):
        CommandBus(loop_block_threshold=value)


def test_a_file_may_say_it(tmp_path: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"query_bus": {"offload": true}}')
    assert QueryBus.from_config(load_config(path)).offload
    assert not CommandBus.from_config(load_config(path)).offload
