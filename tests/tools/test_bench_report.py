"""The report of the benchmarks says what its result file says, and how sure that is."""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from places import ROOT

sys.path.append(str(ROOT))

from bench_results import DISTRIBUTION, Results, go, results, rival, row

from benchmarks import document, latency, ratios, report


def line_with(text: str, found: str) -> str:
    (line,) = [line for line in found.splitlines() if text in line]
    return line


@pytest.mark.parametrize(
    ("slowdowns", "spread", "begins"),
    [
        ([0.05, 0.05, 0.9], [0.95, 1.05], "# Results"),
        ([0.05, 0.3, 0.9], [0.95, 1.05], "**The machine was noisy.** A typical round"),
        ([0.0, 0.0, 0.0], [0.9, 1.1], "**The machine was noisy.** A typical round"),
    ],
)
def test_the_first_line_tells_of_a_noisy_machine(
    slowdowns: list[float], spread: list[float], begins: str
) -> None:
    rows = [
        row(f"row {number}", slowdown=slowdown, spread=spread)
        for number, slowdown in enumerate(slowdowns)
    ]
    assert document.render(results(*rows)).startswith(begins)


def test_few_repeats_are_called_preliminary() -> None:
    (first, *_) = document.render(results(repeats=1)).splitlines()
    assert first.startswith("**Preliminary.** ")


def test_noisy_rows_are_marked() -> None:
    text = document.render(
        results(
            row("calm"),
            row("wild", spread=[0.9, 1.1]),
            row("wild, over", spread=[0.9, 1.1], ceiling=0.5, verdict="over"),
        )
    )
    assert line_with("| calm |", text).endswith("|  |")
    assert line_with("| wild |", text).endswith("| noisy |")
    assert line_with("| wild, over |", text).endswith("| **over**, noisy |")
    assert "2 of 3 ratios are marked" in text


def test_a_baseline_that_is_ahead_is_marked() -> None:
    rows = [
        row("slow", 1.2, against="`functools.lru_cache` miss"),
        row("quick", 0.8, against="hand-written dict dispatch"),
        row("promised", 1.2, against="a dict", ceiling=1.5, verdict="met"),
        row("floor", 1.2, against="direct call"),
        row("gone", None, against="a dict", reason="why"),
    ]
    text = document.render(results(*rows))
    assert line_with("| slow |", text).endswith("| **the baseline is ahead** |")
    assert text.count("the baseline is ahead") == 1
    assert "Of 2 others whose baseline is hand-written" in text
    assert "that baseline is ahead in 1; they are marked." in text
    assert line_with("| promised |", text).endswith("| met |")


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1.234, "ratio", "1.23"),
        (12.34, "ns", "12 ns"),
        (1.234, "ns", "1.2 ns"),
        (0.0123, "percent", "0.01 %"),
        (0.0, "percent", "0.0 %"),
        (20.0, "percent", "20 %"),
        (72.4, "bytes", "72 bytes"),
        (1.25, "ms", "1.2 ms"),
    ],
)
def test_numbers_are_short(value: float, unit: str, shown: str) -> None:
    assert document.number(value, unit) == shown


# The document


def test_the_head_says_where_the_results_come_from() -> None:
    made = results()
    text = document.render(made)
    for value in (
        made["cpu"],
        made["interpreter"]["version"],
        made["build"]["flags"],
        f"{made['cores']} cores",
        "commit abc",
        "2 min 5 s, 11 repeats",
    ):
        assert value in text.partition("## ")[0]


def test_a_row_without_a_number_gives_its_reason() -> None:
    text = document.render(results(row("loop", None, reason="no uvloop: a | b")))
    assert line_with("| loop |", text).endswith("| not measured: no uvloop: a \\| b |")


