"""The tables of the order service and every statement that touches them."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from .messages import Order, OrderSummary, PlacedLine, Report

SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
    customer_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS products (
    sku TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    stock INTEGER NOT NULL DEFAULT 0 CHECK (stock >= 0)
) STRICT;
CREATE TABLE IF NOT EXISTS orders (
    order_id TEXT PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers,
    status TEXT NOT NULL DEFAULT 'open',
    discount REAL NOT NULL,
    placed_by TEXT NOT NULL,
    card TEXT,
    note TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS orders_of_customer ON orders (customer_id);
CREATE TABLE IF NOT EXISTS order_lines (
    order_id TEXT NOT NULL REFERENCES orders,
    sku TEXT NOT NULL REFERENCES products,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price_cents INTEGER NOT NULL,
    PRIMARY KEY (order_id, sku)
) STRICT, WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS totals AS
    SELECT order_id, customer_id, status, placed_by,
           CAST(round((1 - discount) * coalesce(
               (SELECT sum(quantity * price_cents) FROM order_lines
                WHERE order_lines.order_id = orders.order_id), 0)) AS INTEGER) AS total
    FROM orders;
CREATE TABLE IF NOT EXISTS journal (
    entry INTEGER PRIMARY KEY,
    command TEXT NOT NULL,
    outcome TEXT NOT NULL,
    microseconds INTEGER NOT NULL
) STRICT;
"""


# Who is in a transaction: a dispatch, with all that it dispatches.
_WRITER: ContextVar[Repository | None] = ContextVar("_WRITER", default=None)


