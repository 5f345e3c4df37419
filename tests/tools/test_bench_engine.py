"""Rows are measured in processes, and what their repeats tell is computed with care."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from places import ROOT

sys.path.append(str(ROOT))

from bench_results import go, results, rival, row

from benchmarks import latency, noise, ratios, report
from benchmarks.ratios import Sample
from benchmarks.table import Difference, Operation, Pair, Row
from cqrs_fast.measuring import BEST

# Noise


def test_the_two_lowest_of_several_repeats_count() -> None:
    assert noise.lowest([5, 3]) == 3
    assert noise.lowest([9, 3, 8, 5, 9]) == 4


@pytest.mark.parametrize("count", [1, 2, 7, 11, 30])
def test_a_spread_holds_what_most_halves_give(count: int) -> None:
    repeats = [float(number) for number in range(count)]
    for result in (noise.lowest, statistics.median):
        low, high = noise.spread_of(repeats, result)
        assert low <= result(repeats) <= high
        assert high <= result(repeats[count // 2 :])
        assert noise.spread_of(repeats, result) == (low, high)


def test_no_result_lies_outside_its_spread() -> None:
    # No half has both of the two that the whole result comes from.
    repeats = [(10.0, 9.0), (10.0, 9.0), (10.0, 9.0), (20.0, 1.0), (20.0, 1.0)]

    def ratio(some: Sequence[tuple[float, float]]) -> float:
        case, baseline = zip(*some, strict=True)
        return noise.lowest(case) / noise.lowest(baseline)

    low, high = noise.spread_of(repeats, ratio)
    assert low <= ratio(repeats) == 10.0 <= high


def test_one_odd_repeat_widens_no_spread() -> None:
    assert noise.spread_of([1.0] * 10 + [9.0], noise.lowest) == (1.0, 1.0)


def test_differences_and_absent_rows_tell_nothing_of_the_machine() -> None:
    rows = [
        row("one"),
        row("gone", None, reason="no uvloop"),
        row("bytes", 5.0, unit="bytes", case_bytes=5, baseline_bytes=0, slowdown=9.0),
    ]
    found = noise.of_machine(results(*rows))
    assert (found.rows, found.noisy, found.is_over) == (1, 0, False)


@pytest.mark.parametrize(("noisy", "is_over"), [(2, False), (3, True)])
def test_a_machine_is_noisy_if_many_rows_are(noisy: int, is_over: bool) -> None:
    wide = [0.5, 2.0]
    calm = [row("one"), row("two"), rival("a"), rival("b"), go("c", 0.5)]
    wild = [rival("d", spread=wide), go("e", 0.5), go("f", 0.5)][-noisy:]
    for one in wild:
        one["spread"] = wide
    gone = [rival("gone", None), go("gone", None)]
    both = [*calm, *wild, *gone, *[row(f"calm {number}") for number in range(3)]]
    sections = {
        "rivals": [one for one in both if "subject" in one],
        "go": [one for one in both if "go_ns" in one],
    }
    rows = [one for one in both if "file" in one]
    found = noise.of_machine(results(*rows, **sections))
    assert (found.rows, found.noisy) == (8 + noisy, noisy)
    assert (found.baselines, found.is_over) == (5, is_over)


# The engine


class Costing(Operation):
    def __init__(self, *costs: float) -> None:
        super().__init__("result = 1", calls=[])
        self.costs = iter(costs)

    def time(self, times: int) -> float:
        return next(self.costs)


def sample(case: float, baseline: float = 10.0, slowdown: float = 0.0) -> Sample:
    return Sample({"case": case, "baseline": baseline}, slowdown)


PLAIN = Row("plain", "direct call", lambda: Pair(Costing(), Costing()), ceiling=2.0)


def test_a_result_comes_from_the_best_repeats() -> None:
    samples = [sample(20), sample(22), sample(50, 30, 3.0), sample(40), sample(90)]
    result = ratios.result_of(PLAIN, samples)
    assert (result["measured"], result["verdict"]) == (2.1, "over")
    assert (result["case_ns"], result["baseline_ns"]) == (21, 10)
    assert result["spread"] == [2.1, 4.5]
    assert (result["repeats"], result["slowdown"]) == (5, 0.0)


def test_a_subtraction_stays_within_a_process() -> None:
    # A process in which all is slow is no reason to believe in less than nothing.
    parts = [(100, 40), (160, 100), (130, 70), (101, 40), (99, 40)]
    samples = [
        Sample({"case": case, "baseline": 20.0, "without": without}, 0.0)
        for case, without in parts
    ]
    result = ratios.result_of(PLAIN, samples)
    assert (result["measured"], result["spread"]) == (3.0, [3.0, 3.0])
    both = [
        Sample(one.parts | {"baseline_without": slow - 30.0, "baseline": slow}, 0.0)
        for one, slow in zip(samples, (40.0, 90.0, 60.0, 50.0, 40.0), strict=True)
    ]
    result = ratios.result_of(PLAIN, both)
    assert (result["measured"], result["baseline_ns"]) == (2.0, 30.0)


def test_a_repeat_leaves_out_its_best_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = [1.0, *(float(cost) for cost in range(2, ratios.ROUNDS + 1))]
    monkeypatch.setattr(ratios, "times_of", lambda operation: 1)
    row = Row("row", "baseline", lambda: Pair(Costing(*costs), Costing(*costs)))
    found = ratios.Measurement(row).repeat()
    assert found.parts["case"] == 1 + len(costs) // BEST
    assert found.slowdown == pytest.approx(len(costs) / 2 - 0.5)


def test_a_long_row_has_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratios, "REPEAT_SECONDS", 0.0)
    costs = map(float, range(1_000))
    row = Difference("row", "nothing", "ms", lambda: next(costs), lambda: 1.0)
    ratios.Measurement(row).repeat()
    assert next(costs) == ratios.FEW_ROUNDS


def test_a_spread_in_percent_counts_for_the_whole() -> None:
    wide = row("row", 0.02, unit="percent", spread=[0.01, 0.03])
    assert not noise.is_noisy(wide)
    assert noise.is_noisy(wide | {"spread": [0.0, 16.0]})
    assert noise.is_noisy(row("row", 0.0, spread=[0.0, 0.1]))


def run_of(
    monkeypatch: pytest.MonkeyPatch,
    rows: list[Any],
    process: Callable[[str, list[str]], tuple[str, str]],
) -> ratios.Run:
    monkeypatch.setattr(ratios, "FILES", {"bench_made": SimpleNamespace(ROWS=rows)})
    monkeypatch.setattr(ratios, "_in_process", process)
    return ratios.Run(lambda text: None)


def output(name: str, seconds: float = 0.1, **fields: Any) -> str:
    return json.dumps({"name": name, "seconds": seconds, **fields}) + "\n"


def test_each_repeat_is_a_process_until_a_row_has_had_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[list[str]] = []

    def process(file: str, names: list[str]) -> tuple[str, str]:
        calls.append(list(names))
        seconds = {"plain": 0.1, "slow": ratios.ROW_SECONDS, "bytes": 0.1}
        texts = [output(name, seconds[name], sample=sample(15)) for name in names]
        return "".join(texts), "ended with 0"

    slow = Row("slow", "direct call", PLAIN.make)
    counted = Difference("bytes", "nothing", "bytes", float, float)
    found = run_of(monkeypatch, [PLAIN, slow, counted], process).measure(5)
    assert calls == [["plain", "slow", "bytes"]] * 3 + [["plain"]] * 2
    assert [row["repeats"] for row in found] == [5, 3, 3]
    assert [row["measured"] for row in found] == [1.5, 1.5, 5.0]
    assert {row["file"] for row in found} == {"bench_made"}


def test_a_row_that_fails_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def process(file: str, names: list[str]) -> tuple[str, str]:
        if "bad" in names:
            began = output("crash", begins=True)
            bad = output("bad", reason="failed: KeyError: 1")
            return bad + began + began[:9], "ended with -11"
        return "".join(output(name, sample=sample(15)) for name in names), ""

    rows = [Row(name, "direct call", PLAIN.make) for name in ("bad", "crash", "good")]
    found = run_of(monkeypatch, rows, process).measure(2)
    reasons = ["failed: KeyError: 1", "failed: its process ended with -11", None]
    assert [row["reason"] for row in found] == reasons
    assert [row["measured"] for row in found] == [None, None, 1.5]
    assert report.failures({"rows": found}) == [
        "bad: failed: KeyError: 1",
        "crash: failed: its process ended with -11",
    ]


def test_what_a_row_prints_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def process(file: str, names: list[str]) -> tuple[str, str]:
        stray = 'hello\n{"name": 1\n[2]\n"plain"\n{"name": "no row"}\n\n'
        return stray + output("plain", sample=sample(15)), "ended with 0"

    (found,) = run_of(monkeypatch, [PLAIN], process).measure(3)
    assert (found["measured"], found["repeats"]) == (1.5, 3)


def test_a_process_that_measures_nothing_fails_all_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def process(file: str, names: list[str]) -> tuple[str, str]:
        return "", "ended with 1"

    rows = [Row(name, "direct call", PLAIN.make) for name in ("one", "two")]
    found = run_of(monkeypatch, rows, process).measure(3)
    assert [row["reason"] for row in found] == ["failed: its process ended with 1"] * 2


def test_a_row_that_is_never_begun_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def process(file: str, names: list[str]) -> tuple[str, str]:
        return output("one", begins=True), "ended with -9"

    rows = [Row(name, "direct call", PLAIN.make) for name in ("one", "two")]
    _, found = run_of(monkeypatch, rows, process).measure(1)
    assert found["reason"] == "failed: the processes ended before it was begun"


@pytest.mark.parametrize("baseline", [0.0, -1.0])
def test_a_baseline_of_nothing_is_a_failure(
    baseline: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def process(file: str, names: list[str]) -> tuple[str, str]:
        return output("plain", sample=sample(15, baseline)), ""

    (found,) = run_of(monkeypatch, [PLAIN], process).measure(1)
    assert found["measured"] is None
    assert found["reason"] == f"failed: its baseline took {baseline:g} ns"


def test_no_repeats_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ratios", "--repeats", "0"])
    with pytest.raises(SystemExit):
        ratios.main()
    assert "--repeats: must be at least 1" in capsys.readouterr().err


def test_a_row_that_cannot_run_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def process(file: str, names: list[str]) -> tuple[str, str]:
        raise AssertionError(names)

    missing: Any = SimpleNamespace(**vars(PLAIN), unit="ratio")
    missing.missing = "no uvloop"
    monkeypatch.setattr(ratios, "ceiling_of", lambda row: row.ceiling)
    (found,) = run_of(monkeypatch, [missing], process).measure(1)
    assert (found["measured"], found["reason"]) == (None, "no uvloop")
    assert report.failures({"rows": [found]}) == []


def test_no_repeat_begins_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def process(file: str, names: list[str]) -> tuple[str, str]:
        return output("plain", sample=sample(15)), ""

    monkeypatch.setattr(ratios, "ROWS_SECONDS", -1.0)
    (found,) = run_of(monkeypatch, [PLAIN], process).measure(9)
    assert found["repeats"] == noise.FEWEST


def test_a_process_measures_and_tells_of_failures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Pair:
        raise KeyError("gone")

    good = Difference("good", "nothing", "ms", lambda: 3.0, lambda: 1.0)
    rows = [Row("broken", "direct call", broken), good]
    monkeypatch.setattr(ratios, "FILES", {"bench_made": SimpleNamespace(ROWS=rows)})
    ratios.work("bench_made", ["broken", "good"])
    told = [json.loads(line) for line in capsys.readouterr().out.split("\n") if line]
    begun, first, _, second = told
    assert begun == {"name": "broken", "begins": True}
    assert first["reason"] == "failed: KeyError: 'gone'"
    parts, slowdown = second["sample"]
    assert (parts, slowdown) == ({"case": 3.0, "baseline": 1.0}, 0.0)


def test_all_files_of_rows_are_found() -> None:
    names = {path.stem for path in report.FOLDER.glob("bench_*.py")}
    assert set(ratios.FILES) == names
    assert next(iter(ratios.FILES)) == "bench_dispatch"
    assert all(ratios.question(file).endswith("?") for file in ratios.FILES.values())


# Latency


def test_as_many_dispatches_as_asked_for_are_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **settings: Any) -> SimpleNamespace:
        asked.append(command[-4:])
        return SimpleNamespace(stdout="{}")

    monkeypatch.setattr(latency, "refusal", lambda build: None)
    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr(sys, "argv", ["latency", "--dispatches", "7"])
    latency.main()
    wanted = [["--only", name, "--dispatches", "7"] for name in latency.PRESETS]
    assert asked == wanted
    assert capsys.readouterr().out == "{}\n" * len(wanted)


def test_percentiles_are_values_that_occurred() -> None:
    ordered = list(range(1, 1001))
    found = {text: latency.percentile(ordered, text) for text in latency.PERCENTILES}
    assert found == {
        "50": 500,
        "90": 900,
        "99": 990,
        "99.9": 999,
        "99.99": 1000,
        "100": 1000,
    }


def test_buckets_hold_all_dispatches() -> None:
    found = latency.Distribution("some")
    for time in (10, 11, 12, 100, 10**11):
        found.add(latency.array("q", [time]))
    counts = [[10, 1], [11, 1], [13, 1], [100, 1], [10**11, 1]]
    assert found.result()["counts"] == counts


@pytest.mark.parametrize("name", latency.PRESETS)
def test_every_preset_is_timed(name: str) -> None:
    found = latency.distribution(name, 1_500)
    assert found["dispatches"] == sum(count for _, count in found["counts"]) == 1_500
    values = [found["percentiles"][text] for text in latency.PERCENTILES]
    assert values == sorted(values)
    assert values[0] > 0
