"""ObjectPool: what it lends, what it takes back, and what it refuses."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from support import Halt, run_script

from cqrs_fast import (
    Context,
    ContextCancelledError,
    DeadlineExceededError,
    ObjectPool,
    PoolExhaustedError,
    PoolStats,
    build_info,
)
from cqrs_fast.base import callbacks
from cqrs_fast.testing import ManualClock

# Builds for debugging warn of what many of these tests leave in use.
pytestmark = pytest.mark.filterwarnings("ignore:a pool was:ResourceWarning")

DEBUG = build_info()["mode"] == "debug"


class Thing:
    """What is pooled; can be referred to weakly."""


class Maker:
    """A factory that counts, and can be told to fail."""

    def __init__(self) -> None:
        self.made: list[Thing] = []
        self.error: BaseException | None = None

    def __call__(self) -> Thing:
        if self.error is not None:
            raise self.error
        thing = Thing()
        self.made.append(thing)
        return thing


@pytest.fixture(autouse=True)
def unsuppressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test see its own report in the log."""
    monkeypatch.setattr(callbacks, "_last", {})


def counts(pool: ObjectPool[Any]) -> tuple[int, int, int]:
    stats = pool.stats()
    return stats.in_use, stats.idle, stats.created


# What is lent


def test_all_objects_are_made_at_construction() -> None:
    maker = Maker()
    pool = ObjectPool(maker, 3)
    assert len(maker.made) == 3
    assert pool.stats() == PoolStats(
        size=3,
        in_use=0,
        idle=3,
        waiting=0,
        waits=0,
        created=3,
        exhausted=0,
        reset_failures=0,
        leaked=0,
    )
    assert pool.acquire() in maker.made
    assert repr(pool) == "<ObjectPool size=3 in_use=1 idle=2>"


def test_objects_are_made_when_they_are_first_needed() -> None:
    maker = Maker()
    pool = ObjectPool(maker, 3, preallocate=False)
    assert maker.made == []
    first = pool.acquire()
    pool.release(first)
    assert pool.acquire() is first
    assert pool.acquire() is maker.made[1]
    assert counts(pool) == (2, 0, 2)


def test_the_one_that_came_back_last_is_lent_first() -> None:
    pool = ObjectPool(Thing, 3)
    things = [pool.acquire() for _ in range(3)]
    for thing in things:
        pool.release(thing)
    assert [pool.acquire() for _ in range(3)] == things[::-1]


def test_one_beyond_size_is_refused() -> None:
    pool = ObjectPool(Thing, 1)
    thing = pool.acquire()
    with pytest.raises(PoolExhaustedError) as raised:
        pool.acquire()
    error = raised.value
    assert (error.retry_after, error.middleware, error.name) == (
        None,
        "ObjectPool",
        None,
    )
    assert str(error) == (
        "the call was rejected by ObjectPool: every object of the pool is in use"
    )
    assert pool.stats().exhausted == 1
    pool.release(thing)
    assert pool.acquire() is thing


def test_leases_give_back_whatever_ends_the_block() -> None:
    pool = ObjectPool(Thing, 1)
    with pool.lease() as thing:
        assert isinstance(thing, Thing)
        assert counts(pool) == (1, 0, 1)
    for error in (KeyError(), KeyboardInterrupt(), Halt()):
        with pytest.raises(type(error)), pool.lease() as again:  # noqa: PT012
            assert again is thing
            raise error
    assert counts(pool) == (0, 1, 1)


def test_async_leases_give_back_whatever_ends_the_block() -> None:
    async def main() -> None:
        pool = ObjectPool(Thing, 1)
        async with pool.lease_async() as thing:
            assert isinstance(thing, Thing)
            assert counts(pool) == (1, 0, 1)
        for error in (KeyError(), asyncio.CancelledError(), Halt()):
            with pytest.raises(type(error)):  # noqa: PT012
                async with pool.lease_async() as again:
                    assert again is thing
                    raise error
        thing = await pool.acquire_async()
        pool.release(thing)
        assert counts(pool) == (0, 1, 1)

    asyncio.run(main())


