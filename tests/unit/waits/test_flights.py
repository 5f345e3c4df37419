"""Flights: one run for everybody who asks meanwhile, however it ends."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from error_cases import Shown
from support import ASKED, TRANSPARENT, Halt, asked, eventually, stranded, suspend

from cqrs_fast import (
    CachingMiddleware,
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    Query,
    QueryBus,
)
from cqrs_fast.base.clock import ManualClock


class Find(Query[object]):
    number: Any = 0


class Failure(Exception):
    pass


class Rich(Exception):
    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(code)
        self.detail = detail


@pytest.fixture
def cache() -> Iterator[CachingMiddleware]:
    made = CachingMiddleware(ttl=600)
    yield made
    gc.collect()
    assert made.stats().loading == 0
    made._check()  # type: ignore[attr-defined]


@pytest.fixture
def often() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def loading(cache: CachingMiddleware, count: int) -> None:
    eventually(lambda: cache.stats().loading == count)


class Gate:
    """A sync handler that stops inside until it is told how to end."""

    def __init__(self) -> None:
        self.runs = 0
        self.inside = threading.Semaphore(0)
        self.ends: list[Any] = []
        self.go = threading.Semaphore(0)

    def __call__(self, query: Any) -> Any:
        self.runs += 1
        self.inside.release()
        assert self.go.acquire(timeout=10)
        end = self.ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end

    def end(self, outcome: Any) -> None:
        self.ends.append(outcome)
        self.go.release()


class AsyncGate:
    """The same for tasks: it awaits a future for each run."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Any]] = []

    async def __call__(self, query: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return await future


def bus_with(cache: CachingMiddleware, handler: Any, **options: Any) -> QueryBus:
    bus = QueryBus(middleware=[cache], **options)
    bus.register_handler(Find, handler)
    return bus


def ended(bus: QueryBus, *arguments: Any) -> Any:
    try:
        return bus.execute(*arguments)
    except BaseException as error:
        return error


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# One run


@pytest.mark.usefixtures("often")
def test_bursts_of_threads_run_the_handler_once(cache: CachingMiddleware) -> None:
    runs: list[Any] = []

    def handle(query: Find) -> Any:
        runs.append(query.number)
        time.sleep(0.0005)
        return query.number

    bus = bus_with(cache, handle)
    bursts = 60
    barrier = threading.Barrier(32)

    def work() -> list[Any]:
        seen = []
        for number in range(bursts):
            barrier.wait(10)
            seen.append(bus.execute(Find(number)))
        return seen

    with ThreadPoolExecutor(32) as pool:
        answers = [future.result() for future in [pool.submit(work) for _ in range(32)]]
    assert sorted(runs) == list(range(bursts))
    assert answers == [list(range(bursts))] * 32
    stats = cache.stats()
    assert stats.hits + stats.misses == 32 * bursts
    assert stats.misses == bursts + stats.shared


def test_a_thousand_tasks_run_the_handler_once(cache: CachingMiddleware) -> None:
    runs: list[Any] = []

    async def handle(query: Find) -> Any:
        runs.append(query.number)
        await asyncio.sleep(0)
        return [query.number]

    bus = bus_with(cache, handle)

    async def main() -> None:
        for number in range(20):
            calls = (bus.execute_async(Find(number)) for _ in range(1000))
            answers = await asyncio.gather(*calls)
            assert all(answer is answers[0] for answer in answers)

    asyncio.run(main())
    assert runs == list(range(20))


def test_threads_and_loops_share_one_run(cache: CachingMiddleware) -> None:
    gate = Gate()
    bus = bus_with(cache, gate)

    async def many() -> list[Any]:
        return await asyncio.gather(*(bus.execute_async(Find(1)) for _ in range(3)))

    with ThreadPoolExecutor(5) as pool:
        leader = pool.submit(bus.execute, Find(1))
        assert gate.inside.acquire(timeout=5)
        others = [pool.submit(bus.execute, Find(1)) for _ in range(2)]
        loops = [pool.submit(asyncio.run, many()) for _ in range(2)]
        loading(cache, 9)
        gate.end("answer")
        assert leader.result() == "answer"
        assert [one.result() for one in others] == ["answer"] * 2
        assert [one.result() for one in loops] == [["answer"] * 3] * 2
    assert gate.runs == 1
    assert cache.stats().shared == 8


def test_principals_do_not_wait_for_each_other(cache: CachingMiddleware) -> None:
    gate = AsyncGate()
    bus = bus_with(cache, gate)

    async def main() -> None:
        contexts = [Context.background().with_principal(who) for who in ("a", "b", "a")]
        calls = [asyncio.ensure_future(bus.execute_async(Find(1), c)) for c in contexts]
        await settle()
        assert len(gate.waiting) == 2
        for index, future in enumerate(gate.waiting):
            future.set_result(index)
        assert await asyncio.gather(*calls) == [0, 1, 0]

    asyncio.run(main())


def test_without_single_flight_each_computes(cache: CachingMiddleware) -> None:
    gate = AsyncGate()
    cache.update(single_flight=False)
    bus = bus_with(cache, gate)

    async def main() -> None:
        calls = [asyncio.ensure_future(bus.execute_async(Find(1))) for _ in range(3)]
        await settle()
        assert len(gate.waiting) == 3
        for future in gate.waiting:
            future.set_result(None)
        await asyncio.gather(*calls)

    asyncio.run(main())


# Errors


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("make", "copied"),
    [
        (lambda: Failure("a", 1), True),
        (lambda: Rich(7, detail="x"), True),
        (lambda: OSError(2, "no", "file"), True),
        (lambda: Shown("x"), False),
    ],
)
def test_an_error_reaches_everybody_as_its_own_copy(
    cache: CachingMiddleware, is_async: bool, make: Any, copied: bool
) -> None:
    error = make()
    error.add_note("note")
    error.__cause__ = cause = KeyError()
    if is_async:
        gate = AsyncGate()
        bus = bus_with(cache, gate)

        async def main() -> list[Any]:
            calls = [
                asyncio.ensure_future(bus.execute_async(Find(1))) for _ in range(4)
            ]
            await settle()
            (future,) = gate.waiting
            future.set_exception(error)
            return await asyncio.gather(*calls, return_exceptions=True)

        raised = asyncio.run(main())
    else:
        door = Gate()
        bus = bus_with(cache, door)
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(ended, bus, Find(1)) for _ in range(4)]
            loading(cache, 4)
            door.end(error)
            raised = [call.result() for call in calls]
        assert door.runs == 1
    assert sum(one is error for one in raised) == (1 if copied else 4)
    assert len({id(one) for one in raised}) == (4 if copied else 1)
    for one in raised:
        assert type(one) is type(error)
        assert one.args == error.args
        assert one.__cause__ is cause
        assert one.__notes__ == ["note"]
        assert getattr(one, "detail", None) == getattr(error, "detail", None)
        assert getattr(one, "filename", None) == getattr(error, "filename", None)
    assert (len(cache), cache.stats().loading) == (0, 0)


