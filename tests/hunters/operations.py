"""The operations of which each allocation fails once; see nomemory.py.

An operation makes what it needs, runs its parts by `window(act)`, in which the failure
comes, and asserts afterwards that nothing is held and that the same objects serve.
`window` returns what `act` returns, or the MemoryError that it raised.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, field
from reliability.parts import assert_at_rest
from support import suspend

from cqrs_fast import (
    AsyncHandlerError,
    AuditMiddleware,
    AuthenticationMiddleware,
    BulkheadFullError,
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    Command,
    CommandBus,
    Context,
    CQRSError,
    DeadlineExceededError,
    DebugMiddleware,
    DrainReport,
    FallbackMiddleware,
    IdempotencyInProgressError,
    IdempotencyMiddleware,
    LatencyHistogram,
    LoadSheddingMiddleware,
    LoggingMiddleware,
    LRUCache,
    Middleware,
    ObjectPool,
    Query,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    ResultTypeError,
    RetryMiddleware,
    RetryPolicy,
    SlowCallMiddleware,
    Stop,
    TimeoutMiddleware,
    TokenBucket,
    ValidationError,
    ValidationMiddleware,
    default_config,
    high_throughput_config,
    merge_configs,
)
from cqrs_fast.config.reload import apply_config

Window = Callable[[Callable[[], Any]], Any]


class Operation(NamedTuple):
    run: Callable[[Window], None]
    on_loop: bool


PARKED = "parked"

OPERATIONS: dict[str, Operation] = {}


def operation(function: Callable[[Window], None]) -> Callable[[Window], None]:
    """Enter an operation that needs no event loop."""
    OPERATIONS[function.__name__] = Operation(function, on_loop=False)
    return function


def on_loop(function: Callable[[Window], None]) -> Callable[[Window], None]:
    """Enter an operation that runs in a task of an event loop."""
    OPERATIONS[function.__name__] = Operation(function, on_loop=True)
    return function


class Get(Query[int]):
    number: int = 0


class Put(Command[int]):
    number: int = 0
    idempotency_key: str | None = None


class Wide(Command[int]):
    """A message with much to check, and to tell of."""

    name: Annotated[str, Meta(min_length=1, max_length=9)]
    counts: list[Annotated[int, Meta(ge=0)]]
    parts: dict[str, tuple[int, float | None]]
    labels: set[str] = field(default_factory=set)


def answering(bus: Any, message: type[Any] = Get) -> Any:
    """Give a bus a handler that answers the message's number."""
    bus.register_handler(message, number_of)
    return bus


def number_of(message: Any) -> int:
    return message.number


async def suspending(message: Any) -> int:
    await suspend()
    return message.number


def queries(*middleware: Any, handler: Any = number_of, **options: Any) -> QueryBus:
    bus = QueryBus(middleware=middleware, **options)
    bus.register_handler(Get, handler)
    return bus


def check(outcome: Any, *expected: Any) -> None:
    """Assert that an operation did what it does, or said that memory ran out."""
    if isinstance(outcome, MemoryError):
        return
    for one in expected:
        if isinstance(one, type) and isinstance(outcome, one):
            return
        if type(outcome) is type(one) and outcome == one:
            return
    raise AssertionError(f"{outcome!r} where one of {expected!r} was expected")


