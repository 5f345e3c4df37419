"""`cqrs-fast bench`: what it measures, what it tells, and what it leaves alone."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import gc
import importlib
import io
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Annotated, Any

import attrs
import msgspec
import pydantic
import pytest
from msgspec import Meta

from cqrs_fast import Command, CommandBus, ValidationMiddleware
from cqrs_fast.assembly.inspector import has_metrics, registrations
from cqrs_fast.buses.bus import similar_bus
from cqrs_fast.cli import main
from cqrs_fast.cli.bench_cases import (
    DIRECT,
    HAND_WRITTEN,
    NO_STAGES,
    buses,
    handle,
)
from cqrs_fast.cli.console import Progress
from cqrs_fast.cli.machine import machine, refusal
from cqrs_fast.cli.measuring import NOISY, Case, Stepper, noise_of
from cqrs_fast.cli.sample_messages import example_messages, example_of

BUSES = """
import asyncio
from typing import Annotated
from msgspec import Meta
from cqrs_fast import (
    CachingMiddleware, Command, CommandBus, Context, Middleware, Query, QueryBus,
    RateLimitingMiddleware, TimeoutMiddleware, ValidationMiddleware,
)

placed = []
seen = []

class Place(Command[int]):
    customer: Annotated[str, Meta(min_length=2)]
    amount: Annotated[int, Meta(ge=3)]

class Cancel(Command[None]):
    number: int

class Strange(Command[None]):
    thing: complex

class Find(Query[str]):
    number: int

def place(ctx: Context, command: Place) -> int:
    print("placing")
    placed.append(command)
    return 1

class Looking(Middleware):
    def before(self, call):
        seen.append(None)

def tracing(ctx, message, next):
    return next(ctx, message)

class Interrupting(Middleware):
    def before(self, call):
        raise KeyboardInterrupt

class Leaving(Middleware):
    def before(self, call):
        raise SystemExit(7)

def factory(next):
    return lambda ctx, message: next(ctx, message)

def failing_factory(next):
    if seen:
        raise RuntimeError("no second route")
    seen.append(None)
    return next

def bus(*middleware, handler=place, message=Place, own=(), kind=CommandBus, **options):
    made = kind(middleware=middleware, **options)
    made.register_handler(message, handler, middleware=own)
    return made

shop = bus(
    ValidationMiddleware(), Looking(), tracing, factory,
    own=[TimeoutMiddleware(5.0)], enable_metrics=True,
)
limited = bus(ValidationMiddleware(), RateLimitingMiddleware(1, 3600.0), tracing)
interrupted = bus(Interrupting())
leaving = bus(Leaving())
unmakeable = bus(message=Strange)
by_name = bus(message="Place")
once = bus(failing_factory)
mixed = bus()
mixed.register_handler(Strange, lambda command: None)
empty = CommandBus()
number = 42

async def place_async(command: Place) -> int:
    await asyncio.sleep(0)
    return 1

class Cancelling:
    def handle(self, command: Cancel) -> None:
        pass

both = bus(handler=place_async)
both.register_handler(Cancel, Cancelling())
offloading = CommandBus()
offloading.register_handler(Place, place, offload=True)
compiled = CommandBus()
compiled.register_handler(Cancel, id, with_context=False, is_async=False)

async def find(query: Find) -> str:
    await asyncio.sleep(0)
    return "found"

queries = bus(CachingMiddleware(ttl=60), handler=find, message=Find, kind=QueryBus)
plain_queries = bus(handler=find, message=Find, kind=QueryBus)

def make():
    return shop

made = []

def make_limited():
    made.append(bus(RateLimitingMiddleware(10**9, 3600.0), tracing))
    return made[-1]

def make_others():
    class Other(Command[int]):
        pass
    made.append(bus(handler=lambda command: 1, message=Other))
    return made[-1]