def test_copies_share_no_notes_and_no_traceback(cache: CachingMiddleware) -> None:
    gate = Gate()
    bus = bus_with(cache, gate)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(ended, bus, Find(1)) for _ in range(3)]
        loading(cache, 3)
        error = Failure("x")
        error.add_note("a")
        gate.end(error)
        raised = [call.result() for call in calls]
    raised[0].add_note("b")
    assert [one.__notes__ for one in raised[1:]] == [["a"], ["a"]]
    lengths = []
    for one in raised:
        if one is not error:
            count, traceback = 0, one.__traceback__
            while traceback is not None:
                count, traceback = count + 1, traceback.tb_next
            lengths.append(count)
    assert max(lengths) <= 2


def test_after_an_error_the_next_one_starts_anew(cache: CachingMiddleware) -> None:
    answers = [Failure(), 7]

    def handle(query: Find) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    bus = bus_with(cache, handle)
    assert isinstance(ended(bus, Find(1)), Failure)
    assert bus.execute(Find(1)) == 7


# Leaders that leave


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_a_base_exception_is_the_leaders_alone_and_another_leads(
    cache: CachingMiddleware, kind: type[BaseException]
) -> None:
    gate = Gate()
    bus = bus_with(cache, gate)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(ended, bus, Find(1)) for _ in range(3)]
        loading(cache, 3)
        error = kind()
        gate.end(error)
        assert gate.inside.acquire(timeout=5)
        assert gate.inside.acquire(timeout=5)
        assert gate.runs == 2
        gate.end("answer")
        outcomes = [call.result() for call in calls]
    assert outcomes.count("answer") == 2
    assert sum(one is error for one in outcomes) == 1
    assert gate.runs == 2