def test_rivals_that_are_ahead_or_missing_say_so() -> None:
    rivals = [
        rival("slower"),
        rival("faster", 0.8),
        rival("shaky", 2.0, spread=[1.0, 3.0]),
        rival("absent", None, version=None, reason="not installed"),
    ]
    text = document.render(results(rivals=rivals))
    assert line_with("slower 1.2: Cache.get", text).startswith(
        "| a hit | slower 1.2: Cache.get | 2.00 | 1.96 to 2.04 | 50 ns | 100 ns |"
    )
    assert "**the rival is ahead**" in line_with("faster 1.2", text)
    assert line_with("shaky 1.2", text).endswith("| noisy |")
    assert line_with("absent", text).endswith("| not measured: not installed |")
    assert text.count("the rival is ahead") == 1
    assert "is ahead in 2 of 3 rows, a rival in 1; 1 were not measured." in text
    assert "](plots/rivals-caches.svg)" in text


def test_a_group_without_any_rival_has_no_plot() -> None:
    text = document.render(results(rivals=[rival("absent", None, reason="gone")]))
    assert "rivals-caches.svg" not in text


def test_go_has_ceilings() -> None:
    rows = [
        go("six stages", 0.6, 0.65),
        go("cached", 0.4, 0.3),
        go("bare", 1.2),
        go("gone", None, 0.3),
    ]
    text = document.render(results(go=rows))
    assert line_with("| six stages |", text).endswith("| met |")
    assert line_with("| cached |", text).endswith("| **over** |")
    assert line_with("| bare |", text).endswith("| **Go is ahead** |")
    assert "not measured: there is no `go`" in line_with("| gone |", text)


def test_a_note_of_a_row_stands_below_the_table() -> None:
    rows = [go("timeout", 0.2) | {"note": "unlike things"}, go("bare", 1.2)]
    assert "|\n\ntimeout: unlike things.\n\nGo:" in document.render(results(go=rows))


@pytest.mark.parametrize("section", ["rivals", "go", "distributions"])
def test_a_section_that_failed_says_why(section: str) -> None:
    text = document.render(results(reasons={section: "ImportError: no such thing"}))
    assert text.count("Not measured: ImportError: no such thing") == 1


def test_points_of_a_curve_share_a_line() -> None:
    rows = [
        row("a", 3.0, series="stages, hook", x=10.0),
        row("b", 2.0, series="stages, hook", x=1.0),
        row("c", 1.5, series="stages, compiled", x=1.0, spread=[1.0, 2.0]),
        row("d", None, series="stages, compiled", x=10.0, reason="gone"),
    ]
    text = document.render(results(*rows))
    assert "- stages, hook, against direct call: 1: 2.00; 10: 3.00\n" in text
    assert "- stages, compiled, against direct call: 1: 1.50, noisy\n" in text
    assert "](plots/stages.svg)" in text


def test_distributions_have_their_percentiles() -> None:
    text = document.render(results(distributions=[DISTRIBUTION]))
    assert "| ns | dispatches | p50 | p99.9 | the slowest |" in text
    assert "| default | 1,000 | 120 | 900 | 5,000 |" in text


def test_each_file_has_a_table_under_its_question() -> None:
    rows = [row("one"), row("two", file="bench_pools")]
    text = document.render(results(*rows)).partition("## All rows")[2]
    assert re.findall("^### (.*)", text, re.MULTILINE) == ["Dispatch", "Pools"]
    assert "What does it cost?" in text


# What is committed


def committed() -> Results:
    found: Results = json.loads(ratios.RESULTS.read_text())
    return found


def test_the_committed_report_is_that_of_the_committed_results() -> None:
    text = (report.FOLDER / "RESULTS.md").read_text()
    assert text == document.render(committed()), (
        "run benchmarks.report --from benchmarks/results.json"
    )
    for image in re.findall(r"\]\((plots/.*)\)", text):
        assert (report.FOLDER / image).is_file()


def test_the_page_has_the_table_of_the_committed_results() -> None:
    text = document.PAGE.read_text()
    made = document.replaced(text, committed())
    assert made == text, "run benchmarks.report --from benchmarks/results.json"


