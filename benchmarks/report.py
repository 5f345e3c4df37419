"""Measure everything; write RESULTS.md, its plots and the table of docs/benchmarks.md.

    python -m benchmarks.report [--repeats N] [--only TEXT] [--results FILE]
    python -m benchmarks.report --from FILE [--into FOLDER]

The results go to benchmarks/results.json, from which everything else is made: `--from`
makes it again without measuring. `--results` only measures, into another file, for
`python -m benchmarks.compare`. A section that needs a missing package or Go has the
reason in place of its numbers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import cqrs_fast
from benchmarks import document, latency, ratios
from benchmarks.compare import results_in
from benchmarks.environment import commit, environment, tell
from cqrs_fast.cli.machine import refusal

FOLDER = Path(__file__).parent
SECTION_REPEATS = 7
"""Of rivals and of Go, at most."""
Progress = Callable[[str], None]


def measured(repeats: int, progress: Progress, only: str = "") -> dict[str, Any]:
    """Measure all there is; return what results.json holds."""
    began = perf_counter()
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        **environment(),
        "seconds": 0.0,
        "repeats": 0,
        "files": {
            name: ratios.question(module) for name, module in ratios.FILES.items()
        },
        "reasons": {},
    }
    results["rows"] = ratios.Run(progress, only).measure(repeats)
    results["repeats"] = max((row["repeats"] for row in results["rows"]), default=0)
    few = min(repeats, SECTION_REPEATS)
    sections: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "rivals": lambda: _others("benchmarks.rivals.measure", progress, few),
        "go": lambda: _others("benchmarks.go.measure", progress, few),
        "distributions": lambda: latency.measured(progress),
    }
    for name, section in sections.items():
        results[name] = []
        if only:
            results["reasons"][name] = f"only rows with {only!r} were asked for."
            continue
        try:
            results[name] = section()
        except Exception as error:
            # The rows are measured and must not be lost.
            traceback.print_exc()
            results["reasons"][name] = f"{type(error).__name__}: {error}"
            progress(f"not measured: {name}")
    results["seconds"] = round(perf_counter() - began, 1)
    return results


def _others(module: str, progress: Progress, repeats: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = import_module(module).measured(progress, repeats)
    return found


def write(results: dict[str, Any], folder: Path, progress: Progress) -> None:
    """Write RESULTS.md and its plots into a folder."""
    try:
        plots = import_module("benchmarks.plots")
    except ImportError as error:
        progress(f'no plots: {error}; run `pip install "cqrs-fast[bench]"`')
        plots = None
    if plots is not None:
        for path in plots.write(results, folder / document.PLOTS):
            progress(f"wrote {path}")
    text = document.render(results, plotted=plots is not None)
    (folder / "RESULTS.md").write_text(text)


def failures(results: dict[str, Any]) -> list[str]:
    """Return the rows that ought to run everywhere and did not."""
    return [
        f"{row['name']}: {row['reason']}"
        for row in results["rows"]
        if (row["reason"] or "").startswith(ratios.FAILED)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report")
    parser.add_argument("--repeats", type=int, default=ratios.REPEATS)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--results", type=Path, help="measure into this file alone")
    parser.add_argument("--from", type=Path, dest="source", help="do not measure")
    parser.add_argument("--into", type=Path, help="another folder for RESULTS.md")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats: must be at least 1")
    if options.only and not (options.results or options.source):
        parser.error("--only: a report of some rows needs a separate --results file")
    if options.source is not None:
        try:
            results = results_in(options.source)
        except (OSError, ValueError) as error:
            sys.exit(f"{options.source}: {error}")
    else:
        reason = refusal(cqrs_fast.build_info())
        if reason is not None:
            sys.exit(f"no benchmarks: {reason}")
        results = measured(options.repeats, tell, options.only)
        file = options.results or ratios.RESULTS
        file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if options.results is None:
        write(results, options.into or FOLDER, tell)
        if options.into is None:
            page = document.PAGE
            page.write_text(document.replaced(page.read_text(), results))
    failed = failures(results)
    if failed:
        sys.exit("\n".join(["these rows failed:", *failed]))


if __name__ == "__main__":
    main()