def test_a_cancelled_leader_passes_on_at_every_await(cache: CachingMiddleware) -> None:
    steps = 4

    async def handle(query: Find) -> Any:
        for _ in range(steps):
            await asyncio.sleep(0)
        return query.number

    bus = bus_with(cache, handle)

    async def main() -> None:
        number = 0
        for at in range(steps + 3):
            for victim in range(3):
                number += 1
                tasks = [
                    asyncio.ensure_future(bus.execute_async(Find(number)))
                    for _ in range(3)
                ]
                for _ in range(at):
                    await asyncio.sleep(0)
                tasks[victim].cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert cache.stats().loading == 0
                for index, outcome in enumerate(outcomes):
                    if index != victim or not tasks[victim].cancelled():
                        assert outcome == number

    asyncio.run(main())


def test_all_but_one_may_leave_at_every_await(cache: CachingMiddleware) -> None:
    async def handle(query: Find) -> Any:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return query.number

    bus = bus_with(cache, handle)

    async def main() -> None:
        for number in range(8):
            tasks = [
                asyncio.ensure_future(bus.execute_async(Find(number)))
                for _ in range(10)
            ]
            for index, task in enumerate(tasks[:-1]):
                if index % 3 == number % 3:
                    await asyncio.sleep(0)
                task.cancel()
            assert await tasks[-1] == number

    asyncio.run(main())


def test_a_promoted_one_that_leaves_at_once_passes_on(
    cache: CachingMiddleware,
) -> None:
    gate = AsyncGate()
    bus = bus_with(cache, gate)

    async def main() -> None:
        tasks = [asyncio.ensure_future(bus.execute_async(Find(1))) for _ in range(3)]
        await settle()
        # In one tick: the second is promoted and cancelled before it runs again.
        tasks[0].cancel()
        await asyncio.sleep(0)
        tasks[1].cancel()
        await settle()
        assert len(gate.waiting) in (2, 3)
        gate.waiting[-1].set_result("answer")
        assert await tasks[2] == "answer"
        assert tasks[1].cancelled()

    asyncio.run(main())


def test_a_leader_that_is_collected_lets_another_lead(
    cache: CachingMiddleware,
) -> None:
    runs: list[int] = []

    async def handle(query: Find) -> Any:
        runs.append(1)
        if len(runs) == 1:
            await suspend()
        return "answer"

    bus = bus_with(cache, handle)

    async def main() -> None:
        leader = bus.execute_async(Find(1))
        leader.__await__().send(None)  # type: ignore[attr-defined]
        follower = asyncio.ensure_future(
            asyncio.wait_for(bus.execute_async(Find(1)), 5)
        )
        await settle()
        assert cache.stats().loading == 2
        del leader
        gc.collect()
        assert await follower == "answer"

    asyncio.run(main())
    assert len(runs) == 2


def test_a_follower_whose_loop_is_closed_is_passed_over(
    cache: CachingMiddleware,
) -> None:
    gate = Gate()
    bus = bus_with(cache, gate)
    abandoned: list[Any] = []

    async def leave_behind() -> None:
        call = bus.execute_async(Find(1))
        call.__await__().send(None)  # type: ignore[attr-defined]
        abandoned.append(call)

    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(ended, bus, Find(1))
        assert gate.inside.acquire(timeout=5)
        pool.submit(asyncio.run, leave_behind()).result()
        last = pool.submit(ended, bus, Find(1))
        loading(cache, 3)
        gate.end(KeyboardInterrupt())
        gate.end("answer")
        assert isinstance(leader.result(), KeyboardInterrupt)
        assert last.result() == "answer"
    abandoned.clear()


def stuck_at_first(runs: list[Any]) -> Any:
    """Make an async handler whose first run never ends."""

    async def handle(query: Find) -> Any:
        runs.append(query.number)
        if len(runs) == 1:
            await asyncio.get_running_loop().create_future()
        return "its own"

    return handle


