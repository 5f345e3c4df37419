"""The presets side by side: one mixed load, in rounds that take turns.

    python -m benchmarks.presets [--write]

The load is that of `benchmarks.tail`: one third commands whose handler allocates, two
thirds queries, on a heap of 500,000 objects. Each preset runs under its own
`performance_tuning`. A round dispatches everything once for the rate, and once with a
reading of the clock around each for the percentiles. The table has the medians of the
rounds. `--write` puts it into docs/configuration.md.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benchmarks.tail import Orders, script, times_of
from cqrs_fast import (
    Config,
    default_config,
    high_throughput_config,
    low_latency_config,
    performance_tuning,
)

LIVE = 250_000
ROUNDS = 15
PASSES = 3
PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN, END = "<!-- benchmarks.presets -->\n", "<!-- end -->\n"
PRESETS: dict[str, Callable[[], Config] | None] = {
    "no middleware": None,
    "default": default_config,
    "`high_throughput_config()`": high_throughput_config,
    "`low_latency_config()`": low_latency_config,
}
HEADING = ("", "dispatches a second", "median", "p99", "p99.9")


def per_second(sends: list[tuple[Callable[[Any], Any], Any]]) -> float:
    started = perf_counter_ns()
    for _ in range(PASSES):
        for execute, message in sends:
            execute(message)
    return PASSES * len(sends) / (perf_counter_ns() - started) * 1e9


def measure() -> dict[str, list[tuple[float, ...]]]:
    """Return for each preset what each round measured."""
    live = [{"row": [number]} for number in range(LIVE)]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in PRESETS}
    configs = {name: make and make() for name, make in PRESETS.items()}
    loads = {name: script(config, Orders()) for name, config in configs.items()}
    for number in range(ROUNDS + 1):
        for name, config in configs.items():
            gc.collect()
            tuning: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
            if config is not None:
                tuning = performance_tuning(config.performance)
            with tuning:
                rate = per_second(loads[name])
                times = sorted(times_of(loads[name], PASSES))
            if number:  # the first warms up
                parts = [times[len(times) * share // 1000] for share in (500, 990, 999)]
                found[name].append((rate, *parts))
    assert len(live) == LIVE
    return found


def table(found: dict[str, list[tuple[float, ...]]]) -> str:
    rows = [HEADING, ("---",) + ("---:",) * 4]
    for name, rounds in found.items():
        rate, *times = map(statistics.median, zip(*rounds, strict=True))
        shown = [f"{time / 1000:.2f} µs" for time in times]
        rows.append((name, f"{rate:,.0f}", *shown))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    text = table(measure())
    print(text, end="")
    if "--write" in sys.argv[1:]:
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}{text}{END}{after}")


if __name__ == "__main__":
    main()
