"""Changing a bus under load: every call sees one whole version of it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import Add, Trace, drive

from cqrs_fast import (
    AsyncHandlerError,
    CachingMiddleware,
    Command,
    CommandBus,
    Context,
    DeadlineExceededError,
    HandlerNotFoundError,
    Middleware,
    Query,
    QueryBus,
    TimeoutMiddleware,
    ValidationMiddleware,
)
from cqrs_fast.testing import ManualClock


class Other(Command[int]):
    pass


def run_many(bus: CommandBus, command: Any) -> Any:
    return bus.execute_many([command])


class Counting(Middleware):
    """Count what enters and what leaves; safe from any thread."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.left: list[int] = []

    def before(self, call: Any) -> None:
        self.entered.append(1)

    def after(self, call: Any) -> None:
        self.left.append(1)

    def on_error(self, call: Any) -> None:
        self.left.append(1)


@pytest.fixture
def _quick_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


class Load:
    """Three threads and an event loop that dispatch until the block ends."""

    def __init__(self, bus: CommandBus, check: Callable[[Any], bool]) -> None:
        self.bus = bus
        self.check = check
        self.stop = False
        self.calls: list[int] = []
        self.errors: list[BaseException] = []
        self.threads = [threading.Thread(target=self.guarded) for _ in range(3)]
        self.threads.append(
            threading.Thread(
                target=lambda: self.guarded(lambda: asyncio.run(self.loop()))
            )
        )

    def guarded(self, work: Callable[[], None] | None = None) -> None:
        try:
            (work or self.work)()
        except BaseException as error:
            self.errors.append(error)

    def work(self) -> None:
        bound = self.bus.bind(Add)
        while not self.stop:
            assert self.check(self.bus.execute(Add()))
            assert self.check(bound(Add()))
            self.calls.append(2)

    async def loop(self) -> None:
        async def work() -> None:
            while not self.stop:
                assert self.check(await self.bus.execute_async(Add()))
                self.calls.append(1)
                await asyncio.sleep(0)

        await asyncio.gather(*(work() for _ in range(4)))

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop = True
        for thread in self.threads:
            thread.join()
        assert self.errors == []
        assert sum(self.calls) > 0


@pytest.mark.usefixtures("_quick_switches")
def test_middleware_comes_and_goes_under_load() -> None:
    kept, guest = Counting(), Counting()
    bus = CommandBus(middleware=[kept], enable_metrics=True)
    bus.register_handler(Add, lambda ctx, add: 1)

    def around(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)

    with Load(bus, lambda result: result == 1) as load:
        for _ in range(100):
            bus.add_middleware(guest)
            bus.add_middleware(around, index=0)
            assert bus.middleware == (around, kept, guest)
            bus.remove_middleware(around)
            bus.remove_middleware(guest)
    calls = sum(load.calls)
    assert bus.middleware == (kept,)
    assert len(kept.entered) == len(kept.left) == calls
    assert len(guest.entered) == len(guest.left) <= calls
    assert bus.stats().messages["Add"].outcomes["ok"] == calls
    assert bus.close(1).drained


@pytest.mark.usefixtures("_quick_switches")
def test_a_call_sees_one_version_of_handler_and_middleware() -> None:
    def version(number: int) -> tuple[Any, list[Any]]:
        class Tag(Middleware):
            def before(self, call: Any) -> None:
                call.state["version"] = number

            def after(self, call: Any) -> None:
                call.result = (*call.result, call.state["version"])

        def around(ctx: Context, message: Any, next: Any) -> Any:
            return next(ctx.with_value("version", number), message)

        def handler(ctx: Context, add: Add) -> Any:
            return number, ctx.value("version")

        return handler, [Tag(), around]

    bus = CommandBus()
    handler, own = version(0)
    bus.register_handler(Add, handler, middleware=own)
    with Load(bus, lambda result: len(set(result)) == 1 and len(result) == 3):
        for number in range(1, 150):
            handler, own = version(number)
            bus.register_handler(Add, handler, middleware=own, replace=True)
    assert bus.execute(Add()) == (149, 149, 149)


@pytest.mark.usefixtures("_quick_switches")
def test_unregistered_under_load_a_call_is_whole_or_refused() -> None:
    counting = Counting()
    bus = CommandBus(middleware=[counting])
    bus.register_handler(Add, lambda add: 1)
    errors: list[BaseException] = []
    ran: list[int] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                ran.append(bus.execute(Add()))
            except HandlerNotFoundError:
                pass
            except BaseException as error:
                errors.append(error)
                return

    def look() -> None:
        try:
            while not stop.is_set():
                bus.describe()
                bus.stats()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=target) for target in (work, work, look)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        bus.unregister_handler(Add)
        bus.register_handler(Add, lambda add: 1)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(counting.entered) == len(counting.left) == len(ran)


