"""How long does a reload take, and how does it affect dispatches at that time?

One thread dispatches without a pause and times every dispatch, while another one
reloads without a pause. The two take turns with the interpreter's lock: the few
dispatches during which they change wait for a whole turn of the other thread, and are
not in the 99th percentile of so many.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from itertools import count, repeat
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import Any

from benchmarks.suite import run
from benchmarks.table import AnyRow, Difference, Operation, Pair, Table
from benchmarks.workload import COMMAND, Create, Find, create
from cqrs_fast import CommandBus, ConfigManager, QueryBus

DISPATCHES = 100_000
RELOADS = 20


class Service:
    """Two buses that follow a file of which each write says something else."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "service.json"
        self.numbers = count()
        self.write()
        self.manager = ConfigManager(self.path)
        self.commands = CommandBus.from_config(self.manager.config)
        self.commands.register_handler(Create, create)
        self.queries = QueryBus.from_config(self.manager.config)
        self.queries.register_handler(Find, create)
        self.manager.apply_to(self.commands, self.queries)

    def write(self) -> None:
        number = next(self.numbers)
        middleware = {
            "timeout": {"timeout_ms": 30_000 + number % 2},
            "retry": {"retry_commands": True},
            "rate_limiting": {
                "enabled": True,
                "requests_per_window": 10**9 + number % 2,
                "window_sec": 1,
            },
        }
        self.path.write_text(json.dumps({"middleware": middleware}))

    def reload(self) -> None:
        self.write()
        self.manager.load_config()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Reload in another thread, all the time."""
        stop = threading.Event()

        def reload() -> None:
            while not stop.is_set():
                self.reload()

        thread = threading.Thread(target=reload)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@cache
def service() -> Service:
    return Service()


class Percentile(Operation):
    """A statement whose time is the 99th percentile of many."""

    times_itself = True

    def __init__(self, statement: str, *, reloading: bool, **settings: Any) -> None:
        super().__init__(statement, **settings)
        self.reloading = reloading

    def time(self, times: int) -> float:
        names = self.names
        with service().reloading() if self.reloading else nullcontext():
            took = each(names["execute"], names["command"])
        took.sort()
        return float(took[len(took) * 99 // 100])


def each(execute: Callable[[Any], Any], command: Any) -> list[int]:
    """Return what each of many dispatches takes, in nanoseconds."""
    took = []
    now = perf_counter_ns
    for _ in repeat(None, DISPATCHES):
        began = now()
        execute(command)
        took.append(now() - began)
    return took


def milliseconds(function: Callable[[], object]) -> float:
    """Return the processor time of one call, without that of other threads."""
    function()
    began = thread_time_ns()
    for _ in range(RELOADS):
        function()
    return (thread_time_ns() - began) / RELOADS / 1e6


ROWS = Table()


@ROWS.row(
    "99th percentile of `execute` during reloads",
    against="the same without reloads",
    ceiling=1.1,
    rounds=5,
)
def _() -> Pair:
    bus = service().commands
    make = partial(
        Percentile,
        "result = execute(command)",
        calls=["create"],
        execute=bus.execute,
        command=COMMAND,
    )
    return Pair(make(reloading=True), make(reloading=False))


ROWS.append(
    Difference(
        "one reload of two buses, processor time",
        against="writing the file",
        unit="ms",
        case=lambda: milliseconds(service().reload),
        baseline=lambda: milliseconds(service().write),
    )
)


def test_reload(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
