"""What does it cost to borrow an object instead of making one?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.operations import DIRECT
from benchmarks.suite import run
from benchmarks.table import AnyRow, Operation, Pair, Table
from benchmarks.workload import COMMAND, Create, create
from cqrs_fast import CommandBus, ObjectPool, PooledHandler

SIZE = 8
ROWS = Table()


class Connection:
    """What is pooled."""


def itself(value: object) -> object:
    return value


def own() -> Callable[[Create], int]:
    return lambda command: create(command)


def borrowing(statement: str) -> Pair:
    """Return a statement that borrows the only object, against a call with it."""
    pool = ObjectPool(Connection, 1)
    with pool.lease() as only:
        pass
    direct = Operation("result = call(value)", calls=[], call=itself, value=only)
    return Pair(Operation(statement, calls=[], pool=pool), direct)


@ROWS.row("ObjectPool: acquire and release", against=DIRECT, ceiling=2.0)
def _() -> Pair:
    return borrowing("result = pool.acquire(); pool.release(result)")


@ROWS.row("ObjectPool: a lease", against=DIRECT)
def _() -> Pair:
    return borrowing("with pool.lease() as result: pass")


@ROWS.row("ObjectPool: acquire_async and release", against=DIRECT)
def _() -> Pair:
    return borrowing("result = await pool.acquire_async(); pool.release(result)")


@ROWS.row("PooledHandler", against="the same handler, shared")
def _() -> Pair:
    parts = []
    for handler in (PooledHandler(own, SIZE), own()):
        bus = CommandBus()
        bus.register_handler(Create, handler)
        parts.append(
            Operation(
                "result = execute(command)",
                calls=["create"],
                bus=bus,
                execute=bus.execute,
                command=COMMAND,
            )
        )
    return Pair(*parts)


def test_pools(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
