"""What several tests share: messages, tracing middleware, drivers, hand-stepping."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cqrs_fast import CommandBus, Context, Middleware
from cqrs_fast.messages import Command, Query


class Add(Command[int]):
    number: int = 0


class Ask(Query[int]):
    number: int = 0


class Halt(BaseException):
    """A user's BaseException that is no Exception."""


@types.coroutine
def suspend(value: object = None) -> Generator[object, Any, Any]:
    """Yield once to the driver of the coroutine; return what it sends."""
    return (yield value)


def drive(awaitable: Any) -> Any:
    """Step an awaitable to its end without an event loop; return its result."""
    steps = awaitable.__await__()
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until `condition()` holds; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.001)


def stranded(
    dispatch: Any, loop: asyncio.AbstractEventLoop | None = None
) -> asyncio.Task[Any]:
    """Begin a dispatch on an event loop that is then closed; its task keeps it."""
    loop = loop or asyncio.new_event_loop()
    task = asyncio.ensure_future(dispatch, loop=loop)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task


def asked(
    way: str, sync: Any, bus: Any, message: object, seconds: float = 5.0
) -> object:
    """Dispatch in a thread, on an event loop, or "blocking" one; within `seconds`."""
    ctx = Context.background().with_timeout(seconds)

    async def main() -> object:
        if way == "blocking":
            return sync.execute(message, ctx)
        return await bus.execute_async(message, ctx)

    return sync.execute(message, ctx) if way == "thread" else asyncio.run(main())


ASKED = ["thread", "loop", "blocking"]


class Trace(Middleware):
    """Log what it sees: `A>` on the way in, `<A` with a result, `!A` with an error."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def before(self, call: Any) -> None:
        self.log.append(f"{self.name}>")

    def after(self, call: Any) -> None:
        self.log.append(f"<{self.name}")

    def on_error(self, call: Any) -> None:
        self.log.append(f"!{self.name}")


Body = Callable[[Context, Any], Generator[Any, Any, Any]]


def _first(script: Generator[Any, Any, Any]) -> Any:
    return script.send(None)


def sync_around(body: Body) -> Callable[..., Any]:
    """Make a sync around of a generator that yields the arguments of `next`."""

    def around(ctx: Context, message: Any, next: Callable[..., Any]) -> Any:
        script = body(ctx, message)
        try:
            request = _first(script)
            while True:
                try:
                    answer = next(*request)
                except BaseException as error:
                    request = script.throw(error)
                else:
                    request = script.send(answer)
        except StopIteration as stop:
            return stop.value

    return around


def async_around(body: Body) -> Callable[..., Awaitable[Any]]:
    """Make the async twin of `sync_around`."""

    async def around(ctx: Context, message: Any, next: Callable[..., Any]) -> Any:
        script = body(ctx, message)
        try:
            request = _first(script)
            while True:
                try:
                    answer = await next(*request)
                except BaseException as error:
                    request = script.throw(error)
                else:
                    request = script.send(answer)
        except StopIteration as stop:
            return stop.value

    return around


class Driver:
    """One way to run a pipeline: the handler's form, the arounds' form, the call."""

    def __init__(self, name: str, form: str, run_async: bool) -> None:
        self.name = name
        self.form = form
        self.run_async = run_async

    def handler(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Turn `function(ctx, message)` into a handler of this driver's form."""
        if self.form == "sync":
            return lambda ctx, message: function(ctx, message)

        async def handle(ctx: Context, message: Any) -> Any:
            if self.form == "suspending":
                await suspend()
            return function(ctx, message)

        return handle

    def around(self, body: Body) -> Callable[..., Any]:
        """Turn a scripted body into an around of this driver's form."""
        return sync_around(body) if self.form == "sync" else async_around(body)

    def factory(self, body: Body) -> Callable[..., Any]:
        """Turn a scripted body into the factory form."""
        around = self.around(body)
        if self.form == "sync":
            return lambda next: lambda ctx, message: around(ctx, message, next)

        def make(next: Callable[..., Any]) -> Callable[..., Any]:
            async def handle(ctx: Context, message: Any) -> Any:
                return await around(ctx, message, next)

            return handle

        return make

    def __call__(
        self, bus: CommandBus, message: Any, ctx: Context | None = None
    ) -> Any:
        if self.run_async:
            return drive(bus.execute_async(message, ctx))
        return bus.execute(message, ctx)


DRIVERS = [
    Driver("sync", "sync", run_async=False),
    Driver("async-sync-handler", "sync", run_async=True),
    Driver("async-ready-handler", "ready", run_async=True),
    Driver("async-suspending-handler", "suspending", run_async=True),
]


TRANSPARENT = [
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    Halt,
]


@dataclass
class Part:
    """One element of a pipeline, in words; `act` says what it does where.

    A hook acts on `before`, `after`, `on_error`; an around or factory on `call`.
    """

    form: str
    name: str
    acts: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def built(self, driver: Driver, log: list[str]) -> Any:
        if self.form == "hook":
            return Hook(self, log)
        body = scripted(self, log)
        return driver.around(body) if self.form == "around" else driver.factory(body)


class Hook(Trace):
    def __init__(self, part: Part, log: list[str]) -> None:
        super().__init__(part.name, log)
        self.acts = part.acts

    def before(self, call: Any) -> None:
        super().before(call)
        self.act("before", call)

    def after(self, call: Any) -> None:
        super().after(call)
        self.act("after", call)

    def on_error(self, call: Any) -> None:
        super().on_error(call)
        self.act("on_error", call)

    def act(self, where: str, call: Any) -> None:
        action, value = self.acts.get(where, ("pass", None))
        if action == "result":
            call.result = value
        elif action == "error":
            call.error = value
        elif action == "raise":
            raise value


def scripted(part: Part, log: list[str]) -> Callable[..., Any]:
    action, value = part.acts.get("call", ("pass", None))

    def body(ctx: Context, message: Any) -> Any:
        log.append(f"{part.name}>")
        if action == "skip":
            return value
        if action == "raise-in":
            raise value
        try:
            result = yield ctx, message
            if action == "twice":
                result = yield ctx, message
        except BaseException as error:
            log.append(f"!{part.name}")
            if action == "recover" and isinstance(error, Exception):
                return value
            raise
        log.append(f"<{part.name}")
        if action == "raise-out":
            raise value
        return value if action == "replace" else result

    return body


def hook(name: str, **acts: tuple[str, Any]) -> Part:
    return Part("hook", name, acts)


def around(name: str, *act: Any) -> Part:
    return Part("around", name, {"call": act} if act else {})


def factory(name: str, *act: Any) -> Part:
    return Part("factory", name, {"call": act} if act else {})


def run(driver: Driver, parts: list[Part], act: tuple[str, Any], own: int = 0) -> Any:
    """Dispatch through `parts`, the last `own` of them the handler's own."""
    log: list[str] = []

    def handler(ctx: Context, message: Add) -> Any:
        log.append("handler")
        if act[0] == "raise":
            raise act[1]
        return act[1]

    built = [part.built(driver, log) for part in parts]
    at = len(built) - own
    bus = CommandBus(middleware=built[:at])
    bus.register_handler(Add, driver.handler(handler), middleware=built[at:])
    try:
        outcome = "result", driver(bus, Add())
    except BaseException as error:
        outcome = "raise", error
    assert bus.close(0).drained
    return log, outcome


def run_script(source: str) -> str:
    """Run a script in a fresh interpreter, which alone ends if it crashes."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", source],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@contextmanager
def fastest_switching() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
