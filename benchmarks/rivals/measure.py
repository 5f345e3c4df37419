"""Measure this library against others, and against what one writes by hand.

    python -m benchmarks.rivals.measure [--only TEXT] [--repeats N] [--json]

Each repeat of a row is a process of its own, ours and theirs in turns. A ratio is their
time over ours: above 1 this library is faster. benchmarks/noise.py says what is made of
the repeats. A rival that is not installed, fails or does not do the work gets a row
that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cqrs_fast
from benchmarks.environment import ROOT, environment, tell
from benchmarks.rivals import (
    breaker_duels,
    cache_duels,
    dispatch,
    dispatch_async,
    limiter_duels,
    pipeline_duels,
    retry_duels,
)
from benchmarks.rivals.duel import REPEATS, Duel, Outcome
from benchmarks.rivals.isolation import pins
from cqrs_fast.cli.machine import refusal

VENV = ROOT / ".venv-rivals"


def by_feature(duels: Iterable[Duel]) -> list[Duel]:
    """Return rows of one feature side by side, in the order in which these begin."""
    features: dict[tuple[str, str], list[Duel]] = {}
    for duel in duels:
        features.setdefault((duel.group, duel.feature), []).append(duel)
    return [duel for several in features.values() for duel in several]


ALL = (
    *dispatch.DUELS,
    *dispatch_async.DUELS,
    *pipeline_duels.DUELS,
    *cache_duels.DUELS,
    *limiter_duels.DUELS,
    *breaker_duels.DUELS,
    *retry_duels.DUELS,
)
DUELS = by_feature(ALL)


def name_of(duel: Duel) -> str:
    return f"{duel.group}: {duel.feature}: {duel.subject}: {duel.what}"


def measured(
    progress: Callable[[str], None], repeats: int = REPEATS
) -> list[dict[str, Any]]:
    """Return the record of each row.

    They are measured by the interpreter of .venv-rivals where `make rivals` made that,
    else by the present one.
    """
    if not VENV.exists():
        progress("rivals: those that are installed here; `make rivals` installs all")
    elif Path(sys.prefix).resolve() != VENV.resolve():
        try:
            return _measured_there(repeats)
        except (OSError, subprocess.CalledProcessError, ValueError, KeyError) as error:
            progress(f"{VENV.name} cannot measure ({error}): make it anew")
    return measured_here(progress, repeats)


def _measured_there(repeats: int) -> list[dict[str, Any]]:
    command = [str(VENV / "bin" / "python"), "-m", "benchmarks.rivals.measure"]
    # Its progress goes where ours does.
    done = subprocess.run(
        [*command, "--json", "--repeats", str(repeats)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    there = json.loads(done.stdout)
    rows: list[dict[str, Any]] = there["rivals"]
    reason = _foreign(there, environment())
    if reason is not None:
        return [duel.record(Outcome((), reason)) for duel in DUELS]
    return rows


def _foreign(there: dict[str, Any], here: dict[str, Any]) -> str | None:
    """Return why numbers of another environment do not belong beside ours."""
    versions = [one["interpreter"]["version"] for one in (there, here)]
    if versions[0] != versions[1]:
        return f"{VENV.name} has Python {versions[0]}, the report is of {versions[1]}"
    if there["build"] != here["build"]:
        return f"{VENV.name} has another build of cqrs_fast than the report is of"
    return None


def measured_here(
    progress: Callable[[str], None], repeats: int = REPEATS, only: str = ""
) -> list[dict[str, Any]]:
    """Return the record of each row whose name contains `only`."""
    duels = [duel for duel in DUELS if only.lower() in name_of(duel).lower()]
    outcomes = dict.fromkeys(duels, Outcome(()))
    # The whole table is repeated, so that the repeats of a row lie apart.
    for repeat in range(1, repeats + 1):
        for duel in duels:
            if outcomes[duel].reason is None:
                progress(f"[{repeat}/{repeats}] {name_of(duel)}")
                outcomes[duel] |= duel.fight()
    return [duel.record(outcomes[duel]) for duel in duels]


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return what a person reads."""
    lines: list[str] = []
    last = None
    for row in rows:
        title = row["group"], row["feature"]
        if title != last:
            last = title
            lines += ["", f"{row['group']}: {row['feature']}"]
        name = f"{row['subject']} {row['version'] or ''}"
        lines.append(f"    {name:<24}{row['what']:<42}{_result(row)}{_note(row)}")
    return "\n".join(lines[1:])


def _result(row: dict[str, Any]) -> str:
    if row["ratio"] is None:
        return str(row["reason"])
    low, high = row["spread"]
    verdict = "" if row["ratio"] >= 1 else "  they are ahead"
    return (
        f"{row['ratio']:>8.2f} x  ({low:.2f} to {high:.2f})  "
        f"{row['ours_ns']:,.0f} ns, theirs {row['theirs_ns']:,.0f} ns{verdict}"
    )


def _note(row: dict[str, Any]) -> str:
    pinned = pins().get(row["subject"])
    if row["version"] in (None, pinned) or pinned is None:
        return ""
    return f"  ({pinned} is pinned)"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rivals.measure",
        description="Measure this library against others.",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="rows whose name contains this"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats: at least 1")
    reason = refusal(cqrs_fast.build_info())
    if reason is not None:
        parser.exit(2, f"no benchmarks: {reason}\n")
    rows = measured_here(tell, options.repeats, options.only)
    if not rows:
        parser.error(f"--only: no row's name contains {options.only!r}")
    if options.json:
        print(json.dumps({**environment(), "rivals": rows}, indent=2))
    else:
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