"""

QUICK = ["--seconds", "0.01"]


@pytest.fixture(autouse=True)
def release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every build pass for one that may be measured."""
    build = {"mode": "release", "version": "1.2.3", "flags": "-O3"}
    monkeypatch.setattr("cqrs_fast.cli.machine.build_info", lambda: build)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with buses in it the current one."""
    (tmp_path / "measured.py").write_text(BUSES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "measured", raising=False)
    importlib.invalidate_caches()
    return tmp_path


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["bench", *QUICK, "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def pipeline(
    capsys: pytest.CaptureFixture[str], bus: str, *arguments: str
) -> list[dict[str, Any]]:
    found = bench(capsys, "--pipeline", f"measured:{bus}", *arguments)
    (group,) = found["groups"]
    rows: list[dict[str, Any]] = group["rows"]
    return rows


# Without a bus of the user's


def test_the_short_form_measures_what_its_rows_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = bench(capsys)
    assert [group["title"] for group in found["groups"]] == ["sync", "async"]
    assert found["pipeline"] is None
    assert found["noisy"] is (found["noise"].startswith("NOISY MACHINE"))
    assert set(found["machine"]) == set(machine())
    for group in found["groups"]:
        names = [row["name"] for row in group["rows"]]
        assert names == [
            DIRECT,
            HAND_WRITTEN,
            NO_STAGES,
            "+ metrics",
            "+ validation",
            "+ limiter",
            "+ retry",
            "+ breaker",
            "+ timeout",
        ]
        for row in group["rows"]:
            assert row["ns"] > 0
            assert row["ok"] == 1.0
            assert row["errors"] == {}
            assert row["unhandled"] == 0.0
            assert row["dispatches"] > 100
            low, high = row["to_direct"]["spread"]
            assert low <= row["to_direct"]["ratio"] <= high
        assert group["rows"][0]["to_direct"]["ratio"] == 1.0
        assert group["rows"][1]["to_hand_written"]["ratio"] == 1.0


def test_each_bus_has_the_stages_of_its_name() -> None:
    kinds = [
        [stage.kind for stage in bus.describe()[0].stages] for _, bus in buses(handle)
    ]
    longest = [
        "Metrics",
        "ValidationMiddleware",
        "RateLimitingMiddleware",
        "RetryMiddleware",
        "CircuitBreakerMiddleware",
        "TimeoutMiddleware",
    ]
    assert kinds == [longest[:count] for count in range(7)]


def test_the_first_line_of_the_table_tells_the_noise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", *QUICK]) == 0
    told = capsys.readouterr()
    first, second, *rest = told.out.splitlines()
    assert first.startswith(("NOISY MACHINE: the repeats of", "quiet machine: the"))
    assert "cqrs_fast 1.2.3 (release build)" in second
    assert sum("+ timeout" in line for line in rest) == 2
    assert told.err == ""  # no terminal, no progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(Progress, "INTERVAL", 0.0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["bench", *QUICK]) == 0
    shown = terminal.getvalue()
    for step in ("warming up: + retry", "repeat 1 of 5", "allocations: + timeout"):
        assert step in shown
    assert "ETA 0:0" in shown
    assert shown.endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("times", "noisy"), [([100.0, 104.0], False), ([100.0, 130.0], True)]
)
def test_noise(times: list[float], noisy: bool) -> None:
    case = Case("the row", "result = message", [1], Stepper())
    case.run(1)
    case.bests = times
    assert (case.spread > NOISY) is noisy
    assert noise_of([case])[1].startswith("NOISY" if noisy else "quiet")
    assert f"{noisy:d} of 1 cases differ by over 15%" in noise_of([case])[1]
    mixed = Case("mixed", "result = 1 / message", [0, 1], Stepper())
    mixed.run(1)
    mixed.medians = [1.0, 9.0]
    assert mixed.spread > case.spread
    assert "those of 'the row' most" in noise_of([case, mixed])[1]


@pytest.mark.parametrize(("noisy", "begins"), [(1, "quiet"), (2, "NOISY MACHINE")])
def test_a_machine_is_noisy_if_many_cases_are(noisy: int, begins: str) -> None:
    cases = []
    for number in range(4):
        case = Case(f"row {number}", "result = message", [1], Stepper())
        case.run(1)
        case.bests = [100.0, 130.0 if number < noisy else 101.0]
        cases.append(case)
    is_noisy, told = noise_of(cases)
    assert told.startswith(begins)
    assert f"{noisy} of 4 cases differ" in told
    assert is_noisy is (begins != "quiet")


# A bus of the user's


def test_a_pipeline_is_measured_stage_by_stage(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pipeline(capsys, "shop")
    assert [row["name"] for row in rows] == [
        DIRECT,
        HAND_WRITTEN,
        NO_STAGES,
        "+ metrics",
        "+ ValidationMiddleware",
        "+ Looking",
        "+ tracing",
        "+ factory",
        "+ the handlers' own",
    ]
    assert all(row["ok"] == 1.0 and row["unhandled"] == 0.0 for row in rows)
    measured = sys.modules["measured"]
    assert measured.placed == []
    assert measured.seen != []
    assert measured.shop.stats().messages["Place"].count == 0


def test_handlers_run_where_that_is_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pipeline(capsys, "make", "--run-handlers")
    placed = sys.modules["measured"].placed
    assert len(placed) >= sum(row["dispatches"] for row in rows)
    assert len(placed[0].customer) >= 2
    assert all(row["ok"] == 1.0 for row in rows)
    assert [row["unhandled"] for row in rows] == [None, None, *[0.0] * 7]


def test_a_limiter_that_refuses_is_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none, validated, limited, traced = pipeline(capsys, "limited")[2:]
    assert none["ok"] == validated["ok"] == 1.0
    for row in (limited, traced):
        assert row["ok"] < 0.1
        assert row["errors"]["RateLimitExceededError"] > 0.9
        assert "limit of 1 calls" in row["error_texts"]["RateLimitExceededError"]
    assert main(["bench", *QUICK, "--pipeline", "measured:limited"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "│ + RateLimitingMiddleware" in line]
    cells = [cell.strip() for cell in line.split("│")]
    assert cells[-3] == ""  # what it adds cannot be told
    assert "RateLimitExceededError" in cells[-2]
    assert any("is reached" in line for line in lines)


def test_a_cache_that_answers_is_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pipeline(capsys, "queries")
    assert [row["unhandled"] for row in rows] == [0.0, 0.0, 0.0, 1.0]
    assert main(["bench", *QUICK, "--pipeline", "measured:queries"]) == 0
    assert "100% ok (100% of it without a handler)" in capsys.readouterr().out


def test_async_handlers_are_awaited(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench(capsys, "--pipeline", "measured:plain_queries", "--run-handlers")
    (group,) = found["groups"]
    assert group["title"] == "measured:plain_queries, async"
    assert all(row["ok"] == 1.0 for row in group["rows"])
    assert found["pipeline"] == {
        "target": "measured:plain_queries",
        "messages": 1,
        "without_example": [],
        "handlers": "run",
    }


@pytest.mark.parametrize(
    ("bus", "title", "unhandled"),
    [
        ("both", "measured:both, async", 0.0),
        ("offloading", "measured:offloading, sync", None),
        ("compiled", "measured:compiled, sync", None),
    ],
)
def test_handlers_of_every_form_run(
    bus: str,
    title: str,
    unhandled: float | None,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = bench(capsys, "--pipeline", f"measured:{bus}", "--run-handlers")
    (group,) = found["groups"]
    assert group["title"] == title
    assert [row["ok"] for row in group["rows"]] == [1.0] * 3
    assert group["rows"][-1]["unhandled"] == unhandled


def test_no_row_finds_what_another_left_where_a_function_makes_the_bus(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pipeline(capsys, "make_limited")
    made = sys.modules["measured"].made
    first, none, limited, traced = (
        bus.middleware[0].snapshot().admitted for bus in made
    )
    assert (first, none) == (0, 0)
    assert limited == rows[3]["dispatches"]
    assert traced == rows[4]["dispatches"]


def test_a_function_that_makes_other_messages_each_time(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [row["ok"] for row in pipeline(capsys, "make_others")] == [1.0] * 3
    # One of the first message, and one that was not like it.
    assert len(sys.modules["measured"].made) == 2


def test_messages_come_from_a_file(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"$type": "Place", "customer": "Ann", "amount": n} for n in (1, 5)]
    Path("orders.jsonl").write_text("\n".join(map(json.dumps, lines)))
    status = main(
        ["bench", "--pipeline", "measured:shop", "--messages", "orders.jsonl"]
    )
    assert status == 2
    assert "orders.jsonl, line 1:" in capsys.readouterr().err
    Path("orders.jsonl").write_text(json.dumps(lines[1]))
    rows = pipeline(capsys, "shop", "--messages", "orders.jsonl", "--run-handlers")
    assert rows[-1]["ok"] == 1.0
    assert sys.modules["measured"].placed[-1].customer == "Ann"


def test_what_has_no_example_is_left_out_and_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench(capsys, "--pipeline", "measured:mixed")
    (missing,) = found["pipeline"]["without_example"]
    assert missing.startswith("Strange: TypeError: ")
    assert main(["bench", *QUICK, "--pipeline", "measured:mixed"]) == 0
    assert "--messages FILE" in capsys.readouterr().out


def test_what_leaves_the_program_is_an_error_like_others(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipeline(capsys, "leaving")[-1]["errors"] == {"SystemExit": 1.0}


def test_ctrl_c_leaves_at_once(place: Path) -> None:
    assert main(["bench", *QUICK, "--pipeline", "measured:interrupted"]) == 130
    assert gc.isenabled()


ORDERS = ["--pipeline", "measured:shop", "--messages", "orders.jsonl"]
GOOD = '{"$type": "Place", "customer": "Ann", "amount": 5}\n'


@pytest.mark.parametrize(
    ("arguments", "lines", "said"),
    [
        (["--pipeline", "measured"], "", "expected MODULE:BUS"),
        (["--pipeline", "nowhere:bus"], "", "cannot import nowhere"),
        (["--pipeline", "measured:nothing"], "", "has no attribute 'nothing'"),
        (["--pipeline", "measured:number"], "", "is an int, not a bus"),
        (["--pipeline", "measured:empty"], "", "has no handlers"),
        (["--pipeline", "measured:unmakeable"], "", "Strange: TypeError: "),
        (["--pipeline", "measured:by_name"], "", "registered by name alone"),
        (["--pipeline", "measured:once"], "", "no second route"),
        (["--messages", "orders.jsonl"], "", "go with --pipeline"),
        (["--run-handlers"], "", "go with --pipeline"),
        (["--seconds", "0"], "", "more than 0"),
        (["--seconds", "soon"], "", "more than 0"),
        (["--pipeline", "measured:shop", "--messages", "no"], "", "cannot read no"),
        (ORDERS, "\n\n", "orders.jsonl has no messages"),
        (ORDERS, f"{GOOD}{{", "orders.jsonl, line 2: "),
        (ORDERS, '{"$type": "Other"}', "line 1: no class for 'Other'; there are Pl"),
        (ORDERS, '{"$type": "Place", "customer": 1}', "line 1: "),
        (ORDERS, " " * 20_000_000 + "1", "longer than"),
    ],
)
def test_what_cannot_be_measured_is_said(
    arguments: list[str],
    lines: str,
    said: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("orders.jsonl").write_text(lines)
    assert main(["bench", *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


@pytest.mark.parametrize("mode", ["debug", "trace", "asan", "profile"])
def test_no_other_build_is_measured(
    mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cqrs_fast.cli.machine.build_info", lambda: {"mode": mode})
    assert main(["bench"]) == 2
    reason = refusal({"mode": mode})
    assert reason is not None
    assert capsys.readouterr().err == f"cqrs-fast: no benchmarks: {reason}\n"


# Example messages


class Inner(msgspec.Struct):
    number: Annotated[int, Meta(ge=1)]
    text: str = "default"


@dataclasses.dataclass
class Plain:
    number: int


Attributes = attrs.make_class("Attributes", {"number": attrs.field(type=int)})


class Model(pydantic.BaseModel):
    number: int = pydantic.Field(ge=3)


class Made(Command[None]):
    code: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    count: Annotated[int, Meta(gt=1, le=4)]
    inner: list[Inner]
    day: datetime.date
    default: int = 7


def test_an_example_is_valid_and_the_same_each_time() -> None:
    made = example_of(Made)
    assert example_of(Made) == made
    bus = CommandBus(middleware=[ValidationMiddleware()])
    bus.register_handler(Made, lambda command: None)
    bus.execute(made)
    assert made.default == 7


@pytest.mark.parametrize("cls", [Plain, Attributes, Model])
def test_an_example_of_every_kind_of_class_is_made(cls: type) -> None:
    assert type(example_of(cls)) is cls


class Checked(Command[None]):
    number: int

    def __post_init__(self) -> None:
        raise KeyError("table")


class Zoned(Command[None]):
    # A constraint that polyfactory does not know.
    start: Annotated[datetime.datetime, Meta(tz=True)]


class Unknown:
    pass


def test_why_there_is_no_example_is_told() -> None:
    bus = CommandBus()
    for message in (Checked, Zoned, "Named"):
        bus.register_handler(message, lambda command: None)
    messages, missing = example_messages(registrations(bus))
    assert messages == []
    checked, named, zoned = sorted(missing)
    assert checked.startswith("Checked: KeyError: 'table' (")
    assert named == "Named: registered by name alone, without a class"
    assert zoned.startswith("Zoned: ValidationError: ")
    with pytest.raises(TypeError, match="polyfactory knows no such class"):
        example_of(Unknown)


def test_without_polyfactory_it_says_how_to_get_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "polyfactory", None)
    assert main(["bench", *QUICK, "--pipeline", "measured:shop"]) == 2
    told = capsys.readouterr().err
    assert "pip install 'cqrs-fast[bench]', or give messages with --messages" in told
    Path("orders.jsonl").write_text(GOOD)
    assert main(["bench", *QUICK, *ORDERS]) == 0


# What it is made of


@pytest.mark.parametrize(
    ("statement", "peak", "kept"),
    [
        ("result = message", 0, 0),
        ("bytearray(1000)", 1000, 0),
        ("there.append(bytearray(1000))", 1000, 1000),
        ("await coroutine(message)", 100, 0),
    ],
)
def test_what_one_message_allocates(statement: str, peak: int, kept: int) -> None:
    async def coroutine(message: Any) -> Any:
        return message

    stepper = Stepper()
    there: list[Any] = []
    case = Case("", statement, [1], stepper, there=there, coroutine=coroutine)
    try:
        case.warm_up()
        case.trace()
    finally:
        stepper.close()
    # A list that grows and what an event loop needs is not the message's.
    assert peak <= case.allocated.peak <= peak * 1.2 + 200
    assert kept <= case.allocated.kept <= kept * 1.2
    assert not tracemalloc.is_tracing()


def test_the_stepper_ends_what_still_runs() -> None:
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("background")

    async def start() -> Any:
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        return task

    stepper = Stepper()
    task = stepper.run(start())
    stepper.close()
    assert ended == ["background"]
    assert task.cancelled()
    stepper.close()  # nothing more to end


def test_registrations_tell_what_was_registered() -> None:
    class Do(Command[None]):
        pass

    def do(command: Do) -> None:
        pass

    def around(ctx: Any, message: Any, next: Any) -> Any:
        return next(ctx, message)

    bus = CommandBus(enable_metrics=True, latency_sample=7)
    bus.register_handler(Do, do, middleware=[around], offload=True)
    bus.register_handler("Again", do)
    again, first = registrations(bus)
    assert (first.name, first.message_class, first.handler) == ("Do", Do, do)
    assert (first.middleware, first.offload) == ((around,), True)
    assert (first.is_async, first.with_context) == (False, False)
    assert (again.name, again.message_class, again.handler) == ("Again", None, do)
    assert (again.middleware, again.offload) == ((), False)
    assert has_metrics(bus)
    other = similar_bus(bus, [around], False)
    assert type(other) is CommandBus
    assert (other.latency_sample, other.middleware) == (7, (around,))
    assert not has_metrics(other)
    assert registrations(other) == []
