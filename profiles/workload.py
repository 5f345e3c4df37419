"""Run one row of the benchmarks for some seconds, for a profiler to watch.

    python -m profiles.workload [--baseline] ROW [SECONDS]

Without a row the rows are listed.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.ratios import ROWS
from benchmarks.table import Operation, Row

BATCH = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m profiles.workload")
    parser.add_argument("row", nargs="?", help="its name, or a part of it")
    parser.add_argument("seconds", nargs="?", type=float, default=10.0)
    parser.add_argument("--baseline", action="store_true", help="run that alone")
    options = parser.parse_args()
    rows = {row.name: row for row in ROWS if isinstance(row, Row)}
    if options.row is None:
        print(*rows, sep="\n")
        return
    pair = chosen(rows, options.row).pair
    run(pair.baseline if options.baseline else pair.case, options.seconds)


def chosen(rows: dict[str, Row], name: str) -> Row:
    """Return the row of that name, or the only one with that in its name."""
    if name in rows:
        return rows[name]
    found = [row for row in rows if name in row]
    if len(found) != 1:
        sys.exit(f"{name!r} names {len(found)} rows; there are: {', '.join(rows)}")
    return rows[found[0]]


def run(operation: Operation, seconds: float) -> None:
    """Run it for that long; tell how many times it ran."""
    times = max(1, BATCH // operation.per)
    done = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        operation.run(times)
        done += times * operation.per
    print(f"{done:,} operations in {seconds:g} s")


if __name__ == "__main__":
    main()
