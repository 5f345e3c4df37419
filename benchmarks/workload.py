"""What all benchmarks share: messages, handlers, and the code they are compared with.

The hand-written twins are what one would write without this library, in its shortest
form. Handlers do nothing, so that the cost of reaching them is all there is.
"""

from __future__ import annotations

import functools
import logging
import operator
import types
from collections.abc import Callable, Generator, Iterator
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from cqrs_fast import (
    AuditEvent,
    AuditMiddleware,
    AuthenticationMiddleware,
    BulkheadMiddleware,
    CircuitBreakerMiddleware,
    Command,
    CommandBus,
    Context,
    FallbackMiddleware,
    LoggingMiddleware,
    Middleware,
    Query,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    SlowCallMiddleware,
    TimeoutMiddleware,
    ValidationMiddleware,
)


class Create(Command[int]):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    quantity: Annotated[int, Meta(ge=1)]
    idempotent: ClassVar[bool] = True  # else a retry would be left out of its route


class Rename(Command[int]):
    name: Annotated[str, Meta(min_length=1, max_length=100)]


class Place(Command[int]):
    """Done once for each key by an IdempotencyMiddleware."""

    idempotency_key: str


class Find(Query[int]):
    name: str


# Those of the guide's production benchmark.


class CreateUser(Command[int]):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    email: Annotated[str, Meta(min_length=3, max_length=254)]


class GetUser(Query[int]):
    user_id: Annotated[int, Meta(ge=0)]


COMMAND = Create("a bolt", 7)
QUERY = Find("a bolt")
CONTEXT = Context.background()


# Handlers


def create(command: Any) -> int:
    return 1


def create_with_context(ctx: Context, command: Any) -> int:
    return 1


async def create_async(command: Any) -> None:
    return None


async def create_async_with_result(command: Any) -> int:
    return 1


@types.coroutine
def suspend() -> Generator[None, None, None]:
    """Yield once, as a future that is not done does."""
    yield


async def create_after_suspending(command: Any) -> None:
    await suspend()


def unavailable(command: Any) -> int:
    raise Refused("the service is down")


def unsteady() -> Callable[[Any], int]:
    """Return a handler of which every other call fails."""
    fails = False

    def fail_or_answer(command: Any) -> int:
        nonlocal fails
        fails = not fails
        if fails:
            raise Refused("not this time")
        return 1

    return fail_or_answer


class Recovering:
    """A handler that fails until it is well."""

    well = False

    def handle(self, command: Any) -> int:
        if self.well:
            return 1
        raise Refused("the service is down")


# Middleware, and the callbacks of it


class Looking(Middleware):
    def before(self, call: Any) -> None:
        pass

    def after(self, call: Any) -> None:
        pass


class Reading(Middleware):
    """Looks at what a generator gets as its arguments."""

    def before(self, call: Any) -> None:
        call.context  # noqa: B018 - it is made here
        call.message  # noqa: B018

    def after(self, call: Any) -> None:
        pass


def look(call: Any) -> None:
    pass


def generator(ctx: Context, message: Any) -> Iterator[None]:
    yield


def around(ctx: Context, message: Any, next: Callable[..., Any]) -> Any:
    return next(ctx, message)


def authenticate(ctx: Context, message: Any) -> None:
    """Find the principal that is there already: nobody."""


def reject(ctx: Context, message: Any) -> None:
    raise Refused("nobody we know")


def sink(event: AuditEvent) -> None:
    pass


def substitute(ctx: Context, message: Any, error: Any) -> int:
    return 1


def name_of(ctx: Context, message: Any) -> str:
    name: str = message.name
    return name


class Ignoring(logging.Handler):
    """A log that nobody reads."""

    def handle(self, record: logging.LogRecord) -> bool:
        return True


@functools.cache
def ignored_logger() -> logging.Logger:
    """Return a logger that hands all it gets to one that ignores it."""
    logger = logging.getLogger("benchmarks.ignored")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(Ignoring())
    return logger


@functools.cache
def silent_logger() -> logging.Logger:
    """Return a logger that leaves out all but warnings."""
    logger = logging.getLogger("benchmarks")
    logger.setLevel(logging.WARNING)
    return logger


def authentication() -> AuthenticationMiddleware:
    return AuthenticationMiddleware(authenticate)


def audit() -> AuditMiddleware:
    return AuditMiddleware(sink)


def silent_logging() -> LoggingMiddleware:
    """Log at a level that its logger leaves out."""
    return LoggingMiddleware(logger=silent_logger(), level=logging.INFO)


def slow_call() -> SlowCallMiddleware:
    """Look for calls that are slower than any here."""
    return SlowCallMiddleware(60.0)


def quiet_stages() -> list[Any]:
    """Return the stages that call no Python and make no object for a good message."""
    return [silent_logging(), slow_call(), ValidationMiddleware()]


