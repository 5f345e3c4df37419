"""Serve commands and queries from standard input, and follow a configuration file.

    python -m examples.orders.serve examples/orders/configs/development.json

Each line is a message as JSON, each answer a line. Edit the file meanwhile: what the
next line meets is what the file says then, unless it is wrong, and then the last one
that was right stays in force.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import BinaryIO

import msgspec

from cqrs_fast import (
    CommandBus,
    Config,
    ConfigManager,
    CQRSError,
    QueryBus,
    performance_tuning,
)

from .app import ENV_PREFIX, build, database
from .errors import OrderError


class Typed(msgspec.Struct):
    """As much of a message as decides which bus it is for."""

    type: str = msgspec.field(default="", name="$type")


def serve(config_file: str, source: Iterable[bytes], answers: BinaryIO) -> None:
    """Answer every line of `source`, with the configuration as it is by then."""
    manager = ConfigManager(config_file, env_prefix=ENV_PREFIX, poll=0.2)
    commands, queries = build(database(), manager.config)
    manager.apply_to(commands, queries)

    @manager.on_change
    def tell(old: Config, new: Config) -> None:
        waiting = ", ".join(manager.pending_restart) or "nothing"
        logging.info("version %d; for a restart waits %s", manager.version, waiting)

    # Everything is built and registered: what the collector may leave alone exists.
    with manager, commands, queries, performance_tuning(manager.config.performance):
        for line in source:
            answers.write(answer(line, commands, queries) + b"\n")
            answers.flush()


def answer(line: bytes, commands: CommandBus, queries: QueryBus) -> bytes:
    """Return the result of a message as JSON, or what came of it instead."""
    bus = queries if type_of(line) in queries.registered_queries() else commands
    try:
        return bus.execute_json(line)
    except (CQRSError, OrderError) as error:
        return f"{type(error).__name__}: {error}".encode()


def type_of(line: bytes) -> str:
    """Return the $type of a line; of one without, which the bus then refuses, ""."""
    try:
        return msgspec.json.decode(line, type=Typed).type
    except msgspec.DecodeError:
        return ""


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level="INFO")
    serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