def sync_bus(cache: CachingMiddleware, runs: list[Any]) -> QueryBus:
    def handle(query: Find) -> Any:
        runs.append(query.number)
        return "its own"

    return bus_with(cache, handle)


@pytest.mark.parametrize("way", ASKED)
@pytest.mark.parametrize("refreshes", [False, True])
def test_a_leader_whose_loop_is_closed_is_passed_over(
    way: str, refreshes: bool
) -> None:
    clock = ManualClock()
    cache = CachingMiddleware(ttl=1, clock=clock)
    runs: list[Any] = []
    bus = bus_with(cache, stuck_at_first(runs))
    sync = sync_bus(cache, runs)
    if refreshes:
        assert sync.execute(Find(1)) == "its own"
        runs.clear()
        clock.advance(2)
    leader = stranded(bus.execute_async(Find(1)))
    assert asked(way, sync, bus, Find(1)) == "its own"
    assert len(runs) == 2
    assert cache.get(Find(1)) == "its own"
    # Nor does what is left of it change anything, whenever it is collected.
    assert cache.stats().loading == 1
    del leader
    gc.collect()
    assert cache.get(Find(1)) == "its own"
    assert cache.stats().loading == 0
    cache._check()  # type: ignore[attr-defined]


@pytest.mark.parametrize("collected", [False, True])
def test_who_waited_for_a_loop_that_was_closed_leads_once_another_comes(
    cache: CachingMiddleware, collected: bool
) -> None:
    gate = Gate()
    sync = bus_with(cache, gate)
    loop = asyncio.new_event_loop()
    call = bus_with(cache, stuck_at_first([])).execute_async(Find(1))
    with ThreadPoolExecutor(3) as pool:
        leader = asyncio.ensure_future(call, loop=loop)
        loop.run_until_complete(asyncio.sleep(0))
        calls = [pool.submit(ended, sync, Find(1))]
        loading(cache, 2)
        loop.close()
        leader._log_destroy_pending = False  # type: ignore[attr-defined]
        calls.append(pool.submit(ended, sync, Find(1)))
        assert gate.inside.acquire(timeout=5)
        if collected:
            del leader, call
            gc.collect()
        calls.append(pool.submit(ended, sync, Find(1)))
        loading(cache, 3 if collected else 4)
        gate.end("answer")
        assert [call.result() for call in calls] == ["answer"] * 3
    assert gate.runs == 1
    assert cache.stats().shared == 2


class Nosy(asyncio.SelectorEventLoop):
    """An event loop that calls something when it is asked whether it is closed."""

    act: Any = None

    def is_closed(self) -> bool:
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().is_closed()


@pytest.mark.parametrize("act", ["clear", "ask", "collect", "raise"])
def test_a_loop_may_do_anything_when_it_is_asked(
    cache: CachingMiddleware, act: str
) -> None:
    runs: list[Any] = []
    sync = sync_bus(cache, runs)
    loop = Nosy()
    bus = bus_with(cache, stuck_at_first(runs))
    leaders = [stranded(bus.execute_async(Find(1)), loop)]

    def collect() -> None:
        leaders.clear()
        gc.collect()

    def stop() -> None:
        raise Halt

    acts: dict[str, Any] = {
        "clear": cache.clear,
        "ask": lambda: sync.execute(Find(1)),
        "collect": collect,
        "raise": stop,
    }
    loop.act = acts[act]
    if act == "raise":
        assert isinstance(ended(sync, Find(1)), Halt)
    assert sync.execute(Find(1)) == "its own"
    assert len(runs) == 2
    leaders.clear()


def test_the_deadline_of_the_leader_is_not_the_others(
    cache: CachingMiddleware,
) -> None:
    gate = Gate()
    bus = bus_with(cache, gate)
    clock = ManualClock()
    with ThreadPoolExecutor(2) as pool:
        ctx = Context.background().with_cancel()
        leader = pool.submit(ended, bus, Find(1), ctx)
        assert gate.inside.acquire(timeout=5)
        follower = pool.submit(ended, bus, Find(1))
        loading(cache, 2)
        ctx.cancel()
        gate.end(ContextCancelledError())
        gate.end("answer")
        assert isinstance(leader.result(), ContextCancelledError)
        assert follower.result() == "answer"
    assert clock() == 0


