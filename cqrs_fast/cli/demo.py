"""`cqrs-fast demo`: the quick start, then a day of an order service on SQLite."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from cqrs_fast.base.message_names import message_name
from cqrs_fast.cli.console import Progress, Style, duration, pairs, table
from cqrs_fast.cli.problem import Problem
from cqrs_fast.config.loading import config_from
from cqrs_fast.errors import HandlerNotFoundError, ValidationError
from cqrs_fast.policies.latency_histogram import LatencyHistogram

EXAMPLES = "cqrs_fast.examples"
OUTCOMES = ("OK", "Invalid", "Rejected", "Errors")
COLUMNS = ("Message", "Count", *OUTCOMES, "p50", "p99")
COLOURS = ("", "", "green", "yellow", "yellow", "red", "", "")
UNKNOWN = "(unknown message)"
NO_MESSAGE = "(no message)"
FACTS = {
    "customers": "SELECT count(*) FROM customers",
    "products": "SELECT count(*) FROM products",
    "orders": "SELECT count(*) FROM orders",
    "turnover in EUR, rounded": "SELECT sum(total) / 100 FROM totals "
    "WHERE status IN ('paid', 'shipped')",
    "entries in the journal": "SELECT count(*) FROM journal",
    "journal mode": "PRAGMA journal_mode",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = "example: cqrs-fast demo"


def run(arguments: argparse.Namespace) -> int:
    """Run both examples and print the results."""
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
    """Import an example. Raises Problem if the examples are not installed."""
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


class Entry:
    """The outcomes of the messages of one name, in the order of OUTCOMES."""

    def __init__(self) -> None:
        self.counts = [0] * len(OUTCOMES)
        self.latency = LatencyHistogram()

    def row(self, name: str) -> list[str]:
        times = (self.latency.percentile(50), self.latency.percentile(99))
        counts = (sum(self.counts), *self.counts)
        return [name, *(f"{count:,}" for count in counts), *map(duration, times)]


class Tally:
    """Count outcomes by message, and keep one rejection of each kind.

    Parameters:
        names: the messages that have a handler.
        rejection: the base of the errors by which handlers reject a message.
    """

    def __init__(self, names: Iterable[str], rejection: type[Exception]) -> None:
        self.rejection = rejection
        self.entries = {name: Entry() for name in (*names, UNKNOWN, NO_MESSAGE)}
        self.rejections: dict[object, tuple[str, str, str, str]] = {}
        self.count = 0
        self.seconds = 0.0

    def attempt(self, line: int, name: str | None, call: Callable[[], object]) -> None:
        """Run one dispatch and count its outcome."""
        shown = NO_MESSAGE if name is None else name
        entry = self.entries.get(shown, self.entries[UNKNOWN])
        outcome = 0
        started = perf_counter()
        try:
            call()
        except Exception as error:
            invalid = isinstance(error, ValidationError | HandlerNotFoundError)
            outcome = 1 if invalid else 2 if isinstance(error, self.rejection) else 3
            self._keep(line, shown, error)
        took = perf_counter() - started
        entry.counts[outcome] += 1
        entry.latency.record(took)
        self.count += 1
        self.seconds += took

    def _keep(self, line: int, name: str, error: Exception) -> None:
        """Keep a rejection if it is the first of its kind."""
        path, code, reason = "", type(error).__name__, str(error)
        if isinstance(error, ValidationError) and error.errors:
            path, code, reason = error.errors[0]
        elif isinstance(error, HandlerNotFoundError):
            reason = reason.split(". ")[0]  # the rest lists what is registered
        # Malformed JSON and a message's own check have the same code.
        kind = (type(error), code, path == "$" and name != NO_MESSAGE)
        self.rejections.setdefault(kind, (f"line {line}", name, path, reason))

    def rows(self) -> list[list[str]]:
        """Return the messages that occurred as rows of a table."""
        return [one.row(name) for name, one in self.entries.items() if any(one.counts)]


def run_orders(path: Path, style: Style) -> None:
    """Send the sample through the buses and print the outcome."""
    app = example("orders.app")
    rejection: type[Exception] = example("orders.errors").OrderError
    lines = [line.text.encode() for line in example("orders.generate").generate()]
    # Who may write this file may write this package too: its owner needs no check.
    settings = (files(f"{EXAMPLES}.orders") / "configs" / "test.json").read_bytes()
    commands, queries = app.build(path, config_from(settings, "test.json"))
    with commands, queries:
        sent = Tally(commands.registered_commands(), rejection)
        send(lines, commands, sent)
        asked = Tally(queries.registered_queries(), rejection)
        for query in questions(queries):
            asked.attempt(0, message_name(query), partial(queries.execute, query))
    heading("An order service on SQLite", style)
    print(
        f"  {len(lines):,} lines of JSON, among them mistakes of every kind, each in "
        f"its own transaction;\n  then {asked.count:,} queries over the result.\n"
    )
    total = Entry()
    for entry in (*sent.entries.values(), *asked.entries.values()):
        total.counts = list(map(sum, zip(total.counts, entry.counts, strict=True)))
        total.latency.merge(entry.latency)
    rows = [*sent.rows(), *asked.rows(), total.row("Total")]
    align = "<" + ">" * (len(COLUMNS) - 1)
    shown = table(COLUMNS, rows, style, align=align, total=True, colours=COLOURS)
    print("\n".join(shown))
    for kind, tally in (("commands", sent), ("queries", asked)):
        rate = f"{tally.count / tally.seconds:,.0f}/s"
        text = f"  {tally.count:>6,} {kind:8} in {duration(tally.seconds)}, {rate}"
        print(style.fit(text))
    print("  Invalid: the rules of the message. Rejected: the rules of the shop.\n")
    show_rejections([*sent.rejections.values()], style)
    show_database(path, style)


def type_of(line: bytes) -> str | None:
    """Return the `$type` of a line; None if it cannot be read."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return None
    name = found.get("$type") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def send(lines: list[bytes], commands: Any, tally: Tally) -> None:
    """Dispatch every line, with a progress bar on a terminal."""
    with Progress(sys.stderr) as progress:
        for number, line in enumerate(lines, 1):
            tally.attempt(number, type_of(line), partial(commands.execute_json, line))
            progress.update(number / len(lines), f"{number:,} lines")


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


def show_rejections(rejections: list[tuple[str, str, str, str]], style: Style) -> None:
    heading("Rejected, the first of each kind", style)
    widths = [max(map(len, column)) for column in zip(*rejections, strict=True)]
    paints = ("dim", "", "yellow", "")
    for row in rejections:
        cells = [
            style.paint(style.fit(text.ljust(width)), paint)
            for text, width, paint in zip(row, widths, paints, strict=True)
        ]
        print(f"  {'  '.join(cells)}".rstrip())
    print()


def show_database(path: Path, style: Style) -> None:
    heading("What is in the database", style)
    found = []
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for label, statement in FACTS.items():
            (value,) = connection.execute(statement).fetchone()
            shown = value if isinstance(value, str) else f"{value:,}"
            found.append((f"  {label}", f"{shown:>12}"))
    print("\n".join(pairs(found, style)))
