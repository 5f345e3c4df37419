"""The command line: through `main` where that is enough, else as a process."""

from __future__ import annotations

import importlib
import io
import itertools
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import cqrs_fast
from cqrs_fast.cli import main, runners
from cqrs_fast.cli.console import Style, duration, line_of, remaining, table
from cqrs_fast.cli.lines import Line, LineReader
from cqrs_fast.cli.runners import run_lines
from cqrs_fast.cli.writer import Interrupts, Outcome, Writer, failure, success

BUSES = """
import asyncio, sys, threading, time
from typing import Annotated
from msgspec import Meta, Raw
from cqrs_fast import Command, CommandBus, Query, QueryBus

class Add(Command[int]):
    left: Annotated[int, Meta(ge=0)]
    right: int

class Fail(Command[None]):
    text: str

class Nap(Command[int]):
    ms: float

class Leave(Command[None]):
    pass

class Raised(Command[None]):
    pass

class Cancel(Command[None]):
    pass

class Halt(Command[None]):
    pass

class Lines(Command[Raw]):
    pass

def add(command: Add) -> int:
    print("adding")
    return command.left + command.right

def fail(command: Fail) -> None:
    raise LookupError(command.text)

def leave(command: Leave) -> None:
    sys.exit(7)

def lines(command: Lines) -> Raw:
    return Raw(b'[1,\\n2]')

running = peak = 0
lock = threading.Lock()

def enter():
    global running, peak
    with lock:
        running += 1
        peak = max(peak, running)

def nap(command: Nap) -> int:
    global running
    enter()
    print("napping", file=sys.stderr, flush=True)
    time.sleep(command.ms / 1000)
    with lock:
        running -= 1
    return peak

async def nap_async(command: Nap) -> int:
    global running
    enter()
    print("napping", file=sys.stderr, flush=True)
    await asyncio.sleep(command.ms / 1000)
    running -= 1
    return peak

async def cancelled(command: Raised) -> None:
    raise asyncio.CancelledError("by itself")

class Halted(BaseException):
    pass

async def halt(command: Halt) -> None:
    raise Halted

async def cancel(command: Cancel) -> None:
    asyncio.current_task().cancel()
    await asyncio.sleep(0)

def make(nap) -> CommandBus:
    bus = CommandBus(max_payload_bytes=1_000_000)
    for message, handler in (
        (Add, add), (Fail, fail), (Leave, leave), (Lines, lines), (Nap, nap),
    ):
        bus.register_handler(message, handler)
    return bus

commands = make(nap)
asynchronous = make(nap_async)
asynchronous.register_handler(Raised, cancelled)
asynchronous.register_handler(Cancel, cancel)
asynchronous.register_handler(Halt, halt)
empty = CommandBus()
number = 42

class Holder:
    queries = QueryBus()

def factory():
    return commands

def nothing():
    return None

def broken():
    raise RuntimeError("no database\\nhere")
"""

