"""Run the long rows of the reliability bar within a budget of time.

    python -m tests.soak --seconds 600              every row, the budget shared equally
    python -m tests.soak --row 20 --seconds 60      one row
    python -m tests.soak --row 20 --seed 4711 --count 1     one schedule again

Prints for each row the first seed, the number of schedules and calls, and the time.
The first failure ends the run with its seed and its schedule, and status 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from soak.rows import ROWS, Row

PROGRESS_SECONDS = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--seconds", type=float, default=300.0, help="for all rows")
    parser.add_argument("--row", action="append", choices=[row.number for row in ROWS])
    parser.add_argument("--seed", type=int, help="of the first schedule")
    parser.add_argument("--count", type=int, help="of schedules of each row at most")
    options = parser.parse_args()
    # Pipelines of a random order are no advice.
    warnings.simplefilter("ignore")
    seed = time.time_ns() % 1_000_000_000 if options.seed is None else options.seed
    rows = [row for row in ROWS if options.row is None or row.number in options.row]
    failed = False
    started = time.monotonic()
    for index, row in enumerate(rows):
        # What one row leaves of its share goes to the next ones.
        left = options.seconds - (time.monotonic() - started)
        share = max(left, 0.0) / (len(rows) - index)
        failed = not run(row, seed, share, options.count) or failed
    print(f"{len(rows)} rows, {time.monotonic() - started:.1f} s: ", end="")
    print("FAILED" if failed else "all is well")
    return int(failed)


def run(row: Row, seed: int, seconds: float, most: int | None = None) -> bool:
    """Run schedules of a row, one at least; return whether all kept its promise."""
    started = shown = time.monotonic()
    schedules = calls = 0
    while True:
        try:
            calls += row.schedule(seed + schedules)
        except BaseException as error:
            tell(row, seed, schedules, calls, started)
            print(f"FAILED with seed {seed + schedules}; once more with:")
            print(f"  python -m tests.soak --row {row.number} ", end="")
            print(f"--seed {seed + schedules} --count 1")
            traceback.print_exc()
            if not isinstance(error, Exception):
                raise
            return False
        schedules += 1
        now = time.monotonic()
        if now - started >= seconds or schedules == most:
            break
        if now - shown >= PROGRESS_SECONDS:
            tell(row, seed, schedules, calls, started)
            shown = now
    tell(row, seed, schedules, calls, started)
    try:
        row.finish()
    except Exception:
        print(f"FAILED: row {row.number}, taken together")
        traceback.print_exc()
        return False
    return True


def tell(row: Row, seed: int, schedules: int, calls: int, started: float) -> None:
    print(
        f"row {row.number:4} {row.title:50} seed {seed:9}  {schedules:8,} schedules  "
        f"{calls:11,} calls  {time.monotonic() - started:7.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
