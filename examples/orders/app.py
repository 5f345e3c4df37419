"""Put the order service together.

`commands` and `queries` make a bus over the file that ORDERS_DB names, so the command
line can use them: `cqrs-fast dispatch examples.orders.app:commands orders.jsonl`.
"""

from __future__ import annotations

import os
from pathlib import Path

from cqrs_fast import CommandBus, QueryBus, ValidationMiddleware

from .handlers import Catalogue, Orders, Reading
from .middleware import Journal, authentication, in_transaction
from .repository import Repository

# A service would ask whoever keeps its users.
TOKENS = {"token-of-ada": "ada", "token-of-grace": "grace"}


def build(path: str | Path) -> tuple[CommandBus, QueryBus]:
    """Return a command bus and a query bus over one SQLite file.

    The file is closed when both are gone.
    """
    repository = Repository(path)
    commands = CommandBus(
        enable_metrics=True,
        middleware=[
            authentication(TOKENS, default="batch"),
            ValidationMiddleware(),
            Journal(repository),
            in_transaction(repository),
        ],
    )
    commands.register(Catalogue(repository))
    commands.register(Orders(repository))

    queries = QueryBus(enable_metrics=True, middleware=[ValidationMiddleware()])
    queries.register(Reading(repository))
    return commands, queries


def commands() -> CommandBus:
    """Return a command bus over the file of ORDERS_DB, or orders.sqlite3."""
    return build(os.environ.get("ORDERS_DB", "orders.sqlite3"))[0]


def queries() -> QueryBus:
    """Return a query bus over the same file."""
    return build(os.environ.get("ORDERS_DB", "orders.sqlite3"))[1]
