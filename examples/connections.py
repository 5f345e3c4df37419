"""Handlers on pooled connections: SQLite with ObjectPool, PostgreSQL with psycopg's.

    python -m cqrs_fast.examples.connections
    python -m cqrs_fast.examples.connections "host=localhost dbname=test"

The second form needs `pip install "psycopg[binary]" psycopg_pool` and a server.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cqrs_fast import Command, CommandBus, Context, ObjectPool

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

TABLE = "CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL)"


class AddNote(Command[int]):
    """Store a note; the result is the number of notes."""

    text: str


# SQLite


def connections(path: Path, size: int) -> ObjectPool[sqlite3.Connection]:
    """Return a pool of connections to one database."""

    def connect() -> sqlite3.Connection:
        # One thread at a time uses it, but not always the one that opened it.
        connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(TABLE)
        return connection

    return ObjectPool(
        connect,
        size,
        reset=sqlite3.Connection.rollback,  # ends an open transaction
        dispose=sqlite3.Connection.close,
        max_wait=1.0,
    )


class DatabaseHandler:
    """Handle `AddNote` on a connection of the pool."""

    def __init__(self, pool: ObjectPool[sqlite3.Connection]) -> None:
        self.pool = pool

    def handle(self, ctx: Context, command: AddNote) -> int:
        """Wait for a connection no longer than the caller does."""
        with self.pool.lease(ctx) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO notes VALUES (?)", (command.text,))
            (count,) = connection.execute("SELECT count(*) FROM notes").fetchone()
            connection.commit()
            return int(count)


def run_sqlite(path: Path) -> int:
    """Add two notes and return how many there are."""
    with connections(path, size=4) as pool:
        bus = CommandBus()
        bus.register_handler(AddNote, DatabaseHandler(pool))
        bus.execute(AddNote(text="first"))
        return bus.execute(AddNote(text="second"))


# PostgreSQL: psycopg has a pool that knows its connections, so that one is used.


def patience(ctx: Context) -> float:
    """Return how long to wait for a connection, in seconds."""
    remaining = ctx.remaining()
    return 1.0 if remaining is None else min(1.0, remaining)


class PostgresHandler:
    """Handle `AddNote` on a connection of psycopg's pool."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool

    def handle(self, ctx: Context, command: AddNote) -> int:
        """Commit at the end of the block, or roll back if it raises."""
        with self.pool.connection(timeout=patience(ctx)) as connection:
            connection.execute("INSERT INTO notes VALUES (%s)", (command.text,))
            row = connection.execute("SELECT count(*) FROM notes").fetchone()
            return int(row[0]) if row else 0


class AsyncPostgresHandler:
    """Do the same on an event loop."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self.pool = pool

    async def handle(self, ctx: Context, command: AddNote) -> int:
        """Commit at the end of the block, or roll back if it raises."""
        async with self.pool.connection(timeout=patience(ctx)) as connection:
            await connection.execute("INSERT INTO notes VALUES (%s)", (command.text,))
            cursor = await connection.execute("SELECT count(*) FROM notes")
            row = await cursor.fetchone()
            return int(row[0]) if row else 0


def run_postgres(conninfo: str) -> int:
    """Add two notes and return how many there are."""
    from psycopg_pool import ConnectionPool

    with ConnectionPool(conninfo, min_size=1, max_size=4, open=True) as pool:
        with pool.connection() as connection:
            connection.execute(TABLE)
        bus = CommandBus()
        bus.register_handler(AddNote, PostgresHandler(pool))
        bus.execute(AddNote(text="first"))
        return bus.execute(AddNote(text="second"))


async def run_postgres_async(conninfo: str) -> int:
    """Add ten notes at once and then another; return how many there are."""
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(conninfo, min_size=1, max_size=4) as pool:
        async with pool.connection() as connection:
            await connection.execute(TABLE)
        bus = CommandBus()
        bus.register_handler(AddNote, AsyncPostgresHandler(pool))
        notes = [AddNote(text=f"note {number}") for number in range(10)]
        await asyncio.gather(*map(bus.execute_async, notes))
        return await bus.execute_async(AddNote(text="last"))


def main(arguments: list[str]) -> None:
    """Run the halves that there is a database for."""
    with tempfile.TemporaryDirectory() as folder:
        print("SQLite:", run_sqlite(Path(folder) / "notes.db"), "notes")
    if not arguments:
        return
    try:
        import psycopg_pool  # noqa: F401
    except ImportError:
        sys.exit('run: pip install "psycopg[binary]" psycopg_pool')
    print("PostgreSQL:", run_postgres(arguments[0]), "notes")
    count = asyncio.run(run_postgres_async(arguments[0]))
    print("PostgreSQL, async:", count, "notes")


if __name__ == "__main__":
    main(sys.argv[1:])
