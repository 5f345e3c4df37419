"""Hunt for crashes, hangs and waits that are too long.

    python -m tests.hunters                     all hunters, whole, in this environment
    python -m tests.hunters --short             their short forms
    python -m tests.hunters --hunter liars      one hunter; may be given again
    python -m tests.hunters --hunter liars --scenario 'walk set int validate'
                                                one scenario again, in a child process
    python -m tests.hunters ... --here          in this process, for a debugger
    python -m tests.hunters --everywhere        every build and Python; writes
                                                docs/reliability.md

The status is 1 where there is a fault. Each fault is told with the command that repeats
it. `make hunt` runs the last one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from hunters import builds, report
from hunters.hunters import CHOSEN, HUNTERS
from hunters.hunting import Effort, Hunt, Hunter, Nursery, hunt, show

SCHEDULES, SHORT_SCHEDULES = 100_000, 2_000
MOST_FAULTS, SHORT_MOST_FAULTS = 500, 20
PROGRESS_SECONDS = 10.0
SEED = 4711


def main() -> int:
    options = parsed()
    chosen = options.hunter or CHOSEN
    if options.scenario is not None:
        return again(HUNTERS[chosen[0]], options.scenario, options.here)
    effort = Effort(
        not options.short,
        options.seed,
        options.schedules or (SHORT_SCHEDULES if options.short else SCHEDULES),
        SHORT_MOST_FAULTS if options.short else MOST_FAULTS,
    )
    if options.everywhere:
        rows = report.write_each(
            builds.everywhere(chosen, effort, options.mode, options.version)
        )
    else:
        rows = [row_of(HUNTERS[name], effort) for name in chosen]
    if options.json:
        Path(options.json).write_text(json.dumps(rows))
    faults = sum(row.get("faults") or 0 for row in rows)
    print(f"{faults} faults")
    return int(faults > 0)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hunters")
    parser.add_argument("--hunter", action="append", choices=[*HUNTERS])
    parser.add_argument("--scenario", help="one scenario of one hunter")
    parser.add_argument("--here", action="store_true", help="it in this process")
    parser.add_argument("--short", action="store_true", help="the short forms")
    parser.add_argument("--seed", type=int, default=SEED, help="of the schedules")
    parser.add_argument("--schedules", type=int, help="of waiters")
    parser.add_argument("--everywhere", action="store_true", help="builds and Pythons")
    parser.add_argument("--mode", action="append", choices=builds.MODES)
    parser.add_argument("--version", action="append", choices=builds.VERSIONS)
    parser.add_argument("--json", help="a file for the rows")
    return parser.parse_args()


def again(hunter: Hunter, scenario: str, here: bool) -> int:
    """Run one scenario and show all that it tells."""
    if here:
        print(hunter.run(scenario))
        return 0
    with Nursery(hunter) as nursery:
        ending = nursery.ask(scenario)
    print(ending.told, end="")
    print(f"{scenario}: {ending.fault or ending.answer}")
    return int(ending.fault is not None)


def row_of(hunter: Hunter, effort: Effort) -> dict[str, Any]:
    """Let a hunter hunt; return its row of the table."""
    from cqrs_fast import build_info

    began = time.monotonic()
    shown = began

    def tell(so_far: Hunt) -> None:
        nonlocal shown
        if time.monotonic() - shown >= PROGRESS_SECONDS:
            shown = time.monotonic()
            tell_of(hunter, so_far, shown - began)

    row: dict[str, Any] = {
        "hunter": hunter.name,
        "title": hunter.title,
        "mode": build_info()["mode"],
        "python": ".".join(map(str, sys.version_info[:3])),
        "whole": effort.whole,
        "seed": effort.seed,
        "schedules": effort.schedules,
        "date": time.strftime("%Y-%m-%d"),
    }
    try:
        found = hunt(hunter, effort, tell)
    except LookupError as missing:
        print(f"{hunter.name}: not run: {missing}", flush=True)
        return {**row, "missing": str(missing)}
    tell_of(hunter, found, time.monotonic() - began)
    show(found.faults, hunter, sys.stdout)
    for what, times in found.seen.items():
        print(f"{hunter.name:10} {times:8,} {what}")
    for scenario, wrong in found.excused:
        print(f"excused {hunter.name} {scenario}: {wrong}")
    row["scenarios"] = found.scenarios
    row["faults"] = len(found.faults)
    row["excused"] = len(found.excused)
    row["gave_up"] = len(found.faults) > effort.most_faults
    row["seconds"] = round(time.monotonic() - began)
    return row


def tell_of(hunter: Hunter, found: Hunt, seconds: float) -> None:
    print(
        f"{hunter.name:10} {found.scenarios:8,} scenarios  {len(found.faults):4} faults"
        f"  {seconds:7.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
