"""A comparison of two result files calls slower what is, and nothing else."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

sys.path.append(str(ROOT))

from bench_results import Results, go, results, rival, row

from benchmarks.compare import Comparison, main


def difference(unit: str, measured: float, case: float) -> Results:
    return row(
        "difference",
        measured,
        unit=unit,
        spread=[measured, measured],
        **{f"case_{unit}": case, f"baseline_{unit}": case - measured},
    )


def verdicts(before: Results, after: Results, **settings: Any) -> dict[str, str]:
    comparison = Comparison(before, after, **settings)
    return {change.before.name: change.verdict for change in comparison.changes}


def verdict(before: Results, after: Results, **settings: Any) -> str:
    (found,) = verdicts(results(before), results(after), **settings).values()
    return found


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((1.0, 0.99, 1.01), (1.2, 1.19, 1.21), "slower"),
        ((1.2, 1.19, 1.21), (1.0, 0.99, 1.01), "faster"),
        ((1.0, 0.99, 1.01), (1.0, 0.99, 1.01), "same"),
        # The spreads touch.
        ((1.0, 0.99, 1.15), (1.2, 1.15, 1.21), "same"),
        ((1.2, 1.05, 1.21), (1.0, 0.99, 1.05), "same"),
        # They do not, but the difference is below the threshold.
        ((1.0, 0.99, 1.01), (1.04, 1.03, 1.05), "same"),
        ((1.04, 1.03, 1.05), (1.0, 0.99, 1.01), "same"),
    ],
)
def test_a_verdict_on_a_ratio(
    before: tuple[float, ...], after: tuple[float, ...], expected: str
) -> None:
    rows = [
        row("row", measured, spread=spread) for measured, *spread in (before, after)
    ]
    assert verdict(rows[0], rows[1]) == expected


def test_the_threshold_can_be_chosen() -> None:
    before, after = row("row", 1.0), row("row", 1.04)
    assert verdict(before, after, threshold=3.0) == "slower"


@pytest.mark.parametrize(
    ("unit", "before", "after", "expected"),
    [
        # A difference counts for the whole case.
        ("ms", (8.0, 40.0), (9.0, 41.0), "same"),
        ("ms", (8.0, 40.0), (12.0, 44.0), "slower"),
        ("bytes", (72.0, 72.0), (56.0, 56.0), "faster"),
        ("bytes", (0.0, 0.0), (1.0, 1.0), "slower"),
        ("bytes", (0.0, 0.0), (0.0, 0.0), "same"),
        ("percent", (0.0, 0.0), (4.0, 4.0), "same"),
        ("percent", (0.0, 0.0), (6.0, 6.0), "slower"),
    ],
)
def test_a_verdict_on_a_difference(
    unit: str, before: tuple[float, float], after: tuple[float, float], expected: str
) -> None:
    assert verdict(difference(unit, *before), difference(unit, *after)) == expected


def test_rivals_and_go_are_compared() -> None:
    before = results(
        rivals=[rival("quick", 2.0), rival("lazy", 2.0)], go=[go("six", 0.5)]
    )
    after = results(
        rivals=[rival("quick", 1.5), rival("lazy", 3.0)], go=[go("six", 0.6)]
    )
    assert verdicts(before, after) == {
        "one / direct call": "same",
        "caches: quick (Cache.get): a hit": "slower",
        "caches: lazy (Cache.get): a hit": "faster",
        "Go: six": "slower",
    }


def test_the_worst_comes_first() -> None:
    before = results(*(row(name, 1.0) for name in "abcd"))
    after = results(row("a", 1.1), row("b", 0.5), row("c", 1.5), row("d", 1.0))
    assert [name[0] for name in verdicts(before, after)] == ["c", "a", "d", "b"]
    text = Comparison(before, after).render()
    assert "2 slower, 1 faster, 1 same." in text
    assert "2 of 4 ratios agree within 10%." in text
    assert text.count("**slower**") == 2


def test_rows_of_one_file_alone_decide_nothing() -> None:
    before = results(row("old"), row("both"), row("gone"))
    after = results(row("both"), row("gone", None, reason="no uvloop"), row("new"))
    comparison = Comparison(before, after)
    assert [change.before.name for change in comparison.changes] == [
        "both / direct call"
    ]
    assert not comparison.is_slower
    assert comparison.apart == [
        "old / direct call: measured before, no such row after",
        "gone / direct call: measured before, no number after",
        "new / direct call: no such row before, measured after",
    ]


def test_noise_comes_first() -> None:
    noisy = results(row("one", slowdown=0.5))
    warning = "**The file of {} was measured on a noisy machine, or too few times.**"
    first = Comparison(results(), noisy).render().splitlines()[0]
    assert first == warning.format("after")
    first = Comparison(results(repeats=1), noisy).render().splitlines()[0]
    assert first == warning.format("before")
    assert not Comparison(results(), results()).render().startswith("**")


# The command


def compare(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    before: Any,
    after: Any,
    *arguments: str,
) -> int:
    files = []
    for name, content in (("before", before), ("after", after)):
        file = folder / f"{name}.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        files.append(str(file))
    monkeypatch.setattr(sys, "argv", ["compare", *files, *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    assert isinstance(raised.value.code, int)
    return raised.value.code


def test_the_status_tells_whether_anything_is_slower(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow, quick = results(row("one", 2.0)), results(row("one", 1.0))
    assert compare(monkeypatch, tmp_path, quick, slow) == 1
    assert compare(monkeypatch, tmp_path, slow, quick) == 0
    assert compare(monkeypatch, tmp_path, quick, slow, "--threshold", "150") == 0
    assert "| one / direct call | 1.000 | 0.990 to 1.010 | 2.000 |" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("cpu",), "another", "cpu: {} before, another after"),
        (("cores",), None, "cores: {} before, not recorded after"),
        (
            ("interpreter", "version"),
            "3.99",
            "interpreter.version: {} before, 3.99 after",
        ),
        (("build", "flags"), "-O0", "build.flags: {} before, -O0 after"),
    ],
)
def test_files_of_different_places_are_refused(
    path: tuple[str, ...],
    value: Any,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = results()
    after = copy.deepcopy(before)
    *folder, key = path
    place = after[folder[0]] if folder else after
    told = told.format(place[key])
    place[key] = value
    assert compare(monkeypatch, tmp_path, before, after) == 2
    found = capsys.readouterr()
    assert told in found.err
    assert "or pass --anyway" in found.err
    assert found.out == ""
    assert compare(monkeypatch, tmp_path, before, after, "--anyway") == 0
    found = capsys.readouterr()
    assert told in found.err
    assert "1 same." in found.out


def test_files_of_few_repeats_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = results(repeats=1)
    assert compare(monkeypatch, tmp_path, few, results()) == 2
    assert "before: too few repeats to tell" in capsys.readouterr().err
    assert compare(monkeypatch, tmp_path, few, few, "--anyway") == 0


def test_another_version_of_the_code_is_what_is_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = results()
    after = copy.deepcopy(before) | {"commit": "def", "date": "2026-01-03"}
    after["build"]["version"] = "9.9"
    assert compare(monkeypatch, tmp_path, before, after) == 0


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "null", '{"rows": []}'),
        json.dumps(results() | {"rows": [{"name": "one"}]}),
        json.dumps(results() | {"rivals": [1]}),
    ],
)
def test_what_is_no_result_file_is_refused(
    content: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert compare(monkeypatch, tmp_path, results(), content) == 2
    assert "after.json: no result file of" in capsys.readouterr().err