def test_a_lease_may_end_early_and_again() -> None:
    pool = ObjectPool(Thing, 1)
    lease = pool.lease()
    lease.release()
    with lease as thing:
        lease.release()
        assert pool.acquire() is thing
        lease.release()
        assert counts(pool) == (1, 0, 1)
    assert counts(pool) == (1, 0, 1)
    pool.release(thing)
    with lease as again:
        assert again is thing


def test_a_lease_does_not_release_what_was_lent_to_another() -> None:
    pool = ObjectPool(Thing, 1)
    with pool.lease() as thing:
        pool.release(thing)
        other = pool.acquire()
    assert counts(pool) == (1, 0, 1)
    pool.release(other)
    assert counts(pool) == (0, 1, 1)


def test_a_lease_holds_one_object() -> None:
    pool = ObjectPool(Thing, 2)
    lease = pool.lease()
    message = "this lease holds an object already: make another one"
    with lease, pytest.raises(RuntimeError, match=message), lease:
        pass
    assert counts(pool) == (0, 2, 2)
    with pytest.raises(TypeError, match=r"a lease comes from pool.lease\(\)"):
        type(lease)()


def test_a_lease_that_two_wait_with_holds_one_object() -> None:
    pool = ObjectPool(Thing, 2, max_wait=5.0)
    things = [pool.acquire(), pool.acquire()]
    lease = pool.lease_async()

    async def main() -> list[Any]:
        waits = [asyncio.ensure_future(lease.__aenter__()) for _ in range(2)]
        await asyncio.sleep(0)
        for thing in things:
            pool.release(thing)
        return await asyncio.gather(*waits, return_exceptions=True)

    first, second = asyncio.run(main())
    assert first in things
    assert isinstance(second, RuntimeError)
    assert str(second) == "this lease holds an object already: make another one"
    assert counts(pool) == (1, 1, 2)
    lease.release()
    assert counts(pool) == (0, 2, 2)


def test_a_lease_that_is_forgotten_gives_back() -> None:
    pool = ObjectPool(Thing, 1)
    lease = pool.lease()
    lease.__enter__()
    del lease
    cycle: list[Any] = [pool.lease()]
    cycle[0].__enter__()
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert counts(pool) == (0, 1, 1)
    assert pool.stats().leaked == 2


# The hooks


def test_reset_runs_before_another_gets_it() -> None:
    log: list[Any] = []
    pool = ObjectPool(Thing, 1, reset=log.append)
    assert log == []
    thing = pool.acquire()
    pool.release(thing)
    assert log == [thing]
    with pool.lease() as again:
        assert again is thing
    assert log == [thing, thing]


def test_what_cannot_be_reset_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    maker, disposed = Maker(), []

    def reset(thing: Thing) -> None:
        raise KeyError("broken")

    pool = ObjectPool(maker, 1, reset=reset, dispose=disposed.append)
    thing = pool.acquire()
    pool.release(thing)
    assert "reset of <ObjectPool size=1" in caplog.text
    assert "KeyError" in caplog.text
    assert disposed == [thing]
    assert pool.stats().reset_failures == 1
    assert counts(pool) == (0, 0, 1)
    assert pool.acquire() is maker.made[1]


def test_a_base_exception_of_reset_passes_and_frees_the_place() -> None:
    def reset(thing: Thing) -> None:
        raise Halt

    pool = ObjectPool(Thing, 1, reset=reset)
    with pytest.raises(Halt):
        pool.release(pool.acquire())
    assert counts(pool) == (0, 0, 1)
    assert pool.stats().reset_failures == 0
    pool.acquire()


def test_an_object_is_gone_before_its_place_is_free() -> None:
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    most = 0

    def make() -> Thing:
        nonlocal most
        thing = Thing()
        alive.add(thing)
        most = max(most, len(alive))
        return thing

    def reset(thing: Thing) -> None:
        raise KeyError

    pool = ObjectPool(make, 1, reset=reset)
    # A record of the log would keep the traceback, and so the object.
    logging.disable()
    try:
        for _ in range(3):
            with pool.lease():
                pass
    finally:
        logging.disable(logging.NOTSET)
    assert most == 1