# Waits that end


@pytest.mark.parametrize("is_async", [False, True])
def test_followers_keep_their_own_deadline(
    cache: CachingMiddleware, is_async: bool
) -> None:
    clock, gate = ManualClock(), Gate()
    bus = bus_with(cache, gate)

    def follow() -> Any:
        ctx = Context.background(clock=clock).with_timeout(1)
        if not is_async:
            return ended(bus, Find(1), ctx)

        async def run() -> Any:
            try:
                return await bus.execute_async(Find(1), ctx)
            except Exception as error:
                return error

        return asyncio.run(run())

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(ended, bus, Find(1))
        assert gate.inside.acquire(timeout=5)
        follower = pool.submit(follow)
        eventually(lambda: clock.waiting == 1)
        clock.advance(1)
        outcome = follower.result(5)
        gate.end("answer")
        assert leader.result() == "answer"
    assert isinstance(outcome, DeadlineExceededError)
    assert outcome.stage == "queue"
    assert gate.runs == 1


def test_followers_wait_so_long_and_then_compute_themselves() -> None:
    clock = ManualClock()
    cache = CachingMiddleware(flight_wait_max=5)
    gate = Gate()
    bus = bus_with(cache, gate, clock=clock)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(ended, bus, Find(1))
        assert gate.inside.acquire(timeout=5)
        follower = pool.submit(ended, bus, Find(1))
        loading(cache, 2)
        for _ in range(50):
            clock.advance(0.2)
            time.sleep(0.001)
        assert gate.inside.acquire(timeout=5)
        assert gate.runs == 2
        gate.end("one")
        gate.end("two")
        assert {leader.result(), follower.result()} == {"one", "two"}
    assert cache.stats().shared == 0
    assert cache.stats().loading == 0


def test_a_drain_ends_the_waits(cache: CachingMiddleware) -> None:
    from cqrs_fast import BusClosedError

    gate = Gate()
    bus = bus_with(cache, gate)
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(ended, bus, Find(1))
        assert gate.inside.acquire(timeout=5)
        follower = pool.submit(ended, bus, Find(1))
        loading(cache, 2)
        closing = pool.submit(bus.close, 5)
        assert isinstance(follower.result(), BusClosedError)
        gate.end("answer")
        assert leader.result() == "answer"
        assert closing.result().drained


# What goes wrong in one who waited


def test_a_copier_that_stops_one_who_waited_leaves_nothing() -> None:
    copies: list[Any] = []

    def copier(value: Any) -> Any:
        copies.append(value)
        if len(copies) == 2:
            raise Halt
        return value

    cache = CachingMiddleware(copy=copier)
    gate = AsyncGate()
    bus = bus_with(cache, gate)

    async def outcome() -> Any:
        try:
            return await bus.execute_async(Find(1))
        except Halt:
            return "stopped"

    async def main() -> list[Any]:
        asked = [asyncio.ensure_future(outcome()) for _ in range(3)]
        await settle()
        gate.waiting[0].set_result(7)
        return await asyncio.gather(*asked)

    assert sorted(map(str, asyncio.run(main()))) == ["7", "7", "stopped"]
    assert cache.stats().loading == 0
    assert cache.stats().shared == 1


def test_a_clock_that_fails_one_told_to_lead_lets_another_lead() -> None:
    failing: list[bool] = []

    def clock() -> int:
        if failing and failing.pop():
            raise Halt
        return 1

    cache = CachingMiddleware(clock=clock)
    gate = AsyncGate()
    bus = bus_with(cache, gate)

    async def outcome() -> Any:
        try:
            return await bus.execute_async(Find(1))
        except Halt:
            return "stopped"

    async def main() -> None:
        leader, *others = [asyncio.ensure_future(outcome()) for _ in range(3)]
        await settle()
        failing.append(True)
        leader.cancel()
        await settle()
        gate.waiting[1].set_result("answer")
        assert await asyncio.gather(*others) == ["stopped", "answer"]

    asyncio.run(main())
    assert cache.stats().loading == 0


