"""What the profilers watch: always the same dispatches, in the same order.

    python -m profiles.workload [--seconds S] [--way sync|async|both]
    python -m profiles.workload ROW [--baseline] [--seconds S]
    python -m profiles.workload --list

The mixed load is that of the guide's production benchmark: one third CreateUser, two
thirds GetUser of one of 1000 users, answered from a cache, in an order that a seed
fixes. Each goes through all that protects a handler, by `execute` and `execute_async`.
With ROW, a row of the benchmarks runs in its place; `--list` names them.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from msgspec import Meta

from benchmarks.workload import limiter, protecting_stages
from cqrs_fast import (
    CachingMiddleware,
    CircuitBreakerMiddleware,
    Command,
    CommandBus,
    Query,
    QueryBus,
    TimeoutMiddleware,
)

if TYPE_CHECKING:
    from benchmarks.table import Operation, Row

USERS = 1_000
DISPATCHES = 3_000
SEED = 1
HOUR = 3_600.0
BATCH = 1_000
WAYS = ("sync", "async", "both")


class CreateUser(Command[int]):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    email: Annotated[str, Meta(min_length=3, max_length=254)]
    idempotent: ClassVar[bool] = True  # else a retry would be left out of its route


class GetUser(Query[str]):
    user_id: Annotated[int, Meta(ge=1)]


class Users:
    """A store of bounded size, whose handlers make objects as a service's do.

    One user of four is part of a cycle, so that collections have something to do.
    """

    def __init__(self) -> None:
        self.created = 0
        self.kept: dict[int, dict[str, Any]] = {}

    def create(self, command: CreateUser) -> int:
        self.created += 1
        user: dict[str, Any] = {"name": command.name, "roles": ["reader"]}
        if self.created % 4 == 0:
            user["owner"] = user
        self.kept[self.created % USERS + 1] = user
        return self.created

    def get(self, query: GetUser) -> str:
        return f"user {query.user_id}"


class Mixed:
    """The mixed load on two buses."""

    def __init__(self) -> None:
        self.users = Users()
        self.commands = CommandBus(middleware=protecting_stages(), enable_metrics=True)
        self.commands.register_handler(CreateUser, self.users.create)
        protection = [limiter(), CircuitBreakerMiddleware(), TimeoutMiddleware(30.0)]
        self.queries = QueryBus(
            middleware=[CachingMiddleware(HOUR), *protection],
            enable_metrics=True,
        )
        self.queries.register_handler(GetUser, self.users.get)
        self.messages = list(script())
        self.sends = [
            (self.bus_of(message).execute, message) for message in self.messages
        ]
        self.awaits = [
            (self.bus_of(message).execute_async, message) for message in self.messages
        ]

    def bus_of(self, message: CreateUser | GetUser) -> Any:
        return self.commands if isinstance(message, CreateUser) else self.queries

    def run_sync(self) -> None:
        """Dispatch each message once."""
        for execute, message in self.sends:
            execute(message)

    async def run_async(self) -> None:
        """Dispatch each message once, in a task of a running loop."""
        for execute, message in self.awaits:
            await execute(message)

    def run(self, way: str, until: float) -> int:
        """Run whole rounds until that moment; return how many dispatches they were."""

        async def rounds() -> int:
            done = 0
            while time.monotonic() < until:
                if way != "async":
                    self.run_sync()
                    done += DISPATCHES
                if way != "sync":
                    await self.run_async()
                    done += DISPATCHES
            return done

        return asyncio.run(rounds())


def script() -> Iterator[CreateUser | GetUser]:
    """Yield the messages of the mixed load in their order."""
    create = CreateUser("Test User", "test@example.com")
    users = [GetUser(number) for number in range(1, USERS + 1)]
    source = random.Random(SEED)
    for _ in range(DISPATCHES):
        yield create if source.randrange(3) == 0 else source.choice(users)


def rows() -> dict[str, Row]:
    """Return the rows of the benchmarks that a profiler can watch."""
    from benchmarks.ratios import ROWS
    from benchmarks.table import Row

    return {row.name: row for row in ROWS if isinstance(row, Row)}


def chosen(rows: dict[str, Row], name: str) -> Row:
    """Return the row of that name, or the only one with that in its name."""
    if name in rows:
        return rows[name]
    found = [row for row in rows if name in row]
    if len(found) != 1:
        sys.exit(f"{name!r} names {len(found)} rows; there are: {', '.join(rows)}")
    return rows[found[0]]


def run(operation: Operation, seconds: float) -> int:
    """Run it for that long; return how many times it ran."""
    times = max(1, BATCH // operation.per)
    done = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        operation.run(times)
        done += times * operation.per
    return done


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m profiles.workload")
    parser.add_argument("row", nargs="?", help="its name, or a part of it")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--way", choices=WAYS, default="both", help="of the mixed load")
    parser.add_argument("--baseline", action="store_true", help="run that of the row")
    parser.add_argument("--list", action="store_true", help="name the rows")
    options = parser.parse_args()
    if options.list:
        print(*rows(), sep="\n")
        return
    if options.row:
        pair = chosen(rows(), options.row).pair
        done = run(pair.baseline if options.baseline else pair.case, options.seconds)
    else:
        until = time.monotonic() + options.seconds
        done = Mixed().run(options.way, until)
    print(f"{done:,} dispatches in {options.seconds:g} s", file=sys.stderr)


if __name__ == "__main__":
    main()