def test_what_dispose_raises_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def dispose(thing: Thing) -> None:
        raise KeyError

    pool = ObjectPool(Thing, 2, dispose=dispose)
    pool.close()
    assert "dispose of <ObjectPool" in caplog.text
    assert counts(pool) == (0, 0, 2)


def test_hooks_may_use_the_pool() -> None:
    pool: ObjectPool[Any]
    log: list[str] = []

    def make() -> Any:
        log.append("make")
        return [pool.acquire()] if len(log) == 1 else Thing()

    def reset(thing: Any) -> None:
        log.append("reset")
        if log.count("reset") == 1:
            with pool.lease():
                log.append("lent")

    pool = ObjectPool(make, 3, preallocate=False, reset=reset)
    outer = pool.acquire()
    assert counts(pool) == (2, 0, 2)
    pool.release(outer[0])
    pool.release(outer)
    assert counts(pool) == (0, 3, 3)
    assert log == ["make", "make", "reset", "make", "lent", "reset", "reset"]


def test_an_object_that_is_reset_can_not_be_released() -> None:
    def reset(thing: Thing) -> None:
        with pytest.raises(ValueError, match="was released already"):
            pool.release(thing)

    pool = ObjectPool(Thing, 1, reset=reset)
    pool.release(pool.acquire())
    assert counts(pool) == (0, 1, 1)


def test_a_factory_that_uses_up_its_own_pool_is_refused() -> None:
    pool = ObjectPool(lambda: pool.acquire(), 2, preallocate=False)
    with pytest.raises(PoolExhaustedError):
        pool.acquire()
    assert counts(pool) == (0, 0, 0)


# Closing


def test_a_closed_pool_lends_nothing_and_drops_what_comes_back() -> None:
    disposed: list[Thing] = []
    pool = ObjectPool(Thing, 3, dispose=disposed.append, reset=pytest.fail)
    thing = pool.acquire()
    if DEBUG:
        with pytest.warns(ResourceWarning, match="closed with 1 of its objects"):
            pool.close()
    else:
        pool.close()
    assert len(disposed) == 2
    for acquire in (pool.acquire, pool.lease().__enter__):
        with pytest.raises(RuntimeError, match=r"^the pool is closed$"):
            acquire()
    assert counts(pool) == (1, 0, 3)
    pool.release(thing)
    assert disposed[2] is thing
    assert counts(pool) == (0, 0, 3)
    pool.close()


def test_an_interrupted_close_drops_all_the_same() -> None:
    disposed: list[Thing] = []

    def dispose(thing: Thing) -> None:
        disposed.append(thing)
        if len(disposed) < 3:
            raise Halt(len(disposed))

    pool = ObjectPool(Thing, 4, dispose=dispose)
    with pytest.raises(Halt, match="2"):
        pool.close()
    assert len(disposed) == 4
    assert counts(pool) == (0, 0, 4)
    pool.close()


def test_a_pool_is_closed_at_the_end_of_its_block() -> None:
    with ObjectPool(Thing, 2) as pool:
        pool.release(pool.acquire())
    with pytest.raises(RuntimeError, match="the pool is closed"):
        pool.acquire(Context.background())


def test_what_is_made_while_the_pool_closes_is_dropped_when_it_comes_back() -> None:
    disposed: list[Thing] = []

    def make() -> Thing:
        pool.close()
        return Thing()

    pool = ObjectPool(make, 1, preallocate=False, dispose=disposed.append)
    with pool.lease() as thing:
        assert counts(pool) == (1, 0, 1)
    assert disposed == [thing]


# Bad input


async def async_factory() -> Thing:
    return Thing()


async def async_hook(thing: Thing) -> None: ...


