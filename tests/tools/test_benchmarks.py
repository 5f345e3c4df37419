"""The benchmarks measure what they say, in release builds only, and are up to date."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import tomllib
from collections.abc import Iterable
from typing import Any

import pytest
from places import ROOT

sys.path.append(str(ROOT))

import benchmarks.conftest as benchmarks_conftest
from benchmarks import document, ratios, report, suite, workload
from benchmarks.environment import build, environment
from benchmarks.table import (
    Difference,
    LoopOperation,
    Operation,
    Pair,
    Row,
    ThreadsOperation,
    ceiling_of,
    missing_module,
    times_of,
)
from cqrs_fast.cli.machine import refusal

PAIRS = [row for row in ratios.ROWS if isinstance(row, Row)]
DIFFERENCES = [row for row in ratios.ROWS if isinstance(row, Difference)]


class Config:
    """As much of pytest's as the conftest uses."""

    def addinivalue_line(self, name: str, line: str) -> None:
        assert (name, line) == ("python_files", "bench_*.py")


def title(row: Any) -> str:
    return f"{row.name} / {row.against}"


def functions_called(operation: Operation) -> tuple[list[str], Any]:
    """Return what of the workload one run calls, in order, and its result."""
    called: list[str] = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename == workload.__file__:
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        result = operation.once()
    finally:
        sys.setprofile(None)
    return called, result


@pytest.mark.parametrize("mode", ["profile", "debug", "trace", "asan"])
def test_other_builds_are_refused(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": mode})
    config: Any = Config()
    message = f"no benchmarks: this is a {mode} build, .* run `make build` first"
    with pytest.raises(pytest.exit.Exception, match=message) as raised:
        benchmarks_conftest.pytest_configure(config)
    assert raised.value.returncode
    monkeypatch.setattr(sys, "argv", ["ratios"])
    with pytest.raises(SystemExit, match=message):
        ratios.main()


def test_a_release_build_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal({"mode": "release"}) is None
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": "release"})
    config: Any = Config()
    benchmarks_conftest.pytest_configure(config)


def test_each_result_says_where_it_comes_from() -> None:
    machine: dict[str, Any] = {"node": "here"}
    commit: dict[str, Any] = {"id": "there"}
    benchmarks_conftest.pytest_benchmark_update_machine_info(machine)
    benchmarks_conftest.pytest_benchmark_update_commit_info(commit)
    assert machine.items() >= {"node": "here", **environment()}.items()
    assert set(commit) == {"id", "cqrs_fast"}


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in ratios.ROWS]
    assert len(set(names)) == len(names)


def test_a_version_may_have_a_ceiling_of_its_own() -> None:
    row = Difference("row", "baseline", "ms", float, float, 2.7, 4.0)
    ceilings = [ceiling_of(row, version) for version in [(3, 11), (3, 12), (3, 13)]]
    assert ceilings == [2.7, 4.0, 4.0]


def parameters(rows: Iterable[Row | Difference]) -> list[Any]:
    """Return the rows; those that cannot run here say why."""
    return [
        pytest.param(
            row,
            id=title(row),
            marks=() if row.missing is None else pytest.mark.skip(reason=row.missing),
        )
        for row in rows
    ]


@pytest.mark.parametrize("row", parameters(PAIRS))
def test_a_case_does_what_its_baseline_does(row: Row) -> None:
    results = []
    made = {name for name, part in row.pair._asdict().items() if part is not None}
    assert made - {"several"} == set(row.parts)
    for part in row.parts:
        operation = getattr(row.pair, part)
        called, result = functions_called(operation)
        assert called == list(operation.calls)
        assert operation.holds()
        bus = operation.names.get("bus")
        if bus is not None:
            (*_, info) = bus.describe()
            assert tuple(stage.kind for stage in info.stages) == operation.stages
        results.append(result)
    assert len(set(results)) == 1


@pytest.mark.parametrize("row", parameters(DIFFERENCES))
def test_probes_measure(row: Difference) -> None:
    assert row.case() >= 0
    assert row.baseline() >= 0


def test_metrics_count_what_is_measured() -> None:
    (row,) = [row for row in PAIRS if row.name == "metrics"]
    case = row.make().case
    case.run(3)
    assert case.names["bus"].stats().total.count == 3