def test_the_nearest_rival_is_the_fastest_of_the_first_feature() -> None:
    rivals = [
        rival("slow", 3.0),
        rival("near", 1.5),
        rival("not installed", None),
        rival("another feature", 1.1, feature="a miss"),
        rival("ahead", 0.5, group="limiter"),
        rival("left out", 1.2, group="dispatch, async"),
    ]
    found = document.nearest(results(rivals=rivals))
    assert [row["subject"] for row in found] == ["near", "ahead"]
    assert document.nearest(results()) == []


# Plots


@pytest.fixture
def plots() -> ModuleType:
    pytest.importorskip("matplotlib", reason="plots need it: extra `bench`")
    from benchmarks import plots

    return plots


def full() -> Results:
    return results(
        row("a", 3.0, series="stages, hook", x=10.0),
        row("b", 2.0, series="stages, hook", x=0.0),
        rivals=[rival("slow", 150.0), rival("fast", 0.8), rival("no", None)],
        distributions=[DISTRIBUTION],
    )


def test_the_same_results_give_the_same_plots(plots: Any, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    written = []
    for folder in folders:
        folder.mkdir()
        (folder / "old.svg").touch()
        paths = plots.write(full(), folder)
        assert set(paths) == set(folder.iterdir())
        written.append({path.name: path.read_bytes() for path in paths})
    assert written[0] == written[1]
    images = re.findall(r"\]\(plots/(.*)\)", document.render(full()))
    assert sorted(images) == sorted(written[0])


def test_nothing_to_plot_is_no_plot(plots: Any, tmp_path: Path) -> None:
    assert plots.write(results(), tmp_path / "plots") == []


# The command


def run_report(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    report.main()


def test_rendering_needs_no_matplotlib(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.plots", None)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(full()))
    run_report(monkeypatch, "--from", str(file), "--into", str(tmp_path))
    text = (tmp_path / "RESULTS.md").read_text()
    assert text == document.render(full(), plotted=False)
    assert "plots/" not in text
    assert "](plots/" in document.render(full())
    assert 'run `pip install "cqrs-fast[bench]"`' in capsys.readouterr().err


def test_what_is_no_result_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "results.json"
    for text in ("[]", "{}", "no JSON", '{"rows": []}'):
        file.write_text(text)
        with pytest.raises(SystemExit, match=r"results\.json: no result file of"):
            run_report(monkeypatch, "--from", str(file))


def test_other_builds_are_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": "debug"})
    with pytest.raises(SystemExit, match="no benchmarks: this is a debug build"):
        run_report(monkeypatch)


def test_sections_that_fail_leave_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Run:
        def __init__(self, progress: object, only: str) -> None:
            pass

        def measure(self, repeats: int) -> list[Results]:
            return [row("one", repeats=repeats)]

    def others(module: str, progress: object, repeats: int) -> list[Results]:
        if module == "benchmarks.rivals.measure":
            raise ImportError("no such thing")
        assert module == "benchmarks.go.measure"
        assert repeats <= report.SECTION_REPEATS
        return [go("six stages", 0.5)]

    told: list[str] = []
    monkeypatch.setattr(ratios, "Run", Run)
    monkeypatch.setattr(report, "_others", others)
    monkeypatch.setattr(latency, "measured", lambda progress: [DISTRIBUTION])
    found = report.measured(9, told.append)
    assert (found["repeats"], found["rivals"]) == (9, [])
    assert found["reasons"] == {"rivals": "ImportError: no such thing"}
    assert (len(found["go"]), found["distributions"]) == (1, [DISTRIBUTION])
    assert told == ["not measured: rivals"]
    document.render(found)


def test_results_for_a_comparison_go_to_a_file_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = row("one", None, reason="failed: KeyError: 1")
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": "release"})
    monkeypatch.setattr(report, "measured", lambda *arguments: results(failed))
    monkeypatch.setattr(report, "write", functools.partial(pytest.fail, "written"))
    file = tmp_path / "after.json"
    with pytest.raises(SystemExit, match="these rows failed:\none: failed: KeyError"):
        run_report(monkeypatch, "--results", str(file))
    assert json.loads(file.read_text())["rows"] == [failed]


def test_some_rows_are_no_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_report(monkeypatch, "--only", "bare")
    assert "needs a separate --results file" in capsys.readouterr().err
