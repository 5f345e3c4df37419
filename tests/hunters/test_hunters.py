"""The short forms of the hunters, and that a hunter finds what is planted."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hunters import builds, nomemory, report
from hunters.__main__ import SEED, SHORT_MOST_FAULTS, SHORT_SCHEDULES
from hunters.hunters import CHOSEN, HUNTERS
from hunters.hunting import (
    ADDR_NO_RANDOMIZE,
    AND,
    Effort,
    Ending,
    Nursery,
    hunt,
    show,
)
from places import ROOT

from cqrs_fast import build_info

SHORT = Effort(
    whole=False,
    seed=SEED,
    schedules=SHORT_SCHEDULES,
    most_faults=SHORT_MOST_FAULTS,
)


@pytest.mark.skipif(
    build_info()["mode"] != "release", reason="other builds: make hunt, in minutes"
)
@pytest.mark.parametrize("name", CHOSEN)
def test_nothing_is_found(name: str) -> None:
    if name == "nomemory" and sys.version_info >= (3, 12):
        pytest.skip("what the interpreter does wrong is told by gdb: make hunt")
    hunter = HUNTERS[name]
    try:
        found = hunt(hunter, SHORT)
    except LookupError as missing:
        pytest.skip(str(missing))
    told = io.StringIO()
    show(found.faults, hunter, told)
    assert found.faults == [], told.getvalue()
    assert found.scenarios > 500
    if name == "waiters":
        # Those whose loop is held up were passed over, in virtual time.
        assert found.seen["overtakings"] > 10


@pytest.mark.parametrize(("is_whole", "real"), [(True, 100), (False, 10)])
def test_some_schedules_of_waiters_run_in_real_time(is_whole: bool, real: int) -> None:
    asked: list[str] = []

    def ask(scenario: str) -> Any:
        asked.extend(scenario.split(AND))
        return Ending("done", None, "", "", {})

    HUNTERS["waiters"].hunt(ask, SHORT._replace(whole=is_whole, schedules=120))
    virtual = [str(SEED + number) for number in range(120)]
    assert asked == [*virtual, *(f"real {SEED + number}" for number in range(real))]


# Planted faults


def test_each_planted_fault_is_found_and_told_with_its_command() -> None:
    hunter = HUNTERS["planted"]
    found = hunt(hunter, SHORT)
    faults = {fault.scenario: fault for fault in found.faults}
    assert {name: fault.what for name, fault in faults.items()} == {
        "abort": "SIGABRT",
        "segv": "SIGSEGV",
        "hang": "hangs: no end within 0.5 s",
        "fail": "AssertionError: a promise is broken",
        "leave": "exits with 3",
    }
    assert found.scenarios == 7
    # What came before a fault in the same process is lost if it dies.
    assert found.seen == {"sights": 1}
    # Where it stood: a traceback of what crashed, of what hung, of what raised.
    assert "in abort" in faults["abort"].told
    assert "in read_nothing" in faults["segv"].told
    assert "in hang" in faults["hang"].told
    assert "what it said before" in faults["fail"].told
    told = io.StringIO()
    show(found.faults, hunter, told, most=4)
    command = "python -m tests.hunters --hunter planted --scenario 'abort'"
    assert f"FAULT planted abort: SIGABRT\n  {command}" in told.getvalue()
    assert "and 1 more faults:\n  leave: exits with 3" in told.getvalue()


def test_a_hunter_gives_up_where_there_are_too_many_faults() -> None:
    found = hunt(HUNTERS["planted"], SHORT._replace(most_faults=1))
    assert [fault.scenario for fault in found.faults] == ["abort", "segv"]


def test_what_others_did_wrong_is_no_fault() -> None:
    excuses = {"segv": "it drops a name twice"}
    hunter = HUNTERS["planted"]._replace(excuse=excuses.get)
    found = hunt(hunter, SHORT._replace(most_faults=1))
    assert [fault.scenario for fault in found.faults] == ["abort", "hang"]
    assert found.excused == [("segv", "it drops a name twice")]


def test_a_nursery_that_dies_is_a_fault_and_the_next_one_goes_on() -> None:
    with Nursery(HUNTERS["planted"]) as nursery:
        nursery.start().kill()
        assert nursery.ask("fine").fault == "the nursery died"
        assert nursery.ask("fine").answer == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="how is known for Linux alone")
def test_each_nursery_lies_at_the_same_addresses() -> None:
    with Nursery(HUNTERS["planted"]) as nursery:
        found = Path(f"/proc/{nursery.start().pid}/personality").read_text()
        assert int(found, 16) == ADDR_NO_RANDOMIZE
        assert nursery.ask("fine").answer == "done"


def test_what_came_after_a_fault_is_asked_for_again() -> None:
    asked: list[str] = []
    with Nursery(HUNTERS["planted"]) as nursery:

        def ask(scenario: str) -> Any:
            asked.append(scenario)
            return nursery.ask(scenario)

        HUNTERS["planted"].hunt(ask, SHORT)
    assert [scenario.split(AND)[0] for scenario in asked] == [
        "fine",
        "segv",
        "hang",
        "fail",
        "leave",
        "fine too",
    ]


@pytest.mark.parametrize(("scenario", "status"), [("fine", 0), ("abort", 1)])
def test_one_command_runs_one_scenario_again(scenario: str, status: int) -> None:
    command = [sys.executable, "-m", "tests.hunters", "--hunter", "planted"]
    done = subprocess.run(
        [*command, "--scenario", scenario],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert done.stdout.endswith(f"{scenario}: {'done' if status == 0 else 'SIGABRT'}\n")


# What is excused


FAILED = "#0  hook_fmalloc (size=160) at mem.c:87\n#1  _PyObject_GC_New (tp=0x1)\n"
DIED = "#0  0x1 in _Py_Dealloc (op=0x2) at object.c:2625\n#1  code_dealloc (co=0x3)\n"
MAKES = "#2  0x1 in PyFunction_NewWithQualName (code=0x2) at funcobject.c:188\n"
OURS = "#2  0x1 in ?? () from /somewhere/cqrs_fast/buses/bus.so\n"
PYTHON = "#2  0x1 in _PyEval_EvalFrameDefault (tstate=0x2) at bytecodes.c:1\n"


@pytest.mark.parametrize(
    ("told", "is_excused"),
    [
        (FAILED + MAKES + PYTHON + DIED, True),
        # It fails elsewhere, and dies in what is sound.
        (FAILED + PYTHON + DIED + MAKES, False),
        # Further out than where the allocation is asked for.
        (FAILED + OURS + MAKES + DIED, False),
        (FAILED + PYTHON + MAKES + DIED, False),
        (FAILED + PYTHON + DIED + "#2  0x1 in dictiter_new (dict=0x2)\n", True),
        ("", False),
    ],
)
def test_only_what_fails_in_an_unsound_function_is_excused(
    told: str, is_excused: bool
) -> None:
    assert (nomemory.wrong_of_others(told) is not None) is is_excused


def test_cpython_drops_the_code_of_a_function_that_it_cannot_make() -> None:
    pytest.importorskip("_testcapi")
    done = subprocess.run(
        [sys.executable, "-c", DROPS_CODE], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == (sys.version_info[:2] in [(3, 12), (3, 13)])


DROPS_CODE = """
import _testcapi, os, sys