BOTH = pytest.mark.parametrize("bus", ["commands", "asynchronous"])
ALL_RUNNERS = pytest.mark.parametrize(
    ("bus", "count"),
    [("commands", 1), ("commands", 4), ("asynchronous", 1), ("asynchronous", 4)],
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with buses in it the current one."""
    (tmp_path / "buses.py").write_text(BUSES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "buses", raising=False)
    importlib.invalidate_caches()
    return tmp_path


def add(left: Any, right: Any = 1) -> str:
    return json.dumps({"$type": "Add", "left": left, "right": right})


def nap(ms: float) -> str:
    return json.dumps({"$type": "Nap", "ms": ms})


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cqrs_fast", *arguments]


def environment() -> dict[str, str]:
    """Return what a process needs to find the package under test."""
    root = str(Path(cqrs_fast.__file__).parents[1])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def process(place: Path, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(
        command_line(*arguments), cwd=place, env=environment(), **options
    )


def dispatch(
    capfd: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, list[dict[str, Any]], str]:
    """Run `dispatch` here; return its status, output and summary."""
    capfd.readouterr()
    status = main(["dispatch", *arguments])
    output, errors = capfd.readouterr()
    return status, [json.loads(line) for line in output.splitlines()], errors


def given(place: Path, *lines: str | bytes) -> str:
    """Write an input file and return its name."""
    data = b"\n".join(
        line.encode() if isinstance(line, str) else line for line in lines
    )
    (place / "input.jsonl").write_bytes(data + b"\n")
    return "input.jsonl"


# What surrounds the commands


def test_version_and_info(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out.startswith("cqrs-fast ")
    assert main(["info"]) == 0
    output = capfd.readouterr().out
    build = cqrs_fast.build_info()
    for expected in (build["mode"], build["flags"], build["compiler"], sys.version):
        assert expected in output


@pytest.mark.parametrize("command", ["config", "demo", "dispatch", "explain", "info"])
def test_every_help_has_an_example(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    assert f"example: cqrs-fast {command}" in capfd.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["dispatch"],
        ["dispatch", "a:b", "--concurrency", "0"],
        ["dispatch", "a:b", "--concurrency", "many"],
    ],
)
def test_misuse_is_told_with_the_usage(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert "usage: cqrs-fast" in errors


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("buses", "expected MODULE:BUS"),
        (":commands", "expected MODULE:BUS"),
        ("nowhere:bus", "cannot import nowhere: ModuleNotFoundError"),
        ("buses.py:commands", "dotted name, not its file"),
        ("bad:bus", "bad.py, line 2)"),
        ("leaving:bus", "cannot import leaving: SystemExit"),
        ("buses:orders", "no attribute 'orders'; it has the buses commands, async"),
        ("buses:number", "buses:number is an int, not a bus"),
        ("buses:nothing", "buses:nothing is None, not a bus"),
        ("buses:broken", "buses:broken() failed: RuntimeError: no database here ("),
        ("buses:make", "buses:make() failed: TypeError"),
    ],
)
def test_a_target_that_is_none_is_told_in_one_sentence(
    target: str, told: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "bad.py").write_text("value = 1\nvalue / 0\n")
    (place / "leaving.py").write_text("import sys\nsys.exit('no')\n")
    assert main(["dispatch", target]) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.startswith("cqrs-fast: ")
    assert told in errors
    assert errors.count("\n") == 1


def test_an_input_that_cannot_be_read(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["dispatch", "buses:commands", "missing.jsonl"]) == 2
    assert "cannot read missing.jsonl: No such file" in capfd.readouterr().err
    assert main(["dispatch", "buses:commands", "."]) == 2
    assert "cannot read .: Is a directory" in capfd.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["dispatch", "buses:commands"]) == 2
    assert "standard input is closed" in capfd.readouterr().err


@ALL_RUNNERS
def test_a_read_that_fails_half_way_keeps_what_was_done(
    bus: str, count: int, place: Path
) -> None:
    class Failing:
        left = f"{add(1)}\n".encode()

        def read(self, size: int, /) -> bytes:
            if self.left:
                chunk, self.left = self.left, b""
                return chunk
            raise OSError(5, "Input/output error")

        def fileno(self) -> int:
            raise OSError

        def close(self) -> None: ...

    sys.path.insert(0, str(place))
    output = io.BytesIO()
    writer = Writer(output)
    target = getattr(importlib.import_module("buses"), bus)
    with pytest.raises(Exception, match="cannot read the input: Input/output error"):
        run_lines(target, LineReader(Failing(), 1000), writer, count)
    writer.finish()
    assert output.getvalue() == b'{"line":1,"ok":true,"result":2}\n'


# explain


def test_explain(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "buses:commands"]) == 0
    output = capfd.readouterr().out
    assert "Add, Fail, Leave, Lines, Nap (command)" in output
    assert "Nap, sync -> buses.nap" in output
    assert main(["explain", "buses:asynchronous", "Nap"]) == 0
    assert capfd.readouterr().out == "Nap (command, async)\n  -> buses.nap_async\n"


def test_explain_has_nothing_to_show(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "buses:commands", "Ad"]) == 2
    assert "Did you mean 'Add'?" in capfd.readouterr().err
    assert main(["explain", "buses:empty"]) == 2
    assert "buses:empty has no handlers" in capfd.readouterr().err


# dispatch


@ALL_RUNNERS
def test_each_line_has_its_result_or_error(
    bus: str, count: int, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = given(
        place,
        add(1),
        "",
        "  \t",
        add(-1),
        '{"$type": "Fail", "text": "lost \\u00e9"}',
        add(2) + "\r",
        '{"$type": "Nothing"}',
        "nonsense",
        b'{"$type": "\xff"}',
        "[" * 100_000,
        add("x" * 1_000_000),
        '{"$type": "Leave"}',
        '{"$type": "Lines"}',
        add(3),
    )
    status, records, errors = dispatch(
        capfd, f"buses:{bus}", file, "--concurrency", str(count)
    )
    assert status == 1
    assert [record["line"] for record in records] == [1, *range(4, 15)]
    by_line = {record["line"]: record for record in records}
    assert by_line[1] == {"line": 1, "ok": True, "result": 2}
    assert by_line[5]["error"] == {"type": "LookupError", "message": "lost é"}
    assert by_line[6]["result"] == 3
    assert by_line[7]["error"]["type"] == "HandlerNotFoundError"
    assert by_line[12]["error"] == {"type": "SystemExit", "message": "7"}
    assert by_line[13]["result"] == [1, 2]
    assert by_line[14]["result"] == 4
    kinds = {
        number: record["error"]["errors"][0]["code"]
        for number, record in by_line.items()
        if not record["ok"] and record["error"]["type"] == "ValidationError"
    }
    assert kinds == {
        4: "ge",
        8: "invalid",
        9: "invalid",
        10: "invalid",
        11: "max_length",
    }
    assert by_line[4]["error"]["errors"][0]["path"] == "$.left"
    assert "12 lines in" in errors
    assert "4 ok, 8 failed" in errors
    assert "ValidationError" in errors
    assert "p99" in errors


def test_a_last_line_without_an_end(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "input.jsonl").write_text(add(4))
    status, records, _ = dispatch(capfd, "buses:commands", "input.jsonl")
    assert (status, records) == (0, [{"line": 1, "ok": True, "result": 5}])
    (place / "input.jsonl").write_text("")
    status, records, errors = dispatch(capfd, "buses:commands", "input.jsonl")
    assert (status, records) == (0, [])
    assert "0 lines" in errors


def test_what_handlers_print_does_not_spoil_the_output(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, records, errors = dispatch(capfd, "buses:commands", given(place, add(1)))
    assert records == [{"line": 1, "ok": True, "result": 2}]
    assert "adding" in errors


@pytest.mark.parametrize("target", ["buses:factory", "buses:Holder.queries"])
def test_factories_and_dotted_attributes(
    target: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, _ = dispatch(capfd, target, os.devnull)
    assert status == 0


def test_standard_input_without_a_descriptor(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.TextIOWrapper(io.BytesIO(add(5).encode()))
    monkeypatch.setattr(sys, "stdin", text)
    _, records, _ = dispatch(capfd, "buses:commands", "--quiet")
    assert records == [{"line": 1, "ok": True, "result": 6}]


def test_quiet_says_nothing_of_its_own(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = given(place, nap(0))
    _, _, errors = dispatch(capfd, "buses:commands", file, "--quiet")
    assert errors == "napping\n"


@BOTH
def test_order_is_kept_while_lines_overlap(
    bus: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = given(place, *[nap(ms) for ms in (40, 1, 20, 1, 5, 0, 10, 1)] * 3)
    status, records, _ = dispatch(capfd, f"buses:{bus}", file, "--concurrency", "6")
    assert status == 0
    assert [record["line"] for record in records] == list(range(1, 25))
    assert 2 <= max(record["result"] for record in records) <= 6


@ALL_RUNNERS
def test_stop_on_error(
    bus: str, count: int, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = given(place, add(1), add(2), add(-1), *[add(3)] * 20_000)
    status, records, errors = dispatch(
        capfd, f"buses:{bus}", file, "--stop-on-error", "--concurrency", str(count)
    )
    assert status == 1
    assert [record["ok"] for record in records] == [True, True, False]
    assert "3 lines in" in errors


def test_a_handler_that_cancels_itself_ends_its_own_line(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = given(place, '{"$type": "Raised"}', add(1))
    halting = place / "halting.jsonl"
    halting.write_text(f'{{"$type": "Halt"}}\n{add(1)}\n')
    for count in "14":
        for input, kind in ((file, "CancelledError"), (str(halting), "Halted")):
            status, records, _ = dispatch(
                capfd, "buses:asynchronous", input, "--concurrency", count
            )
            assert status == 1
            assert records[0]["error"]["type"] == kind
            assert records[1]["result"] == 2


def test_a_handler_that_cancels_its_task_ends_its_own_line(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = given(place, '{"$type": "Cancel"}', add(1))
    status, records, _ = dispatch(
        capfd, "buses:asynchronous", file, "--concurrency", "4"
    )
    assert status == 1
    assert records[0]["error"]["type"] == "CancelledError"
    assert records[1]["result"] == 2


@pytest.mark.parametrize("bus", ["commands", "asynchronous"])
def test_a_slow_line_does_not_keep_those_before_it(bus: str, place: Path) -> None:
    file = given(place, add(1), add(2), nap(3_000))
    with process(
        place, "dispatch", f"buses:{bus}", file, "--concurrency", "2"
    ) as running:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["line"] == 1
        started = time.monotonic()
        assert json.loads(running.stdout.readline())["line"] == 2
        assert time.monotonic() - started < 2.5
        running.kill()


# As a process


@ALL_RUNNERS
def test_results_come_while_the_input_is_still_open(
    bus: str, count: int, place: Path
) -> None:
    with process(
        place,
        *("dispatch", f"buses:{bus}", "--concurrency", str(count)),
        stdin=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for left in (1, 2):
            running.stdin.write(f"{add(left)}\n".encode())
            running.stdin.flush()
            assert json.loads(running.stdout.readline())["result"] == left + 1
        running.stdin.close()
        assert running.wait(10) == 0


@ALL_RUNNERS
@pytest.mark.parametrize("waiting", ["for input", "for a handler"])
def test_ctrl_c_keeps_what_was_written(
    waiting: str, bus: str, count: int, place: Path
) -> None:
    in_threads = bus == "commands" and count > 1
    with process(
        place,
        *("dispatch", f"buses:{bus}", "--concurrency", str(count)),
        stdin=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdin.write(f"{add(1)}\n".encode())
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["line"] == 1
        if waiting == "for a handler":
            # A thread cannot be interrupted: what runs in one is waited for.
            ms = 40 if in_threads else 60_000
            running.stdin.write(f"{nap(ms)}\n".encode())
            running.stdin.flush()
            while running.stderr.readline() != b"napping\n":
                pass
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=10)
    assert running.returncode == 130
    assert b"Traceback" not in errors
    assert b"interrupted after" in errors
    finished = waiting == "for a handler" and in_threads
    assert [json.loads(line)["line"] for line in output.splitlines()] == (
        [2] if finished else []
    )


@ALL_RUNNERS
def test_a_broken_pipe_ends_quietly(bus: str, count: int, place: Path) -> None:
    file = given(place, *['{"$type": "Nothing"}'] * 20_000)
    with process(
        place, "dispatch", f"buses:{bus}", file, "--concurrency", str(count)
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["line"] == 1
        running.stdout.close()
        errors = running.stderr.read()
        assert running.wait(10) == 141
    assert errors == b""


def test_a_broken_pipe_ends_the_other_commands_quietly(place: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with process(place, "info", stdout=writing) as running:
        os.close(writing)
        assert running.communicate(timeout=10)[1] == b""
    assert running.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_a_full_disk_is_told(place: Path) -> None:
    file = given(place, add(1))
    with open("/dev/full", "wb") as full:
        command = process(place, "dispatch", "buses:commands", file, stdout=full)
    errors = command.communicate(timeout=10)[1]
    assert command.returncode == 2
    assert b"cannot write the output: No space left on device" in errors
    assert b"Traceback" not in errors


def test_progress_on_a_terminal(place: Path) -> None:
    terminal, end = pty.openpty()
    file = given(place, *[nap(15)] * 20)
    with process(
        place, "dispatch", "buses:commands", file, stderr=end, stdin=subprocess.DEVNULL
    ) as running:
        os.close(end)
        shown = b""
        # The end of a terminal whose other side is closed is an error on Linux.
        with suppress(OSError):
            while select.select([terminal], [], [], 10)[0]:
                data = os.read(terminal, 4096)
                if not data:
                    break
                shown += data
        assert running.wait(10) == 0
    os.close(terminal)
    text = shown.decode()
    drawn = [part for part in text.split("\r") if "lines" in part and "/s" in part]
    assert any("%" in part and "ETA 0:0" in part for part in drawn)
    # Cleared before the summary, which is all that stays.
    assert "\r\x1b[K20 lines in" in text.replace("\r\n", "\n")


# The parts


def test_ctrl_c_is_held_back_once() -> None:
    interrupts = Interrupts()
    finished = []

    def press(times: int) -> None:
        with interrupts:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            finished.append(times)

    with interrupts.listening():
        with pytest.raises(KeyboardInterrupt):
            press(1)
        with pytest.raises(KeyboardInterrupt):
            press(2)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert finished == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.alone
def test_a_long_line_is_never_held() -> None:
    class Endless:
        left = 100_000_000

        def read(self, size: int, /) -> bytes:
            if self.left <= 0:
                return b""
            self.left -= size
            return b"x" * size if self.left > 0 else b"\nshort"

        def fileno(self) -> int:
            raise OSError

        def close(self) -> None: ...

    tracemalloc.start()
    try:
        reader = LineReader(Endless(), 1000)
        lines: list[Line] = []
        while (batch := reader.read()) is not None:
            lines += batch
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(line.number, line.payload) for line in lines] == [(1, None), (2, b"short")]
    assert lines[-1].end > 99_000_000
    assert peak < 1_000_000


@BOTH
def test_no_more_is_dispatched_than_fits(
    bus: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.path.insert(0, str(place))
    buses = importlib.import_module("buses")
    done, waiting = itertools.count(1), []

    def counted(*arguments: Any) -> Outcome:
        waiting.append(next(done) - writer.lines)
        return success(*arguments)

    monkeypatch.setattr(runners, "success", counted)
    lines = [nap(40), *[add(1)] * 5000]
    file = io.BytesIO("\n".join(lines).encode())
    writer = Writer(io.BytesIO())
    run_lines(getattr(buses, bus), LineReader(file, 1000), writer, 4)
    writer.finish()
    assert writer.lines == 5001
    assert 4 <= max(waiting) <= 64


def test_an_error_whose_text_cannot_be_encoded_or_made() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    line = Line(1, b"", 1)
    text = json.loads(failure(line, ValueError("\ud800"), 0.0).text)["error"]
    assert text == {"type": "ValueError", "message": "\\ud800"}
    text = json.loads(failure(line, Mute(), 0.0).text)["error"]
    assert text["message"] == "(its text cannot be made)"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0.00 µs"),
        (1.234e-6, "1.23 µs"),
        (0.000_999_9, "1.00 ms"),
        (0.0123, "12.3 ms"),
        (0.9999, "1.00 s"),
        (1234.5, "1,234 s"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_times_to_wait() -> None:
    assert [remaining(seconds) for seconds in (0, 65, 3725)] == [
        "0:00",
        "1:05",
        "1:02:05",
    ]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Style(Terminal()).paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert not Style(io.StringIO()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert Style(Terminal()).paint("x", "red") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not Style(Terminal()).colour


def test_tables_are_aligned_with_boxes_or_without() -> None:
    rows = [["one", "1"], ["three", "3,000"], ["Total", "3,001"]]
    plain = io.TextIOWrapper(io.BytesIO(), "ascii")
    lines = table(["Name", "N"], rows, Style(plain), align="<>", total=True)
    assert lines == [
        "+-------+-------+",
        "| Name  |     N |",
        "+-------+-------+",
        "| one   |     1 |",
        "| three | 3,000 |",
        "+-------+-------+",
        "| Total | 3,001 |",
        "+-------+-------+",
    ]
    utf8 = io.TextIOWrapper(io.BytesIO(), "utf-8")
    assert table(["N"], [["1"]], Style(utf8), align=">")[0] == "┌───┐"


def test_progress_tells_the_share_and_the_time_to_wait_where_these_are_known() -> None:
    assert line_of(None, "10 lines", 2.0) == "10 lines"
    assert line_of(0.0, "begins", 2.0) == "░" * 24 + "   0%  begins"
    half = line_of(0.5, "10 lines", 2.0)
    assert half == "█" * 12 + "░" * 12 + "  50%  10 lines  ETA 0:02"
    assert line_of(1.2, "over", 2.0).endswith("100%  over  ETA 0:00")


def test_the_progress_of_lines_has_their_rate() -> None:
    writer = Writer(io.BytesIO())
    writer.write(failure(Line(1, b"", 1), ValueError("one"), 0.1))
    assert writer.summary(0.5) == "1 lines  2/s  1 failed"
    assert writer.summary(0.0) == "1 lines  0/s  1 failed"
    assert (writer.lines, writer.failed, writer.errors["ValueError"]) == (1, 1, 1)
