"""How much of a real request is the dispatch?

A command inserts a row into an SQLite file and commits it; another asks an HTTP service
in a process of its own over a loopback connection that stays open. Both go through six
stages, against the same function called directly. The shares are those of what the six
stages take by themselves, in a request as fast as the fastest that was seen.
"""

from __future__ import annotations

import atexit
import functools
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.loopback import Service
from benchmarks.operations import direct, through
from benchmarks.suite import run
from benchmarks.table import AnyRow, Difference, Operation, Pair, Table
from benchmarks.workload import COMMAND, PROTECTED, SIX, bus_with, protecting_stages

ROUNDS = 100
REQUESTS = 20
"""So many are timed for a share, each by itself."""
DISPATCHES = 2_000
FUNCTION = "the same function, called directly"


class Bolts:
    """A table in a file of a temporary folder."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.connection = sqlite3.connect(Path(self.folder.name) / "bolts.db")
        atexit.register(self.close)
        self.connection.execute("CREATE TABLE bolts (name TEXT, quantity INTEGER)")

    def insert(self, command: Any) -> int:
        """Insert a row and commit; return how many were."""
        with self.connection:
            row = (command.name, command.quantity)
            cursor = self.connection.execute("INSERT INTO bolts VALUES (?, ?)", row)
        return cursor.rowcount

    def written(self) -> bool:
        """Look from outside of the connection whether anything was committed."""
        other = sqlite3.connect(Path(self.folder.name) / "bolts.db")
        try:
            (count,) = other.execute("SELECT count(*) FROM bolts").fetchone()
        finally:
            other.close()
        return bool(count)

    def close(self) -> None:
        self.connection.close()
        self.folder.cleanup()


class Client:
    """A command that waits for the answer of another service."""

    def __init__(self) -> None:
        self.service = Service()
        self.status = 0

    def ask(self, command: Any) -> int:
        self.status = self.service.get()
        return self.status

    def answered(self) -> bool:
        return self.status == 200


bolts = functools.cache(Bolts)
client = functools.cache(Client)


def insert() -> Pair:
    return request(bolts().insert, bolts().written)


def ask() -> Pair:
    return request(client().ask, client().answered)


def request(handler: Callable[[Any], int], holds: Callable[[], bool]) -> Pair:
    case = Operation(
        "result = bus.execute(command)",
        calls=[],
        stages=PROTECTED,
        holds=holds,
        bus=bus_with(*protecting_stages(), handler=handler, metrics=True),
        command=COMMAND,
    )
    baseline = Operation(
        "result = handler(command)",
        calls=[],
        holds=holds,
        handler=handler,
        command=COMMAND,
    )
    return Pair(case, baseline)


@functools.cache
def dispatch() -> Pair:
    """Return what goes through the stages to a handler that does nothing."""
    stages = list(PROTECTED)
    return Pair(through(*protecting_stages(), stages=stages, metrics=True), direct())


def share(make: Callable[[], Pair]) -> float:
    """Return what percentage of a request its dispatch is."""
    whole = make().case
    request_ns = min(whole.time(1) for _ in range(REQUESTS))
    alone, called = (
        min(operation.time(DISPATCHES) for _ in range(REQUESTS))
        for operation in dispatch()[:2]
    )
    return max(alone - called, 0.0) / request_ns * 100


ROWS = Table()

for name, make in (
    ("SQLite insert with commit", insert),
    ("HTTP request on a loopback connection", ask),
):
    ROWS.row(f"{name}: {SIX}", against=FUNCTION, rounds=ROUNDS)(make)
    ROWS.append(
        Difference(
            f"{name}: share of the dispatch",
            against="no dispatch",
            unit="percent",
            case=functools.partial(share, functools.cache(make)),
            baseline=lambda: 0.0,
            rounds=2,
        )
    )


def test_io(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
