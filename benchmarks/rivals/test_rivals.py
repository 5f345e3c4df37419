"""The comparison with rivals is fair, and no rival can end it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import operator
import os
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks.environment import environment as here
from benchmarks.rivals import dispatch, dispatch_async, duel, measure
from benchmarks.rivals.duel import (
    Duel,
    Duels,
    Match,
    Measured,
    Outcome,
    WrongWork,
    check,
)
from benchmarks.rivals.isolation import (
    ABSENT,
    STANDARD_LIBRARY,
    in_child,
    pins,
)
from benchmarks.rivals.messages import (
    BETWEEN,
    ORDER,
    QUANTITY,
    answer,
    answer_async,
    around,
    ours,
    ours_async,
    sends,
    sends_async,
)

KEYS = [
    "group",
    "feature",
    "subject",
    "version",
    "what",
    "ratio",
    "spread",
    "ours_ns",
    "theirs_ns",
    "reason",
]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Measure for next to no time, and here."""
    monkeypatch.setattr(duel, "REPEAT_SECONDS", 0.0)
    monkeypatch.setattr(duel, "ROUND_NS", 1e4)
    monkeypatch.setattr(duel, "LOOP_ROUND_NS", 1e4)
    monkeypatch.setattr(measure, "VENV", tmp_path / "none")


def plain(make: Callable[[], Match], distribution: str | None = None) -> Duel:
    return Duel("group", "feature", distribution, "what", make)


def same() -> Match:
    return Match(ours(), sends(answer, ORDER))


def fought(duel: Duel, repeats: int = 1, patience: float = 20.0) -> dict[str, Any]:
    outcomes = [duel.fight(patience) for _ in range(repeats)]
    return duel.record(functools.reduce(operator.or_, outcomes))


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("    ")]


# One row


def test_a_row_has_what_the_report_reads() -> None:
    row = fought(plain(same, STANDARD_LIBRARY), repeats=3)
    assert list(row) == KEYS
    assert row["reason"] is None
    assert row["version"] == ".".join(map(str, sys.version_info[:3]))
    low, high = row["spread"]
    assert 0 < low <= row["ratio"] <= high
    assert row["ours_ns"] > 0
    assert row["theirs_ns"] > 0


def test_a_ratio_above_one_says_that_we_are_faster() -> None:
    def slow(order: Any) -> int:
        for _ in range(2_000):
            pass
        return answer(order)

    row = fought(plain(lambda: Match(ours(), sends(slow, ORDER))))
    assert row["ratio"] > 2
    assert "ahead" not in measure.table([row])
    other = fought(plain(lambda: Match(sends(slow, ORDER), ours())))
    assert other["ratio"] < 0.5
    assert "they are ahead" in measure.table([other])


def test_repeats_lie_apart_and_the_best_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Scripted(Duel):
        def fight(self, patience: float = 1.0) -> Outcome:
            asked.append(self.feature)
            if self.feature == "c":
                return Outcome((), "it fails")
            times = [(10.0, 40.0), (50.0, 90.0), (12.0, 42.0)]
            return Outcome((Measured(*times[asked.count(self.feature) - 1]),))

    duels = [Scripted("group", name, None, "what", same) for name in "abc"]
    monkeypatch.setattr(measure, "DUELS", duels)
    told: list[str] = []
    *rows, failed = measure.measured(told.append, 3)
    assert asked == list("abcabab")
    assert told[0].startswith("rivals: those that are installed here")
    assert told[-1].startswith("[3/3] group: b")
    for row in rows:
        assert (row["ours_ns"], row["theirs_ns"], row["ratio"]) == (11, 41, 3.727)
        assert row["spread"] == [3.5, 4.0]
    assert (failed["ratio"], failed["reason"]) == (None, "it fails")


# What a rival does not do


def absent() -> Match:
    raise AssertionError("it is not even asked")


def broken_import() -> Match:
    import no_such_module_of_a_rival  # noqa: F401

    raise AssertionError


def changed() -> Match:
    import json

    return Match(ours(), sends(json.SomeMediator().send, ORDER))  # type: ignore[attr-defined]


def wrong_result() -> Match:
    return Match(ours(), sends(lambda order: answer(order) + 1, ORDER))


def no_handler() -> Match:
    return Match(ours(), sends(lambda order: QUANTITY, ORDER))


def skipped_middleware() -> Match:
    return Match(ours(*[around] * BETWEEN), sends(answer, ORDER), passed=BETWEEN)


def not_awaited() -> Match:
    return Match(ours_async(), sends(answer_async, ORDER))


def hanging() -> Match:
    time.sleep(60)
    raise AssertionError


def crashing() -> Match:
    os._exit(3)


