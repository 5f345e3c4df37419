"""The comparison with Go is fair, and says why where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.go import measure as go
from benchmarks.rivals.duel import Measured
from benchmarks.rivals.messages import QUANTITY


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("    ")]


def test_a_row_of_unlike_things_says_so() -> None:
    (timeout,) = [case for case in go.CASES if case.note is not None]
    assert "timeout" in timeout.name
    row = go.record(timeout, [Measured(1.0, 2.0)], "1.99")
    assert "Go's context.WithTimeout arms a timer" in go.table([row])


def test_without_go_each_case_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert go.main(["--repeats", "1"]) == 0
    assert [line.endswith(go.ABSENT) for line in lines(capsys.readouterr().out)] == [
        True
    ] * len(go.CASES)
    (row, *_) = go.measured(lambda text: None, 1)
    assert list(row) == [
        "name",
        "ceiling",
        "ratio",
        "spread",
        "ours_ns",
        "go_ns",
        "reason",
        "version",
        "note",
    ]


def test_no_other_build_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(go, "refusal", lambda build: "this is a debug build")
    with pytest.raises(SystemExit) as exit:
        go.main([])
    assert exit.value.code == 2
    assert "no benchmarks: this is a debug build" in capsys.readouterr().err


def fake_go(folder: Path, build: str, program: str = "") -> str:
    """Return a `go` that runs one line, with the path of what it is to build in $3."""
    path = folder / "go"
    path.write_text(f"#!/bin/sh\n{build}\n")
    path.chmod(0o755)
    (folder / "program").write_text(f"#!/bin/sh\n{program}\n")
    (folder / "program").chmod(0o755)
    return str(path)


PROGRAM = """echo '[{"name": "'"$2"'", "ns": 1000.0, "version": "go1.99"}]'"""


def test_both_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = fake_go(tmp_path, f'cp "{tmp_path}/program" "$3"', PROGRAM)
    monkeypatch.setattr(shutil, "which", lambda name: found)
    monkeypatch.setattr(go, "ROUND", 1e-5)
    assert go.main(["--repeats", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["go"]
    for row, case in zip(rows, go.CASES, strict=True):
        low, high = row["spread"]
        assert low <= row["ratio"] <= high
        assert row["go_ns"] == 1000
        assert (row["version"], row["ceiling"]) == ("1.99", case.ceiling)
        assert row["reason"] is None
    assert "met" in go.table(rows)
    rows[2]["ratio"] = 99.0
    assert "over" in go.table(rows)


@pytest.mark.parametrize(
    ("build", "program", "reason"),
    [
        ("echo too old >&2; exit 1", "", "`go` failed: too old"),
        ('cp "{}/program" "$3"', "echo bad >&2; exit 2", "`cqrsbench` failed: bad"),
        ("echo no /home/some.body/go.mod >&2; exit 1", "", "`go` failed: no go.mod"),
        ('cp "{}/program" "$3"', "echo '[1]'", "`cqrsbench` printed no result"),
        ('cp "{}/program" "$3"', "echo what", "`cqrsbench` printed no result"),
        ("true", "", "FileNotFoundError"),
    ],
)
def test_a_go_that_fails_is_a_reason(
    build: str,
    program: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = fake_go(tmp_path, build.format(tmp_path), program)
    monkeypatch.setattr(shutil, "which", lambda name: found)
    monkeypatch.setattr(go, "ROUND", 1e-5)
    rows = go.measured(lambda text: None, 1)
    assert all(row["reason"].startswith(reason) for row in rows)
    assert reason in go.table(rows)


@pytest.mark.parametrize("case", go.CASES, ids=lambda case: case.name)
def test_our_side_does_the_work(case: go.Case) -> None:
    assert case.operation().once() == QUANTITY


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="no `go` is found")
def test_the_program_in_go_does_its_work() -> None:
    settings = {**os.environ, "GOFLAGS": "", "CGO_ENABLED": "0"}
    for command in (["go", "vet", "./..."], ["go", "test", "./..."]):
        done = subprocess.run(
            command, cwd=go.FOLDER, env=settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
