"""How many requests does a service lose to the pipeline?

    python -m benchmarks.service [--seconds 60]

A FastAPI service runs under uvicorn in a process of its own. Each request inserts a row
into an SQLite file and commits it. One path calls the function that inserts; the other
dispatches a command to it through metrics and six stages. Requests go over real HTTP
connections on the loopback interface. The two paths take turns in short rounds.
"""

from __future__ import annotations

import argparse
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.environment import ROOT
from cqrs_fast import (
    BulkheadMiddleware,
    CircuitBreakerMiddleware,
    Command,
    CommandBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    TimeoutMiddleware,
    ValidationMiddleware,
)
from cqrs_fast.measuring import take_turns

PATHS = ("/direct", "/pipeline")
CONNECTIONS = 8
BATCHES = 5  # in a round; each is a request on every connection
PARTS = 10  # whose medians show the spread
BODY = b'{"name": "bolt", "quantity": 7}'
ANSWER = b'{"rows":1}'


class NewBolt(BaseModel):
    """The body of a request."""

    name: str
    quantity: int


class AddBolt(Command[int]):
    """Insert a bolt; the result is the number of rows."""

    name: str
    quantity: int


def bus() -> CommandBus:
    """Return a bus with the whole pipeline; its limits admit every request."""
    return CommandBus(
        enable_metrics=True,
        middleware=[
            TimeoutMiddleware(2.0),
            ValidationMiddleware(),
            RateLimitingMiddleware(10_000_000, 1.0),
            RetryMiddleware(3, 0.1, retry_commands=True),
            CircuitBreakerMiddleware(5, 30.0),
            BulkheadMiddleware(64),
        ],
    )


def service(file: Path) -> FastAPI:
    """Return the service, over a new SQLite file."""
    connection = sqlite3.connect(file)
    # No commit waits for the disk, which would hide the pipeline.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE bolts (name TEXT, quantity INTEGER)")
    commands = bus()
    app = FastAPI()

    def insert(bolt: NewBolt | AddBolt) -> int:
        with connection:
            row = (bolt.name, bolt.quantity)
            return connection.execute("INSERT INTO bolts VALUES (?, ?)", row).rowcount

    @commands.handler
    def add(command: AddBolt) -> int:
        return insert(command)

    @app.post("/direct")
    async def direct(bolt: NewBolt) -> dict[str, int]:
        return {"rows": insert(bolt)}

    @app.post("/pipeline")
    async def pipeline(bolt: NewBolt) -> dict[str, int]:
        command = AddBolt(name=bolt.name, quantity=bolt.quantity)
        return {"rows": await commands.execute_async(command)}

    return app


def serve(file: Path) -> None:
    """Serve until the process is terminated; print the port first."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(service(file), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


class Client:
    """Connections that stay open, on which one path is requested at a time."""

    def __init__(self, port: int, path: str) -> None:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}"
            "\r\nContent-Type: application/json\r\n\r\n"
        )
        self.request = head.encode() + BODY
        self.connections = [
            socket.create_connection(("127.0.0.1", port), timeout=30)
            for _ in range(CONNECTIONS)
        ]

    def close(self) -> None:
        for one in self.connections:
            one.close()

    def round(self) -> float:
        """Return the seconds that a request took in a round."""
        start = perf_counter()
        for _ in range(BATCHES):
            for one in self.connections:
                one.sendall(self.request)
            for one in self.connections:
                answered(one)
        return (perf_counter() - start) / (BATCHES * CONNECTIONS)


def answered(connection: socket.socket) -> None:
    """Read one answer, which must say that a row was inserted."""
    answer = b""
    while not answer.endswith(ANSWER):
        part = connection.recv(4096)
        answer += part
        if not part or not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"the service gave a wrong answer: {answer!r}")


@contextmanager
def running() -> Iterator[tuple[int, Path]]:
    """Run the service; give its port and its file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bolts.db"
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.service", "--serve", str(file)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                assert process.stdout is not None
                yield int(process.stdout.readline()), file
            finally:
                process.terminate()


def measured(seconds: float) -> list[list[float]]:
    """Return the seconds of a request in each round, of each path."""
    with running() as (port, file):
        one, other = (Client(port, path) for path in PATHS)
        with closing(one), closing(other):
            warm = [client.round() for client in (one, other) for _ in range(10)]
            # Neither is always the first.
            first, second, third, fourth = take_turns(
                [one.round, other.round, other.round, one.round], seconds=seconds
            )
        rounds = [first + fourth, second + third]
        expected = (len(warm) + sum(map(len, rounds))) * BATCHES * CONNECTIONS
        with closing(sqlite3.connect(file)) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM bolts").fetchone()
    if rows != expected:
        raise RuntimeError(f"{rows} rows were inserted by {expected} requests")
    return rounds


def summary(rounds: list[list[float]]) -> str:
    """Return requests per second, and the ratio with to without the pipeline."""
    lines = [
        f"{path:10} {1 / statistics.median(each):6.0f} requests/s in the median round, "
        f"{1 / min(each):6.0f} in the best"
        for path, each in zip(PATHS, rounds, strict=True)
    ]
    pairs = [direct / piped for direct, piped in zip(*rounds, strict=True)]
    if len(pairs) < PARTS:
        raise ValueError(
            f"{len(pairs)} pairs of rounds are too few: at least {PARTS}; "
            "measure for longer (--seconds)"
        )
    parts = [statistics.median(pairs[number::PARTS]) for number in range(PARTS)]
    lines.append(
        f"with the pipeline / without: {statistics.median(pairs):.3f}, the median of "
        f"{len(pairs)} pairs of rounds (of each tenth of them {min(parts):.3f} to "
        f"{max(parts):.3f}); {min(rounds[0]) / min(rounds[1]):.3f} in the best rounds"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return
    names = ("fastapi", "uvicorn", "cqrs-fast")
    shown = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{shown}, {os.cpu_count()} cores")
    print(summary(measured(options.seconds)))


if __name__ == "__main__":
    main()
