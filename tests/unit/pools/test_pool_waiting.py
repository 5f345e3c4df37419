"""Waiting for an object of a pool: in threads and on event loops, in one line."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from crowd import crowd
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import Halt, eventually

from cqrs_fast import (
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    ObjectPool,
    PoolExhaustedError,
)
from cqrs_fast.testing import ManualClock

# Builds for debugging warn of what many of these tests leave in use.
pytestmark = pytest.mark.filterwarnings("ignore:a pool was:ResourceWarning")


class Thing:
    """What is pooled."""


class Line:
    """Callers who wait for the one object of a pool, each in its own way."""

    def __init__(self, pool: ObjectPool[Thing], loop: Any) -> None:
        self.pool = pool
        self.loop = loop

    def join(self, ctx: Context | None = None) -> Any:
        """Let one more wait; return its future."""
        reached = self.pool.stats().waiting + 1
        future = self.start(ctx)
        eventually(lambda: self.pool.stats().waiting == reached or future.done())
        return future

    def start(self, ctx: Context | None = None) -> Any:
        if self.loop is not None:
            return asyncio.run_coroutine_threadsafe(
                self.pool.acquire_async(ctx), self.loop
            )
        future: Future[Thing] = Future()

        def run() -> None:
            try:
                future.set_result(self.pool.acquire(ctx))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future


@contextmanager
def line(pool: ObjectPool[Thing], is_async: bool) -> Iterator[Line]:
    with crowd(is_async) as people:
        yield Line(pool, people.loop)


def at_rest(pool: ObjectPool[Any]) -> bool:
    stats = pool.stats()
    return (stats.in_use, stats.waiting) == (0, 0)


both = pytest.mark.parametrize("is_async", [False, True], ids=["thread", "task"])


@both
def test_who_came_first_is_served_first(is_async: bool) -> None:
    pool = ObjectPool(Thing, 1, max_wait=5)
    thing = pool.acquire()
    with line(pool, is_async) as waiting:
        futures = [waiting.join() for _ in range(4)]
        assert pool.stats().waits == 4
        for index, future in enumerate(futures):
            pool.release(thing)
            assert future.result(5) is thing
            assert pool.stats().waiting == 3 - index
        pool.release(thing)
    assert at_rest(pool)


@both
def test_nobody_overtakes(is_async: bool) -> None:
    pool = ObjectPool(Thing, 1, max_wait=5)
    thing = pool.acquire()
    with line(pool, is_async) as waiting:
        future = waiting.join()
        pool.release(thing)
        # It is granted already, whether or not it has run since.
        with pytest.raises(DeadlineExceededError):
            pool.acquire(Context.background().with_timeout(0.01))
        assert future.result(5) is thing
        pool.release(thing)


@both
def test_a_wait_ends_with_max_wait(is_async: bool) -> None:
    clock = ManualClock()
    pool = ObjectPool(Thing, 1, max_wait=2.0, clock=clock)
    pool.acquire()
    with line(pool, is_async) as waiting:
        future = waiting.join()
        eventually(lambda: clock.waiting)
        clock.advance(1.999)
        assert pool.stats().waiting == 1
        clock.advance(0.001)
        assert isinstance(future.exception(5), PoolExhaustedError)
    stats = pool.stats()
    assert (stats.waiting, stats.exhausted, stats.in_use) == (0, 1, 1)
    assert clock.waiting == 0


@both
def test_a_wait_in_real_time_ends(is_async: bool) -> None:
    pool = ObjectPool(Thing, 1, max_wait=0.02)
    pool.acquire()
    with line(pool, is_async) as waiting:
        began = time.monotonic()
        assert isinstance(waiting.start().exception(5), PoolExhaustedError)
        assert 0.02 <= time.monotonic() - began < 2
    assert pool.stats().waiting == 0


@both
def test_a_deadline_ends_the_wait(is_async: bool) -> None:
    clock = ManualClock()
    pool = ObjectPool(Thing, 1, max_wait=60)
    pool.acquire()
    with line(pool, is_async) as waiting:
        future = waiting.join(Context.background(clock=clock).with_timeout(1))
        eventually(lambda: clock.waiting)
        clock.advance(1)
        error = future.exception(5)
        assert isinstance(error, DeadlineExceededError)
        assert error.stage == "queue"
    assert pool.stats().waiting == clock.waiting == 0


@both
def test_a_cancelled_context_ends_the_wait(is_async: bool) -> None:
    pool = ObjectPool(Thing, 1, max_wait=60)
    thing = pool.acquire()
    outer = Context.background().with_cancel()
    with line(pool, is_async) as waiting:
        futures = [waiting.join(outer.with_timeout(50).with_cancel()), waiting.join()]
        outer.cancel("enough")
        error = futures[0].exception(5)
        assert isinstance(error, ContextCancelledError)
        assert error.reason == "enough"
        pool.release(thing)
        assert futures[1].result(5) is thing


@both
def test_closing_ends_every_wait(is_async: bool) -> None:
    pool = ObjectPool(Thing, 1, max_wait=60)
    lease = pool.lease()
    thing = lease.__enter__()
    with line(pool, is_async) as waiting:
        futures = [waiting.join() for _ in range(3)]
        pool.close()
        for future in futures:
            error = future.exception(5)
            assert isinstance(error, RuntimeError)
            assert str(error) == "the pool is closed"
    del thing
    lease.release()
    assert at_rest(pool)


@both
def test_a_factory_that_raises_lets_the_next_one_try(is_async: bool) -> None:
    fail = threading.Event()

    def make() -> Thing:
        if fail.is_set():
            fail.clear()
            raise KeyError("first")
        return Thing()

    def drop(thing: Thing) -> None:
        raise KeyError("dropped")

    pool = ObjectPool(make, 1, max_wait=5, reset=drop)
    thing = pool.acquire()
    with line(pool, is_async) as waiting:
        futures = [waiting.join() for _ in range(2)]
        fail.set()
        pool.release(thing)
        assert isinstance(futures[0].exception(5), KeyError)
        assert futures[1].result(5) is not thing
    assert pool.stats().created == 2


def test_threads_and_two_loops_stand_in_one_line() -> None:
    pool = ObjectPool(Thing, 1, max_wait=5)
    thing = pool.acquire()
    with line(pool, False) as one, line(pool, True) as two, line(pool, True) as three:
        futures = [way.join() for _ in range(3) for way in (one, two, three)]
        for future in futures:
            pool.release(thing)
            assert future.result(5) is thing
        pool.release(thing)
    assert at_rest(pool)


def test_a_closed_loop_is_skipped() -> None:
    pool = ObjectPool(Thing, 1, max_wait=60)
    thing = pool.acquire()
    loop = asyncio.new_event_loop()
    stuck = loop.create_task(pool.acquire_async())
    loop.run_until_complete(asyncio.sleep(0))
    assert pool.stats().waiting == 1
    stuck._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    with line(pool, False) as waiting:
        future = waiting.join()
        pool.release(thing)
        assert future.result(5) is thing
    pool.release(thing)
    assert at_rest(pool)
    del stuck


class Sulking(asyncio.SelectorEventLoop):
    """An event loop that other threads cannot wake."""

    sulks = False

    def call_soon_threadsafe(
        self, callback: Any, *arguments: Any, context: Any = None
    ) -> Any:
        if self.sulks:
            raise Halt
        return super().call_soon_threadsafe(callback, *arguments, context=context)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("close", RuntimeError),
        ("cancel", ContextCancelledError),
        ("advance", PoolExhaustedError),
    ],
)
def test_one_that_cannot_be_woken_keeps_no_other_from_it(
    end: str, error: type[Exception]
) -> None:
    clock = ManualClock()
    pool = ObjectPool(Thing, 1, max_wait=1, clock=clock)
    thing = pool.acquire()
    ctx = Context.background().with_cancel()
    loop = Sulking()
    tasks = [loop.create_task(pool.acquire_async(ctx)) for _ in range(8)]
    loop.run_until_complete(asyncio.sleep(0))
    ends: dict[str, Callable[[], Any]] = {
        "close": pool.close,
        "cancel": ctx.cancel,
        "advance": lambda: clock.advance(1),
    }
    with line(pool, False) as waiting:
        future = waiting.join(ctx)
        eventually(lambda: clock.waiting == 9)
        loop.sulks = True
        with pytest.raises(Halt):
            ends[end]()
        assert isinstance(future.exception(5), error)
    loop.sulks = False
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    pool.release(thing)
    assert at_rest(pool)


def test_a_signal_ends_the_wait_of_the_main_thread() -> None:
    pool = ObjectPool(Thing, 1, max_wait=60)
    pool.acquire()
    main = threading.get_ident()
    timer = threading.Timer(0.02, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        pool.acquire()
    timer.join()
    assert pool.stats().waiting == 0


# Cancellation of tasks


async def lease_of(pool: ObjectPool[Thing]) -> None:
    async with pool.lease_async():
        pass


ASYNC_USES: list[Callable[[ObjectPool[Thing]], Any]] = [
    lambda pool: pool.acquire_async(),
    lease_of,
]
uses = pytest.mark.parametrize("use", ASYNC_USES, ids=["acquire", "lease"])


@uses
def test_a_cancelled_task_leaves_the_line(use: Any) -> None:
    async def main() -> None:
        pool = ObjectPool(Thing, 1, max_wait=60)
        thing = pool.acquire()
        task = asyncio.create_task(use(pool))
        other = asyncio.create_task(lease_of(pool))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.stats().waiting == 1
        pool.release(thing)
        await other
        assert at_rest(pool)

    asyncio.run(main())


@uses
def test_a_task_that_is_cancelled_with_its_grant_hands_it_on(use: Any) -> None:
    async def main() -> None:
        pool = ObjectPool(Thing, 1, max_wait=60)
        thing = pool.acquire()
        task = asyncio.create_task(use(pool))
        other = asyncio.create_task(lease_of(pool))
        await asyncio.sleep(0)
        pool.release(thing)
        task.cancel()  # before the loop could run it
        with pytest.raises(asyncio.CancelledError):
            await task
        await other
        assert at_rest(pool)

    asyncio.run(main())


@uses
def test_a_wait_that_is_dropped_leaves_the_line(use: Any) -> None:
    async def main() -> None:
        pool = ObjectPool(Thing, 1, max_wait=60)
        thing = pool.acquire()
        waits = use(pool).__await__()
        next(waits)
        assert pool.stats().waiting == 1
        waits.close()
        use(pool).close()  # it never began
        assert pool.stats().waiting == 0
        pool.release(thing)
        assert at_rest(pool)

    asyncio.run(main())


# Many at once


def test_many_threads_and_tasks_never_share_an_object() -> None:
    pool = ObjectPool(Thing, 3, max_wait=60, reset=lambda thing: None)
    inside: set[int] = set()
    rounds = 300

    def enter(thing: Thing) -> None:
        assert id(thing) not in inside
        inside.add(id(thing))

    def in_thread() -> None:
        for _ in range(rounds):
            with pool.lease() as thing:
                enter(thing)
                time.sleep(0)
                inside.discard(id(thing))

    async def in_task(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(rounds):
            task = asyncio.create_task(once())
            if chance.random() < 0.2:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def once() -> None:
        async with pool.lease_async() as thing:
            enter(thing)
            try:
                await asyncio.sleep(0)
            finally:
                inside.discard(id(thing))

    async def tasks(seed: int) -> None:
        await asyncio.gather(*(in_task(seed + n) for n in range(4)))

    failures: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    works: list[Callable[[], object]] = [in_thread] * 4
    works += [lambda: asyncio.run(tasks(0)), lambda: asyncio.run(tasks(100))]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert at_rest(pool)
    assert pool.stats().idle == pool.stats().created == 3


# A model


class Model(RuleBasedStateMachine):
    """The pool against a list of idle numbers, in the order in which they came back."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.size = 3
        self.next = 0
        self.failing = False
        self.broken: set[int] = set()
        self.idle: list[int] = []
        self.lent: dict[int, Thing] = {}
        self.dropped: list[Thing] = []
        self.line: list[asyncio.Task[Thing]] = []
        self.pool = ObjectPool(
            self.make, self.size, preallocate=False, reset=self.reset, max_wait=1e6
        )

    def make(self) -> Any:
        if self.failing:
            raise KeyError("make")
        thing: Any = Thing()
        thing.number = self.next
        self.next += 1
        return thing

    def reset(self, thing: Any) -> None:
        if thing.number in self.broken:
            raise KeyError("reset")

    def run(self) -> None:
        # A factory that fails makes the whole line pass, one after another.
        for _ in range(5 + 3 * len(self.line)):
            self.loop.run_until_complete(asyncio.sleep(0))

    @rule(failing=st.booleans())
    def factory_fails(self, failing: bool) -> None:
        self.failing = failing

    @precondition(lambda self: len(self.lent) < self.size)
    @rule()
    def acquire(self) -> None:
        if self.failing and not self.idle:
            with pytest.raises(KeyError, match="make"):
                self.pool.acquire()
            return
        number = self.idle.pop() if self.idle else self.next
        thing: Any = self.pool.acquire()
        assert thing.number == number
        self.lent[number] = thing

    @precondition(lambda self: len(self.lent) == self.size)
    @rule()
    def wait(self) -> None:
        self.line.append(self.loop.create_task(self.pool.acquire_async()))
        self.run()

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def give_up(self, data: Any) -> None:
        task = self.line.pop(data.draw(st.integers(0, len(self.line) - 1)))
        task.cancel()
        self.run()
        assert task.cancelled()

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), breaks=st.booleans(), cancels=st.booleans())
    def release(self, data: Any, breaks: bool, cancels: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.lent)))
        thing = self.lent.pop(number)
        if breaks:
            self.broken.add(number)
            self.dropped.append(thing)
        else:
            self.idle.append(number)
        self.pool.release(thing)
        if cancels and self.line:
            # Granted, and handed on at once.
            task = self.line.pop(0)
            task.cancel()
            self.run_line()
            assert task.cancelled()
        else:
            self.run_line()

    def run_line(self) -> None:
        self.run()
        while self.line and len(self.lent) < self.size:
            task = self.line.pop(0)
            assert task.done()
            if self.failing and not self.idle:
                assert isinstance(task.exception(), KeyError)
                continue
            thing: Any = task.result()
            assert thing.number == (self.idle.pop() if self.idle else self.next - 1)
            self.lent[thing.number] = thing

    @rule(data=st.data())
    def release_wrongly(self, data: Any) -> None:
        with pytest.raises(ValueError, match="not from this pool"):
            self.pool.release(Thing())
        for thing in self.dropped:
            with pytest.raises(ValueError, match="not from this pool"):
                self.pool.release(thing)

    @invariant()
    def agree(self) -> None:
        stats = self.pool.stats()
        assert stats.in_use == len(self.lent)
        assert stats.idle == len(self.idle)
        assert stats.waiting == len(self.line)
        assert stats.created == self.next
        assert stats.reset_failures == len(self.dropped)

    def teardown(self) -> None:
        for task in self.line:
            task.cancel()
        self.run()
        for thing in self.lent.values():
            self.pool.release(thing)
        self.loop.close()


def test_the_pool_does_what_the_model_does() -> None:
    logging.disable()
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Model, settings=settings(max_examples=60, deadline=None)
        )
    finally:
        logging.disable(logging.NOTSET)
