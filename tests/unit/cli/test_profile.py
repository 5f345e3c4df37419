"""`cqrs-fast profile`: a bus kept busy, watched by py-spy or by tracemalloc."""

from __future__ import annotations

import importlib
import os
import shutil
import stat
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from cqrs_fast.base.build import build_info
from cqrs_fast.cli import main, profile
from cqrs_fast.cli.machine import refusal

BUSES = """
import sys
from cqrs_fast import Command, CommandBus, Query, QueryBus

class Place(Command[int]):
    amount: int

class Find(Query[int]):
    number: int

placed = []
hoard = []

def place(command: Place) -> int:
    print("placing")
    placed.append(command)
    return 1

async def find(query: Find) -> int:
    return 1

def hoarding(ctx, message, next):
    hoard.append(bytearray(100))  # is never let go of
    return next(ctx, message)

def interrupting(ctx, message, next):
    raise KeyboardInterrupt

def refusing(ctx, message, next):
    raise LookupError("not today")

def bus(*middleware):
    made = CommandBus(middleware=middleware)
    made.register_handler(Place, place)
    return made

quiet = bus()
greedy = bus(hoarding)
refused = bus(refusing)
interrupted = bus(interrupting)
empty = CommandBus()
number = 42
queries = QueryBus()
queries.register_handler(Find, find)
"""

# As much of py-spy as the command relies on; its name tells what it does then.
FAKE = """#!{python}
import os, signal, subprocess, sys, time
arguments = sys.argv[1:]
command = arguments[arguments.index("--") + 1:]
options = arguments[:arguments.index("--")]
behaviour = {behaviour!r}
if behaviour == "denied":
    sys.exit("Error: Permission Denied: Try running again with elevated permissions")
if behaviour == "silent":
    sys.exit(3)
if behaviour == "broken":
    print("first words")
    sys.exit("the last words")
if behaviour == "stubborn":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if behaviour in ("waiting", "stubborn"):
    open("new", "w").write(str(os.getpid()))
    os.rename("new", "started")
    time.sleep(60)
subprocess.run(command)
print("fake> Wrote what there was to draw", flush=True)
with open(options[options.index("--output") + 1], "w") as file:
    file.write(" ".join(options))
"""

QUICK = ["--seconds", "0.02"]


@pytest.fixture(autouse=True)
def release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every build pass for one that may be measured."""
    build = {"mode": "release", "version": "1.2.3", "flags": "-O3"}
    monkeypatch.setattr("cqrs_fast.cli.machine.build_info", lambda: build)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with buses in it the current one."""
    (tmp_path / "profiled.py").write_text(BUSES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "profiled", raising=False)
    importlib.invalidate_caches()
    return tmp_path


@pytest.fixture
def only_path(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let programs be found in one folder alone."""
    folder = place / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(profile.sysconfig, "get_path", lambda name: str(folder))
    return folder


def fake_py_spy(folder: Path, behaviour: str = "") -> None:
    program = folder / "py-spy"
    program.write_text(FAKE.format(python=sys.executable, behaviour=behaviour))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


# Time


@pytest.mark.parametrize(
    ("options", "output", "given"),
    [
        ([], "profile.svg", "--format flamegraph"),
        (["--cpu", "-o", "out.svg"], "out.svg", "--format flamegraph"),
        (
            ["--format", "speedscope"],
            "profile.speedscope.json",
            "--format speedscope",
        ),
        (["--native"], "profile.svg", "--native"),
    ],
)
def test_py_spy_watches_the_bus(
    options: list[str],
    output: str,
    given: str,
    place: Path,
    only_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_py_spy(only_path)
    assert main(["profile", "profiled:refused", *QUICK, *options]) == 0
    told = capsys.readouterr().out
    assert f"wrote {output}:" in told
    assert "LookupError" in told
    assert "replaced by idle ones" in told
    assert given in (place / output).read_text()
    # The bus was imported where it was watched, and nowhere else.
    assert "profiled" not in sys.modules


def test_the_handlers_of_the_bus_run_where_that_is_asked_for(
    place: Path, only_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_py_spy(only_path)
    (place / "some.jsonl").write_text('{"$type": "Place", "amount": 3}\n' * 2)
    arguments = ["--messages", "some.jsonl", "--run-handlers"]
    assert main(["profile", "profiled:quiet", *QUICK, *arguments]) == 0
    told = capsys.readouterr().out
    assert "2, in turn" in told
    assert "the user's own" in told


def test_without_py_spy_it_says_how_to_get_it(
    only_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "profiled:quiet"]) == 2
    assert "pip install 'cqrs-fast[profile]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("silent", ["py-spy gave no result. It said:\nnothing"]),
        ("denied", ["--cap-add SYS_PTRACE", "It said:\nError: Permission Denied"]),
        ("broken", ["gave no result. It said:\n", "first words", "the last words"]),
    ],
)
def test_a_failure_of_py_spy_is_shown(
    behaviour: str,
    said: list[str],
    only_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_py_spy(only_path, behaviour)
    assert main(["profile", "profiled:quiet", *QUICK]) == 2
    told = capsys.readouterr()
    assert all(text in told.err for text in said)
    assert told.out == ""
    assert not Path("profile.svg").exists()


def interrupt_when_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ctrl-C come once the file `started` is there."""

    def wait(process: Any, *_: Any, **__: Any) -> Any:
        ends = time.monotonic() + 10
        while not Path("started").exists() and time.monotonic() < ends:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", wait)


@pytest.mark.parametrize("behaviour", ["waiting", "stubborn"])
def test_ctrl_c_ends_py_spy(
    behaviour: str, place: Path, only_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_py_spy(only_path, behaviour)
    interrupt_when_started(monkeypatch)
    assert main(["profile", "profiled:quiet", *QUICK]) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("started").read_text()), 0)