class Repository:
    """Store customers, products and orders in one SQLite file.

    Every thread has a connection of its own. The journal of the database (WAL) lets
    readers go on while one transaction writes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self.close = weakref.finalize(self, close_all, self._connections)
        self.connection.executescript(SCHEMA)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this thread."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            # Used by this thread alone, but closed by whichever closes the repository.
            found = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._connections.append(found)
            found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = NORMAL")
            found.execute("PRAGMA foreign_keys = ON")
            self._local.connection = found
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction: all of it happens, or none."""
        if _WRITER.get() is self:  # a dispatch inside another one
            yield
            return
        connection = self.connection
        # IMMEDIATE waits for other writers here; later it would fail at once. Where an
        # async handler of this thread awaits amid its own, it fails: no dispatch
        # becomes part of the transaction of another that it is not nested in.
        connection.execute("BEGIN IMMEDIATE")
        _WRITER.set(self)
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        else:
            connection.execute("COMMIT")
        finally:
            _WRITER.set(None)

    # Customers and products

    def add_customer(self, customer_id: int, name: str, email: str) -> bool:
        """Store a customer; return False if the id or the address is taken."""
        return self._insert(
            "INSERT INTO customers VALUES (?, ?, ?)", customer_id, name, email
        )

    def has_customer(self, customer_id: int) -> bool:
        """Tell whether a customer is registered."""
        found = "SELECT 1 FROM customers WHERE customer_id = ?"
        return self._one(found, customer_id) is not None

    def add_product(self, sku: str, title: str, price_cents: int) -> bool:
        """Store a product; return False if the number is taken."""
        return self._insert(
            "INSERT INTO products VALUES (?, ?, ?, 0)", sku, title, price_cents
        )

    def price_of(self, sku: str) -> int | None:
        """Return the price in cents, None for an unknown product."""
        return self._one("SELECT price_cents FROM products WHERE sku = ?", sku)

    def move_stock(self, sku: str, change: int) -> int | None:
        """Add to the stock of a known product and return it, None if too little."""
        return self._one(
            "UPDATE products SET stock = stock + :change "
            "WHERE sku = :sku AND stock + :change >= 0 RETURNING stock",
            change=change,
            sku=sku,
        )

    # Orders

    def add_order(
        self, order_id: str, customer_id: int, discount: float, placed_by: str
    ) -> bool:
        """Store an order without lines; return False if the id is taken."""
        return self._insert(
            "INSERT INTO orders (order_id, customer_id, discount, placed_by) "
            "VALUES (?, ?, ?, ?)",
            order_id,
            customer_id,
            discount,
            placed_by,
        )

    def status_of(self, order_id: str) -> str | None:
        """Return the status of an order, None for an unknown one."""
        return self._one("SELECT status FROM orders WHERE order_id = ?", order_id)

    def set_status(
        self, order_id: str, status: str, *, card: str | None = None, note: str = ""
    ) -> None:
        """Bring an order to a status."""
        self.connection.execute(
            "UPDATE orders SET status = ?, card = coalesce(?, card), note = ? "
            "WHERE order_id = ?",
            (status, card, note, order_id),
        )

    def total_of(self, order_id: str) -> int:
        """Return what an order costs, in cents."""
        total: int = self._one("SELECT total FROM totals WHERE order_id = ?", order_id)
        return total

    def lines_of(self, order_id: str) -> dict[str, PlacedLine]:
        """Return the lines of an order by product."""
        rows = self.connection.execute(
            "SELECT sku, quantity, price_cents FROM order_lines WHERE order_id = ?",
            (order_id,),
        )
        return {row[0]: PlacedLine(*row) for row in rows}

    def set_line(
        self, order_id: str, sku: str, quantity: int, price_cents: int
    ) -> None:
        """Set how many of a product an order has; 0 takes the line away."""
        if quantity == 0:
            self.connection.execute(
                "DELETE FROM order_lines WHERE order_id = ? AND sku = ?",
                (order_id, sku),
            )
            return
        self.connection.execute(
            "INSERT INTO order_lines VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET quantity = excluded.quantity",
            (order_id, sku, quantity, price_cents),
        )

    # Reading

    def order(self, order_id: str) -> Order | None:
        """Return an order with its lines, None for an unknown one."""
        row = self.connection.execute(
            "SELECT order_id, customer_id, status, total, placed_by FROM totals "
            "WHERE order_id = ?",
            (order_id,),
        ).fetchone()
        return row and Order(*row, lines=list(self.lines_of(order_id).values()))

    def orders(
        self, status: str | None, customer_id: int | None, limit: int, offset: int
    ) -> list[OrderSummary]:
        """Return orders by id, those of one status and customer if given."""
        rows = self.connection.execute(
            "SELECT order_id, customer_id, status, total FROM totals "
            "WHERE (:status IS NULL OR status = :status) "
            "AND (:customer IS NULL OR customer_id = :customer) "
            "ORDER BY order_id LIMIT :limit OFFSET :offset",
            {
                "status": status,
                "customer": customer_id,
                "limit": limit,
                "offset": offset,
            },
        )
        return [OrderSummary(*row) for row in rows]

    def report(self, customer_id: int) -> Report | None:
        """Return the sums of one customer, None for an unknown one."""
        row = self.connection.execute(
            "SELECT customer_id, name, count(order_id), "
            "coalesce(sum(status = 'cancelled'), 0), "
            "coalesce(sum(total) FILTER (WHERE status IN ('paid', 'shipped')), 0) "
            "FROM customers LEFT JOIN totals USING (customer_id) "
            "WHERE customer_id = ? GROUP BY customer_id",
            (customer_id,),
        ).fetchone()
        return row and Report(*row)

    # The journal of commands

    def add_entry(self, command: str, outcome: str, microseconds: int) -> None:
        """Note what came of a command."""
        self.connection.execute(
            "INSERT INTO journal (command, outcome, microseconds) VALUES (?, ?, ?)",
            (command, outcome, microseconds),
        )

    def _insert(self, statement: str, *values: object) -> bool:
        """Run an INSERT; return False where a key is taken."""
        try:
            self.connection.execute(statement, values)
        except sqlite3.IntegrityError as error:
            taken = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")
            if error.sqlite_errorname in taken:
                return False
            raise
        return True

    def _one(self, statement: str, *values: object, **named: object) -> Any:
        row = self.connection.execute(statement, named or values).fetchone()
        return None if row is None else row[0]


def close_all(connections: list[sqlite3.Connection]) -> None:
    """Close connections; the last one writes the journal back into the file."""
    while connections:
        connections.pop().close()