INSTEAD = "await what it makes before the pool is made"
BAD_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"size": 0}, ValueError, "size must be from 1 to 1000000, got 0"),
    ({"size": -1}, ValueError, "size must be from 1 to 1000000, got -1"),
    (
        {"size": 10**6 + 1},
        ValueError,
        "size must be from 1 to 1000000, got 1000001",
    ),
    (
        {"size": 10**30},
        ValueError,
        f"size must be from 1 to 1000000, got {10**30}",
    ),
    ({"size": 2.0}, TypeError, "size must be an int, got 2.0"),
    ({"size": True}, TypeError, "size must be an int, got True"),
    ({"size": "3"}, TypeError, "size must be an int, got '3'"),
    ({"preallocate": 1}, TypeError, "preallocate must be a bool, got 1"),
    ({"max_wait": -1}, ValueError, "max_wait must be from 0 to 1e9 seconds, got -1"),
    (
        {"max_wait": float("nan")},
        ValueError,
        "max_wait must be from 0 to 1e9 seconds, got nan",
    ),
    ({"max_wait": None}, TypeError, "max_wait must be a number of seconds, got None"),
    ({"factory": None}, TypeError, "factory must be callable, got None"),
    (
        {"factory": async_factory},
        TypeError,
        f"factory must be no async function: {INSTEAD}",
    ),
    ({"reset": 3}, TypeError, "reset must be callable, got 3"),
    (
        {"reset": async_hook},
        TypeError,
        "reset must be no async function: a pool does not await it",
    ),
    (
        {"dispose": async_hook},
        TypeError,
        "dispose must be no async function: a pool does not await it",
    ),
    ({"clock": 3}, TypeError, "clock must be callable and return nanoseconds, got 3"),
    ({"factory": lambda: None}, TypeError, "factory must return an object, got None"),
    (
        {"factory": lambda: async_factory()},
        TypeError,
        f"factory returned an awaitable, a coroutine: {INSTEAD}",
    ),
    (
        {"factory": lambda: "the same"},
        ValueError,
        "factory must return a new object each time, got one that the pool has "
        "already, a str",
    ),
]


@pytest.mark.parametrize(("given", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        ObjectPool(**{"factory": Thing, "size": 2, **given})
    assert str(raised.value) == message


def test_the_largest_pool_makes_nothing_in_advance() -> None:
    pool = ObjectPool(Thing, 10**6, preallocate=False)
    pool.release(pool.acquire())
    assert counts(pool) == (0, 1, 1)


def other_thing(pool: ObjectPool[Any]) -> Any:
    return Thing()


def of_another(pool: ObjectPool[Any]) -> Any:
    return OTHER.acquire()


def idle_one(pool: ObjectPool[Any]) -> Any:
    with pool.lease() as thing:
        return thing


OTHER = ObjectPool(Thing, 10)
NONE_OF_IT = (
    "this Thing is not from this pool: release what its acquire returned, to the same "
    "pool"
)
TWICE = "this Thing was released already: release an object once for each acquire"


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (other_thing, NONE_OF_IT),
        (of_another, NONE_OF_IT),
        (idle_one, TWICE),
        (lambda pool: None, NONE_OF_IT.replace("Thing", "NoneType")),
        (lambda pool: [], NONE_OF_IT.replace("Thing", "list")),
    ],
)
def test_what_was_not_lent_is_not_taken_back(
    choose: Callable[[ObjectPool[Any]], Any], message: str
) -> None:
    pool = ObjectPool(Thing, 2)
    kept = pool.acquire()
    given = choose(pool)
    before = pool.stats()
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        pool.release(given)
    assert str(raised.value) == message
    assert pool.stats() == before
    pool.release(kept)
    if choose is of_another:
        OTHER.release(given)


def test_objects_are_told_apart_by_identity_alone() -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            pytest.fail("compared")

        __hash__ = None  # type: ignore[assignment]

    pool = ObjectPool(Equal, 2)
    one, other = pool.acquire(), pool.acquire()
    pool.release(one)
    with pytest.raises(ValueError, match="released already"):
        pool.release(one)
    pool.release(other)


@pytest.mark.parametrize("error", [KeyError("no"), Halt()])
def test_what_the_factory_raises_reaches_the_caller(error: BaseException) -> None:
    maker = Maker()
    pool = ObjectPool(maker, 1, preallocate=False)
    maker.error = error
    for acquire in (pool.acquire, lambda: asyncio.run(pool.acquire_async())):
        with pytest.raises(type(error)) as raised:
            acquire()
        assert raised.value is error
    assert counts(pool) == (0, 0, 0)
    maker.error = None
    pool.acquire()