@pytest.mark.usefixtures("_quick_switches")
def test_concurrent_changers_lose_no_change() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda add: 0)

    def change(number: int) -> None:
        for index in range(20):
            bus.register_handler(f"{number}-{index}", lambda m: 1)
            bus.add_middleware(Trace(f"{number}", []))
        for index in range(0, 20, 2):
            bus.unregister_handler(f"{number}-{index}")

    threads = [threading.Thread(target=change, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {f"{n}-{i}" for n in range(4) for i in range(1, 20, 2)}
    assert set(bus.registered_commands()) == names | {"Add"}
    assert len(bus.middleware) == 80
    assert [len(info.stages) for info in bus.describe()] == [80] * 41


def test_only_one_of_many_registers() -> None:
    bus, won = CommandBus(), []
    barrier = threading.Barrier(4)

    def register(number: int) -> None:
        barrier.wait()
        try:
            bus.register_handler(Add, lambda add: number)
        except Exception:
            return
        won.append(number)

    threads = [threading.Thread(target=register, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bus.execute(Add())] == won


def test_calls_in_flight_finish_on_their_program() -> None:
    log: list[str] = []
    old, new = Trace("old", log), Trace("new", log)
    bus = CommandBus(middleware=[old])

    async def handler(add: Add) -> str:
        await asyncio.sleep(0)
        return "first"

    async def main() -> None:
        task = asyncio.ensure_future(bus.execute_async(Add()))
        await asyncio.sleep(0)
        bus.remove_middleware(old)
        bus.add_middleware(new)
        bus.register_handler(Add, lambda add: "second", replace=True)
        assert await bus.execute_async(Add()) == "second"
        bus.unregister_handler(Add)
        assert await task == "first"

    bus.register_handler(Add, handler)
    asyncio.run(main())
    assert log == ["old>", "new>", "<new", "<old"]


def test_middleware_keeps_its_identity_and_place() -> None:
    log: list[str] = []
    a, b, c, own = (Trace(name, log) for name in "ABCO")
    bus = CommandBus(middleware=[a])
    bus.register_handler(Add, lambda add: 1, middleware=[own])
    bus.add_middleware(c)
    bus.add_middleware(b, index=1)
    assert all(x is y for x, y in zip(bus.middleware, (a, b, c), strict=True))
    bus.execute(Add())
    assert log[:4] == ["A>", "B>", "C>", "O>"]
    for wrong in (own, Trace("A", log), None):
        with pytest.raises(ValueError, match="not among"):
            bus.remove_middleware(wrong)
    for wrong in (3, Trace, lambda a, b: None, None):
        with pytest.raises(TypeError, match=r"middleware|is a class"):
            bus.add_middleware(wrong)
    bus.remove_middleware(a)
    assert bus.middleware == (b, c)


def test_a_method_that_was_added_can_be_removed() -> None:
    class Auditor:
        def audit(self, ctx: Context, message: Any, next: Any) -> Any:
            return next(ctx, message)

    auditor = Auditor()
    bus = CommandBus(middleware=[auditor.audit])
    bus.remove_middleware(auditor.audit)
    assert bus.middleware == ()


def test_factories_are_called_once_for_each_route() -> None:
    made: list[int] = []

    def factory(next: Any) -> Any:
        made.append(1)
        return lambda ctx, message: next(ctx, message)

    bus = CommandBus(middleware=[factory])
    assert len(made) == 0
    bus.register_handler(Add, lambda add: 1)
    bus.register_handler(Other, lambda other: 2)
    assert len(made) == 2
    for _ in range(3):
        bus.execute(Add())
        drive(bus.execute_async(Other()))
    assert len(made) == 2
    bus.add_middleware(Trace("A", []))
    assert len(made) == 4


def test_a_factory_that_fails_changes_nothing() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda add: 1)

    def failing(next: Any) -> Any:
        raise KeyError("no")

    def making_nothing(next: Any) -> Any:
        return None

    for factory, error in ((failing, KeyError), (making_nothing, TypeError)):
        with pytest.raises(error):
            bus.add_middleware(factory)
        with pytest.raises(error):
            bus.register_handler(Other, lambda m: 2, middleware=[factory])
    assert bus.middleware == ()
    assert bus.registered_commands() == ["Add"]
    assert bus.execute(Add()) == 1


def test_a_handler_changes_the_bus_it_runs_on() -> None:
    log: list[str] = []
    bus = CommandBus()

    def handler(add: Add) -> str:
        bus.add_middleware(Trace("A", log))
        bus.register_handler(Other, lambda other: "other")
        bus.register_handler(Add, lambda add: "second", replace=True)
        return "first " + bus.execute(Other())

    bus.register_handler(Add, handler)
    del handler
    assert bus.execute(Add()) == "first other"
    assert log == ["A>", "<A"]
    assert bus.execute(Add()) == "second"


@pytest.mark.parametrize("run", [CommandBus.execute, run_many], ids=["one", "many"])
def test_what_a_handler_that_is_gone_returned_is_still_refused(run: Any) -> None:
    bus = CommandBus()

    def handler(add: Add) -> Any:
        bus.unregister_handler(Add)
        return awaited()

    async def awaited() -> None:
        raise AssertionError("nobody runs it")

    bus.register_handler(Add, handler)
    del handler
    with pytest.raises(AsyncHandlerError, match="Add"):
        run(bus, Add())
    with pytest.raises(HandlerNotFoundError):
        run(bus, Add())


@pytest.mark.parametrize("run", [CommandBus.execute, run_many], ids=["one", "many"])
def test_a_handler_that_is_gone_is_in_flight_until_it_ends(run: Any) -> None:
    bus = CommandBus()
    reports = []

    def handler(add: Add) -> None:
        bus.unregister_handler(Add)
        gc.collect()
        reports.append(bus.close(timeout=0))

    bus.register_handler(Add, handler)
    del handler
    run(bus, Add())
    assert reports[0].still_running == ["Add"]
    assert bus.close(timeout=0).still_running == []


def test_a_handler_unregisters_itself() -> None:
    bus = CommandBus()

    def handler(add: Add) -> str:
        bus.unregister_handler(Add)
        return "last"

    bus.register_handler(Add, handler)
    del handler
    assert bus.execute(Add()) == "last"
    with pytest.raises(HandlerNotFoundError):
        bus.execute(Add())
    assert bus.close(0).drained


ways = pytest.mark.parametrize(
    "send",
    [
        lambda bus, message: bus.execute(message),
        lambda bus, message: bus.bind(Add)(message),
        lambda bus, message: bus.execute_many([message])[0],
        lambda bus, message: drive(bus.execute_async(message)),
    ],
    ids=["execute", "bind", "execute_many", "execute_async"],
)


@ways
@pytest.mark.parametrize("stages", [0, 1])
def test_a_route_lives_as_long_as_it_runs(send: Any, stages: int) -> None:
    alive: list[int] = []

    def routes() -> int:
        gc.collect()
        return sum(type(one).__name__ == "Route" for one in gc.get_objects())

    def leave(add: Add) -> int:
        before = routes()
        bus.unregister_handler(Add)
        alive.append(routes() - before)
        return add.number

    bus = CommandBus(middleware=[Trace("A", [])] * stages)
    bus.register_handler(Add, leave)
    assert send(bus, Add(3)) == 3
    assert alive == [0]


def test_a_factory_changes_the_bus_it_is_built_for() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda add: 1)

    def factory(next: Any) -> Any:
        if "Other" not in bus.registered_commands():
            bus.register_handler(Other, lambda other: 2)
        return lambda ctx, message: next(ctx, message) + 10

    bus.add_middleware(factory)
    assert bus.registered_commands() == ["Add", "Other"]
    assert (bus.execute(Add()), bus.execute(Other())) == (11, 12)


def test_a_change_while_looking_is_no_error() -> None:
    class Odd:
        """Its name is asked when it is described; that unregisters it."""

        def __call__(self, ctx: Context, message: Any, next: Any) -> Any:
            return next(ctx, message)

        def __getattr__(self, name: str) -> str:
            if name != "__qualname__":
                raise AttributeError(name)
            if bus.registered_commands():
                bus.unregister_handler("Other")
                bus.unregister_handler("Add")
            return "odd"

    bus = CommandBus()
    bus.register_handler(Add, lambda add: 1, middleware=[Odd()])
    bus.register_handler(Other, lambda other: 1)
    assert [info.name for info in bus.describe()] == ["Add", "Other"]


def test_an_update_that_comes_into_another_is_not_undone() -> None:
    cache = CachingMiddleware(10.0)
    meanwhile = [lambda: cache.update(ttl=99.0)]

    class Key:
        """Checked while the outer update constructs the new settings."""

        def __call__(self, query: Any) -> int:
            return 1

        def __getattribute__(self, name: str) -> Any:
            if name != "__class__" and meanwhile:
                meanwhile.pop()()
            return object.__getattribute__(self, name)

    cache.update(key=Key())
    assert meanwhile == []
    assert cache.settings()["ttl"] == 99.0
    assert cache.settings()["key"].endswith("Key")


@pytest.mark.parametrize("late", ["validate", "tags", "cache_key"])
def test_users_code_on_the_way_in_counts_against_the_deadline(late: str) -> None:
    clock = ManualClock()
    handled: list[Any] = []

    class Slow(Query[int]):
        def validate(self) -> None:
            clock.advance(10.0 if late == "validate" else 0.0)

        def cache_key(self) -> int:
            clock.advance(10.0 if late == "cache_key" else 0.0)
            return 1

    def tags(query: Any) -> list[str]:
        clock.advance(10.0 if late == "tags" else 0.0)
        return ["one"]

    middleware = [
        TimeoutMiddleware(5.0),
        ValidationMiddleware(),
        CachingMiddleware(10.0, tags=tags),
    ]
    bus = QueryBus(middleware=middleware, clock=clock)
    bus.register_handler(Slow, handled.append)
    with pytest.raises(DeadlineExceededError):
        bus.execute(Slow())
    assert handled == []
