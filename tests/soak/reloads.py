"""Row 30: reloads under load lose, double and tear nothing.

Two threads and an event loop dispatch commands and queries while the file changes, in
every way that a file can. A handler sees the timeout of its own dispatch as the
deadline of its context, and a dispatch that fails has as many attempts as its
configuration says: both tell the version, and must agree.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from config_files import WAYS, number_of, replace
from reliability.mixed import slope
from reliability.parts import (
    Get,
    Put,
    assert_at_rest,
    quick_switches,
    rss_bytes,
    seeded,
)

from cqrs_fast import CommandBus, ConfigError, ConfigManager, Context, QueryBus

RELOADS = 200
ATTEMPTS = 7
TASKS = 5
POLL = 0.02
# What threads that dispatch without a pause, and other processes, add to two polls.
LATE_SECONDS = 2.0
# What a few pages more or less make of a line through this many points.
FEWEST_POINTS = 20
# The library behind the events keeps some memory of all that it watched; reloads, and
# watching by polls, keep none.
PAGES = 64 * 1024
BAD = ("", "{", '{"middleware": {"retry": {"max_attempts": 0}}}', '{"nothing": 1}')


class State:
    """What all schedules come to."""

    reloads = refused = dispatches = by_events = 0
    seconds_to_see: list[float] = []  # noqa: RUF012
    points: list[tuple[float, float]] = []  # noqa: RUF012
    objects: list[int] = []  # noqa: RUF012


def text_of(version: int) -> str:
    """Return one whose timeout, in 1000 s, and number of attempts tell the version."""
    middleware = {
        "timeout": {"timeout_ms": version * 1_000_000},
        "retry": {
            "max_attempts": attempts_of(version),
            "base_delay_ms": 0,
            "retry_commands": True,
        },
        "caching": {"enabled": False},
        "circuit_breaker": {"enabled": False},
    }
    return json.dumps({"middleware": middleware})


def version_in(manager: ConfigManager) -> int:
    return number_of(manager.config) // 1_000_000


def attempts_of(version: int) -> int:
    return version % ATTEMPTS + 1


class Load:
    """Two threads and one event loop that dispatch until they are told to end."""

    def __init__(self, manager: ConfigManager) -> None:
        self.commands = CommandBus.from_config(manager.config, enable_metrics=True)
        self.queries = QueryBus.from_config(manager.config, enable_metrics=True)
        self.tasks = QueryBus.from_config(manager.config, enable_metrics=True)
        self.commands.register_handler(Put, handle)
        self.queries.register_handler(Get, handle)
        self.tasks.register_handler(Get, handle_async)
        manager.apply_to(*self.buses)
        self.counts = [0, 0, 0]  # for each bus
        self.errors: list[BaseException] = []
        self.stop = threading.Event()

    @property
    def buses(self) -> tuple[CommandBus, QueryBus, QueryBus]:
        return self.commands, self.queries, self.tasks

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self.guarded, args=work)
            for work in (
                (0, self.thread, self.commands, Put(1)),
                (1, self.thread, self.queries, Get(1)),
                (2, self.loop),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
        for error in self.errors:
            raise error

    def guarded(self, bus: int, work: Callable[..., int], *arguments: Any) -> None:
        try:
            self.counts[bus] = work(*arguments)
        except BaseException as error:
            self.errors.append(error)

    def thread(self, bus: CommandBus | QueryBus, message: Any) -> int:
        count = 0
        while not self.stop.is_set():
            seen: list[float] = []
            try:
                bus.execute(message, Context.background().with_value("seen", seen))
            except ConnectionError:
                check(seen)
                count += 1
        return count

    def loop(self) -> int:
        async def task() -> int:
            count = 0
            while not self.stop.is_set():
                seen: list[float] = []
                ctx = Context.background().with_value("seen", seen)
                try:
                    await self.tasks.execute_async(Get(1), ctx)
                except ConnectionError:
                    check(seen)
                    count += 1
            return count

        async def tasks() -> int:
            return sum(await asyncio.gather(*(task() for _ in range(TASKS))))

        return asyncio.run(tasks())

    def assert_all_counted(self) -> None:
        """Each dispatch was counted once, whatever version it ran on."""
        totals = [bus.stats().total for bus in self.buses]
        counts = [(total.count, total.errors) for total in totals]
        assert counts == [(count, count) for count in self.counts]
        for bus in self.buses:
            assert_at_rest(bus)


def handle(ctx: Context, message: Any) -> int:
    left = ctx.remaining()
    assert left is not None
    ctx.value("seen").append(left)
    raise ConnectionError


async def handle_async(ctx: Context, message: Any) -> int:
    await asyncio.sleep(0)
    return handle(ctx, message)


def check(seen: list[float]) -> None:
    """All attempts of a dispatch are of one version, and as many as that one has."""
    versions = {round(left / 1000) for left in seen}
    assert len(versions) == 1, f"a torn dispatch: {seen}"
    assert len(seen) == attempts_of(versions.pop()), f"lost or doubled: {seen}"


def schedule(seed: int) -> int:
    """Reload a file many times under load, then let a watcher see every way."""
    random = seeded(seed)
    logging.getLogger("cqrs_fast").addFilter(nothing)
    try:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "configs" / "service.json"
            path.parent.mkdir()
            replace(path, text_of(1))
            manager = ConfigManager(path, poll=POLL)
            load = Load(manager)
            with quick_switches(), load.running():
                for version in range(2, RELOADS):
                    reload(manager, path, version, random.random() < 0.1)
                see_all(manager, path, random.random() < 0.5)
            load.assert_all_counted()
            State.reloads += manager.reloads
            State.refused += manager.failures
            dispatches = sum(load.counts)
            State.dispatches += dispatches
            del manager, load
    finally:
        logging.getLogger("cqrs_fast").removeFilter(nothing)
    gc.collect()
    give_back()
    State.points.append((float(State.reloads), float(rss_bytes())))
    State.objects.append(len(gc.get_objects()))
    return dispatches


def give_back() -> None:
    """Return to the system what glibc keeps of threads that have ended."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def nothing(record: logging.LogRecord) -> bool:
    """Let nothing of what is wrong with bad files be written."""
    return False