def test_what_was_made_is_dropped_if_the_factory_raises_at_construction() -> None:
    made: list[Thing] = []
    disposed: list[Thing] = []

    def make() -> Thing:
        if len(made) == 2:
            raise KeyError("third")
        made.append(Thing())
        return made[-1]

    with pytest.raises(KeyError, match="third"):
        ObjectPool(make, 3, dispose=disposed.append)
    assert sorted(map(id, disposed)) == sorted(map(id, made))


def test_an_awaitable_of_reset_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    pool = ObjectPool(Thing, 1, reset=lambda thing: async_hook(thing))
    pool.release(pool.acquire())
    assert "reset returned an awaitable, a coroutine" in caplog.text
    assert pool.stats().reset_failures == 1


def test_a_context_that_is_done_gets_nothing() -> None:
    pool = ObjectPool(Thing, 1)
    ended = Context.background().with_cancel()
    ended.cancel("enough")
    late = Context.background(clock=ManualClock()).with_timeout(0)
    for ctx, error in ((ended, ContextCancelledError), (late, DeadlineExceededError)):
        for acquire in (
            lambda ctx=ctx: pool.acquire(ctx),
            lambda ctx=ctx: asyncio.run(pool.acquire_async(ctx)),
            lambda ctx=ctx: pool.lease(ctx).__enter__(),
        ):
            with pytest.raises(error):
                acquire()
    with pytest.raises(TypeError, match="ctx"):
        pool.acquire(3)  # type: ignore[arg-type]
    with pool.lease(Context.background().with_timeout(5)):
        assert counts(pool) == (1, 0, 1)


def test_a_pool_is_no_value() -> None:
    pool = ObjectPool(Thing, 1)
    with pytest.raises(TypeError):
        pickle.dumps(pool)
    with pytest.raises(RuntimeError, match="ObjectPool is initialised already"):
        pool.__init__(Thing, 2)  # type: ignore[misc]
    assert ObjectPool[int] == ObjectPool[int]


# Memory


def things_of(pool: ObjectPool[Any]) -> Iterator[weakref.ref[Any]]:
    held = [pool.acquire() for _ in range(pool.stats().size)]
    for one in held:
        pool.release(one)
        yield weakref.ref(one)


def test_a_pool_and_its_objects_are_collected() -> None:
    class Knowing:
        def __init__(self) -> None:
            self.pool = pools[0] if pools else None

    pools: list[Any] = []
    pool = ObjectPool(Knowing, 3, preallocate=False)
    pools.append(pool)
    references = list(things_of(pool))
    # A tuple has no way to let go of the pool by itself.
    tuples: ObjectPool[Any]
    tuples = ObjectPool(
        lambda: (tuples, Thing()),  # noqa: F821 - it is deleted below
        1,
        preallocate=False,
    )
    with tuples.lease() as pair:
        references.append(weakref.ref(pair[1]))
        del pair
    assert all(reference() is not None for reference in references)
    pools.clear()
    del pool, tuples
    gc.collect()
    assert [reference() for reference in references] == [None] * 4


def test_destructors_may_use_the_pool() -> None:
    class Grudging:
        def __del__(self) -> None:
            pool = known()
            if pool is not None:
                with suppress(RuntimeError):
                    pool.acquire()
                seen.append(repr(pool))

    seen: list[str] = []
    pool = ObjectPool(Grudging, 2)
    known = weakref.ref(pool)
    pool.close()
    assert len(seen) == 2
    assert counts(pool) == (0, 0, 2)


def test_nothing_is_leaked() -> None:
    pool = ObjectPool(Thing, 2)
    thing = pool.acquire()
    ours = len(gc.get_referrers(thing))
    before = sys.getrefcount(thing)
    for _ in range(1000):
        other = pool.acquire()
        pool.release(other)
        with pool.lease():
            pass
        with pytest.raises(ValueError, match="is not from this pool"):
            pool.release(3)
    assert sys.getrefcount(thing) == before
    assert len(gc.get_referrers(thing)) == ours
    pool.release(thing)


