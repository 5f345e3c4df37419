"""Which lines keep more memory, the longer the workload runs?

    python -m profiles.memory [--rounds N] [--no-memray]

The workload runs until it is warm; then tracemalloc compares what is allocated before
and after some rounds more. A bounded store, cache or pool adds nothing. Where memray is
installed it tells what was allocated in all, native code included.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment import ROOT
from profiles.needs import BUILD, EXTRA, require, say
from profiles.workload import DISPATCHES, Mixed

WARM = 5
ROUNDS = 20
LINES = 8
LEAST = 16
"""Bytes in a round: less is the bookkeeping of the interpreter."""
MEMRAY_SECONDS = "2"


def run(load: Mixed, rounds: int) -> None:
    async def both() -> None:
        for _ in range(rounds):
            load.run_sync()
            await load.run_async()

    asyncio.run(both())
    # What is garbage already is no growth.
    gc.collect()


def grown(load: Mixed, rounds: int) -> list[tracemalloc.StatisticDiff]:
    """Return what grew by line in so many rounds, after the load was warm."""
    own = [tracemalloc.Filter(False, tracemalloc.__file__)]
    tracemalloc.start()
    try:
        run(load, WARM)
        before = tracemalloc.take_snapshot().filter_traces(own)
        run(load, rounds)
        after = tracemalloc.take_snapshot().filter_traces(own)
    finally:
        tracemalloc.stop()
    differences = after.compare_to(before, "lineno")
    return [each for each in differences if each.size_diff >= LEAST * rounds]


def table(differences: Sequence[tracemalloc.StatisticDiff], rounds: int) -> str:
    """Return the lines that grew most, for each dispatch."""
    dispatches = rounds * 2 * DISPATCHES
    total = sum(each.size_diff for each in differences)
    lines = [f"{total:,} bytes more after {dispatches:,} dispatches"]
    for each in differences[:LINES]:
        frame = each.traceback[0]
        place = f"{shown(frame.filename)}:{frame.lineno}"
        lines.append(
            f"{each.size_diff / dispatches:9.1f} bytes a dispatch"
            f"{each.count_diff / dispatches:7.2f} blocks  {place}"
        )
    return "\n".join(lines)


def shown(filename: str) -> str:
    """Return a path from here on, or the end of one that lies elsewhere."""
    path = Path(filename)
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    return "/".join(path.parts[-2:])


def memray() -> None:
    """Let memray watch the workload, where it is installed."""
    if importlib.util.find_spec("memray") is None:
        say(f"memray is not installed: {EXTRA}")
        return
    capture, graph = BUILD / "memray.bin", BUILD / "memray.html"
    base = [sys.executable, "-m", "memray"]
    workload = ["-m", "profiles.workload", "--seconds", MEMRAY_SECONDS]
    for command in (
        [*base, "run", "-q", "-f", "-o", str(capture), *workload],
        [*base, "flamegraph", "-f", "-o", str(graph), str(capture)],
    ):
        status = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode
        if status:
            say(f"memray ended with status {status}: {' '.join(command)}")
            return
    stats = [*base, "stats", "-n", "5", str(capture)]
    done = subprocess.run(stats, capture_output=True, text=True)
    print(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).rstrip())
    say(f"{graph}: what was allocated where, at the peak")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m profiles.memory")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-memray", action="store_true", help="tracemalloc alone")
    options = parser.parse_args()
    require("release")
    say("the workload runs under tracemalloc")
    print(table(grown(Mixed(), options.rounds), options.rounds))
    if not options.no_memray:
        memray()


if __name__ == "__main__":
    main()
