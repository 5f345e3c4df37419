"""Measure this library against others, and against what one writes by hand.

    python -m benchmarks.rivals.measure [--only TEXT] [--repeats N] [--json]

Each rival is measured in a process of its own, ours and theirs in turns. A ratio is
their best time over our best: above 1 this library is faster; its spread is that of the
repeats. A rival that is not installed,
fails or does not do the work gets a row that says so.
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
from benchmarks.environment import environment
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

ROOT = Path(__file__).parents[2]
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
    if VENV.exists() and Path(sys.prefix).resolve() != VENV.resolve():
        try:
            return _measured_there(progress, repeats)
        except (OSError, subprocess.CalledProcessError, ValueError) as error:
            progress(f"{VENV.name} cannot measure ({error}): make it anew")
    return measured_here(progress, repeats)


def _measured_there(
    progress: Callable[[str], None], repeats: int
) -> list[dict[str, Any]]:
    command = [str(VENV / "bin" / "python"), "-m", "benchmarks.rivals.measure"]
    command += ["--json", "--repeats", str(repeats)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as there:
        assert there.stdout is not None
        assert there.stderr is not None
        for line in there.stderr:
            progress(line.rstrip())
        # It prints when it is ready, so neither pipe is full while the other is read.
        printed = there.stdout.read()
    if there.returncode != 0:
        raise subprocess.CalledProcessError(there.returncode, command)
    rows: list[dict[str, Any]] = json.loads(printed)["rivals"]
    return rows


def measured_here(
    progress: Callable[[str], None], repeats: int = REPEATS, only: str = ""
) -> list[dict[str, Any]]:
    """Return the record of each row whose name contains `only`."""
    duels = [duel for duel in DUELS if only.lower() in name_of(duel).lower()]
    # The whole table is run through twice, so that the repeats of a row lie apart.
    passes = [count for count in (repeats - repeats // 2, repeats // 2) if count]
    outcomes: dict[Duel, Outcome] = {}
    steps = [(count, duel) for count in passes for duel in duels]
    for number, (count, duel) in enumerate(steps, 1):
        before = outcomes.get(duel)
        if before is not None and before.measured is None:
            continue
        progress(f"[{number}/{len(steps)}] {name_of(duel)}")
        outcome = duel.fight(count)
        outcomes[duel] = outcome if before is None else before | outcome
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


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
