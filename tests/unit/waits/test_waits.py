"""Waiting: each keeps to its own bound, and nobody blocks an event loop for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from crowd import waits_until
from support import eventually, run_script

from cqrs_fast import (
    BulkheadFullError,
    BulkheadMiddleware,
    CachingMiddleware,
    Command,
    CommandBus,
    Context,
    DeadlineExceededError,
    IdempotencyInProgressError,
    IdempotencyMiddleware,
    ObjectPool,
    PoolExhaustedError,
    Query,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
)
from cqrs_fast.testing import ManualClock

# Lines move and bounds end in real time here, on loops and threads that must keep up.
pytestmark = pytest.mark.alone

BOUND = 0.12
LONG = 60.0


class Order(Command[int]):
    number: int
    idempotency_key: str = "one key for all"


class Find(Query[int]):
    pass


class Scene:
    """Something to wait for, and how to come for it. The first one has it so far."""

    def __init__(self, call: Callable[..., Any], acall: Callable[..., Any]) -> None:
        self.call = self.first_call = call
        self.acall = acall
        self.waiting: Callable[[], int] = lambda: 0
        self.occupy: Callable[[], None] | None = None
        self.gate = threading.Event()

    def hold(self, message: Any) -> int:
        """Handle a message; the one that occupies stays until the end."""
        if threading.current_thread().name == "occupant":
            self.gate.wait(10)
        return 7

    @contextmanager
    def occupied(self) -> Iterator[None]:
        if self.occupy is not None:
            self.occupy()
            yield
            return
        thread = threading.Thread(target=self.first_call, name="occupant", daemon=True)
        thread.start()
        time.sleep(0.01)
        try:
            yield
        finally:
            self.gate.set()
            thread.join(10)


def bus_scene(bus: Any, message: Any) -> Scene:
    scene = Scene(
        lambda ctx=None: bus.execute(message, ctx),
        lambda ctx=None: bus.execute_async(message, ctx),
    )
    bus.register_handler(type(message), scene.hold)
    return scene


def limiter(bound: float, **options: Any) -> Scene:
    limit = RateLimitingMiddleware(50, 1.0, burst=1, max_wait=bound, **options)
    scene = bus_scene(CommandBus(middleware=[limit]), Order(1))
    scene.occupy = lambda: scene.call()
    scene.waiting = lambda: limit.snapshot().waiting
    return scene


def keyed_limiter(bound: float) -> Scene:
    return limiter(bound, key=lambda ctx, message: message.idempotency_key)


def bulkhead(bound: float) -> Scene:
    stage = BulkheadMiddleware(1, max_queue=9, max_wait=bound)
    scene = bus_scene(CommandBus(middleware=[stage]), Order(1))
    scene.waiting = lambda: stage.snapshot().waiting
    return scene


def bulkhead_by_deadline(bound: float) -> Scene:
    scene = bulkhead(0.0)
    call, acall = scene.call, scene.acall
    scene.call = lambda: call(Context.background().with_timeout(bound))
    scene.acall = lambda: acall(Context.background().with_timeout(bound))
    return scene


def pool(bound: float) -> Scene:
    one: ObjectPool[Any] = ObjectPool(lambda: Scene(print, print), 1, max_wait=bound)
    scene = Scene(one.acquire, one.acquire_async)
    scene.occupy = lambda: scene.call()
    scene.waiting = lambda: one.stats().waiting
    return scene


def flight(bound: float) -> Scene:
    cache = CachingMiddleware(flight_wait_max=bound)
    return bus_scene(QueryBus(middleware=[cache]), Find())


def duplicates(bound: float) -> Scene:
    bus = CommandBus(middleware=[IdempotencyMiddleware()])
    scene = bus_scene(bus, Order(1))
    call, acall = scene.call, scene.acall
    scene.call = lambda: call(Context.background().with_timeout(bound))
    scene.acall = lambda: acall(Context.background().with_timeout(bound))
    return scene


class Case(NamedTuple):
    """Something to wait for, and how a wait ends that the bound ends."""

    make: Callable[[float], Scene]
    outcome: Any  # an exception class, or the result
    rejection: Any  # the same for a sync call on an event loop


CASES = [
    Case(limiter, 7, RateLimitExceededError),
    Case(keyed_limiter, 7, RateLimitExceededError),
    Case(bulkhead, BulkheadFullError, BulkheadFullError),
    Case(bulkhead_by_deadline, DeadlineExceededError, BulkheadFullError),
    Case(pool, PoolExhaustedError, PoolExhaustedError),
    Case(flight, 7, 7),
    Case(duplicates, DeadlineExceededError, IdempotencyInProgressError),
]

each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.make.__name__)
both = pytest.mark.parametrize("is_async", [False, True], ids=["threads", "tasks"])


class Loop:
    """An event loop in a thread of its own, which can be held up."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.free = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def begin(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Start a task; it waits, or has ended, when this returns."""

        async def start() -> Any:
            async def run() -> Any:
                return await call()

            task = asyncio.ensure_future(run())
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            for _ in range(3):
                await asyncio.sleep(0)
            return task

        return asyncio.run_coroutine_threadsafe(start(), self.loop).result(5)

    def block(self) -> None:
        self.loop.call_soon_threadsafe(self.free.wait, 10)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def end(self) -> None:
        async def rest() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.free.set()
        if self.loop.is_closed():
            return
        if not self.thread.is_alive():
            self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
            self.thread.start()
        asyncio.run_coroutine_threadsafe(rest(), self.loop).result(5)
        self.stop()
        self.loop.close()