def make(seen):
    return lambda: seen

code = next(one for one in make.__code__.co_consts if hasattr(one, "co_code"))
before = sys.getrefcount(code)
# The first allocation is that of the cell, or of the tuple of cells.
for skipped in range(4):
    _testcapi.set_nomemory(skipped, skipped + 1)
    try:
        make(1)
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
print(before - sys.getrefcount(code), flush=True)
os._exit(0)
"""


# The page


ROW = {
    "hunter": "waiters",
    "mode": "debug",
    "python": "3.12.1",
    "scenarios": 10_000,
    "faults": 0,
    "excused": 3,
    "gave_up": False,
    "whole": True,
    "seconds": 61,
    "date": "2026-11-30",
    "seed": 4711,
    "schedules": 10_000,
}


def test_the_run_writes_its_numbers_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    missing = {"python": "3.13", "missing": "there is no such Python here"}
    liars = {**ROW, "hunter": "liars", "faults": 2, "gave_up": True, "whole": False}
    report.write([ROW, liars, missing], page)
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    told = [
        "| liars | debug | 3.12.1 | 10,000 | **2**, then it gave up | 3 | 61 s | "
        "2026-11-30 | `make hunt VERSION=3.12 MODE=debug HUNTER=liars SHORT=1` |",
        "| waiters | debug | 3.12.1 | 10,000 | 0 | 3 | 61 s | 2026-11-30 | `make "
        "hunt VERSION=3.12 MODE=debug HUNTER=waiters SEED=4711 SCHEDULES=10000` |",
        "| all | all | 3.13 |  |  |  |  |  | not run: there is no such Python here |",
    ]
    assert lines[4:-2] == told
    # The others stay as they are.
    report.write([{**ROW, "python": "3.12.9", "seconds": 5}], page)
    told[1] = told[1].replace("3.12.1", "3.12.9").replace("61 s", "5 s")
    assert page.read_text().splitlines()[4:-2] == told


def test_each_row_is_written_as_its_hunter_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(f"{report.BEGIN}\n{report.END}\n")

    def hunted(copy: Path, version: str, mode: str, name: str, effort: Effort) -> Any:
        if name == "waiters":
            raise KeyboardInterrupt
        return {**ROW, "hunter": name, "mode": mode, "python": version}

    monkeypatch.setattr(builds, "prepared", lambda *arguments: tmp_path)
    monkeypatch.setattr(builds, "hunted", hunted)
    version = ".".join(map(str, sys.version_info[:2]))
    rows = builds.everywhere(["liars", "waiters"], SHORT, ["debug"], [version])
    with pytest.raises(KeyboardInterrupt):
        report.write_each(rows, page)
    assert f"| liars | debug | {version} |" in page.read_text()


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text("nothing here\n")
    with pytest.raises(SystemExit, match="has no <!-- hunt --> and <!-- /hunt -->"):
        report.write([ROW], page)
    assert page.read_text() == "nothing here\n"