def reload(manager: ConfigManager, path: Path, version: int, bad: bool) -> None:
    if bad:
        before = manager.config
        replace(path, BAD[version % len(BAD)])
        try:
            manager.load_config()
        except ConfigError:
            assert manager.config is before
        else:
            raise AssertionError("a bad file was taken")
    replace(path, text_of(version))
    manager.load_config()
    assert version_in(manager) == version


def see_all(manager: ConfigManager, path: Path, by_polls: bool) -> None:
    """Change the file in each way, and break it, and see how long that is not seen."""
    hidden = {"watchfiles": None} if by_polls else {}
    State.by_events += not by_polls
    with mock.patch.dict(sys.modules, hidden):
        manager.watch_config()
    for version, way in enumerate(WAYS.values(), RELOADS):
        way(path, text_of(version))
        see(lambda version=version: version_in(manager) == version)
        path.write_text(text_of(version)[:-9])
        see(lambda: manager.last_error is not None)
        path.unlink()
        see(lambda: "no such file" in str(manager.last_error))
        assert version_in(manager) == version
    assert manager.stop()


def see(condition: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 2 * POLL + LATE_SECONDS, "it was not seen"
        time.sleep(0.001)
    State.seconds_to_see.append(time.monotonic() - began)


def finish() -> None:
    """Fit a line through the resident memory; compare the number of objects."""
    times = sorted(State.seconds_to_see)
    print(
        f"row 30   {State.reloads:,} reloads, {State.refused:,} refused, "
        f"{State.dispatches:,} dispatches; {len(times):,} changes seen after "
        f"{times[len(times) // 2] * 1e3:.0f} ms, {times[-1] * 1e3:.0f} ms at most, "
        f"with polls of {POLL * 1e3:.0f} ms"
    )
    if len(State.points) < FEWEST_POINTS:
        return
    half = len(State.points) // 2
    grown = State.objects[-1] - State.objects[half]
    reloads = State.points[-1][0] - State.points[half][0]
    per_reload = slope(State.points[half:])
    print(
        f"row 30   RSS slope {per_reload:.1f} bytes a reload, {grown} objects more "
        f"after the last {reloads:,.0f} reloads"
    )
    assert grown < 200
    assert per_reload * reloads < PAGES * (1 + State.by_events)