@pytest.fixture
def loops() -> Iterator[Callable[[], Loop]]:
    made: list[Loop] = []

    def make() -> Loop:
        made.append(Loop())
        return made[-1]

    yield make
    for loop in made:
        loop.end()


def start(scene: Scene, loop: Loop | None) -> Future[Any]:
    """Come for it in a thread, or as a task of `loop`."""
    future: Future[Any] = Future()
    if loop is None:

        def run() -> None:
            try:
                future.set_result(scene.call())
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    async def step() -> Any:
        return await scene.acall()

    return asyncio.run_coroutine_threadsafe(step(), loop.loop)


def check(future: Future[Any], expected: Any) -> None:
    if isinstance(expected, type):
        assert isinstance(future.exception(5), expected)
    else:
        assert future.result(5) == expected


def blocked(loop: Loop) -> None:
    loop.block()


def stopped(loop: Loop) -> None:
    loop.stop()


def closed(loop: Loop) -> None:
    loop.stop()
    for task in asyncio.all_tasks(loop.loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.loop.close()


@each
@both
@pytest.mark.parametrize("held_up", [blocked, stopped, closed])
def test_nobody_waits_longer_for_the_first_in_line(
    case: Case, is_async: bool, held_up: Callable[[Loop], None], loops: Any
) -> None:
    scene = case.make(BOUND)
    first, live = loops(), loops() if is_async else None
    with scene.occupied():
        task = first.begin(scene.acall)
        assert not task.done()
        held_up(first)
        others = [start(scene, live) for _ in range(2)]
        # The first loop is held up until all of this is over.
        for other in others:
            check(other, case.outcome)
        assert not task.done()


@each
def test_a_sync_call_on_an_event_loop_never_waits_in_line(case: Case) -> None:
    scene = case.make(LONG)

    async def main() -> None:
        began = time.monotonic()
        if isinstance(case.rejection, type):
            with pytest.raises(case.rejection) as caught:
                scene.call()
            if case.rejection is RateLimitExceededError:
                assert 0 < caught.value.retry_after <= 0.02
            else:
                assert caught.value.retry_after is None
        else:
            assert scene.call() == case.rejection
        assert scene.waiting() == 0
        assert time.monotonic() - began < LONG / 2

    with scene.occupied():
        asyncio.run(main())


@each
def test_a_thread_beside_an_event_loop_waits(case: Case) -> None:
    scene = case.make(BOUND)

    async def main() -> Any:
        return await asyncio.to_thread(scene.call)

    with scene.occupied():
        if isinstance(case.outcome, type):
            with pytest.raises(case.outcome):
                asyncio.run(main())
        else:
            assert asyncio.run(main()) == case.outcome


@each
def test_a_handler_on_the_loop_may_dispatch_where_its_own_loop_waits(
    case: Case, loops: Any
) -> None:
    scene = case.make(LONG)
    loop = loops()
    with scene.occupied():
        task = loop.begin(scene.acall)
        assert not task.done()

        async def nested() -> Any:
            return scene.call()

        inner = asyncio.run_coroutine_threadsafe(nested(), loop.loop)
        check(inner, case.rejection)


# Tokens of a limiter


def burst_of_one(clock: ManualClock, max_wait: float = 0.08) -> Any:
    limit = RateLimitingMiddleware(100, 1.0, burst=1, max_wait=max_wait)
    bus = CommandBus(middleware=[limit], clock=clock)
    ran: list[int] = []
    bus.register_handler(Order, lambda message: ran.append(message.number))
    bus.execute(Order(0))
    return limit, bus, ran


def come(bus: Any, number: int, loop: Loop | None = None) -> Future[Any]:
    message = Order(number)
    return start(
        Scene(lambda: bus.execute(message), lambda: bus.execute_async(message)), loop
    )


def test_those_of_a_blocked_loop_are_passed_over_together_and_keep_the_rate(
    loops: Any,
) -> None:
    clock = ManualClock()
    limit, bus, ran = burst_of_one(clock, max_wait=0.09)
    lame = loops()
    tasks = [lame.begin(lambda n=n: bus.execute_async(Order(n))) for n in (1, 2, 3)]
    lame.block()
    others = []
    for number in (4, 5):
        others.append(come(bus, number))
        waits_until(limit, number)
    eventually(lambda: clock.waiting == 5)
    clock.advance(0.04)  # the fourth token would be there, so one waits for long
    eventually(lambda: clock.waiting == 2)
    clock.advance(0.023)  # more than a quarter of max_wait
    others[0].result(5)
    assert not others[1].done()
    eventually(lambda: clock.waiting == 1)
    clock.advance(0.01)
    others[1].result(5)
    assert ran == [0, 4, 5]
    # They take up where they were, and no token was kept for them.
    assert limit.snapshot().waiting == 3
    lame.free.set()
    eventually(lambda: clock.waiting == limit.snapshot().waiting)
    assert ran == [0, 4, 5]
    clock.advance(0.01)
    eventually(lambda: len(ran) == 4)
    assert ran == [0, 4, 5, 1]
    eventually(lambda: all(task.done() for task in tasks[:1]))


def test_those_of_two_blocked_loops_are_passed_over(loops: Any) -> None:
    limit = RateLimitingMiddleware(50, 1.0, burst=1, max_wait=0.5)
    bus = CommandBus(middleware=[limit])
    bus.register_handler(Order, lambda message: message.number)
    bus.execute(Order(0))
    pair = loops(), loops()
    for number in range(4):
        pair[number % 2].begin(lambda n=number: bus.execute_async(Order(n)))
    for lame in pair:
        lame.block()
    assert come(bus, 9).result(5) == 9
    assert limit.snapshot().waiting == 4


def test_a_newcomer_finds_a_line_of_which_nobody_acts_empty(loops: Any) -> None:
    clock = ManualClock()
    limit, bus, ran = burst_of_one(clock, max_wait=0.02)
    lame = loops()
    lame.begin(lambda: bus.execute_async(Order(1)))
    lame.block()
    clock.advance(0.02)
    early = come(bus, 2)
    waits_until(limit, 2)
    clock.advance(0.006)  # the early one does not look yet
    late = come(bus, 3)
    # Asked by the early one, passed over for the late one.
    early.result(5)
    assert ran == [0, 2]
    eventually(lambda: clock.waiting >= 1)
    clock.advance(0.01)
    late.result(5)
    assert ran == [0, 2, 3]


def test_a_clock_that_raises_where_the_turn_is_handed_on_costs_nobody_its_turn(
    loops: Any,
) -> None:
    failures = 0
    reading = 0

    def clock() -> int:
        nonlocal failures
        if failures:
            failures -= 1
            raise ArithmeticError("the clock is broken")
        return reading

    limit = RateLimitingMiddleware(100, 1.0, burst=1, max_wait=0.2, clock=clock)
    bus = CommandBus(middleware=[limit])
    bus.register_handler(Order, lambda message: message.number)
    bus.execute(Order(0))
    first, lame = loops(), loops()
    gone = first.begin(lambda: bus.execute_async(Order(1)))
    lame.begin(lambda: bus.execute_async(Order(2)))
    lame.block()
    failures = 1
    first.loop.call_soon_threadsafe(gone.cancel)
    eventually(lambda: failures == 0 and gone.done())
    assert limit.snapshot().waiting == 1
    # The turn is the next one's, and it is passed over as ever.
    reading = 20_000_000
    late = come(bus, 3)
    waits_until(limit, 2)
    reading = 80_000_000
    assert late.result(5) == 3
    assert limit.snapshot().waiting == 1


# What nobody steps again


SCRIPT = """
import asyncio, gc, threading
from cqrs_fast import *

class Ask(Query[int]):
    n: int

async def main(bus, count, hold):
    bus.register_handler(Ask, hold)
    tasks = [asyncio.ensure_future(bus.execute_async(Ask(1))) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks:
        task._log_destroy_pending = False

def run(*stages):
    loop = asyncio.new_event_loop()
    never = loop.create_future()

    async def hold(query):
        await never

    bus = QueryBus(middleware=stages)
    loop.run_until_complete(main(bus, 20_000, hold))
    loop.close()

def work():
    bulkhead = BulkheadMiddleware(1, max_queue=10**6)
    limit = RateLimitingMiddleware(1, 0.01, burst=1, max_wait=10**6, max_waiters=10**6)
    cache = CachingMiddleware()
    for stage in (bulkhead, limit, cache):
        run(stage)
        gc.collect()
    stats = bulkhead.snapshot()
    print(stats.in_flight, stats.waiting)
    print(limit.snapshot().waiting, cache.stats().loading)

# Little room for recursion.
threading.stack_size(128 * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_a_line_of_any_length_is_freed_without_recursion() -> None:
    assert run_script(SCRIPT).split() == ["0", "0", "0", "0"]
