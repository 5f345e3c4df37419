"""The profiles watch what they say, find what is planted, and refuse other builds."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from places import ROOT

sys.path.append(str(ROOT))

from benchmarks.environment import without_folders
from profiles import (
    annotate,
    cpu,
    latency,
    memory,
    needs,
    planted,
    readme,
    workload,
)

SOURCES = sorted(ROOT.glob("cqrs_fast/**/*.p[yx][xd]"))


# The workload


def test_the_workload_is_always_the_same() -> None:
    messages = list(workload.script())
    assert messages == list(workload.script())
    kinds = Counter(type(message) for message in messages)
    assert kinds.total() == workload.DISPATCHES
    assert kinds[workload.CreateUser] == pytest.approx(workload.DISPATCHES / 3, rel=0.1)


def test_each_message_goes_through_its_bus_in_both_ways() -> None:
    load = workload.Mixed()
    load.run_sync()
    asyncio.run(load.run_async())
    commands, queries = load.commands.stats().total, load.queries.stats().total
    assert commands.count + queries.count == 2 * workload.DISPATCHES
    assert commands.count == load.users.created
    (info,) = load.commands.describe()
    assert [stage.kind for stage in info.stages] == [
        "Metrics",
        "ValidationMiddleware",
        "RateLimitingMiddleware",
        "RetryMiddleware",
        "CircuitBreakerMiddleware",
        "TimeoutMiddleware",
    ]
    (info,) = load.queries.describe()
    assert "CachingMiddleware" in [stage.kind for stage in info.stages]


@pytest.mark.parametrize(("way", "rounds"), [("sync", 1), ("async", 1), ("both", 2)])
def test_the_workload_runs_whole_rounds(way: str, rounds: int) -> None:
    load = workload.Mixed()
    assert load.run(way, time.monotonic() - 1.0) == 0
    done, rest = divmod(load.run(way, time.monotonic() + 0.03), workload.DISPATCHES)
    assert done >= rounds
    assert done % rounds == rest == 0


def test_a_row_is_found_by_a_part_of_its_name() -> None:
    rows: Any = {"bare": 1, "bare, async": 2, "bind": 3}
    assert workload.chosen(rows, "bare") == 1
    assert workload.chosen(rows, "in") == 3
    with pytest.raises(SystemExit, match="'a' names 2 rows; there are: bare, "):
        workload.chosen(rows, "a")


def test_what_is_not_planted_is_refused() -> None:
    with pytest.raises(SystemExit, match="'other' is not planted; there are: slow, "):
        workload.mixed("other")


def test_the_mended_stage_tells_the_same_as_the_slow_one() -> None:
    class Call:
        message = None
        error: Exception | None = None

    slow, mended = planted.SlowFailures(), planted.Failures()
    for number in range(3 * planted.WINDOW):
        Call.error = ValueError() if number * number % 7 < 3 else None
        slow.after(Call)
        mended.after(Call)
        assert mended.failed == slow.failed


# What each one needs


@pytest.mark.parametrize("module", [memory, latency, planted])
@pytest.mark.parametrize("mode", ["profile", "debug", "trace"])
def test_another_build_is_refused(
    module: Any, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": mode})
    monkeypatch.setattr(sys, "argv", ["profile"])
    with pytest.raises(SystemExit, match=f"no profile: this is a {mode} build, .* run"):
        module.main()


@pytest.mark.parametrize("mode", ["release", "debug"])
def test_cpu_needs_the_profile_build(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": mode})
    monkeypatch.setattr(sys, "argv", ["cpu"])
    with pytest.raises(SystemExit, match=f"a {mode} build, .*run `make profile` first"):
        cpu.main()


def test_a_missing_py_spy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cqrs_fast.build_info", lambda: {"mode": "profile"})
    monkeypatch.setattr(needs, "BUILD", tmp_path)
    monkeypatch.setattr(cpu, "tool", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["cpu"])
    with pytest.raises(SystemExit, match=r"py-spy is not installed: pip install "):
        cpu.main()


def test_a_tool_of_this_environment_comes_first() -> None:
    name = Path(sys.executable).name
    assert needs.tool(name) == str(Path(sys.executable))
    assert needs.tool("no-such-tool") is None


def test_a_missing_memray_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory.importlib.util, "find_spec", lambda name: None)
    memory.memray([])
    assert "memray is not installed: pip install" in capsys.readouterr().err


# CPU


SAMPLES: dict[str, Any] = {
    "shared": {
        "frames": [
            {"name": "main", "file": "profiles/workload.py", "line": 9},
            {"name": "run_sync", "file": "cqrs_fast/pipeline/driver.pyx", "line": 4},
            {"name": "memset", "file": "/usr/lib/libc.so.6", "line": 0},
            {"name": "load", "file": "<frozen importlib._bootstrap>", "line": 1},
        ]
    },
    "profiles": [
        {"samples": [[0, 1], [0, 1, 2], [0, 3, 2], []], "weights": [3, 1, 9, 9]}
    ],
}


def test_samples_are_added_up_by_line() -> None:
    itself, total = cpu.costs(SAMPLES)
    assert itself["run_sync (cqrs_fast/pipeline/driver.pyx:4)"] == 3
    assert total["run_sync (cqrs_fast/pipeline/driver.pyx:4)"] == 4
    assert cpu.table(SAMPLES).splitlines()[1:] == [
        "  75.0%  100.0%  run_sync (cqrs_fast/pipeline/driver.pyx:4)",
        "  25.0%   25.0%  memset (libc.so.6:0)",
    ]


def test_a_profile_names_no_folder_of_this_machine() -> None:
    text = f"a ({ROOT}/profiles/x.py:1) b (/opt/lib/libc.so.6) c (lib/d.h:2) 1/2/3"
    assert without_folders(text) == (
        "a (profiles/x.py:1) b (libc.so.6) c (lib/d.h:2) 1/2/3"
    )


@pytest.mark.parametrize(
    "text",
    ["http://www.w3.org/2000/svg", "see https://host/a/b.html, http://host/", "//a/b"],
)
def test_a_url_is_no_folder(text: str) -> None:
    assert without_folders(text) == text


def test_a_flame_graph_tells_what_it_is_of() -> None:
    graph = '<text id="title" x="1">py-spy record -o /opt/x.svg</text><g>a</g>'
    assert cpu.mended(graph, "a <b>, commit c") == (
        '<text id="title" x="1">a &lt;b&gt;, commit c</text><g>a</g>'
    )


def test_the_flame_graph_shows_lines_of_cython() -> None:
    graph = (ROOT / "profiles" / "flamegraph.svg").read_text()
    root = ElementTree.fromstring(graph)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    (title,) = root.iterfind(".//*[@id='title']")
    assert title.text is not None
    assert re.fullmatch(r"python -m profiles\.workload .*, commit \w+", title.text)
    lines = cpu.lines_of(graph)
    assert any(line.startswith("cqrs_fast/pipeline/") for line in lines)
    assert len(lines) > 20
    assert without_folders(graph) == graph


# Memory


def grown_by(name: str | None) -> float:
    """Return by how many bytes a dispatch keeps more, in this folder's own lines."""
    rounds = 2
    own = (planted.__file__, workload.__file__)
    sizes = [
        each.size_diff
        for each in memory.grown(workload.mixed(name), rounds)
        if each.traceback[0].filename in own
    ]
    return sum(sizes) / (rounds * 2 * workload.DISPATCHES)