class Costing(Operation):
    """An operation that seems to take so many nanoseconds."""

    def __init__(self, cost_ns: float) -> None:
        super().__init__("result = 1", calls=[])
        self.cost_ns = cost_ns

    def time(self, times: int) -> float:
        return self.cost_ns


def measured_result(row: Row | Difference) -> dict[str, Any]:
    measurement = ratios.Measurement(row)
    return ratios.result_of(row, [measurement.repeat(), measurement.repeat()])


@pytest.mark.parametrize(
    ("pair", "measured", "verdict"),
    [
        (Pair(Costing(30), Costing(20)), 1.5, "met"),
        (Pair(Costing(31), Costing(20)), 1.55, "over"),
        (Pair(Costing(80), Costing(20), Costing(20), several=3), 1.0, "met"),
        (
            Pair(
                Costing(80), Costing(70), Costing(20), baseline_without=Costing(40)
            ),
            2.0,
            "over",
        ),
    ],
)
def test_a_ratio_and_its_verdict(pair: Pair, measured: float, verdict: str) -> None:
    parts = tuple(
        part for part in pair._fields if isinstance(getattr(pair, part), Operation)
    )
    row = Row("row", "baseline", lambda: pair, ceiling=1.5, parts=parts)
    result = measured_result(row)
    assert result["measured"] == measured
    assert result["spread"] == [measured, measured]
    assert result["verdict"] == verdict


@pytest.mark.parametrize(
    ("cost_ns", "times"), [(10, 1_000), (5_000_000, 2), (1e9, 1)]
)
def test_a_round_of_the_suite_is_not_too_long(cost_ns: float, times: int) -> None:
    assert suite.times_of(Costing(cost_ns)) == times


@pytest.mark.parametrize("times_of", [suite.times_of, times_of])
def test_a_round_is_not_short_for_what_only_the_first_run_does(times_of: Any) -> None:
    class Cold(Costing):
        def time(self, times: int) -> float:
            cost_ns, self.cost_ns = self.cost_ns, 1_000
            return cost_ns

    assert times_of(Cold(1e9)) == times_of(Costing(1_000)) > 1


def test_threads_share_the_statement() -> None:
    seen: list[threading.Thread] = []
    operation = ThreadsOperation(
        "result = note()",
        threads=4,
        times=20,
        calls=[],
        note=lambda: seen.append(threading.current_thread()),
    )
    operation.run(2)
    *in_threads, last = seen
    assert sorted(map(in_threads.count, set(in_threads))) == [10] * 4
    assert last is threading.current_thread()


def test_threads_are_timed_by_what_they_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    operation = ThreadsOperation(
        "result = note()",
        threads=4,
        times=5,
        each=2,
        calls=[],
        note=lambda: calls.append(None),
    )
    now = iter([0, 1_800])
    monkeypatch.setattr("benchmarks.table.perf_counter_ns", lambda: next(now))
    assert operation.time(1) == 100.0
    assert len(calls) == 4 * 2 + 1


