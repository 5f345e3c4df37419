"""Put the order service together.

`commands` and `queries` make a bus over the file that ORDERS_DB names, so the command
line can use them: `cqrs-fast dispatch examples.orders.app:commands orders.jsonl`.
"""

from __future__ import annotations

import os
from pathlib import Path

from cqrs_fast import (
    CommandBus,
    Config,
    QueryBus,
    load_config_from_env,
    load_environment_config,
)

from .handlers import Catalogue, Orders, Reading
from .middleware import Journal, authentication, in_transaction
from .repository import Repository

CONFIGS = Path(__file__).with_name("configs")
ENV_PREFIX = "ORDERS_"

# A service would ask whoever keeps its users.
TOKENS = {"token-of-ada": "ada", "token-of-grace": "grace"}


def configured() -> Config:
    """Return the configuration of the environment that ENV names.

    Variables override the file: ORDERS_MIDDLEWARE__LOGGING__ENABLED=true.
    """
    return load_config_from_env(ENV_PREFIX, load_environment_config(CONFIGS))


def build(
    path: str | Path, config: Config | None = None
) -> tuple[CommandBus, QueryBus]:
    """Return a command bus and a query bus over one SQLite file.

    The file is closed when both are gone.

    Parameters:
        path: the database.
        config: of both buses; `configured()` without it.
    """
    if config is None:
        config = configured()
    repository = Repository(path)
    commands = CommandBus.from_config(
        config,
        middleware=[authentication(TOKENS, default="batch"), Journal(repository)],
    )
    # Innermost, so nobody who waits in line for a limit holds the database.
    commands.add_middleware(in_transaction(repository))
    commands.register(Catalogue(repository))
    commands.register(Orders(repository))

    queries = QueryBus.from_config(config)
    queries.register(Reading(repository))
    return commands, queries


def database() -> str:
    """Return the file of ORDERS_DB, or orders.sqlite3."""
    return os.environ.get("ORDERS_DB", "orders.sqlite3")


def commands() -> CommandBus:
    """Return a command bus over the file of ORDERS_DB, or orders.sqlite3."""
    return build(database())[0]


def queries() -> QueryBus:
    """Return a query bus over the same file."""
    return build(database())[1]