def test_what_grows_is_found() -> None:
    assert grown_by("slow") > 10


@pytest.mark.parametrize("name", [None, "mended"])
def test_the_workload_does_not_grow(name: str | None) -> None:
    assert grown_by(name) < 0.5


def test_growth_is_shown_by_dispatch() -> None:
    class Growth:
        size_diff = 30 * workload.DISPATCHES
        count_diff = workload.DISPATCHES
        traceback = (Counter(),)

    class Frame:
        filename = f"{ROOT}/profiles/planted.py"
        lineno = 5

    Growth.traceback = (Frame(),)  # type: ignore[assignment]
    first, line = memory.table([Growth()], 1).splitlines()  # type: ignore[list-item]
    assert first == "90,000 bytes more after 6,000 dispatches"
    assert line == "     15.0 bytes a dispatch   0.50 blocks  profiles/planted.py:5"
    assert memory.shown("/opt/python/lib/re/_compiler.py") == "re/_compiler.py"


# Latency


@pytest.mark.parametrize("nanoseconds", [0, 1, 2, 3, 4, 5, 6, 7, 8, 700, 1023, 1024])
def test_a_row_holds_what_lies_in_it(nanoseconds: int) -> None:
    row = latency.bucket(nanoseconds)
    assert nanoseconds < latency.upper(row)
    assert row == 0 or nanoseconds >= latency.upper(row - 1)