class Benchmark:
    """As much of pytest-benchmark's fixture as the suite uses."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.extra_info: dict[str, Any] = {}
        self.took: list[float] = []

    def pedantic(self, function: Any, rounds: int, warmup_rounds: int = 0) -> Any:
        for _ in range(rounds):
            began = self.clock()
            result = function()
            self.took.append(self.clock() - began)
        return result


def test_what_times_itself_is_shown_with_its_own_time() -> None:
    pytest.importorskip("pytest_benchmark", reason="its mark: extra `bench`")
    made = Costing(5_000.0)
    made.times_itself = True
    row = Row("row", "baseline", lambda: Pair(made, made), rounds=3)
    case, _ = suite.parameters([row])
    (mark,) = case.marks
    benchmark = Benchmark(mark.kwargs["timer"])
    suite.run(benchmark, row, "case")
    assert benchmark.took == pytest.approx([5e-6] * 3)


def test_what_only_its_time_tells_says_so() -> None:
    named = {
        row.name
        for row in PAIRS
        if row.missing is None
        for part in row.parts
        if getattr(row.pair, part).times_itself
    }
    assert "99th percentile of `execute` during reloads" in named


def test_a_statement_can_run_on_a_loop() -> None:
    operation = LoopOperation(
        "result = await sleep(0, running())",
        calls=[],
        sleep=asyncio.sleep,
        running=asyncio.get_running_loop,
    )
    assert operation.run(2) is operation.once()


def test_a_statement_runs_often_on_a_loop() -> None:
    seen: list[int] = []
    operation = LoopOperation(
        "result = await sleep(0, note(1))",
        calls=["create"],
        per=2,
        often=3,
        sleep=asyncio.sleep,
        note=seen.append,
    )
    operation.run(4)
    assert seen == [1] * 12
    assert operation.calls == ("create",) * 3
    assert operation.per == 6


def test_a_module_that_is_not_installed_says_how_to_install_it() -> None:
    assert missing_module("asyncio") is None
    assert missing_module("cqrs_fast_nowhere") == (
        'cqrs_fast_nowhere is not installed: `pip install "cqrs-fast[bench]"`'
    )


def test_a_row_that_cannot_run_here_is_skipped() -> None:
    row = Row("row", "baseline", lambda: Pair(Costing(1), Costing(1)), missing="why")
    difference = Difference("row", "other", "ms", float, float, missing="why")
    for parameter in suite.parameters([row, difference]):
        (mark,) = parameter.marks
        assert (mark.name, mark.kwargs) == ("skip", {"reason": "why"})


def test_each_curve_has_points() -> None:
    curves: dict[str, list[float]] = {}
    for row in ratios.ROWS:
        if row.series is not None:
            assert row.x is not None
            curves.setdefault(row.series, []).append(row.x)
    stages = [0, 1, 3, 6, 10]
    assert curves == {
        "routes": [1, 10, 1_000, 10_000],
        "stages, compiled": stages,
        "stages, hook": stages,
        "stages, around": stages,
        "threads": [1, 2, 4, 8],
        "tasks": [1, 10, 100, 1_000],
    }


def test_a_difference_and_its_verdict() -> None:
    case, baseline = iter(range(30, 50)), iter(range(20, 40))
    row = Difference(
        "row",
        against="baseline",
        unit="ms",
        case=lambda: float(next(case)),
        baseline=lambda: float(next(baseline)),
        ceiling=9.0,
    )
    result = measured_result(row)
    assert (result["measured"], result["verdict"]) == (10.0, "over")
    assert (result["case_ms"], result["baseline_ms"]) == (30.0, 20.0)


def test_a_row_without_a_ceiling_has_no_verdict() -> None:
    pair = Pair(Costing(30), Costing(20))
    assert measured_result(Row("row", "baseline", lambda: pair))["verdict"] is None


def recorded() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(ratios.RESULTS.read_text())
    return results


def test_the_results_are_of_the_present_rows() -> None:
    results = recorded()
    major, minor, _ = results["interpreter"]["version"].split(".")
    version = int(major), int(minor)
    assert [
        (row["name"], row["against"], row["unit"], row["ceiling"])
        for row in results["rows"]
    ] == [
        (row.name, row.against, row.unit, ceiling_of(row, version))
        for row in ratios.ROWS
    ]


def test_no_row_of_the_results_has_failed() -> None:
    assert report.failures(recorded()) == []


def test_the_results_say_where_they_come_from() -> None:
    results = recorded()
    assert refusal(results["build"]) is None
    for key in ("date", "commit", "cpu", "machine"):
        assert results[key]
    for key in ("version", "compiler", "built", "flags"):
        assert results["interpreter"][key]
    for key in ("mode", "flags", "compiler", "cython"):
        assert results["build"][key]


def test_a_checkout_has_the_version_of_its_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"version": "unknown"})
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert build() == {"version": project["version"]}
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"version": "9.9"})
    assert build() == {"version": "9.9"}


def test_the_table_goes_between_the_markers() -> None:
    text = "above\n<!-- results -->\nold\n<!-- /results -->\nbelow\n"
    made = document.replaced(text, recorded())
    first, *lines, end, below = made.splitlines()
    assert (first, end, below) == ("above", "<!-- /results -->", "below")
    table = [line for line in lines if line.startswith("| ")]
    promised = [row for row in recorded()["rows"] if row["ceiling"] is not None]
    assert len(table) == 2 + len(promised)
    assert document.replaced(made, recorded()) == made


@pytest.mark.parametrize(
    "text", ["", "<!-- results -->", "<!-- /results --> <!-- results -->"]
)
def test_a_page_without_markers_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"there is no <!-- results --> with an"):
        document.replaced(text, recorded())
