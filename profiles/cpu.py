"""Let py-spy watch the workload: where the time goes, down to lines of .pyx files.

    python -m profiles.cpu [--seconds S] [--flamegraph FILE] [-- ARGUMENT ...]

Needs the profile build, which `make profile-cpu` makes. The arguments are those of
profiles.workload. Writes a flame graph and a file for https://www.speedscope.app, and
prints the lines that cost most.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT, commit, without_folders
from profiles.needs import BUILD, EXTRA, require, say, tool

FLAMEGRAPH = BUILD / "flamegraph.svg"
SPEEDSCOPE = BUILD / "speedscope.json"
RATE = 200
"""Samples in a second: each stops the process while native stacks are read."""
TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*')
COMPILED = re.compile(r"[\w/]+\.pyx:\d+")
LINES = 12


def record(py_spy: str, form: str, output: Path, watched: list[str]) -> None:
    """Run the workload under py-spy, which writes what it saw."""
    options = ["--native", "--rate", str(RATE), "--format", form, "-o", str(output)]
    module = [sys.executable, "-m", "profiles.workload", *watched]
    command = [py_spy, "record", *options, "--", *module]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(
            f"no profile: py-spy ended with status {done.returncode}; it needs the "
            "right to trace what it starts (in a container: --cap-add SYS_PTRACE)"
        )


def lines_of(graph: str) -> set[str]:
    """Return the lines of .pyx files that a flame graph shows."""
    return set(COMPILED.findall(graph))


def mended(graph: str, title: str) -> str:
    """Return a flame graph of py-spy with this title, and without folders."""
    title = html.escape(title)
    return TITLE.sub(lambda match: match[1] + title, without_folders(graph))


def costs(document: dict[str, Any]) -> tuple[Counter[str], Counter[str]]:
    """Return the weight of each line itself, and with all that it called.

    Without the imports at the start.
    """
    frames = [
        f"{frame['name']} ({frame.get('file', '')}:{frame.get('line', 0)})"
        for frame in document["shared"]["frames"]
    ]
    itself: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for profile in document["profiles"]:
        for stack, weight in zip(profile["samples"], profile["weights"], strict=True):
            if not stack or any("<frozen importlib" in frames[i] for i in stack):
                continue
            itself[frames[stack[-1]]] += weight
            for frame in {frames[index] for index in stack}:
                total[frame] += weight
    return itself, total


def table(document: dict[str, Any]) -> str:
    """Return the lines that cost most by themselves."""
    itself, total = costs(document)
    whole = sum(itself.values()) or 1
    rows = [f"{'itself':>7} {'in all':>7}  line"]
    for frame, weight in itself.most_common(LINES):
        share, all_of_it = weight / whole, total[frame] / whole
        rows.append(f"{share:7.1%} {all_of_it:7.1%}  {without_folders(frame)}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m profiles.cpu")
    parser.add_argument("--seconds", default="10")
    parser.add_argument("--flamegraph", type=Path, default=FLAMEGRAPH)
    parser.add_argument("workload", nargs="*", help="arguments of profiles.workload")
    options = parser.parse_args()
    require("profile")
    py_spy = tool("py-spy")
    if py_spy is None:
        sys.exit(f"no profile: py-spy is not installed: {EXTRA}")
    watched = [*options.workload, "--seconds", options.seconds]
    say("py-spy watches the workload, for the flame graph and then for speedscope")
    record(py_spy, "flamegraph", FLAMEGRAPH, watched)
    title = f"python -m profiles.workload {shlex.join(watched)}, commit {commit()}"
    graph = mended(FLAMEGRAPH.read_text(), title)
    lines = lines_of(graph)
    if not lines:
        sys.exit(f"{FLAMEGRAPH} shows no line of a .pyx file")
    options.flamegraph.write_text(graph)
    record(py_spy, "speedscope", SPEEDSCOPE, watched)
    print(table(json.loads(SPEEDSCOPE.read_text())))
    files = {line.partition(":")[0] for line in lines}
    say(f"{options.flamegraph}: {len(lines)} lines of {len(files)} .pyx files")
    say(f"{SPEEDSCOPE}: open it at https://www.speedscope.app")


if __name__ == "__main__":
    main()
