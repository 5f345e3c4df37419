"""The order service: its sample does what is foretold, and leaves a sound database."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import io
import itertools
import json
import re
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator
from places import ROOT

from cqrs_fast import (
    CircuitOpenError,
    CommandBus,
    Context,
    HandlerNotFoundError,
    ValidationError,
    load_config,
)
from cqrs_fast.cli import main
from cqrs_fast.config.schema import config_schema

PACKAGE = "cqrs_fast.examples"
SAMPLE_SHA256 = "b27ed527ffc29414b5b851d8faf987699e20543cd3f3102fccdbc0fd0b17fc25"
ENVIRONMENTS = ("production", "staging", "development", "test")


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the examples be found where the source tree is all there is.

    Their configuration is a copy of our own: whose the source tree is, and who may
    write it, is not what is tested.
    """
    patch = pytest.MonkeyPatch()
    try:
        importlib.import_module(PACKAGE)
    except ModuleNotFoundError:
        patch.syspath_prepend(str(ROOT))
        patch.setitem(sys.modules, PACKAGE, importlib.import_module("examples"))
    app = example("orders.app")
    copies = tmp_path_factory.mktemp("configs")
    for file in app.CONFIGS.iterdir():
        copy = copies / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o600)
    patch.setattr(app, "CONFIGS", copies)
    patch.setenv("ENV", "test")
    yield
    patch.undo()