# Other keys while something is computed


def test_who_leads_after_a_change_of_scope_stores_nothing_for_others() -> None:
    cache = CachingMiddleware(scope="shared")

    async def handle(ctx: Context, query: Find) -> Any:
        await asyncio.sleep(0)
        return ctx.principal

    bus = bus_with(cache, handle)
    ctx = Context.background()

    async def main() -> None:
        leader, follower = (
            asyncio.ensure_future(bus.execute_async(Find(1), ctx.with_principal(name)))
            for name in ("alice", "bob")
        )
        await asyncio.sleep(0)
        cache.update(scope="principal")
        leader.cancel()
        assert await follower == "bob"
        assert await bus.execute_async(Find(1), ctx) is None

    asyncio.run(main())


@pytest.mark.parametrize("callback", ["key", "condition", "tags"])
def test_a_change_of_scope_by_a_callback_leaves_the_query_uncached(
    callback: str,
) -> None:
    store: CachingMiddleware

    def change(query: Find) -> Any:
        store.update(scope="principal")
        return (1,)

    store = CachingMiddleware(scope="shared", **{callback: change})  # type: ignore[arg-type]
    bus = QueryBus(middleware=[store])
    bus.register_handler(Find, lambda ctx, query: ctx.principal)
    ctx = Context.background()
    assert bus.execute(Find(1), ctx.with_principal("alice")) == "alice"
    assert store.stats().bypasses == 1
    assert bus.execute(Find(1), ctx) is None
    assert bus.execute(Find(1), ctx) is None
    assert store.stats().hits == 1


# Re-entry


def test_a_handler_that_asks_the_same_runs_unshared(cache: CachingMiddleware) -> None:
    depth: list[int] = []

    def handle(query: Find) -> Any:
        depth.append(1)
        return len(depth) if len(depth) == 3 else bus.execute(query)

    bus = bus_with(cache, handle)
    assert bus.execute(Find(1)) == 3
    assert cache.stats().loading == 0


def test_an_async_handler_that_asks_the_same_runs_unshared(
    cache: CachingMiddleware,
) -> None:
    depth: list[int] = []

    async def handle(query: Find) -> Any:
        depth.append(1)
        await asyncio.sleep(0)
        return 7 if len(depth) == 3 else await bus.execute_async(query)

    bus = bus_with(cache, handle)

    async def main() -> Any:
        return await asyncio.wait_for(bus.execute_async(Find(1)), 5)

    assert asyncio.run(main()) == 7


def test_a_loop_inside_of_a_sync_leader_runs_unshared(
    cache: CachingMiddleware,
) -> None:
    depth: list[int] = []

    def handle(query: Find) -> Any:
        depth.append(1)
        if len(depth) == 2:
            return 7

        async def inner() -> Any:
            return await bus.execute_async(query)

        return asyncio.run(inner())

    bus = bus_with(cache, handle)
    assert bus.execute(Find(1)) == 7


def test_a_sync_call_on_a_loop_never_blocks_on_a_leader_of_that_loop(
    cache: CachingMiddleware,
) -> None:
    gate = AsyncGate()
    bus = bus_with(cache, gate)
    sync = QueryBus(middleware=[cache])
    sync.register_handler(Find, lambda query: "its own")

    async def main() -> None:
        leader = asyncio.ensure_future(bus.execute_async(Find(1)))
        await settle()
        assert sync.execute(Find(1)) == "its own"
        gate.waiting[0].set_result("late")
        assert await leader == "late"

    asyncio.run(main())


def test_a_sync_call_on_a_loop_never_blocks_a_follower_of_that_loop(
    cache: CachingMiddleware,
) -> None:
    gate = Gate()
    bus = bus_with(cache, gate)
    sync = QueryBus(middleware=[cache])
    sync.register_handler(Find, lambda query: "its own")

    async def main() -> Any:
        follower = asyncio.ensure_future(bus.execute_async(Find(1)))
        await settle()
        assert sync.execute(Find(1)) == "its own"
        gate.end("answer")
        return await follower

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(ended, bus, Find(1))
        assert gate.inside.acquire(timeout=5)
        # The follower found its answer in the cache, or in the flight.
        assert pool.submit(asyncio.run, main()).result() in ("answer", "its own")
        assert leader.result() == "answer"


