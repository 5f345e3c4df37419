"""Instructions are counted by function and judged, and what is missing is said."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

sys.path.append(str(ROOT))

from benchmarks import callgrind, instructions, workload
from benchmarks.callgrind import Dump, parse
from benchmarks.instruction_cases import CASES
from benchmarks.instructions import Case, cases_of, grown, judged
from benchmarks.symbols import readable, title

SO = "cpython-311-x86_64-linux-gnu.so"
DUMP = f"""# callgrind format
version: 1
desc: Timerange: Basic block 1 - 2
desc: Trigger: Client Request: bare | 1000

positions: line
events: Ir
summary: 4321

ob=/tree/build/instructions/cqrs_fast/buses/bus.{SO}
fl=???
fn=__pyx_pw_9cqrs_fast_5buses_3bus_3Bus_5execute
0 3000
cob=/tree/build/instructions/cqrs_fast/pipeline/sync_driver.{SO}
cfi=???
cfn=__pyx_f_9cqrs_fast_8pipeline_11sync_driver_run_sync
calls=1000 0
0 99000
0 1000

ob=/tree/build/instructions/cqrs_fast/pipeline/sync_driver.{SO}
fl=???
fn=__pyx_f_9cqrs_fast_8pipeline_11sync_driver_run_sync
0 70000
fn=__pyx_f_9cqrs_fast_8pipeline_11sync_driver_run_sync.part.0
0 2000

ob=/usr/lib/libpython3.11.so.1.0
fl=Python/ceval.c
fn=_PyEval_EvalFrameDefault
104 20
fi=Include/object.h
502 5
fe=Python/ceval.c
105 7
fn=_PyEval_EvalFrameDefault'2
104 100

ob=/usr/lib/x86_64-linux-gnu/libc.so.6
fl=???
fn=0x0000000000009930
0 8
"""


def test_a_dump_is_read_by_function() -> None:
    dump = parse(DUMP)
    assert dump.label == "bare | 1000"
    assert dump.functions == {
        "cqrs_fast.buses.bus: Bus.execute": 4_000,
        "cqrs_fast.pipeline.sync_driver: run_sync": 72_000,
        "libpython3: _PyEval_EvalFrameDefault": 132,
        "libc: (without a name)": 8,
    }


BUS = "9cqrs_fast_5buses_3bus"
BASE = "9cqrs_fast_4base"


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        (f"__pyx_f_{BUS}_3Bus_route_for", "cqrs_fast.buses.bus.Bus.route_for"),
        (f"__pyx_pw_{BUS}_3Bus_15execute", "cqrs_fast.buses.bus.Bus.execute"),
        (f"__pyx_pf_{BASE}_5build_build_info", "cqrs_fast.base.build.build_info"),
        (f"__pyx_f_{BASE}_5clock_now.constprop.0", "cqrs_fast.base.clock.now"),
        ("__pyx_tp_dealloc_3bus_Bus", "__pyx_tp_dealloc_3bus_Bus"),
        ("memset@@GLIBC_2.2.5", "memset"),
        ("list_dealloc'2", "list_dealloc"),
    ],
)
def test_a_symbol_is_readable(symbol: str, name: str) -> None:
    assert readable(symbol) == name


def test_a_function_of_another_module_keeps_its_name() -> None:
    """Inline functions of a .pxd are compiled into the modules that use them."""
    inline = "__pyx_f_9cqrs_fast_8pipeline_5route_drive"
    assert title(f"/x/cqrs_fast/pipeline/sync_driver.{SO}", inline) == (
        "cqrs_fast.pipeline.sync_driver: cqrs_fast.pipeline.route.drive"
    )


def test_a_case_is_the_difference_of_its_last_two_dumps() -> None:
    dumps = [
        Dump("bare | 1", Counter({"f": 9_000})),
        Dump("bare | 10", Counter({"f": 350, "once": 40})),
        Dump("bare | 30", Counter({"f": 950, "g": 60, "h": 8, "once": 40})),
        Dump("", Counter({"f": 1})),
    ]
    assert cases_of(dumps) == {"bare": Case(33.4, {"f": 30.0, "g": 3.0})}


BEFORE = Case(1_000.0, {"cqrs_fast.buses.bus: execute": 400.0, "libc: memset": 20.0})


@pytest.mark.parametrize(("now", "failed"), [(1_029.0, False), (1_031.0, True)])
def test_three_percent_are_tolerated(now: float, failed: bool) -> None:
    verdict = judged(BEFORE, Case(now, BEFORE.functions), "bare")
    assert verdict.failed is failed


def test_the_function_that_grew_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    functions = {
        "cqrs_fast.buses.bus: execute": 450.0,
        "libpython3: PyDict_GetItem": 90.0,
        "libc: memset": 20.0,
    }
    verdict = judged(BEFORE, Case(1_140.0, functions), "bare")
    assert verdict.grown == [
        ("cqrs_fast.buses.bus: execute", 400.0, 450.0),
        ("libpython3: PyDict_GetItem", 0.0, 90.0),
    ]
    assert instructions.report([verdict]) == 1
    out = capsys.readouterr().out
    assert "libpython3: PyDict_GetItem grew from 0 to 90\n" in out
    assert "1 failed: over the ceiling by more than 3%" in out


def test_without_names_the_module_is_named() -> None:
    bus = "cqrs_fast.buses.bus"
    old = {f"{bus}: execute": 400.0, f"{bus}: look_up": 30.0, "a: b": 1.0}
    new = {"cqrs_fast.buses.bus: (without a name)": 500.0, "a: b": 1.0}
    assert grown(old, new) == [("cqrs_fast.buses.bus", 430.0, 500.0)]


def test_what_is_cheaper_passes_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert instructions.report([judged(BEFORE, Case(900.0, {}), "bare")]) == 0
    assert "1 are lower by more than 3%" in capsys.readouterr().out


class Gate:
    """The gate with what it counts and where it runs made up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.here: dict[str, dict[str, str]] = {
            "compiled": {"compiler": "12"},
            "interpreter": {"version": "3.11.7"},
        }
        self.now = {"bare": BEFORE}
        self.monkeypatch = monkeypatch
        self.path = path / "instructions.json"
        monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": "release"})
        monkeypatch.setattr(instructions, "CEILINGS", self.path)
        monkeypatch.setattr(instructions, "ROOT", path)
        monkeypatch.setattr(instructions, "commit", lambda: "some")
        monkeypatch.setattr(instructions, "surroundings", lambda: self.here)
        monkeypatch.setattr(instructions, "measure", self.measure)

    def measure(self) -> dict[str, Case]:
        return self.now

    def run(self, *arguments: str) -> Any:
        """Return the status with which the command ends."""
        self.monkeypatch.setattr(sys, "argv", ["instructions", *arguments])
        try:
            instructions.main()
        except SystemExit as end:
            return end.code
        return 0


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gate:
    made = Gate(monkeypatch, tmp_path)
    assert made.run("--update") == 0
    return made