@pytest.mark.parametrize(
    ("make", "distribution", "reason"),
    [
        (absent, "no-such-distribution", ABSENT),
        (
            broken_import,
            None,
            "ModuleNotFoundError: No module named 'no_such_module_of_a_rival'",
        ),
        (changed, None, "AttributeError: module 'json' has no attribute"),
        (wrong_result, None, f"WrongWork: theirs: {QUANTITY + 1} instead of"),
        (no_handler, None, "WrongWork: theirs: 0 x handler instead of 1"),
        (skipped_middleware, None, "WrongWork: theirs: 0 x middleware instead of 3"),
        (not_awaited, None, "WrongWork: theirs: <coroutine object"),
        (hanging, None, "hangs: none within 0.05 s"),
        (crashing, None, "its process died"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_rival_that_cannot_be_measured_gets_a_reason(
    make: Callable[[], Match], distribution: str | None, reason: str
) -> None:
    patience = 0.05 if make is hanging else 20.0
    row = fought(plain(make, distribution), patience=patience)
    assert str(row["reason"]).startswith(reason)
    assert row["ratio"] is row["spread"] is row["ours_ns"] is row["theirs_ns"] is None
    assert reason in measure.table([row])


def test_the_run_goes_on_and_exits_with_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a rival does: here a module that cannot be imported."""
    (tmp_path / "brokenrival.py").write_text("raise ImportError('built for another')")
    information = tmp_path / "brokenrival-9.9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: brokenrival\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path)

    def make() -> Match:
        import brokenrival  # type: ignore[import-not-found]

        return Match(ours(), sends(brokenrival.send, ORDER))

    duels = Duels("group")
    duels.against("brokenrival", "send", feature="feature")(make)
    duels.against("missingrival", "send", feature="feature")(make)
    duels.against(None, "handler", feature="feature")(same)
    monkeypatch.setattr(measure, "DUELS", duels)
    assert measure.main(["--repeats", "1"]) == 0
    out, err = capsys.readouterr()
    broken, missing, measured = lines(out)
    assert "brokenrival 9.9" in broken
    assert "ImportError: built for another" in broken
    assert ABSENT in missing
    assert " ns" in measured
    assert err.splitlines()[0] == "[1/1] group: feature: brokenrival: send"

    assert measure.main(["--repeats", "1", "--json", "--only", "MISSING"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rivals"]
    assert (row["subject"], row["reason"]) == ("missingrival", ABSENT)


def test_a_reason_names_no_folder_of_this_machine() -> None:
    def fail() -> None:
        raise ImportError("cannot import name 'a' from 'b' (/home/some.body/b/c.py)")

    assert in_child(fail, 20.0) == (
        None,
        "ImportError: cannot import name 'a' from 'b' (c.py)",
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--only", "nobody is called so"], "no row's name contains"),
        (["--repeats", "0"], "--repeats: at least 1"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        measure.main(arguments)
    assert exit.value.code == 2
    assert text in capsys.readouterr().err


def test_a_build_that_says_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "refusal", lambda build: "this is a debug build")
    with pytest.raises(SystemExit) as exit:
        measure.main([])
    assert exit.value.code == 2
    assert "no benchmarks: this is a debug build" in capsys.readouterr().err


def test_another_version_than_the_pinned_one_is_named() -> None:
    row = plain(same, "kerux").record(Outcome((), "reason")) | {"version": "99.0"}
    assert f"({pins()['kerux']} is pinned)" in measure.table([row])


# The environment of the rivals


def environment(folder: Path, script: str) -> Path:
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return folder / "venv"


def test_the_environment_of_the_rivals_measures_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(measure, "VENV", that_prints(tmp_path, here()))
    told: list[str] = []
    assert measure.measured(told.append, 3) == [{"subject": "kerux"}]
    assert told == []
    assert capfd.readouterr().err == "-m benchmarks.rivals.measure --json --repeats 3\n"


def that_prints(folder: Path, found: dict[str, Any]) -> Path:
    file = folder / "found.json"
    file.write_text(json.dumps(found | {"rivals": [{"subject": "kerux"}]}))
    return environment(folder, f'echo "$*" >&2; cat "{file}"')


@pytest.mark.parametrize(
    ("part", "field", "reason"),
    [
        ("interpreter", "version", "venv has Python other, the report is of 3."),
        ("build", "flags", "venv has another build of cqrs_fast"),
    ],
)
def test_numbers_of_another_environment_are_refused(
    part: str,
    field: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = here()
    found[part] = found[part] | {field: "other"}
    monkeypatch.setattr(measure, "VENV", that_prints(tmp_path, found))
    monkeypatch.setattr(measure, "DUELS", [plain(same)])
    (row,) = measure.measured(lambda text: None, 1)
    assert list(row) == KEYS
    assert row["ratio"] is None
    assert row["reason"].startswith(reason)


@pytest.mark.parametrize("script", ["exit 1", "echo no JSON", "echo '{}'"])
def test_an_environment_that_fails_is_told_and_not_used(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "VENV", environment(tmp_path, script))
    monkeypatch.setattr(measure, "DUELS", [plain(same)])
    told: list[str] = []
    (row,) = measure.measured(told.append, 1)
    assert row["reason"] is None
    assert "cannot measure" in told[0]


def interpreter(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_where_nothing_can_be_installed_the_present_python_measures(
    tmp_path: Path,
) -> None:
    present = interpreter(tmp_path / "present", 'echo "$@"')
    broken = interpreter(tmp_path / "broken", "exit 1")
    settings = [f"PYTHON={present}", f"RIVALS={broken}", f"VENV={tmp_path}"]
    done = subprocess.run(
        ["make", "-sf", "benchmarks/rivals/Makefile", *settings],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "not installed: msgspec\n" in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        f"without {broken}: other libraries are left out",
        "-m benchmarks.rivals.measure",
    ]


# The rows as they are


def test_each_rival_is_pinned_and_each_row_has_a_name_of_its_own() -> None:
    names = [measure.name_of(duel) for duel in measure.DUELS]
    assert len(set(names)) == len(names) == len(measure.ALL)
    known = {None, STANDARD_LIBRARY, *pins()}
    assert {duel.distribution for duel in measure.DUELS} <= known


def test_rows_of_one_feature_stand_together() -> None:
    features = [(duel.group, duel.feature) for duel in measure.DUELS]
    changes = sum(one != next for one, next in itertools.pairwise(features))
    assert changes + 1 == len(set(features))


@pytest.mark.parametrize(
    "row",
    # Of the rivals those that are installed, which may be none.
    [row for row in measure.DUELS if row.missing is None],
    ids=measure.name_of,
)
def test_both_sides_do_the_work(row: Duel) -> None:
    worked, problem = in_child(lambda: row.checked() is not None, 20.0)
    assert worked, problem


def test_what_an_operation_calls_is_counted() -> None:
    check(Match(ours(*[around] * BETWEEN), ours(*[around] * BETWEEN), passed=BETWEEN))
    check(Match(ours_async(), sends_async(answer_async, ORDER)))
    with pytest.raises(WrongWork, match="ours: 0 x middleware instead of 1"):
        check(Match(ours(), ours(), passed=1))


# A rival that this interpreter may not have: its interface, as it is documented


def pymediate(asynchronous: bool) -> types.ModuleType:
    """Return a stand-in that does what its documentation says, and no more."""
    module = types.ModuleType("pymediate")
    handlers: dict[type, type] = {}

    class Generic:
        argument: ClassVar[Any] = None

        def __class_getitem__(cls, item: Any) -> Any:
            return type(cls.__name__, (cls,), {"argument": item})

        def __init_subclass__(cls) -> None:
            if cls.__name__ == "Handler":
                (hint,) = [
                    hint
                    for name, hint in cls.__call__.__annotations__.items()  # type: ignore[operator]
                    if name != "return"
                ]
                assert hint is cls.argument
                assert dataclasses.is_dataclass(hint)
                handlers[cls.argument] = cls

    class Services(list[Any]):
        add = list.append

        def provider(self) -> Any:
            return self

    class Mediator:
        def __init__(self, services: Any) -> None:
            self.services = services

        def send(self, request: Any) -> Any:
            wanted = handlers[type(request)]
            (step,) = [one for one in self.services if type(one) is wanted]
            call: Any = partial(step, request)
            for behavior in self.services:
                if type(behavior) is not wanted:
                    call = partial(behavior, request, call)
            return call()

    for name in ("Request", "RequestHandler", "PipelineBehavior"):
        setattr(module, name, type(name, (Generic,), {}))
    module.Services = Services  # type: ignore[attr-defined]
    if not asynchronous:
        sync = types.ModuleType("pymediate.sync")
        vars(sync).update({**vars(module), "Mediator": Mediator})
        module.sync = sync  # type: ignore[attr-defined]
        return module

    class AsyncMediator(Mediator):
        async def send(self, request: Any) -> Any:
            return await super().send(request)

    module.Mediator = AsyncMediator  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("duels", [dispatch.DUELS, dispatch_async.DUELS])
def test_pymediate_is_used_as_it_is_documented(
    duels: Duels, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pymediate(duels is dispatch_async.DUELS)
    monkeypatch.setitem(sys.modules, "pymediate", module)
    if hasattr(module, "sync"):
        monkeypatch.setitem(sys.modules, "pymediate.sync", module.sync)
    rows = [duel for duel in duels if duel.distribution == "pymediate"]
    assert [row.checked().passed for row in rows] == [0, BETWEEN]
