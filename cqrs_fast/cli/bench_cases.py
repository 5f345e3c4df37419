"""What `cqrs-fast bench` measures without `--pipeline`."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Annotated, Any, ClassVar, NamedTuple

from msgspec import Meta

from cqrs_fast.buses.bus import CommandBus
from cqrs_fast.cli.measuring import Case, Stepper
from cqrs_fast.messages import Command
from cqrs_fast.stages.circuit_breaker import CircuitBreakerMiddleware
from cqrs_fast.stages.rate_limiting.middleware import RateLimitingMiddleware
from cqrs_fast.stages.retry import RetryMiddleware
from cqrs_fast.stages.timeout import TimeoutMiddleware
from cqrs_fast.stages.validation import ValidationMiddleware

DIRECT = "direct call"
HAND_WRITTEN = "hand-written dispatch"
NO_STAGES = "bus, no stages"


class Group(NamedTuple):
    """Cases; the first two are the direct call and the hand-written dispatch."""

    title: str
    cases: list[Case]


class Order(Command[int]):
    """The message of the benchmark."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    quantity: Annotated[int, Meta(ge=1)]
    idempotent: ClassVar[bool] = True  # else a retry would be left out of its route


def handle(message: Any) -> Any:
    """Do nothing."""
    return None


async def handle_async(message: Any) -> Any:
    """Do nothing."""
    return None


HANDLERS = frozenset({handle.__code__, handle_async.__code__})


class Dispatcher:
    """A dispatcher written by hand: a dict of handlers."""

    def __init__(self, handlers: dict[type, Callable[..., Any]]) -> None:
        self.handlers = handlers

    def execute(self, message: Any) -> Any:
        """Call the handler of the message's class."""
        return self.handlers[type(message)](message)


class AsyncDispatcher(Dispatcher):
    """The same for coroutine functions."""

    async def execute(self, message: Any) -> Any:
        """Await the handler of the message's class."""
        return await self.handlers[type(message)](message)


def limiter() -> RateLimitingMiddleware:
    """Admit more than there can be calls, from a bucket that is never full again.

    A full bucket would be filled up without any arithmetic.
    """
    return RateLimitingMiddleware(1_000_000, 1.0, burst=1_000_000_000)


# Outermost first, after the metrics.
STAGES: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("validation", ValidationMiddleware),
    ("limiter", limiter),
    ("retry", RetryMiddleware),
    ("breaker", CircuitBreakerMiddleware),
    ("timeout", lambda: TimeoutMiddleware(30.0)),
)


def baselines(
    stepper: Stepper,
    messages: list[Any],
    handlers: dict[type, Any],
    is_async: bool,
    codes: frozenset[CodeType] | None = HANDLERS,
) -> list[Case]:
    """Return the direct call and the hand-written dispatch of handlers.

    Parameters:
        codes: the code of the handlers; None if their calls cannot be seen.
    """
    wait = "await " if is_async else ""
    used = [handlers[type(message)] for message in messages]
    direct: dict[str, Any] = {"handler": used[0]}
    statement, fed = f"result = {wait}handler(message)", messages
    if any(one is not used[0] for one in used):
        direct = {}
        statement = f"handler, argument = message\nresult = {wait}handler(argument)"
        fed = list(zip(used, messages, strict=True))
    by_hand = (AsyncDispatcher if is_async else Dispatcher)(handlers)
    call = f"result = {wait}dispatcher.execute(message)"
    return [
        Case(DIRECT, statement, fed, stepper, handlers=codes, **direct),
        Case(
            HAND_WRITTEN, call, messages, stepper, handlers=codes, dispatcher=by_hand
        ),
    ]


def dispatch(
    name: str, bus: Any, messages: list[Any], stepper: Stepper, is_async: bool
) -> Case:
    """Return a case that dispatches through a bus."""
    call = "await bus.execute_async" if is_async else "bus.execute"
    statement = f"result = {call}(message)"
    return Case(name, statement, messages, stepper, handlers=HANDLERS, bus=bus)


def built_in_groups(stepper: Stepper) -> list[Group]:
    """Return the bus with 0 to 6 stages beside its baselines, sync and async."""
    groups = []
    for is_async in (False, True):
        handler = handle_async if is_async else handle
        messages = [Order("a bolt", 7)]
        cases = baselines(stepper, messages, {Order: handler}, is_async)
        for name, bus in buses(handler):
            cases.append(dispatch(name, bus, messages, stepper, is_async))
        groups.append(Group("async" if is_async else "sync", cases))
    return groups


def buses(handler: Any) -> list[tuple[str, CommandBus]]:
    """Return a bus without stages, and one for each stage more."""
    made = [(NO_STAGES, CommandBus())]
    for count, name in enumerate(["metrics", *(name for name, _ in STAGES)]):
        middleware = [make() for _, make in STAGES[:count]]
        bus = CommandBus(middleware=middleware, enable_metrics=True)
        made.append((f"+ {name}", bus))
    for _, bus in made:
        bus.register_handler(Order, handler)
    return made