def test_percentiles_are_exact() -> None:
    times = Counter(dict.fromkeys(range(1, 1_001), 1))
    points = latency.Latencies(times, Counter()).percentiles()
    assert points == {
        50.0: 500, 90.0: 900, 99.0: 990, 99.9: 999, 99.99: 1_000, 100.0: 1_000
    }


def test_collections_are_marked() -> None:
    load = workload.Mixed()
    sent = []

    def collect(message: Any) -> None:
        sent.append(message)
        if len(sent) == workload.DISPATCHES + 7:
            gc.collect()

    load.sends = [(collect, message) for message in load.messages]
    before = list(gc.callbacks)
    gc.disable()
    try:
        found = latency.measured(load, 50)
    finally:
        gc.enable()
    assert gc.callbacks == before
    assert found.times.total() == 50
    assert found.collected.total() == 1
    assert list(found.pauses) == [2]
    assert "1 collections of generation 2" in latency.summary(found)
    rows = latency.histogram(found).splitlines()
    assert len([row for row in rows if row.endswith("g")]) == 1


@pytest.mark.parametrize(
    ("nanoseconds", "text"), [(12, "12 ns"), (1_500, "1.50 us"), (2_000_000, "2.00 ms")]
)
def test_a_time_has_a_unit(nanoseconds: int, text: str) -> None:
    assert latency.shown(nanoseconds) == text


def test_the_histogram_is_a_picture_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    found = latency.Latencies(Counter({400: 9, 9_000: 2}), Counter({9_000: 1}))
    path = tmp_path / "latency.svg"
    assert latency.plot(found, path)
    assert "11 dispatches of the mixed load" in path.read_text()


def test_without_matplotlib_there_is_no_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not latency.plot(latency.Latencies(Counter(), Counter()), tmp_path / "no")


# Annotation


PYX = '''"""A module."""

cdef int plain(int x):
    return x


cdef inline int wanted(
    const Node *node, PyObject *key
) noexcept:
    # hot
    return node.key == key


cdef class Stage:
    cdef int declared(self) except -1

    cdef int enter(self, Frame *f) except -1:
        # hot: nothing is allocated
        cdef int x = plain(1)
        return x

    def execute(self, message,
                *, ctx=None):
        if ctx:
            # hot
            return 1
'''
C = """
static int __pyx_f_5stage_5Stage_enter(struct S *self, Frame *f); /* proto */
static int __pyx_f_5stage_5Stage_enter(struct S *self, Frame *f) {
  /* "stage.pyx":9
 * PyList_New(1)
 */
  __Pyx_RefNannySetupContext("enter", 0);
  __pyx_t_1 = PyList_New(0); if (unlikely(!__pyx_t_1)) __PYX_ERR(0, 9, __pyx_L1_error)
  __Pyx_GOTREF(__pyx_t_1);
  __pyx_t_2 = __Pyx_PyObject_FastCall(f, a, 1);
  __Pyx_XDECREF(__pyx_t_1);
  __Pyx_AddTraceback("enter", 1, 2, 3);
  return 0;
}

static CYTHON_INLINE PyObject *__pyx_pf_5stage_build(PyObject *self) {
  return PyLong_FromLong(1);
}
"""


def test_hot_functions_are_found() -> None:
    assert list(annotate.hot_functions(PYX, "package.stage")) == [
        "package.stage.wanted",
        "package.stage.Stage.enter",
        "package.stage.Stage.execute",
    ]
    assert [PYX.splitlines()[line - 1] for line in annotate.hot_lines(PYX)][:2] == [
        "    # hot",
        "    return node.key == key",
    ]


