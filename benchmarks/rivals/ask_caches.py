"""Caches: single flights, cancelled leaders, mixed-up keys, stale loads and leaks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import threading
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.rivals.caches import ASYNC, INVALIDATED, SYNC, Cache, user
from benchmarks.rivals.crowd import Inside, together
from benchmarks.rivals.question import Question, at_most, exactly

CALLERS = 16
FOLLOWERS = 3
FAILING_KEYS = 5_000


def misses(kind: type[Cache]) -> float:
    load = Inside(0.05)

    def source(key: Any) -> str:
        return load()

    cache = kind(source)
    together([partial(cache.get, "key")] * CALLERS)
    return load.calls


def misses_async(kind: type[Cache]) -> float:
    async def run() -> float:
        load = Inside(0.02)

        async def source(key: Any) -> str:
            return await load.suspending()

        cache = kind(source)
        await asyncio.gather(*[cache.get("key") for _ in range(CALLERS)])
        return load.calls

    return asyncio.run(run())


def cancelled_leader(kind: type[Cache]) -> float:
    async def run() -> float:
        load = Inside(0.05)

        async def source(key: Any) -> str:
            return await load.suspending()

        cache = kind(source)
        leader = asyncio.ensure_future(cache.get("key"))
        await asyncio.sleep(0.01)
        followers = [asyncio.ensure_future(cache.get("key")) for _ in range(FOLLOWERS)]
        await asyncio.sleep(0.01)
        leader.cancel()
        await asyncio.wait([leader])
        ends = await asyncio.gather(*followers, return_exceptions=True)
        return ends.count("done")

    return asyncio.run(run())


def interrupted_leader(kind: type[Cache]) -> float:
    """Interrupt the first load while other threads wait for it."""
    first = threading.Event()

    def source(key: Any) -> str:
        if first.is_set():
            return "done"
        first.set()
        time.sleep(0.05)
        raise KeyboardInterrupt

    cache = kind(source)

    def lead() -> Any:
        with contextlib.suppress(KeyboardInterrupt):
            return cache.get("key")

    def follow() -> Any:
        first.wait()
        return cache.get("key")

    return together([lead, *[follow] * FOLLOWERS]).count("done")


def numbers(kind: type[Cache]) -> float:
    """Ask for keys that are equal and yet differ; count the answers of another."""

    def source(key: Any) -> str:
        return type(key).__name__

    cache = kind(source)
    return sum(bool(cache.get(key) != source(key)) for key in (1, 1.0, True))


@dataclasses.dataclass
class Account:
    """Not hashable; its repr leaves out the difference between two of them."""

    name: str
    secret: str = dataclasses.field(repr=False)


ACCOUNTS = (Account("joint", "mine"), Account("joint", "yours"))


def reprs(kind: type[Cache]) -> float:
    def source(account: Account) -> str:
        return account.secret

    cache = kind(source)
    return sum(_differs(partial(cache.get, one), one.secret) for one in ACCOUNTS)


def reprs_async(kind: type[Cache]) -> float:
    async def source(account: Account) -> str:
        return account.secret

    cache = kind(source)

    def ask(account: Account) -> Any:
        return asyncio.run(cache.get(account))

    return sum(_differs(partial(ask, one), one.secret) for one in ACCOUNTS)


def _differs(ask: Callable[[], Any], expected: Any) -> bool:
    try:
        return bool(ask() != expected)
    except TypeError:
        # It refuses the key: no answer, and so none of another.
        return False


def users(kind: type[Cache]) -> float:
    """Let two users ask for the same; the source knows who asks."""
    cache = kind(lambda key: user.get())
    wrong = 0
    for name in ("Ann", "Bob"):
        user.set(name)
        wrong += cache.get("my orders") != name
    return wrong


def stale(kind: type[Cache]) -> float:
    """Change the source and invalidate while a load of the old value is running."""
    value = "old"
    read, invalidated = threading.Event(), threading.Event()

    def source(key: Any) -> str:
        seen = value
        read.set()
        invalidated.wait()
        return seen

    cache = kind(source)
    loading = threading.Thread(target=cache.get, args=("key",), daemon=True)
    loading.start()
    read.wait()
    value = "new"
    cache.invalidate("key")
    invalidated.set()
    loading.join()
    return float(cache.get("key") != "new")


def failing(kind: type[Cache]) -> float:
    def source(key: Any) -> None:
        raise LookupError

    cache = kind(source)

    def ask(start: int) -> None:
        for key in range(start, start + FAILING_KEYS):
            with contextlib.suppress(LookupError):
                cache.get(key)

    ask(-FAILING_KEYS)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    ask(0)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return max(0, after - before) / FAILING_KEYS


QUESTIONS = (
    Question.of(
        "single-flight-threads",
        f"{CALLERS} threads miss the same key",
        exactly(1, "load"),
        misses,
        SYNC,
    ),
    Question.of(
        "single-flight-tasks",
        f"{CALLERS} tasks miss the same key",
        exactly(1, "load"),
        misses_async,
        ASYNC,
    ),
    Question.of(
        "cancelled-leader",
        f"the task that loads is cancelled; {FOLLOWERS} others want the value",
        exactly(FOLLOWERS, "get it"),
        cancelled_leader,
        ASYNC,
    ),
    Question.of(
        "interrupted-leader",
        f"KeyboardInterrupt in the thread that loads; {FOLLOWERS} others want a value",
        exactly(FOLLOWERS, "get it"),
        interrupted_leader,
        SYNC,
    ),
    Question.of(
        "keys-of-equal-numbers",
        "the keys 1, 1.0 and True, whose values differ",
        exactly(0, "wrong answers"),
        numbers,
        SYNC,
    ),
    Question.of(
        "keys-of-one-repr",
        "two objects that differ and have one repr",
        exactly(0, "wrong answers"),
        reprs,
        SYNC,
    ),
    Question.of(
        "keys-of-one-repr-tasks",
        "the same, asked with await",
        exactly(0, "wrong answers"),
        reprs_async,
        ASYNC,
    ),
    Question.of(
        "keys-of-two-users",
        "two users ask for the same; a context variable, ours the principal, says who",
        exactly(0, "answers of another user"),
        users,
        SYNC,
    ),
    Question.of(
        "stale-load",
        "the source changes and the key is invalidated while it is loading",
        exactly(0, "stale answers afterwards"),
        stale,
        INVALIDATED,
    ),
    Question.of(
        "failing-keys",
        f"{FAILING_KEYS} keys whose load fails: what Python's memory keeps of them",
        at_most(8, "bytes a key"),
        failing,
        SYNC,
    ),
)
