"""The profiles watch what they say, find what grows, and reject other builds."""

from __future__ import annotations

import asyncio
import gc
import re
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
    cpu,
    latency,
    memory,
    needs,
    workload,
)

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


# What each one needs


@pytest.mark.parametrize("module", [memory, latency])
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
    memory.memray()
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


class Hoarding(workload.Mixed):
    """A load that keeps something of each round."""

    kept: list[bytearray]

    def run_sync(self) -> None:
        super().run_sync()
        self.kept.append(bytearray(100 * workload.DISPATCHES))


def grown_by(load: workload.Mixed) -> float:
    """Return by how many bytes a dispatch keeps more, in its own lines and these."""
    rounds = 2
    own = (__file__, workload.__file__)
    sizes = [
        each.size_diff
        for each in memory.grown(load, rounds)
        if each.traceback[0].filename in own
    ]
    return sum(sizes) / (rounds * 2 * workload.DISPATCHES)


def test_what_grows_is_found() -> None:
    load = Hoarding()
    load.kept = []
    assert grown_by(load) > 10


def test_the_workload_does_not_grow() -> None:
    assert grown_by(workload.Mixed()) < 0.5


def test_growth_is_shown_by_dispatch() -> None:
    class Growth:
        size_diff = 30 * workload.DISPATCHES
        count_diff = workload.DISPATCHES
        traceback = (Counter(),)

    class Frame:
        filename = f"{ROOT}/profiles/workload.py"
        lineno = 5

    Growth.traceback = (Frame(),)  # type: ignore[assignment]
    first, line = memory.table([Growth()], 1).splitlines()  # type: ignore[list-item]
    assert first == "90,000 bytes more after 6,000 dispatches"
    assert line == "     15.0 bytes a dispatch   0.50 blocks  profiles/workload.py:5"
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


