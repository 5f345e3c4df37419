"""Type checkers reject each wrong use that is marked, and accept every right one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MARK = re.compile(r"# E: (\w+)$")
# What a mark stands for: the code depends on whether there are overloads.
KINDS = {
    "argument": {
        "mypy": {"arg-type", "call-overload", "list-item", "type-var"},
        "pyright": {"reportArgumentType", "reportCallIssue"},
    },
    "keyword": {
        "mypy": {"call-arg", "call-overload"},
        "pyright": {"reportCallIssue"},
    },
    "assignment": {
        "mypy": {"assignment", "arg-type"},  # it infers from the left side at times
        "pyright": {"reportAssignmentType", "reportIncompatibleVariableOverride"},
    },
}
WRONG = "wrong_uses.py"
RIGHT = ["right_uses.py", "sample_dispatch.py", "sample_messages.py"]


class Found(NamedTuple):
    """An error that a checker reports."""

    line: int
    code: str
    text: str


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,  # where the package and the settings of the checkers are
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def mypy(path: Path) -> Iterator[Found]:
    pytest.importorskip("mypy")
    output = run("mypy", "--strict", "--no-error-summary", "--output=json", str(path))
    for line in output.splitlines():
        if line.startswith("{"):
            one = json.loads(line)
            if one["severity"] == "error" and Path(one["file"]).name == path.name:
                yield Found(one["line"], one["code"], one["message"])
        else:
            assert line.startswith("Success"), line


def pyright(path: Path) -> Iterator[Found]:
    pytest.importorskip("pyright")
    output = run("pyright", "--outputjson", "--pythonpath", sys.executable, str(path))
    for one in json.loads(output)["generalDiagnostics"]:
        if one["severity"] == "error":
            line = one["range"]["start"]["line"] + 1
            yield Found(line, one.get("rule", "syntax"), one["message"])


checkers = pytest.mark.parametrize("check", [mypy, pyright])


def test_every_mark_is_read() -> None:
    lines = (HERE / WRONG).read_text().splitlines()
    marks = [line for line in lines if "# E:" in line]
    assert len(marks) > 40
    for line in marks:
        found = MARK.search(line)
        assert found, line
        assert found[1] in KINDS, line


@checkers
def test_each_wrong_use_is_an_error_and_nothing_else_is(
    check: Any, tmp_path: Path
) -> None:
    first, rest = (HERE / WRONG).read_text().split("\n", 1)
    assert first == "# type: ignore"
    copy = tmp_path / WRONG
    copy.write_text(f"#\n{rest}")
    expected: dict[int, set[str]] = {}
    for number, line in enumerate(copy.read_text().splitlines(), 1):
        if mark := MARK.search(line):
            expected[number] = KINDS[mark[1]][check.__name__]
    missing = dict(expected)
    surprising = []
    for found in check(copy):
        if found.code in expected.get(found.line, set()):
            missing.pop(found.line, None)
        elif found.line not in expected:
            surprising.append(found)
    assert not missing, sorted(missing)
    assert not surprising


@checkers
@pytest.mark.parametrize("name", RIGHT)
def test_right_uses_are_accepted(check: Any, name: str) -> None:
    assert list(check(HERE / name)) == []