@pytest.mark.skipif(not DEBUG, reason="only builds for debugging remember the places")
def test_a_pool_that_misses_objects_says_where_they_were_acquired() -> None:
    pool = ObjectPool(Thing, 2)
    pool.acquire()
    line = test_a_pool_that_misses_objects_says_where_they_were_acquired
    number = line.__code__.co_firstlineno + 3
    with pytest.warns(ResourceWarning) as warned:
        del pool
    assert str(warned[0].message) == (
        f"a pool was collected with 1 of its objects in use, acquired at "
        f"{__file__}:{number}"
    )


def test_no_memory_for_where_an_object_was_acquired_loses_no_object() -> None:
    # Builds for debugging remember the places; numbers from 257 on need memory too.
    testcapi = pytest.importorskip("_testcapi")
    pool = ObjectPool(Thing, 300)
    taken = [pool.acquire() for _ in range(300)]
    release(pool, taken)
    for skipped in range(12):
        for act in (lambda: taken.append(pool.acquire()), lambda: release(pool, taken)):
            testcapi.set_nomemory(skipped, skipped + 1)
            try:
                act()
            except MemoryError:
                pass
            finally:
                testcapi.remove_mem_hooks()
            assert pool.stats().in_use == len(taken)
    while taken:
        pool.release(taken.pop())
    assert pool.stats().in_use == 0


def release(pool: ObjectPool[Any], taken: list[Any]) -> None:
    if len(taken) == 300:
        pool.release(taken[-1])
        del taken[-1]


# Forks


def test_a_child_makes_objects_of_its_own() -> None:
    script = """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from cqrs_fast import ObjectPool
from forking import *

class Line:
    def __init__(self):
        self.owner = os.getpid()
    def __del__(self):
        # Seen by nobody but a reader of stderr: os._exit ends the child.
        if self.owner != os.getpid():
            os.write(2, b"destroyed in the child")

pool = ObjectPool(Line, 3)
idle, mine = pool.acquire(), pool.acquire()
pool.release(idle)
thread = threading.Thread(target=pool.acquire)
thread.start()
thread.join()

def check():
    global pool
    stats = pool.stats()
    assert (stats.in_use, stats.idle) == (0, 0), stats
    fresh = [pool.acquire() for _ in range(3)]
    assert all(one.owner == os.getpid() for one in fresh)
    pool.release(mine)      # the parent's: nothing happens
    lease.release()
    assert pool.stats().in_use == 3
    for one in fresh:
        pool.release(one)
    try:
        pool.release(fresh[0])
    except ValueError:
        pass
    else:
        raise AssertionError
    assert pool.stats().idle == 3
    fork(lambda: pool.acquire())
    del pool

lease = pool.lease()
with lease:
    fork(check)
assert pool.stats().in_use == 2
pool.release(mine)
print("end")
"""
    assert run_script(script) == "end\n"


def test_the_factory_and_reset_may_fork() -> None:
    script = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from cqrs_fast import ObjectPool
from forking import *

children = []
def forks():
    child = os.fork()
    children.append(child)
    if child:
        reap(child)

class Line:
    pass

def make():
    forks()
    return Line()

def reset(line):
    forks()

pool = ObjectPool(make, 1, preallocate=False, reset=reset)
line = pool.acquire()
assert (pool.stats().in_use, pool.stats().idle) == (1, 0), pool
if children[0] == 0:
    reset = None
    os._exit(0)
pool.release(line)
if children[1] == 0:
    assert (pool.stats().in_use, pool.stats().idle) == (0, 0), pool
    os._exit(0)
assert (pool.stats().in_use, pool.stats().idle) == (0, 1), pool
print("end")
"""
    assert run_script(script) == "end\n"


def test_threads_share_it() -> None:
    inside: set[int] = set()
    pool = ObjectPool(Thing, 4)
    refused = [0] * 8

    def work(number: int) -> None:
        for _ in range(3000):
            try:
                thing = pool.acquire()
            except PoolExhaustedError:
                refused[number] += 1
                continue
            assert id(thing) not in inside
            inside.add(id(thing))
            inside.discard(id(thing))
            pool.release(thing)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(pool) == (0, 4, 4)
    assert pool.stats().exhausted == sum(refused)
