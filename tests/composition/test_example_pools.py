"""The examples of pooled handlers and connections do what they say."""

from __future__ import annotations

import asyncio
import importlib
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from cqrs_fast import CommandBus, Context, QueryBus

PACKAGE = "cqrs_fast.examples"
SERVER = os.environ.get("CQRS_FAST_POSTGRES", "")

needs_server = pytest.mark.skipif(
    not SERVER, reason="CQRS_FAST_POSTGRES names no server, as host=... dbname=..."
)


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    """Let the examples be found where the source tree is all there is."""
    patch = pytest.MonkeyPatch()
    try:
        importlib.import_module(PACKAGE)
    except ModuleNotFoundError:
        patch.syspath_prepend(str(ROOT))
        patch.setitem(sys.modules, PACKAGE, importlib.import_module("examples"))
    yield
    patch.undo()


def example(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def in_threads(count: int, work: Any) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_renderer_is_clean_for_each_call() -> None:
    module = example("pooled_handler")
    assert module.run() == "Hello, Grace"
    handler = module.make_handler()
    bus = QueryBus()
    bus.register_handler(module.Render, handler)

    def work() -> None:
        for number in range(200):
            name = f"{threading.get_ident()} {number}"
            assert bus.execute(module.Render(name=name)) == f"Hello, {name}"

    in_threads(6, work)
    assert handler.stats().in_use == 0


def test_notes_are_kept_on_pooled_connections(tmp_path: Path) -> None:
    module = example("connections")
    path = tmp_path / "notes.db"
    assert module.run_sqlite(path) == 2
    assert module.run_sqlite(path) == 4


def test_threads_share_a_few_connections(tmp_path: Path) -> None:
    module = example("connections")
    path = tmp_path / "notes.db"
    with module.connections(path, size=2) as pool:
        bus = CommandBus()
        bus.register_handler(module.AddNote, module.DatabaseHandler(pool))

        def work() -> None:
            for _ in range(25):
                bus.execute(module.AddNote(text="more"))

        in_threads(4, work)
        assert pool.stats().created == 2
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (100,)


def test_a_failed_command_leaves_no_transaction_behind(tmp_path: Path) -> None:
    module = example("connections")
    with module.connections(tmp_path / "notes.db", size=1) as pool:
        bus = CommandBus()
        bus.register_handler(module.AddNote, module.DatabaseHandler(pool))
        with pytest.raises(sqlite3.IntegrityError):
            bus.execute(module.AddNote(text=None))
        with pool.lease() as connection:
            assert not connection.in_transaction
            ctx = Context.background().with_timeout(0.01)
            with pytest.raises(TimeoutError):
                bus.execute(module.AddNote(text="late"), ctx)
        assert bus.execute(module.AddNote(text="one")) == 1


def test_the_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example("connections").main([])
    assert capsys.readouterr().out == "SQLite: 2 notes\n"


@needs_server
def test_notes_are_kept_by_postgres() -> None:
    module = example("connections")
    before = module.run_postgres(SERVER)
    assert asyncio.run(module.run_postgres_async(SERVER)) == before + 11
    assert module.run_postgres(SERVER) == before + 13