# Invalidation


@pytest.mark.parametrize("forget", ["invalidate", "invalidate_type", "clear"])
def test_whoever_comes_after_an_invalidation_joins_no_old_flight(
    cache: CachingMiddleware, forget: str
) -> None:
    gate = AsyncGate()
    bus = bus_with(cache, gate)
    argument = {"invalidate": (Find(1),), "invalidate_type": (Find,), "clear": ()}

    async def main() -> None:
        old = [asyncio.ensure_future(bus.execute_async(Find(1))) for _ in range(2)]
        await settle()
        getattr(cache, forget)(*argument[forget])
        new = [asyncio.ensure_future(bus.execute_async(Find(1))) for _ in range(2)]
        await settle()
        assert len(gate.waiting) == 2
        gate.waiting[1].set_result("new")
        assert await asyncio.gather(*new) == ["new", "new"]
        gate.waiting[0].set_result("old")
        assert await asyncio.gather(*old) == ["old", "old"]
        assert cache.get(Find(1)) == "new"

    asyncio.run(main())


def test_a_follower_that_leads_after_an_invalidation_stores_what_is_fresh(
    cache: CachingMiddleware,
) -> None:
    gate = AsyncGate()
    bus = bus_with(cache, gate)

    async def main() -> None:
        tasks = [asyncio.ensure_future(bus.execute_async(Find(1))) for _ in range(2)]
        await settle()
        cache.invalidate(Find(1))
        tasks[0].cancel()
        await settle()
        gate.waiting[1].set_result("fresh")
        assert await tasks[1] == "fresh"
        assert cache.get(Find(1)) == "fresh"

    asyncio.run(main())


# At random


def check_schedules(count: int, seed: int) -> None:
    """Kill leaders and followers at random steps of random schedules."""
    rng = random.Random(seed)
    cache = CachingMiddleware(max_size=5)
    leading: dict[Any, int] = {}

    async def handle(query: Find) -> Any:
        leading[query.number] = leading.get(query.number, 0) + 1
        assert leading[query.number] == 1, "a second concurrent leader"
        try:
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            if rng.random() < 0.2:
                raise Failure(query.number)
            return query.number
        finally:
            leading[query.number] -= 1

    bus = bus_with(cache, handle)

    async def main() -> None:
        for _ in range(count):
            tasks = []
            for _ in range(rng.randrange(2, 7)):
                query = Find(rng.randrange(2))
                tasks.append((query, asyncio.ensure_future(bus.execute_async(query))))
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
            for _, task in tasks:
                if rng.random() < 0.4:
                    task.cancel()
                if rng.random() < 0.5:
                    await asyncio.sleep(0)
            for query, task in tasks:
                try:
                    assert await task == query.number
                except Failure as error:
                    numbers = error.args
                    assert numbers == (query.number,)
                except asyncio.CancelledError:
                    assert task.cancelled()
            assert cache.stats().loading == 0
            cache.clear()

    asyncio.run(main())
    cache._check()  # type: ignore[attr-defined]


def test_leaders_and_followers_are_killed_at_random() -> None:
    check_schedules(1_500, seed=13)


@pytest.mark.slow
def test_a_hundred_thousand_leaders_and_followers_are_killed_at_random() -> None:
    check_schedules(30_000, seed=14)


@pytest.mark.usefixtures("often")
def test_threads_that_fail_and_are_killed_at_random_leave_nothing(
    cache: CachingMiddleware,
) -> None:
    cache.update(ttl=0)
    marks: contextvars.ContextVar[int] = contextvars.ContextVar("marks")

    def handle(query: Find) -> Any:
        kind = random.randrange(4)
        if kind == 0:
            raise Failure(query.number)
        if kind == 1:
            raise KeyboardInterrupt
        time.sleep(0)
        return query.number

    bus = bus_with(cache, handle)

    def work(seed: int) -> None:
        marks.set(seed)
        for index in range(400):
            outcome = ended(bus, Find(index % 3))
            assert outcome == index % 3 or isinstance(
                outcome, Failure | KeyboardInterrupt
            )

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, seed) for seed in range(8)]:
            future.result(30)