def example(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_loads_and_is_valid(environment: str) -> None:
    path = example("orders.app").CONFIGS / f"{environment}.json"
    load_config(path)
    Draft202012Validator(config_schema()).validate(json.loads(path.read_text()))


class Day(NamedTuple):
    """What a run of the whole sample came to."""

    path: Path
    commands: Any
    queries: Any
    outcomes: list[str]


def outcome_of(bus: Any, line: bytes) -> str:
    try:
        bus.execute_json(line)
    except ValidationError as error:
        return f"ValidationError {error.errors[0][1]}"
    except Exception as error:
        return type(error).__name__
    return "ok"


@pytest.fixture(scope="module")
def day(foretold: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Run the sample once."""
    path = tmp_path_factory.mktemp("orders") / "orders.sqlite3"
    commands, queries = example("orders.app").build(path)
    outcomes = [outcome_of(commands, line.text.encode()) for line in foretold]
    return Day(path, commands, queries, outcomes)


@pytest.fixture(scope="module")
def foretold(installed: None) -> list[Any]:
    """Generate the sample once."""
    found: list[Any] = example("orders.generate").generate()
    return found


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    """Make a shop with one customer and one product."""
    ask = example("orders.messages")
    commands, queries = example("orders.app").build(tmp_path / "shop.sqlite3")
    commands.execute(ask.RegisterCustomer(1, "Ada", "ada@example.com"))
    commands.execute(ask.AddProduct("LAM-0001", "lamp", 1000))
    commands.execute(ask.Restock("LAM-0001", 12))
    return commands, queries, ask


def ask_database(path: Path, statement: str) -> Any:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_the_same_seed_gives_the_same_bytes(
    foretold: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    generate = example("orders.generate")
    generate.main()
    told = capsys.readouterr()
    assert told.out == "".join(f"{line.text}\n" for line in foretold)
    assert re.fullmatch(r"12,000 lines, [\d,]+ of them valid\n", told.err)
    # On every supported Python.
    assert hashlib.sha256(told.out.encode()).hexdigest() == SAMPLE_SHA256
    assert generate.generate(seed=1, lines=200) != generate.generate(seed=2, lines=200)


def test_the_sample_has_every_kind_of_mistake(foretold: list[Any]) -> None:
    counts = Counter(line.outcome for line in foretold)
    assert counts["ok"] > len(foretold) / 2
    codes = "type missing ge gt le lt multiple_of min_length max_length pattern tz"
    for code in (*codes.split(), "invalid"):
        assert counts[f"ValidationError {code}"] > 0, code
    errors = example("orders.errors")
    for refusal in errors.OrderError.__subclasses__():
        if refusal is not errors.NotAuthenticated:
            assert counts[refusal.__name__] > 0, refusal
    assert counts["HandlerNotFoundError"] > 0


def test_each_line_comes_to_what_was_foretold(day: Day, foretold: list[Any]) -> None:
    wrong = [
        (number, line.text[:80], line.outcome, outcome)
        for number, (line, outcome) in enumerate(
            zip(foretold, day.outcomes, strict=True), 1
        )
        if line.outcome != outcome
    ]
    assert wrong == []


def test_the_bus_counted_the_same(day: Day) -> None:
    stats = day.commands.stats()
    assert stats.total.outcomes["ok"] == day.outcomes.count("ok")
    assert stats.total.in_flight == 0


def test_the_database_is_sound(day: Day, foretold: list[Any]) -> None:
    assert ask_database(day.path, "PRAGMA journal_mode") == [("wal",)]
    assert ask_database(day.path, "PRAGMA integrity_check") == [("ok",)]
    assert ask_database(day.path, "PRAGMA foreign_key_check") == []
    kinds = Counter(
        json.loads(line.text)["$type"] for line in foretold if line.outcome == "ok"
    )
    for kind, tab in (
        ("RegisterCustomer", "customers"),
        ("AddProduct", "products"),
        ("PlaceOrder", "orders"),
    ):
        assert ask_database(day.path, f"SELECT count(*) FROM {tab}") == [(kinds[kind],)]


def test_what_left_the_shelf_is_in_the_orders(day: Day, foretold: list[Any]) -> None:
    delivered: Counter[str] = Counter()
    for line in foretold:
        if line.outcome == "ok":
            message = json.loads(line.text)
            if message["$type"] == "Restock":
                delivered[message["sku"]] += message["quantity"]
    stock = dict(ask_database(day.path, "SELECT sku, stock FROM products"))
    ordered = dict(
        ask_database(
            day.path,
            "SELECT sku, sum(quantity) FROM order_lines JOIN orders USING (order_id) "
            "WHERE status != 'cancelled' GROUP BY sku",
        )
    )
    for sku, left in stock.items():
        assert left + ordered.get(sku, 0) == delivered[sku], sku


def test_the_journal_has_what_reached_the_handlers(day: Day) -> None:
    journal = dict(
        ask_database(day.path, "SELECT outcome, count(*) FROM journal GROUP BY outcome")
    )
    wanted = Counter(
        outcome
        for outcome in day.outcomes
        if outcome != "HandlerNotFoundError" and " " not in outcome
    )
    assert journal == wanted


def test_no_card_number_is_stored(day: Day) -> None:
    cards = ask_database(day.path, "SELECT card FROM orders WHERE card IS NOT NULL")
    assert cards
    assert all(len(card) == len("card ending in 1234") for (card,) in cards)


def test_queries(day: Day) -> None:
    ask = example("orders.messages")
    errors = example("orders.errors")
    orders = day.queries.execute(ask.FindOrders(status="paid", page=2, page_size=5))
    assert len(orders) == 5
    order = day.queries.execute(ask.GetOrder(orders[0].order_id))
    assert (order.status, order.placed_by) == ("paid", "batch")
    assert order.total_cents == orders[0].total_cents
    reports = [day.queries.execute(ask.CustomerReport(one)) for one in range(1, 200)]
    assert sum(report.orders for report in reports) > 0
    with pytest.raises(errors.UnknownOrder):
        day.queries.execute(ask.GetOrder("O-999999"))
    with pytest.raises(errors.UnknownCustomer):
        day.queries.execute(ask.CustomerReport(999_999))
    with pytest.raises(ValidationError):
        day.queries.execute(ask.GetOrder("the first one"))
    with pytest.raises(HandlerNotFoundError):
        day.queries.execute(ask.ShipOrder("O-000001", "post", None))


def test_a_refused_order_leaves_nothing_behind(shop: Any, tmp_path: Path) -> None:
    commands, queries, ask = shop
    errors = example("orders.errors")
    lines = [ask.OrderLine("LAM-0001", 5), ask.OrderLine("ZZZ-9999", 1)]
    with pytest.raises(errors.UnknownProduct):
        commands.execute(ask.PlaceOrder("O-000001", 1, lines))
    assert queries.execute(ask.FindOrders()) == []
    assert commands.execute(ask.Restock("LAM-0001", 12)) == 24
    assert commands.execute(ask.PlaceOrder("O-000001", 1, lines[:1])) == 5000


def test_an_async_handler_is_part_of_its_transaction(tmp_path: Path) -> None:
    ask, ours = example("orders.messages"), example("orders.middleware")
    repository = example("orders.repository").Repository(tmp_path / "shop.sqlite3")
    repository.add_product("LAM-0001", "lamp", 1000)
    commands = CommandBus(
        middleware=[
            ours.authentication({}, default="batch"),
            ours.in_transaction(repository),
        ]
    )

    @commands.handler
    async def restock(command: ask.Restock) -> int:
        stock: int = repository.move_stock(command.sku, command.quantity)
        await asyncio.sleep(0)
        if command.quantity == 13:
            raise ValueError("an unlucky number")
        return stock

    def stocked(*quantities: int) -> Any:
        async def main() -> Any:
            sent = [
                commands.execute_async(ask.Restock("LAM-0001", one))
                for one in quantities
            ]
            return await asyncio.gather(*sent, return_exceptions=True)

        outcomes = [
            one if isinstance(one, int) else type(one).__name__
            for one in asyncio.run(main())
        ]
        statement = "SELECT stock FROM products"
        ((left,),) = ask_database(tmp_path / "shop.sqlite3", statement)
        return outcomes, left

    assert stocked(7) == ([7], 7)
    assert stocked(13) == (["ValueError"], 7)
    # One that awaits meanwhile is in nobody else's transaction.
    assert stocked(13, 5) == (["ValueError", "OperationalError"], 7)
    assert stocked(5) == ([12], 12)
    repository.close()


def test_who_acts(shop: Any) -> None:
    commands, queries, ask = shop
    lines = [ask.OrderLine("LAM-0001", 1)]
    root = Context.background()
    ada = root.with_value("auth_token", "token-of-ada")
    commands.execute(ask.PlaceOrder("O-000001", 1, lines), ada)
    assert queries.execute(ask.GetOrder("O-000001")).placed_by == "ada"
    stranger = root.with_value("auth_token", "guessed")
    with pytest.raises(example("orders.errors").NotAuthenticated):
        commands.execute(ask.PlaceOrder("O-000002", 1, lines), stranger)


def test_a_card_number_is_never_shown(shop: Any) -> None:
    commands, _, ask = shop
    payment = ask.PayOrder("O-000001", "4000 1234 5678 9010")
    assert "1234" not in repr(payment)
    with pytest.raises(ValidationError) as caught:
        commands.execute(payment)
    assert "1234" not in str(caught.value)


def test_threads_share_the_last_pieces_without_selling_one_twice(shop: Any) -> None:
    commands, queries, ask = shop
    sold: list[str] = []

    def buy(first: int) -> None:
        for number in range(first, first + 6):
            order = ask.PlaceOrder(f"O-{number:06}", 1, [ask.OrderLine("LAM-0001", 1)])
            try:
                commands.execute(order)
            except example("orders.errors").OutOfStock:
                continue
            sold.append(order.order_id)

    threads = [threading.Thread(target=buy, args=(100 * n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sold) == 12
    assert len(queries.execute(ask.FindOrders(page_size=100))) == 12


def test_the_bus_factories_use_the_file_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = example("orders.app")
    monkeypatch.setenv("ORDERS_DB", str(tmp_path / "named.sqlite3"))
    assert "PlaceOrder" in app.commands().registered_commands()
    assert "GetOrder" in app.queries().registered_queries()
    assert (tmp_path / "named.sqlite3").exists()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_shop_runs_from_the_file_of_each_environment(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, ask = example("orders.app"), example("orders.messages")
    assert {file.stem for file in app.CONFIGS.iterdir()} == set(ENVIRONMENTS)
    monkeypatch.setenv("ENV", name)
    config = app.configured()
    commands, queries = app.build(tmp_path / "shop.sqlite3")
    (route,) = [one for one in commands.describe() if one.name == "PlaceOrder"]
    kinds = [stage.kind for stage in route.stages]
    for section, kind in (
        ("logging", "LoggingMiddleware"),
        ("timeout", "TimeoutMiddleware"),
        ("rate_limiting", "RateLimitingMiddleware"),
        ("bulkhead", "BulkheadMiddleware"),
    ):
        assert getattr(config.middleware, section).enabled == (kind in kinds), kind
    # Nobody who waits in line holds the database.
    assert kinds[-2:] == ["generator", "invalidates"]
    assert "CircuitBreakerMiddleware" in kinds
    commands.execute(ask.RegisterCustomer(1, "Ada", "ada@example.com"))
    assert queries.execute(ask.FindOrders()) == []


def test_variables_override_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    app = example("orders.app")
    assert app.configured().middleware.timeout.timeout_ms == 30_000
    monkeypatch.setenv("ORDERS_MIDDLEWARE__TIMEOUT__TIMEOUT_MS", "50")
    assert app.configured().middleware.timeout.timeout_ms == 50


def test_refusals_open_no_circuit_but_a_broken_database_does(
    shop: Any, tmp_path: Path
) -> None:
    commands, _, ask = shop
    errors = example("orders.errors")
    for _ in range(20):
        with pytest.raises(errors.UnknownOrder):
            commands.execute(ask.CancelOrder("O-000009"))
    with closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as connection:
        connection.execute("DROP TABLE products")
    for _ in range(5):
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            commands.execute(ask.Restock("LAM-0001", 12))
    with pytest.raises(CircuitOpenError):
        commands.execute(ask.Restock("LAM-0001", 12))


def test_a_service_follows_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve, app = example("orders.serve"), example("orders.app")
    monkeypatch.setenv("ORDERS_DB", str(tmp_path / "served.sqlite3"))
    file = app.CONFIGS / "served.json"
    file.write_bytes((app.CONFIGS / "test.json").read_bytes())
    file.chmod(0o600)
    tight = json.loads(file.read_bytes())
    tight["middleware"]["rate_limiting"] = {
        "enabled": True,
        "requests_per_window": 1,
        "window_sec": 3600,
    }

    register = b'{"$type": "RegisterCustomer", "customer_id": %d, "name": "Ada",'
    register += b' "email": "ada%d@example.com"}'
    answers = io.BytesIO()

    def lines() -> Iterator[bytes]:
        """Change the file between two lines, first badly."""
        yield register % (1, 1)
        yield b'{"$type": "FindOrders"}'
        yield register % (1, 1)
        yield b"nonsense"
        file.write_text('{"middleware": {"timeouts": {}}}')
        yield register % (2, 2)
        file.write_text(json.dumps(tight))
        end = time.monotonic() + 10
        for number in itertools.count(3):
            assert time.monotonic() < end, "the change was not seen"
            yield register % (number, number)
            if b"RateLimitExceeded" in answers.getvalue():
                return
            time.sleep(0.02)

    serve.serve(str(file), lines(), answers)
    said = answers.getvalue().splitlines()
    assert said[:2] == [b"null", b"[]"]
    assert said[2].startswith(b"AlreadyExists: customer 1")
    assert said[3].startswith(b"ValidationError")
    assert said[4] == b"null"
    assert said[-1].startswith(b"RateLimitExceededError")


def test_the_quick_start(installed: None) -> None:
    user = example("quick_start").run()
    assert (user.id, user.name, user.email) == (1, "John Doe", "john@example.com")


def test_the_demo(capsys: pytest.CaptureFixture[str], foretold: list[Any]) -> None:
    assert main(["demo"]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "User(id=1, name='John Doe', email='john@example.com')" in output
    assert f"{len(foretold):,} commands" in output
    good = sum(
        line.outcome == "ok" and '"$type":"PlaceOrder"' in line.text
        for line in foretold
    )
    (row,) = [line for line in output.splitlines() if "│ PlaceOrder " in line]
    assert int(row.split("│")[3].replace(",", "")) == good
    assert "journal mode" in output
    assert "wal" in output
    # A table is a table: all its lines are equally long.
    lines = [line for line in output.splitlines() if line.startswith(tuple("┌│├└"))]
    assert len(lines) > 10
    assert len({len(line) for line in lines}) == 1


def test_the_demo_without_the_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"{PACKAGE}.quick_start", None)
    assert main(["demo"]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert "the examples are not installed" in errors