@pytest.mark.skipif(shutil.which("py-spy") is None, reason="py-spy is not installed")
def test_the_real_py_spy(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if main(["profile", "profiled:greedy", "--seconds", "0.5"]) != 0:
        told = capsys.readouterr().err
        assert profile.NO_RIGHTS in told
        pytest.skip("py-spy may not look into processes here")
    drawn = Path("profile.svg").read_text()
    assert "hoarding (profiled.py:" in drawn


# Memory


@pytest.mark.alone
def test_the_line_that_keeps_memory_is_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "profiled:greedy", *QUICK, "--memory"]) == 0
    told = capsys.readouterr()
    line = told.out.splitlines()[3]
    assert "profiled.py:" in line
    assert "hoard.append(bytearray(100))" in line
    assert "LookupError" not in told.out
    assert not tracemalloc.is_tracing()
    grown = int(line.split("│")[2].removesuffix(" B ").replace(",", ""))
    (count,) = [one for one in told.out.splitlines() if "between the" in one]
    dispatches = int(count.split()[-2].replace(",", ""))
    assert grown > 100 * dispatches > 0
    assert sys.modules["profiled"].placed == []


@pytest.mark.parametrize("bus", ["quiet", "queries"])
def test_where_nothing_grows_it_says_so(
    bus: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", f"profiled:{bus}", "--memory", *QUICK]) == 0
    told = capsys.readouterr().out
    assert "profiled.py:" not in told
    assert "dispatches" in told


@pytest.mark.alone
def test_ctrl_c_leaves_tracing_off(place: Path) -> None:
    assert main(["profile", "profiled:interrupted", "--memory", *QUICK]) == 130
    assert not tracemalloc.is_tracing()


# What cannot be done


@pytest.mark.parametrize("how", ["--cpu", "--memory"])
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("profiled", "expected MODULE:BUS"),
        ("nowhere:bus", "cannot import nowhere"),
        ("profiled:nothing", "has no attribute 'nothing'"),
        ("profiled:number", "is an int, not a bus"),
        ("profiled:empty", "has no handlers"),
    ],
)
def test_what_cannot_be_profiled_is_said(
    target: str,
    said: str,
    how: str,
    only_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_py_spy(only_path)
    assert main(["profile", target, how, *QUICK]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cpu", "-o", "no/where.svg"], "cannot write no/where.svg"),
        (["--memory", "-o", "where.json"], "--output goes with --cpu"),
    ],
)
def test_an_output_that_cannot_be_written_is_said(
    arguments: list[str],
    said: str,
    only_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_py_spy(only_path)
    assert main(["profile", "profiled:greedy", *QUICK, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_an_output_that_is_a_folder_is_said(
    place: Path, only_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_py_spy(only_path)
    (place / "folder").mkdir()
    assert main(["profile", "profiled:quiet", *QUICK, "-o", "folder"]) == 2
    assert "cannot write folder" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["debug", "trace", "asan"])
def test_no_debug_build_is_profiled(
    mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cqrs_fast.cli.machine.build_info", lambda: {"mode": mode})
    assert main(["profile", "profiled:quiet"]) == 2
    reason = refusal({"mode": mode})
    assert capsys.readouterr().err == f"cqrs-fast: no profile: {reason}\n"


def test_a_profile_build_may_be_profiled() -> None:
    assert refusal({"mode": "profile"}, ("release", "profile")) is None
    assert refusal(build_info(), (build_info()["mode"],)) is None