def limiter() -> RateLimitingMiddleware:
    """Let more in than there can be calls, from a bucket that is never full again.

    A full one would be topped up without any arithmetic.
    """
    return RateLimitingMiddleware(1_000_000, 1.0, burst=1_000_000_000)


def protecting_stages() -> list[Any]:
    """Return what protects a handler, in the default order."""
    return [
        ValidationMiddleware(),
        limiter(),
        RetryMiddleware(),
        CircuitBreakerMiddleware(),
        TimeoutMiddleware(30.0),
    ]


def ten_stages() -> list[Any]:
    """Return as many as TEN says beside metrics, those that protect among them."""
    return [
        silent_logging(),
        slow_call(),
        FallbackMiddleware(substitute),
        ValidationMiddleware(),
        limiter(),
        RetryMiddleware(),
        CircuitBreakerMiddleware(),
        BulkheadMiddleware(8),
        TimeoutMiddleware(30.0),
    ]


def query_bus_with(*middleware: Any, metrics: bool = False) -> QueryBus:
    bus = QueryBus(middleware=middleware, enable_metrics=metrics)
    bus.register_handler(Find, create)
    return bus


QUIET = ("Metrics", "LoggingMiddleware", "SlowCallMiddleware", "ValidationMiddleware")
PROTECTED = (
    "Metrics",
    "ValidationMiddleware",
    "RateLimitingMiddleware",
    "RetryMiddleware",
    "CircuitBreakerMiddleware",
    "TimeoutMiddleware",
)
TEN = (
    "Metrics",
    "LoggingMiddleware",
    "SlowCallMiddleware",
    "FallbackMiddleware",
    "ValidationMiddleware",
    "RateLimitingMiddleware",
    "RetryMiddleware",
    "CircuitBreakerMiddleware",
    "BulkheadMiddleware",
    "TimeoutMiddleware",
)
SIX = "metrics, validation, limiter, retry, breaker, timeout"


def bus_with(
    *middleware: Any,
    handler: Any = create,
    message: Any = Create,
    metrics: bool = False,
) -> CommandBus:
    bus = CommandBus(middleware=middleware, enable_metrics=metrics)
    bus.register_handler(message, handler)
    return bus


# What it is compared with


class Dispatcher:
    def __init__(self, handlers: dict[type, Callable[..., Any]]) -> None:
        self.handlers = handlers

    def execute(self, command: Any) -> Any:
        return self.handlers[type(command)](command)


class ContextDispatcher(Dispatcher):
    def execute(self, command: Any, ctx: Context = CONTEXT) -> Any:
        return self.handlers[type(command)](ctx, command)


class AroundDispatcher(Dispatcher):
    def execute(self, command: Any) -> Any:
        return around(CONTEXT, command, self.call)

    def call(self, ctx: Context, command: Any) -> Any:
        return self.handlers[type(command)](command)


def chain(
    handler: Callable[[Any], Any], arounds: list[Callable[..., Any]]
) -> Callable[[Context, Any], Any]:
    """Return closures that call the arounds, outermost first, and then the handler."""

    def innermost(ctx: Context, command: Any) -> Any:
        return handler(command)

    def behind(
        around: Callable[..., Any], inner: Callable[..., Any]
    ) -> Callable[..., Any]:
        def call(ctx: Context, command: Any) -> Any:
            return around(ctx, command, inner)

        return call

    chained: Callable[..., Any] = innermost
    for around in reversed(arounds):
        chained = behind(around, chained)
    return chained


class AsyncDispatcher(Dispatcher):
    async def execute(self, command: Any) -> Any:
        return await self.handlers[type(command)](command)


class PayloadDispatcher(Dispatcher):
    """Decode, dispatch and encode; `format` is msgspec.json or msgspec.msgpack."""

    def __init__(
        self, handlers: dict[type, Callable[..., Any]], format: types.ModuleType
    ) -> None:
        super().__init__(handlers)
        known = functools.reduce(operator.or_, handlers, Rename)
        self.decode = format.Decoder(known).decode
        self.encode = format.Encoder().encode

    def execute(self, payload: bytes) -> Any:
        command = self.decode(payload)
        return self.encode(self.handlers[type(command)](command))


class AsyncPayloadDispatcher(PayloadDispatcher):
    async def execute(self, payload: bytes) -> Any:
        command = self.decode(payload)
        return self.encode(await self.handlers[type(command)](command))


DISPATCHER = Dispatcher({Create: create, Rename: create})


class Refused(Exception):
    """What hand-written code raises where it lets nothing in."""


def many_classes(many: int) -> list[type[Command[int]]]:
    """Return so many classes of messages, each with a number."""
    make: Any = type(Command)
    fields = {"__annotations__": {"number": int}, "idempotent": True}
    return [make(f"Many{number}", (Command,), fields) for number in range(many)]


def another_create() -> Callable[[Any], int]:
    """Return a handler with a separate code object, as different handlers have."""
    return types.FunctionType(create.__code__.replace(), {})
