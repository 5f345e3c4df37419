"""How long does each dispatch take, and which of them met a collection of garbage?

    python -m profiles.latency [--dispatches N] [--summary]

Each dispatch is timed by itself, into an array that is made before. Prints percentiles
and a histogram, in which the dispatches that a collection interrupted are marked; where
matplotlib is installed it writes the histogram as SVG too.
"""

from __future__ import annotations

import argparse
import gc
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from profiles.needs import BUILD, require, say
from profiles.workload import Mixed

DISPATCHES = 10_000_000
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)
STEPS = 2
"""Rows of the histogram in an octave."""
WIDTH = 40
PROGRESS_SECONDS = 2.0
SVG = BUILD / "latency.svg"


@dataclass
class Latencies:
    """How often each time was seen, in nanoseconds."""

    times: Counter[int]
    collected: Counter[int]
    """Of these, the dispatches that a collection interrupted."""
    pauses: dict[int, list[int]] = field(default_factory=dict)
    """Of each generation, how long its collections took."""

    def percentiles(self) -> dict[float, int]:
        """Return the time within which so many of a hundred dispatches ended."""
        ordered = sorted(self.times)
        total = self.times.total()
        result = {}
        seen = 0
        wanted = iter(PERCENTILES)
        percentile = next(wanted, None)
        for nanoseconds in ordered:
            seen += self.times[nanoseconds]
            while percentile is not None and seen >= total * percentile / 100:
                result[percentile] = nanoseconds
                percentile = next(wanted, None)
        return result


class Collections:
    """Notes when a collection begins and ends, while it is entered."""

    def __init__(self) -> None:
        self.pauses: dict[int, list[int]] = {}
        self.unseen: list[int] = []
        """Collections since somebody looked."""
        self.started = 0

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self.started = perf_counter_ns()
            return
        pause = perf_counter_ns() - self.started
        self.pauses.setdefault(info["generation"], []).append(pause)
        self.unseen.append(pause)

    def __enter__(self) -> Collections:
        gc.callbacks.append(self)
        return self

    def __exit__(self, *raised: object) -> None:
        gc.callbacks.remove(self)


def measured(load: Mixed, dispatches: int) -> Latencies:
    """Time so many dispatches, each by itself."""
    # Made before, so that keeping them allocates nothing.
    times = array("Q", bytes(8 * dispatches))
    hit: list[int] = []
    load.run_sync()
    done = 0
    told = time.monotonic()
    with Collections() as collections:
        while done < dispatches:
            done = one_round(load, times, done, collections.unseen, hit)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                say(f"{done:,} of {dispatches:,} dispatches")
    return Latencies(Counter(times), Counter(hit), collections.pauses)


def one_round(
    load: Mixed, times: array[int], done: int, unseen: list[int], hit: list[int]
) -> int:
    """Time the messages of the load once; return how many are done in all."""
    clock = perf_counter_ns
    for index, (execute, message) in enumerate(load.sends[: len(times) - done], done):
        unseen.clear()
        started = clock()
        execute(message)
        taken = clock() - started
        times[index] = taken
        if unseen:
            hit.append(taken)
    return min(done + len(load.sends), len(times))


def bucket(nanoseconds: int) -> int:
    """Return the row of the histogram: STEPS of the same width in each octave."""
    if nanoseconds < STEPS:
        return nanoseconds
    octave = nanoseconds.bit_length() - 1
    return octave * STEPS + (nanoseconds - (1 << octave)) * STEPS // (1 << octave)


def upper(row: int) -> int:
    """Return the time at which a row ends."""
    octave, step = divmod(row, STEPS)
    return (1 << octave) + ((1 << octave) * (step + 1)) // STEPS


def rows_of(times: Counter[int]) -> Counter[int]:
    rows: Counter[int] = Counter()
    for nanoseconds, count in times.items():
        rows[bucket(nanoseconds)] += count
    return rows


def summary(latencies: Latencies) -> str:
    """Return percentiles and pauses."""
    points = latencies.percentiles()
    total = latencies.times.total()
    lines = [
        f"{total:,} dispatches; the time of a reading of the clock is in each",
        "  ".join(f"p{point:g} {shown(ns)}" for point, ns in points.items()),
    ]
    for generation, pauses in sorted(latencies.pauses.items()):
        lines.append(
            f"{len(pauses):,} collections of generation {generation}, the longest "
            f"{shown(max(pauses))}"
        )
    return "\n".join(lines)


def histogram(latencies: Latencies) -> str:
    """Return a row for each half of an octave."""
    every, marked = rows_of(latencies.times), rows_of(latencies.collected)
    lines = [f"{'up to':>10}{'dispatches':>12}{'collected':>11}"]
    for row in range(min(every), max(every) + 1):
        count, collected = every[row], marked[row]
        # One mark for each doubling: the rare ones are what one looks for.
        bar = "#" * count.bit_length()
        bar = bar[: len(bar) - collected.bit_length()] + "g" * collected.bit_length()
        lines.append(
            f"{shown(upper(row)):>10}{count:12,}{collected:11,}  {bar}".rstrip()
        )
    return "\n".join(lines)


def shown(nanoseconds: int) -> str:
    """Return a time with its unit."""
    for unit, size in (("ms", 1_000_000), ("us", 1_000)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.2f} {unit}"
    return f"{nanoseconds} ns"


def plot(latencies: Latencies, path: Path) -> bool:
    """Write the histogram as SVG; return whether matplotlib is installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    # Else each run writes other names into the file.
    matplotlib.rcParams["svg.hashsalt"] = "latency"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for times, label, color in (
        (latencies.times, "all dispatches", "tab:blue"),
        (latencies.collected, "interrupted by a collection", "tab:red"),
    ):
        rows = rows_of(times)
        ends = [upper(row) for row in sorted(rows)]
        starts = [upper(row - 1) if row else 0 for row in sorted(rows)]
        widths = [end - start for start, end in zip(starts, ends, strict=True)]
        heights = [rows[row] for row in sorted(rows)]
        axes.bar(starts, heights, widths, align="edge", label=label, color=color)
    for point, nanoseconds in latencies.percentiles().items():
        axes.axvline(nanoseconds, color="gray", linewidth=0.8, linestyle=":")
        axes.annotate(f" p{point:g}", (nanoseconds, 1), rotation=90, fontsize=7)
    axes.set(xscale="log", yscale="log", xlabel="nanoseconds", ylabel="dispatches")
    axes.set_title(f"{latencies.times.total():,} dispatches of the mixed load")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m profiles.latency")
    parser.add_argument("--dispatches", type=int, default=DISPATCHES)
    parser.add_argument("--svg", type=Path, default=SVG)
    parser.add_argument("--summary", action="store_true", help="without the histogram")
    options = parser.parse_args()
    if options.dispatches < 1:
        parser.error(f"--dispatches must be at least 1, not {options.dispatches}")
    require("release")
    say(f"timing {options.dispatches:,} dispatches")
    latencies = measured(Mixed(), options.dispatches)
    print(summary(latencies))
    if options.summary:
        return
    print(histogram(latencies))
    if plot(latencies, options.svg):
        say(f"{options.svg}: the same as a picture")
    else:
        say('no picture: matplotlib is not installed: pip install "cqrs-fast[bench]"')


if __name__ == "__main__":
    main()