def test_hot_in_no_function_is_an_error() -> None:
    with pytest.raises(ValueError, match="stage, line 2: `# hot` in no function"):
        list(annotate.hot_functions("cdef class A:\n    # hot\n", "stage"))


def test_calls_of_python_are_counted_by_function() -> None:
    calls = annotate.calls_of(C)
    assert calls == {
        "stage.Stage.enter": {
            "PyList_New": 1,
            "__Pyx_PyObject_FastCall": 1,
            "__Pyx_XDECREF": 1,
        },
        "stage.build": {"PyLong_FromLong": 1},
    }
    assert annotate.score(calls["stage.Stage.enter"]) == 5 + 2 + 1


def test_a_hot_function_that_grew_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    old = {"stage.enter": {"__Pyx_DECREF": 1}, "stage.gone": {"PyList_New": 1}}
    new = {"stage.enter": {"__Pyx_DECREF": 2, "PyList_New": 1}}
    assert annotate.check(old, new) == 1
    out = capsys.readouterr().out
    assert "stage.gone: no longer hot\n" in out
    assert "stage.enter: from 1 to 7: __Pyx_DECREF x 1, PyList_New x 1\n" in out
    assert "1 hot functions score 7; 1 over their ceilings" in out


def test_a_hot_function_needs_a_ceiling(capsys: pytest.CaptureFixture[str]) -> None:
    assert annotate.check({}, {"stage.enter": {}}) == 1
    assert "stage.enter: hot, and without a ceiling" in capsys.readouterr().out
    assert annotate.check({"stage.enter": {}}, {"stage.enter": {}}) == 0


def test_yellow_lines_are_read() -> None:
    tag = '<pre class="cython line score-{}" onclick="">'
    line = tag + '+<span class="">{}</span>: {}</pre>'
    page = "\n".join(
        [line.format(30, "07", "a <span>&lt; b</span>"), line.format(30, "08", "c")]
    )
    assert list(annotate.yellow_lines(page, {7})) == [(30, 7, "a < b")]


@pytest.mark.skipif(not SOURCES, reason="the sources are not here")
def test_the_ceilings_are_of_the_present_hot_functions() -> None:
    committed = json.loads((ROOT / "profiles" / "annotate.json").read_text())
    hot = [
        name
        for path in SOURCES
        for name in annotate.hot_functions(path.read_text(), annotate.module_name(path))
    ]
    assert sorted(set(hot)) == sorted(committed["functions"]), f"run {annotate.UPDATE}"


@pytest.mark.skipif(not SOURCES, reason="the sources are not here")
def test_the_planted_stage_is_yellow_until_it_is_mended() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "profiles.annotate", "profiles/planted.pyx"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    slow, mended, *lines = done.stdout.splitlines()
    assert slow.startswith("profiles.planted.SlowFailures.leave: ")
    assert mended == "profiles.planted.Failures.leave: 0"
    assert any('self.calls.append({"failed"' in line for line in lines)


def test_only_sources_of_cython_are_annotated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["annotate", "profiles/nothing.pyx"])
    with pytest.raises(SystemExit, match=r"nothing\.pyx: there is no such .pyx file"):
        annotate.main()


# The README


def test_commands_are_answered_where_they_stand() -> None:
    text = "a\n<!-- output: python -m x -->\nold\n<!-- /output -->\nb\n"
    new = readme.replaced(text, lambda command: f"ran {command}\n", bool, "abc")
    assert new == (
        "a\n<!-- output: python -m x -->\n```text\n$ python -m x\n# commit abc\n"
        "ran python -m x\n```\n<!-- /output -->\nb\n"
    )
    assert readme.replaced(text, str, lambda command: False, "abc") == text


def test_every_command_of_the_readme_was_run() -> None:
    text = readme.README.read_text()
    commands = [match["command"] for match in readme.BLOCK.finditer(text)]
    assert len(commands) == text.count("<!-- /output -->") >= 5
    for command in commands:
        head = rf"```text\n\$ {re.escape(command)}\n# commit \w+\n"
        assert re.search(head, text), f"run {command} by python -m profiles.readme"