def test_what_was_written_is_met(gate: Gate) -> None:
    assert gate.run() == 0
    assert json.loads(gate.path.read_text())["cases"] == {"bare": vars(BEFORE)}


def test_a_case_over_its_ceiling_fails(gate: Gate) -> None:
    gate.now = {"bare": Case(1_100.0, BEFORE.functions)}
    assert gate.run() == 1


@pytest.mark.parametrize("names", [[], ["bare", "more"], ["other"]])
def test_a_case_without_a_ceiling_fails(
    gate: Gate, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    gate.now = dict.fromkeys(names, BEFORE)
    assert gate.run() == 1
    assert "without a ceiling, or no longer there: " in capsys.readouterr().out


def test_another_compiler_is_not_judged(
    gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.here = {**gate.here, "compiled": {"compiler": "13"}}
    gate.now = {"bare": Case(2_000.0, {})}
    assert gate.run() == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "instructions: not judged: the ceilings are of another build: "
        "compiler '13' here, '12' there"
    )


@pytest.mark.parametrize(("own", "status"), [(400.0, 0), (440.0, 1)])
def test_with_another_interpreter_our_own_functions_are_judged(
    gate: Gate, own: float, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.here = {**gate.here, "interpreter": {"version": "3.11.9"}}
    functions = {"cqrs_fast.buses.bus: execute": own, "libc: memset": 700.0}
    gate.now = {"bare": Case(1_500.0, functions)}
    assert gate.run() == status
    assert "only those in cqrs_fast are judged: version" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--update"], 1)])
def test_without_valgrind_it_says_so(
    gate: Gate,
    arguments: list[str],
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate.monkeypatch.setattr(callgrind.shutil, "which", lambda name: None)
    gate.monkeypatch.setattr(
        instructions,
        "measure",
        lambda: cases_of(callgrind.counted("none", tmp_path, tmp_path)),
    )
    assert gate.run(*arguments) == status
    (*_, line) = capsys.readouterr().out.splitlines()
    assert line.startswith("instructions: not counted: there is no valgrind")


def test_without_ceilings_it_says_what_to_do(gate: Gate) -> None:
    gate.path.unlink()
    assert "run python -m benchmarks.instructions --update" in gate.run()


@pytest.mark.parametrize("mode", ["profile", "debug", "trace", "asan"])
def test_another_mode_is_refused(gate: Gate, mode: str) -> None:
    gate.monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": mode})
    assert gate.run().startswith(f"no instructions: this is a {mode} build")


def test_a_command_that_is_not_there_is_named() -> None:
    assert callgrind.failed(["no-such-command"]) == "there is no no-such-command"


def test_what_has_no_object_file_is_named(tmp_path: Path) -> None:
    built = callgrind.PACKAGE / f"nothing.{SO}"
    with pytest.raises(callgrind.Unavailable, match=r"of which nothing.*was linked"):
        callgrind.link_again(built, tmp_path / "nothing.so")


def test_the_ceilings_are_of_the_present_cases() -> None:
    committed = json.loads((ROOT / "benchmarks" / "instructions.json").read_text())
    assert list(committed["cases"]) == list(CASES)
    assert len(CASES) >= 12
    for case in committed["cases"].values():
        assert case["instructions"] > Case(**case).own > 0


@pytest.mark.parametrize("name", CASES)
def test_a_case_does_what_it_says(name: str) -> None:
    operation = CASES[name]()
    called: list[str] = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename == workload.__file__:
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        result = operation.once()
    finally:
        sys.setprofile(None)
    assert called == list(operation.calls)
    assert (result == "rejected") is name.startswith("rejected")
    bus = operation.names.get("bus")
    if bus is not None:
        (info,) = bus.describe()
        assert tuple(stage.kind for stage in info.stages) == operation.stages
