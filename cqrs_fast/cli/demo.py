"""`cqrs-fast demo`: the quick start, then a day of an order service on SQLite."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any

from cqrs_fast.base.message_names import message_name
from cqrs_fast.cli.console import Progress, Style, duration, table
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.tally import Rejection, Tally, type_of
from cqrs_fast.config.loading import config_from

EXAMPLES = "cqrs_fast.examples"
COLUMNS = ("Message", "Count", "OK", "Invalid", "Refused", "Errors", "p50", "p99")
COLOURS = ("", "", "green", "yellow", "yellow", "red", "", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = "example: cqrs-fast demo"


def run(arguments: argparse.Namespace) -> int:
    """Run both examples and print what happened."""
    style = Style(sys.stdout)
    quick_start = example("quick_start")
    heading("Quick start", style)
    commands = "commands.execute(CreateUser(name='John Doe', email='john@example.com'))"
    print(f"  {commands}\n  queries.execute(GetUser(user_id=1))")
    print(f"  {style.paint(style.fit('→'), 'dim')} {quick_start.run()!r}\n")
    with tempfile.TemporaryDirectory(prefix="cqrs-fast-") as directory:
        run_orders(Path(directory) / "orders.sqlite3", style)
    return 0


def example(name: str) -> Any:
    """Import an example. Raises Problem where the examples are not installed."""
    try:
        return importlib.import_module(f"{EXAMPLES}.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith(EXAMPLES):
            raise
        raise Problem(
            "the examples are not installed: install the package, for instance with "
            "pip install cqrs-fast, or pip install -e . in its source tree"
        ) from None


def heading(text: str, style: Style) -> None:
    print(style.paint(style.fit(text), "bold"))


def run_orders(path: Path, style: Style) -> None:
    """Send the sample through the buses and print the outcome."""
    app = example("orders.app")
    refusal: type[Exception] = example("orders.errors").OrderError
    data = files(f"{EXAMPLES}.orders")
    lines = [line.text.encode() for line in example("orders.generate").generate()]
    # Who may write it may write this package too: no need to ask who that is.
    settings = (data / "configs" / "test.json").read_bytes()
    commands, queries = app.build(path, config_from(settings, "test.json"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(commands)
        stack.enter_context(queries)
        tally = Tally(commands.registered_commands(), refusal)
        started = perf_counter()
        send(lines, commands, tally)
        command_seconds = perf_counter() - started
        asked = Tally(queries.registered_queries(), refusal)
        started = perf_counter()
        for query in questions(queries):
            asked.attempt(0, message_name(query), partial(queries.execute, query))
        query_seconds = perf_counter() - started
        heading("An order service on SQLite", style)
        print(
            f"  {len(lines):,} lines of JSON, mistakes of every kind among them, each "
            f"in a transaction of\n  its own; then {asked.count:,} queries over what "
            "they left behind.\n"
        )
        show_table(tally, asked, style)
        show_speed("commands", tally.count, command_seconds, style)
        show_speed("queries", asked.count, query_seconds, style)
        print("  Invalid: the rules of the message. Refused: the rules of the shop.\n")
        show_rejections(tally.rejections, style)
        show_database(path, style)


def send(lines: list[bytes], commands: Any, tally: Tally) -> None:
    """Dispatch every line, with a progress bar where there is a terminal."""
    whole = sum(map(len, lines))
    done = 0
    with Progress(sys.stderr) as progress:
        for number, line in enumerate(lines, 1):
            tally.attempt(number, type_of(line), partial(commands.execute_json, line))
            done += len(line)
            progress.update(done / whole, lambda _: f"{tally.count:,} lines")


def questions(queries: Any) -> Iterator[Any]:
    """Yield the queries of the demo; some get no answer."""
    ask = example("orders.messages")
    for status in ("open", "paid", "shipped", "cancelled"):
        for page in range(1, 6):
            find = ask.FindOrders(status=status, page=page)
            yield find
            for order in queries.execute(find):
                yield ask.GetOrder(order.order_id)
    for customer_id in range(1, 101):
        yield ask.CustomerReport(customer_id)
    yield ask.CustomerReport(999_999)
    yield ask.GetOrder("the one from yesterday")


def show_table(tally: Tally, asked: Tally, style: Style) -> None:
    rows = [entry.row(name) for name, entry in tally.by_name()]
    rows += [entry.row(name) for name, entry in asked.by_name()]
    total = tally.total()
    total.add(asked.total())
    rows.append(total.row("Total"))
    for line in table(
        COLUMNS, rows, style, align="<>>>>>>>", total=True, colours=COLOURS
    ):
        print(line)


def show_speed(kind: str, count: int, seconds: float, style: Style) -> None:
    text = f"  {count:>6,} {kind:8} in {duration(seconds)}, {count / seconds:,.0f}/s"
    print(style.fit(text))


def show_rejections(rejections: list[Rejection], style: Style) -> None:
    heading("Turned away, the first of each kind", style)
    rows = [
        (f"line {one.line}", one.name, one.path, one.reason)
        for one in sorted(rejections)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        where, name, path, reason = (
            text.ljust(width) for text, width in zip(row, widths, strict=True)
        )
        print(
            f"  {style.paint(where, 'dim')}  {name}  "
            f"{style.paint(path, 'yellow')}  {style.fit(reason).rstrip()}"
        )
    print()


FACTS = (
    ("customers", "SELECT count(*) FROM customers"),
    ("products", "SELECT count(*) FROM products"),
    ("pieces on the shelf", "SELECT sum(stock) FROM products"),
    ("orders open", "SELECT count(*) FROM orders WHERE status = 'open'"),
    ("orders paid", "SELECT count(*) FROM orders WHERE status = 'paid'"),
    ("orders shipped", "SELECT count(*) FROM orders WHERE status = 'shipped'"),
    ("orders cancelled", "SELECT count(*) FROM orders WHERE status = 'cancelled'"),
    (
        "turnover in EUR, rounded",
        "SELECT sum(total) / 100 FROM totals WHERE status IN ('paid', 'shipped')",
    ),
    ("entries in the journal", "SELECT count(*) FROM journal"),
)


def show_database(path: Path, style: Style) -> None:
    heading("What is in the database", style)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for label, statement in FACTS:
            (number,) = connection.execute(statement).fetchone()
            print(f"  {style.paint(label.ljust(28), 'dim')}{number:>12,}")
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    print(f"  {style.paint('journal mode'.ljust(28), 'dim')}{mode:>12}")