def caught(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the error of this library that it raises."""
    try:
        return call()
    except (CQRSError, LookupError) as error:
        return error


class Steps:
    """A dispatch that is stepped by hand; a future that it awaits is resolved first.

    No method has a variable that another function sees: where CPython has no memory for
    such a cell it keeps the caller's arguments for ever.
    """

    def __init__(self, dispatch: Any) -> None:
        self.dispatch = dispatch
        self.awaited: Any = None

    def step(self) -> Any:
        """Return its outcome, or PARKED while it has none."""
        if isinstance(self.awaited, asyncio.Future) and not self.awaited.done():
            self.awaited.set_result(None)
        return self.go_on(self.dispatch.send, None)

    def cancel(self) -> Any:
        """Throw a cancellation into it, as a task does."""
        try:
            return self.go_on(self.dispatch.throw, asyncio.CancelledError())
        except asyncio.CancelledError as error:
            return error

    def go_on(self, how: Callable[[Any], Any], value: Any) -> Any:
        self.awaited = None
        try:
            self.awaited = how(value)
        except StopIteration as stop:
            return stop.value
        except (CQRSError, LookupError) as error:
            return error
        return PARKED

    def finish(self) -> Any:
        for _ in range(10):
            outcome = self.step()
            if outcome is not PARKED:
                return outcome
        raise AssertionError("it does not end")

    def close(self) -> None:
        self.dispatch.close()


def finish(dispatch: Any) -> Any:
    """Step a dispatch to its end; return its outcome."""
    return Steps(dispatch).finish()


def step_all(window: Window, calls: list[Steps], *results: Any) -> None:
    """Step each call, in turn, twice where it parks; then end it wherever it is."""
    parked = [call for call in calls if goes_on(window, call, results)]
    for call in parked:
        goes_on(window, call, results)
    for call in calls:
        call.close()


def goes_on(window: Window, call: Steps, results: tuple[Any, ...]) -> bool:
    outcome = window(call.step)
    check(outcome, *results, PARKED)
    return outcome is PARKED


def serves(bus: Any, number: int = 7, message: type[Any] = Get) -> None:
    """Assert that a bus holds nothing, serves, and ends drained."""
    assert_at_rest(bus)
    assert bus.execute(message(number)) == number
    rests(bus)


def serves_async(bus: Any, number: int = 7, message: type[Any] = Get) -> None:
    assert_at_rest(bus)
    assert finish(bus.execute_async(message(number))) == number
    rests(bus)


def rests(bus: Any) -> None:
    assert_at_rest(bus)
    report = bus.close(0)
    assert report.drained, report


def six() -> tuple[Any, ...]:
    return (
        ValidationMiddleware(),
        RateLimitingMiddleware(1_000_000, 1.0),
        RetryMiddleware(3, 0.0, jitter="none"),
        CircuitBreakerMiddleware(5, 30.0),
        TimeoutMiddleware(60.0),
    )


# Dispatch


@operation
def execute(window: Window) -> None:
    bus = queries()
    check(window(lambda: bus.execute(Get(3))), 3)
    serves(bus)


@operation
def execute_first_of_a_class(window: Window) -> None:
    bus = QueryBus(enable_metrics=True)
    bus.register_handler(Query, number_of)

    class Fresh(Get):
        pass

    check(window(lambda: bus.execute(Fresh(3))), 3)
    assert bus.execute(Fresh(4)) == 4
    rests(bus)


@operation
def execute_six_stages(window: Window) -> None:
    bus = queries(*six(), enable_metrics=True)
    check(window(lambda: bus.execute(Get(3))), 3)
    serves(bus)


@operation
def execute_in_a_context(window: Window) -> None:
    inner = queries(TimeoutMiddleware(1.0))

    def nested(ctx: Context, message: Get) -> int:
        return inner.execute(message, ctx.with_value("a", 1))

    bus = queries(*six(), handler=nested, enable_metrics=True)
    ctx = Context.background().with_timeout(60.0).with_cancel()
    check(window(lambda: bus.execute(Get(3), ctx)), 3)
    serves(bus)
    serves(inner)


@operation
def execute_async(window: Window) -> None:
    bus = queries(handler=suspending)
    dispatch = None

    def act() -> Any:
        nonlocal dispatch
        dispatch = bus.execute_async(Get(3))
        return finish(dispatch)

    check(window(act), 3)
    del dispatch
    serves_async(bus)


@on_loop
def execute_async_six_stages(window: Window) -> None:
    bus = queries(*six(), handler=suspending, enable_metrics=True)
    check(window(lambda: finish(bus.execute_async(Get(3)))), 3)
    serves_async(bus)


@on_loop
def many_slots(window: Window) -> None:
    """More stages that remember than a frame has room for."""
    many = [Hooks() for _ in range(20)]
    bus = queries(*many, handler=suspending)
    check(window(lambda: finish(bus.execute_async(Get(3)))), 3)
    sync = queries(*many)
    check(window(lambda: sync.execute(Get(3))), 3)
    serves_async(bus)
    serves(sync)


@operation
def execute_many(window: Window) -> None:
    bus = queries(*six())
    check(window(lambda: bus.execute_many([Get(n) for n in range(5)])), [*range(5)])
    messages = [Get(n) for n in range(5)]
    outcome = window(lambda: bus.execute_many(messages, return_exceptions=True))
    if isinstance(outcome, list):
        for number, one in enumerate(outcome):
            check(one, number)
    serves(bus)


@on_loop
def execute_many_async(window: Window) -> None:
    bus = queries()
    messages = [Get(n) for n in range(5)]
    check(window(lambda: finish(bus.execute_many_async(messages))), [*range(5)])
    serves_async(bus)


@operation
def payloads(window: Window) -> None:
    bus = answering(QueryBus())
    payload = b'{"$type":"Get","number":3}'
    check(window(lambda: caught(lambda: bus.execute_json(payload))), b"3", CQRSError)
    bad = b'{"$type":"Get","number":"three"}'
    check(window(lambda: caught(lambda: bus.execute_json(bad))), CQRSError)
    serves(bus)


@operation
def errors_of_a_handler(window: Window) -> None:
    failure = LookupError("none")

    def fail(message: Get) -> int:
        if message.number == 3:
            raise failure
        return message.number

    bus = queries(*six(), handler=fail, enable_metrics=True)
    check(window(lambda: caught(lambda: bus.execute(Get(3)))), LookupError)
    serves(bus)


@operation
def no_handler(window: Window) -> None:
    bus = queries(enable_metrics=True)
    check(window(lambda: caught(lambda: bus.execute(Put(3)))), CQRSError)
    serves(bus)


# Stages


@operation
def cached(window: Window) -> None:
    cache = CachingMiddleware(60.0, tags=lambda query: ("a", "b"))
    bus = queries(cache)
    check(window(lambda: bus.execute(Get(3))), 3)
    check(window(lambda: bus.execute(Get(3))), 3)
    check(window(lambda: cache.invalidate(Get(3))), 0, 1)
    assert bus.execute(Get(3)) == 3
    check(window(lambda: cache.invalidate_tags("a")), int, None)
    check(window(lambda: bus.execute(Get(4))), 4)
    check(window(lambda: cache.invalidate_type(Get)), int, None)
    check(window(cache.clear), int)
    check(window(lambda: len(cache)), 0, 1, 2)
    cache._check()
    serves(bus)


@operation
def negative_hits(window: Window) -> None:
    def fail(message: Get) -> int:
        if message.number == 3:
            raise LookupError("none", message.number)
        return message.number

    cache = CachingMiddleware(60.0, negative_ttl=60.0, negative_on=LookupError)
    bus = queries(cache, handler=fail)
    for _ in range(2):
        check(window(lambda: caught(lambda: bus.execute(Get(3)))), LookupError)
    assert isinstance(caught(lambda: bus.execute(Get(3))), LookupError)
    serves(bus)


@operation
def cached_with_evictions(window: Window) -> None:
    cache = CachingMiddleware(60.0, max_size=2, copy="deep")
    bus = queries(cache)
    for number in range(4):
        check(window(lambda n=number: bus.execute(Get(n))), number)
    cache._check()
    serves(bus)


@on_loop
def single_flight(window: Window) -> None:
    bus = queries(CachingMiddleware(60.0), handler=suspending)
    calls = [Steps(bus.execute_async(Get(3))) for _ in range(3)]
    step_all(window, calls, 3)
    serves_async(bus)


@operation
def idempotency(window: Window) -> None:
    bus = CommandBus(middleware=[IdempotencyMiddleware()])
    answering(bus, Put)
    check(window(lambda: bus.execute(Put(3, "a"))), 3)
    check(window(lambda: bus.execute(Put(3, "a"))), 3)
    check(window(lambda: caught(lambda: bus.execute(Put(4, "a")))), CQRSError, 4)
    serves(bus, message=Put)


@operation
def results_that_are_used_up(window: Window) -> None:
    given: list[Any] = []

    def rows(message: Any) -> Any:
        result = iter(given) if message.number == 3 else message.number
        given.append(message.number)
        return result

    cache = CachingMiddleware(60.0)
    asked = queries(cache, handler=rows)
    check(window(lambda: asked.execute(Get(3))), type(iter([])))
    assert len(cache) == 0
    serves(asked)
    given.clear()
    bus = CommandBus(middleware=[IdempotencyMiddleware()])
    bus.register_handler(Put, rows)
    first = window(lambda: caught(lambda: bus.execute(Put(3, "a"))))
    check(first, type(iter([])))
    # Whether there was memory for the text or not, it is not done again.
    done = len(given)
    second = caught(lambda: bus.execute(Put(3, "a")))
    check(second, ResultTypeError if done else type(iter([])))
    assert len(given) == 1
    serves(bus, message=Put)


@on_loop
def idempotency_in_progress(window: Window) -> None:
    bus = CommandBus(middleware=[IdempotencyMiddleware()])
    bus.register_handler(Put, suspending)
    calls = [Steps(bus.execute_async(Put(3, "a"))) for _ in range(2)]
    step_all(window, calls, 3, IdempotencyInProgressError)
    serves_async(bus, message=Put)


@operation
def keyed_limiter(window: Window) -> None:
    limiter = RateLimitingMiddleware(
        10, 1.0, burst=2, max_keys=4, key=lambda ctx, message: str(message.number)
    )
    bus = queries(limiter)
    for number in range(6):
        outcome = window(lambda n=number: caught(lambda: bus.execute(Get(n))))
        check(outcome, number, RateLimitExceededError)
    check(window(lambda: limiter.remaining_tokens("1")), *range(11))
    check(window(limiter.reset), None)
    limiter.reset()
    serves(bus)


@operation
def limiter_rejects(window: Window) -> None:
    limiter = RateLimitingMiddleware(1, 60.0)
    bus = queries(limiter, enable_metrics=True)
    assert bus.execute(Get(1)) == 1
    outcome = window(lambda: caught(lambda: bus.execute(Get(2))))
    check(outcome, RateLimitExceededError)
    limiter.reset()
    serves(bus)


@on_loop
def waiting_limiter(window: Window) -> None:
    now = [10**9]
    limiter = RateLimitingMiddleware(
        1, 1.0, max_wait=60.0, clock=lambda: now[0], key=lambda ctx, message: "a"
    )
    bus = queries(limiter)
    assert finish(bus.execute_async(Get(1))) == 1
    calls = [Steps(bus.execute_async(Get(n))) for n in (2, 3)]
    parked = [window(one.step) is PARKED for one in calls]
    for one, is_parked in zip(calls, parked, strict=True):
        now[0] += 10**9
        if is_parked:
            check(window(one.step), 2, 3, PARKED)
        one.close()
    now[0] += 10**10
    serves_async(bus)


@operation
def waiting_limiter_in_a_thread(window: Window) -> None:
    bus = queries(RateLimitingMiddleware(500, 1.0, burst=1, max_wait=5.0))
    assert bus.execute(Get(1)) == 1
    check(window(lambda: bus.execute(Get(2))), 2)
    serves(bus)


@on_loop
def bulkhead_queue(window: Window) -> None:
    slots = BulkheadMiddleware(1, max_queue=2, max_wait=60.0)
    bus = queries(slots, handler=suspending)
    calls = [Steps(bus.execute_async(Get(n))) for n in (1, 2, 3)]
    step_all(window, calls, 1, 2, 3)
    snapshot = slots.snapshot()
    assert (snapshot.in_flight, snapshot.waiting) == (0, 0), snapshot
    serves_async(bus)


@on_loop
def bulkhead_full(window: Window) -> None:
    slots = BulkheadMiddleware(1)
    bus = queries(slots, handler=suspending)
    holder = Steps(bus.execute_async(Get(1)))
    assert holder.step() is PARKED
    check(window(lambda: finish(bus.execute_async(Get(2)))), BulkheadFullError)
    check(window(slots.snapshot), type(slots.snapshot()))
    holder.close()
    serves_async(bus)


@operation
def retry(window: Window) -> None:
    failing = [0]

    def fail(message: Get) -> int:
        failing[0] += 1
        if failing[0] % 3:
            raise ConnectionError(message.number)
        return message.number

    stage = RetryMiddleware(5, 0.0, jitter="none", budget=50)
    bus = queries(stage, handler=fail, enable_metrics=True)
    check(window(lambda: bus.execute(Get(3))), 3)
    serves(bus)


@on_loop
def retry_with_delays(window: Window) -> None:
    failing = [0]

    async def fail(message: Get) -> int:
        failing[0] += 1
        if failing[0] % 3:
            raise ConnectionError(message.number)
        return message.number

    bus = queries(RetryMiddleware(5, 0.5, on_retry=lambda *retry: None), handler=fail)
    step_all(window, [Steps(bus.execute_async(Get(3)))], 3)
    failing[0] = 2
    serves_async(bus)


@on_loop
def timeout_that_expires(window: Window) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    stage = TimeoutMiddleware(0.002)
    bus = queries(stage, handler=suspending)
    call = Steps(bus.execute_async(Get(3)))
    outcome = window(call.step)
    if outcome is PARKED:
        time.sleep(0.005)
        for handle in list(loop._scheduled):  # type: ignore[attr-defined]
            if not handle.cancelled():
                fire, arguments = handle._callback, handle._args
                handle.cancel()
                check(window(lambda: fire(*arguments)), None)  # noqa: B023
        # What the task got is thrown into what it awaits.
        outcome = window(call.cancel if task.cancelling() else call.step)
    check(outcome, DeadlineExceededError, asyncio.CancelledError, 3)
    call.close()
    while task.cancelling():
        task.uncancel()
    assert_at_rest(bus)
    rests(bus)


@operation
def fallback(window: Window) -> None:
    def fail(message: Get) -> int:
        if message.number == 3:
            raise ConnectionError(message.number)
        return message.number

    stage = FallbackMiddleware(lambda ctx, message, error: -1)
    bus = queries(stage, handler=fail, enable_metrics=True)
    outcome = window(lambda: bus.execute(Get(3)))
    check(outcome, -1)
    serves(bus)


@operation
def breaker(window: Window) -> None:
    def fail(message: Get) -> int:
        if message.number == 3:
            raise ConnectionError(message.number)
        return message.number

    now = [10**9]
    stage = CircuitBreakerMiddleware(
        2, 5.0, on_event=lambda event: None, clock=lambda: now[0]
    )
    bus = queries(stage, handler=fail, enable_metrics=True)
    for _ in range(4):
        try:
            outcome = window(lambda: caught(lambda: bus.execute(Get(3))))
        except ConnectionError as error:
            outcome = error
        check(outcome, ConnectionError, CircuitOpenError)
    now[0] += 10**10
    check(window(lambda: bus.execute(Get(4))), 4)
    check(window(lambda: stage.snapshot("Get")), type(stage.snapshot("Get")))
    stage.reset()
    serves(bus)


class Hooks(Middleware):
    def before(self, call: Any) -> None:
        call.state["name"] = call.name

    def after(self, call: Any) -> None:
        assert call.state["name"]
        call.result = call.result

    def on_error(self, call: Any) -> None:
        assert call.state


@operation
def hooks(window: Window) -> None:
    bus = queries(Hooks(), Hooks())
    check(window(lambda: bus.execute(Get(3))), 3)
    serves(bus)


def generator(ctx: Context, message: Any) -> Any:
    """Give the inside a context, recover from its errors, replace its result."""
    try:
        result = yield ctx.with_value("generator", 1)
    except LookupError:
        return 3
    return result


async def async_generator(ctx: Context, message: Any) -> Any:
    await suspend()
    try:
        result = yield ctx.with_value("generator", 1)
    except LookupError:
        yield 3
        return
    await suspend()
    yield result


def finished(bus: Any) -> Any:
    return finish(bus.execute_async(Get(3)))


def failing(message: Any) -> int:
    raise KeyError(message.number)


def answering_itself(ctx: Context, message: Any) -> Any:
    if message.number == 3:
        return Stop(message.number)
    yield


async def answering_itself_async(ctx: Context, message: Any) -> Any:
    if message.number == 3:
        yield Stop(message.number)
        return
    yield


@operation
def generators(window: Window) -> None:
    for bus in (
        queries(generator, Hooks(), generator),
        queries(answering_itself),
        queries(generator, handler=failing),
    ):
        check(window(partial(bus.execute, Get(3))), 3)
        rests(bus)


@on_loop
def generators_async(window: Window) -> None:
    bus = queries(generator, Hooks(), generator, handler=suspending)
    check(window(lambda: finish(bus.execute_async(Get(3)))), 3)
    serves_async(bus)


@on_loop
def async_generators(window: Window) -> None:
    for bus in (
        queries(async_generator, Hooks(), async_generator, handler=suspending),
        queries(answering_itself_async),
        queries(async_generator, handler=failing),
    ):
        check(window(partial(finished, bus)), 3)
        rests(bus)


@on_loop
def async_generators_that_are_ended(window: Window) -> None:
    bus = queries(async_generator, generator, handler=suspending)
    calls = [Steps(bus.execute_async(Get(3))) for _ in range(2)]
    step_all(window, calls, 3)
    serves_async(bus)


@operation
def sync_arounds_over_async(window: Window) -> None:
    bus = queries(around, handler=suspending)
    outcome = window(lambda: caught(partial(finished, bus)))
    check(outcome, AsyncHandlerError)
    rests(bus)


def around(ctx: Context, message: Any, next: Any) -> Any:
    return next(ctx.with_value("around", 1), message)


def factory(next: Any) -> Any:
    def handle(ctx: Context, message: Any) -> Any:
        return next(ctx, message)

    return handle


async def around_async(ctx: Context, message: Any, next: Any) -> Any:
    return await next(ctx, message)


@operation
def arounds(window: Window) -> None:
    bus = queries(around, TimeoutMiddleware(60.0), factory)
    check(window(lambda: bus.execute(Get(3))), 3)
    serves(bus)


@on_loop
def arounds_async(window: Window) -> None:
    bus = queries(around_async, TimeoutMiddleware(60.0), around_async)
    check(window(lambda: finish(bus.execute_async(Get(3)))), 3)
    serves_async(bus)


@operation
def lookers(window: Window) -> None:
    logger = logging.Logger("hunters", logging.DEBUG)
    seen: list[Any] = []
    bus = queries(
        AuditMiddleware(seen.append),
        AuthenticationMiddleware(lambda ctx, message: "me"),
        LoggingMiddleware(logger=logger),
        DebugMiddleware(logger),
        SlowCallMiddleware(1e-9, logger=logger),
        enable_metrics=True,
    )
    check(window(lambda: bus.execute(Get(3))), 3)
    serves(bus)


@operation
def validation(window: Window) -> None:
    bus = CommandBus(middleware=[ValidationMiddleware()])
    bus.register_handler(Wide, lambda message: len(message.counts))
    good = Wide("name", [1, 2], {"a": (1, 2.0), "b": (3, None)}, {"x", "y"})
    check(window(lambda: bus.execute(good)), 2)
    bad = Wide("name", [1, 2], {"a": (1, 2.0), "b": (3, "no")})
    outcome = window(lambda: caught(lambda: bus.execute(bad)))
    check(outcome, ValidationError)
    assert bus.execute(good) == 2
    rests(bus)


# Registration, live change, configuration


@operation
def registration(window: Window) -> None:
    bus = QueryBus(middleware=six(), enable_metrics=True)
    check(window(lambda: bus.register_handler(Get, number_of)), None)
    check(window(lambda: bus.register_handler("by name", number_of)), None)
    if "Get" not in bus.registered_names():
        bus.register_handler(Get, number_of)
    again = window(lambda: bus.register_handler(Get, number_of, replace=True))
    check(again, None)
    assert bus.execute(Get(3)) == 3
    check(window(lambda: bus.unregister_handler(Get)), None)
    if "Get" not in bus.registered_names():
        bus.register_handler(Get, number_of)
    serves(bus)


@operation
def validated_registration(window: Window) -> None:
    bus = CommandBus(middleware=[ValidationMiddleware()])
    handler = len_of_counts
    check(window(lambda: bus.register_handler(Wide, handler)), None)
    if "Wide" not in bus.registered_names():
        bus.register_handler(Wide, handler)
    assert bus.execute(Wide("name", [1], {})) == 1
    rests(bus)


def len_of_counts(message: Wide) -> int:
    return len(message.counts)


@operation
def live_change(window: Window) -> None:
    bus = queries(*six())
    stage = BulkheadMiddleware(3)
    check(window(lambda: bus.add_middleware(stage)), None)
    assert bus.execute(Get(3)) == 3
    if stage not in bus.middleware:
        bus.add_middleware(stage)
    check(window(lambda: bus.remove_middleware(stage)), None)
    serves(bus)


@operation
def updates(window: Window) -> None:
    limiter = RateLimitingMiddleware(1000, 1.0)
    breaker = CircuitBreakerMiddleware(5, 30.0)
    cache = CachingMiddleware(60.0)
    bulkhead = BulkheadMiddleware(3)
    retry = RetryMiddleware(3, 0.0)
    shedding = LoadSheddingMiddleware()
    timeout = TimeoutMiddleware(30.0)
    bus = queries(limiter, cache, retry, breaker, bulkhead, shedding, timeout)
    assert bus.execute(Get(3)) == 3
    check(window(lambda: shedding.update(min_samples=2)), None)
    check(window(lambda: timeout.update(seconds=20.0)), None)
    check(window(lambda: limiter.update(requests_per_window=2000)), None)
    check(window(lambda: cache.update(ttl=5.0, max_size=10)), None)
    check(window(lambda: retry.update(max_attempts=4)), None)
    check(window(lambda: breaker.update(failure_threshold=4)), None)
    check(window(lambda: bulkhead.update(max_concurrent=4)), None)
    serves(bus)


@operation
def from_config(window: Window) -> None:
    config = default_config()
    bus = window(lambda: QueryBus.from_config(config, enable_metrics=True))
    check(bus, QueryBus)
    if not isinstance(bus, QueryBus):
        bus = QueryBus.from_config(config)
    serves(answering(bus))


@operation
def reload(window: Window) -> None:
    first = default_config()
    second = merge_configs(first, high_throughput_config())
    buses = [answering(QueryBus.from_config(first)), CommandBus.from_config(first)]
    assert buses[0].execute(Get(3)) == 3
    check(window(lambda: apply_config(second, buses)), list)
    assert buses[0].execute(Get(4)) == 4
    apply_config(first, buses)
    serves(buses[0])


@operation
def making_a_bus(window: Window) -> None:
    bus = window(lambda: QueryBus(middleware=six(), initial_capacity=64))
    check(bus, QueryBus)
    if isinstance(bus, QueryBus):
        serves(answering(bus))


@operation
def looking(window: Window) -> None:
    bus = queries(*six(), CachingMiddleware(60.0), enable_metrics=True)
    assert bus.execute(Get(3)) == 3
    check(window(bus.stats), type(bus.stats()))
    check(window(bus.describe), list)
    check(window(lambda: bus.explain(Get)), str)
    check(window(lambda: repr(bus)), str)
    serves(bus)


@operation
def closing(window: Window) -> None:
    bus = queries(*six())
    assert bus.execute(Get(3)) == 3
    check(window(lambda: bus.close(0)), DrainReport)
    bus.close(0)
    outcome = window(lambda: caught(lambda: bus.execute(Get(3))))
    check(outcome, CQRSError)
    rests(bus)


@on_loop
def closing_while_parked(window: Window) -> None:
    slots = BulkheadMiddleware(1, max_queue=2, max_wait=60.0)
    bus = queries(slots, handler=suspending)
    calls = [Steps(bus.execute_async(Get(n))) for n in (1, 2)]
    for one in calls:
        assert one.step() is PARKED
    check(window(lambda: bus.close(0)), DrainReport)
    for one in reversed(calls):
        check(window(one.step), CQRSError, 1, 2, PARKED)
    for one in calls:
        one.close()
    assert slots.snapshot().in_flight == 0
    rests(bus)


@on_loop
def cancelled_while_parked(window: Window) -> None:
    slots = BulkheadMiddleware(1, max_queue=2, max_wait=60.0)
    bus = queries(slots, RetryMiddleware(3, 0.0), handler=suspending)
    calls = [Steps(bus.execute_async(Get(n))) for n in (1, 2)]
    for one in calls:
        assert one.step() is PARKED
    for one in calls:
        # What has no memory for the cancellation fails, and may be tried again.
        check(window(one.cancel), asyncio.CancelledError, PARKED)
        one.close()
    assert slots.snapshot().in_flight == 0
    serves_async(bus)


@operation
def dropped_while_suspended(window: Window) -> None:
    bus = queries(*six(), BulkheadMiddleware(1), handler=suspending)
    calls = [Steps(bus.execute_async(Get(1)))]
    assert calls[0].step() is PARKED
    check(window(calls.clear), None)
    serves_async(bus)


# Alone


@operation
def contexts(window: Window) -> None:
    def act() -> Any:
        ctx = Context.background()
        for number in range(10):
            ctx = ctx.with_value(number, number)
        ctx = ctx.with_timeout(60.0).with_cancel()
        inner = ctx.with_principal("me").with_correlation_id("id").with_timeout(1.0)
        inner = inner.with_cancel().with_deadline(1e12)
        assert inner.value(3) == 3
        assert inner.principal == "me"
        assert inner.remaining() < 2.0
        ctx.cancel("enough")
        assert inner.done
        return str(inner.error)

    check(window(act), str)


@operation
def lru_cache(window: Window) -> None:
    cache: LRUCache[Any, Any] = LRUCache(4, 60.0)
    for number in range(6):
        check(window(lambda n=number: cache.set(str(n), [n])), None)
    cache["a"] = 1
    check(window(lambda: cache["a"]), 1)
    check(window(lambda: cache.get("b")), None)
    check(window(lambda: cache.pop("a")), 1)
    check(window(lambda: cache.update({"c": 3, "d": 4})), None)
    check(window(lambda: list(cache.items())), list)
    check(window(lambda: cache.resize(100)), None)
    check(window(lambda: cache.update((n, n) for n in range(50))), None)
    check(window(cache.stats), type(cache.stats()))
    check(window(cache.sweep), int)
    assert len(cache) == len(list(cache)) <= 100
    check(window(cache.clear), None)
    cache.clear()
    cache["a"] = 1
    assert dict(cache) == {"a": 1}


@operation
def pool(window: Window) -> None:
    objects: ObjectPool[list[int]] = ObjectPool(list, 2, preallocate=False)

    def lease() -> int:
        with objects.lease() as one:
            return len(one)

    check(window(lease), 0)
    taken = window(objects.acquire)
    check(taken, list)
    if isinstance(taken, list):
        check(window(lambda: objects.release(taken)), None)
    else:
        taken = None
    check(window(objects.stats), type(objects.stats()))
    all_of_them = [objects.acquire(), objects.acquire()]
    check(window(lambda: caught(objects.acquire)), CQRSError)
    for one in all_of_them:
        objects.release(one)
    assert objects.stats().in_use == 0
    objects.close()


@on_loop
def pool_waiting(window: Window) -> None:
    objects: ObjectPool[list[int]] = ObjectPool(list, 1, max_wait=60.0)
    held = objects.acquire()

    async def lease() -> int:
        async with objects.lease_async() as one:
            return len(one) + 5

    waiting = Steps(lease())
    outcome = window(waiting.step)
    objects.release(held)
    if outcome is PARKED:
        check(window(waiting.step), 5, PARKED)
    waiting.close()
    assert objects.stats().in_use == 0, objects.stats()
    held = objects.acquire()
    objects.release(held)
    objects.close()


@operation
def making_a_pool(window: Window) -> None:
    made = window(lambda: ObjectPool(list, 3))
    check(made, ObjectPool)
    if isinstance(made, ObjectPool):
        made.close()


@operation
def policies(window: Window) -> None:
    bucket = TokenBucket(10, 1.0)
    check(window(lambda: bucket.try_acquire(1, "a")), True)
    check(window(lambda: bucket.retry_after(10, "a")), float)
    failing = [0]

    def fail() -> int:
        failing[0] += 1
        if failing[0] % 2:
            raise ConnectionError
        return 3

    policy = RetryPolicy(3, 0.0, jitter="none")
    check(window(lambda: policy.call(fail)), 3)
    breaker = CircuitBreaker(3, 1.0)
    check(window(lambda: breaker.call(int)), 0)
    check(window(breaker.snapshot), type(breaker.snapshot()))
    check(window(lambda: TokenBucket(5, 1.0)), TokenBucket)
    check(window(lambda: CircuitBreaker(5, 1.0)), CircuitBreaker)
    check(window(lambda: RetryPolicy(5, 1.0)), RetryPolicy)
    assert breaker.call(int) == 0
    assert bucket.try_acquire(1, "a")


@operation
def latencies(window: Window) -> None:
    histogram = LatencyHistogram()
    for seconds in (1e-6, 1e-3, 2.0):
        check(window(lambda s=seconds: histogram.record(s)), None)
    with histogram.measure():
        pass
    check(window(lambda: histogram.percentile(0.5)), float)
    other = LatencyHistogram()
    check(window(lambda: other.merge(histogram)), None)
    assert histogram.count == len(histogram) >= 1
