"""Compare the instructions of a dispatch with committed ceilings.

    python -m benchmarks.instructions [--update]

Times drift, counts do not: what valgrind counts is the same in each run, up to a few
instructions in a thousand. A case that costs more than TOLERANCE over its ceiling
fails, with the functions that grew. `--update` measures and writes the ceilings.

They hold for one compiler and one build of the interpreter. With another interpreter
only what is spent in this package is compared; with another compiler nothing is, and
the command says so. So it does where valgrind is missing.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cqrs_fast
from benchmarks.callgrind import PACKAGE, Dump, Unavailable, counted, with_names
from benchmarks.environment import ROOT, commit, interpreter, tell
from benchmarks.symbols import NAMELESS
from cqrs_fast.cli.machine import refusal

CEILINGS = Path(__file__).with_suffix(".json")
FOLDER = ROOT / "build" / "instructions"
CASES = "benchmarks.instruction_cases"
UPDATE = "python -m benchmarks.instructions --update"
TOLERANCE = 0.03
LEAST = 0.5
"""A function with fewer instructions in a dispatch is not written down."""
NAMED = 3
"""So many functions of a case are named when it grew."""
OWN = "cqrs_fast"

Functions = dict[str, float]


@dataclass
class Case:
    """What one dispatch costs, in all and by function."""

    instructions: float
    functions: Functions

    @property
    def own(self) -> float:
        """The instructions in this package."""
        return sum(cost for name, cost in self.functions.items() if is_own(name))


@dataclass
class Verdict:
    name: str
    ceiling: float
    measured: float
    grown: list[tuple[str, float, float]]
    """Functions with what they cost before and now, the most telling first."""

    @property
    def change(self) -> float:
        return self.measured / self.ceiling - 1

    @property
    def failed(self) -> bool:
        return self.change > TOLERANCE


def cases_of(dumps: Iterable[Dump]) -> dict[str, Case]:
    """Return what a dispatch costs: the difference of the last two dumps of a case."""
    pairs: dict[str, list[tuple[int, Counter[str]]]] = {}
    for dump in dumps:
        name, _, times = dump.label.rpartition(" | ")
        if name:
            pairs.setdefault(name, []).append((int(times), dump.functions))
    cases = {}
    for name, (*_, (few, before), (many, after)) in pairs.items():
        more = many - few
        costs = {
            function: round((after[function] - before[function]) / more, 1)
            for function in after
        }
        functions = {
            function: cost
            for function, cost in sorted(costs.items(), key=lambda item: -item[1])
            if cost >= LEAST
        }
        total = (after.total() - before.total()) / more
        cases[name] = Case(round(total, 1), functions)
    return cases


def judged(old: Case, new: Case, name: str, *, own_only: bool = False) -> Verdict:
    """Compare a case with its ceiling."""
    ceiling, measured = old.instructions, new.instructions
    if own_only:
        ceiling, measured = old.own, new.own
    return Verdict(name, ceiling, measured, grown(old.functions, new.functions))


def grown(old: Functions, new: Functions) -> list[tuple[str, float, float]]:
    """Return what costs more than before; modules, where functions have no names.

    First what is in this package, which calls the others.
    """
    nameless = {
        function.partition(": ")[0]
        for function in [*old, *new]
        if function.endswith(NAMELESS)
    }
    old, new = by_module(old, nameless), by_module(new, nameless)
    more = [
        (function, old.get(function, 0.0), cost)
        for function, cost in new.items()
        if cost >= old.get(function, 0.0) + LEAST
    ]
    return sorted(more, key=lambda item: (not is_own(item[0]), item[1] - item[2]))


def is_own(function: str) -> bool:
    return function.startswith(OWN)


def by_module(functions: Functions, modules: set[str]) -> Functions:
    """Add up the functions of these modules."""
    result: Counter[str] = Counter()
    for function, cost in functions.items():
        module = function.partition(": ")[0]
        result[module if module in modules else function] += cost  # type: ignore[assignment]
    return dict(result)


def surroundings() -> dict[str, dict[str, str]]:
    """Return what the counts depend on besides the sources."""
    build = cqrs_fast.build_info()
    return {
        "compiled": {
            "machine": platform.machine(),
            "python": ".".join(platform.python_version_tuple()[:2]),
            **{key: build[key] for key in ("compiler", "cython", "flags")},
        },
        "interpreter": {
            **interpreter(),
            "libc": " ".join(platform.libc_ver()),
            "msgspec": version("msgspec"),
        },
    }


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return which of the recorded values differ here, and how."""
    return "; ".join(
        f"{key} {new.get(key)!r} here, {old[key]!r} there"
        for key in old
        if old[key] != new.get(key)
    )


def measure() -> dict[str, Case]:
    """Count all cases."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    package = PACKAGE
    try:
        package = with_names(FOLDER)
    except Unavailable as reason:
        tell(f"modules in place of functions: {reason}; `make build` leaves it")
    tell("counting instructions under valgrind")
    return cases_of(counted(CASES, FOLDER, package))


def check(committed: dict[str, Any]) -> int:
    """Compare the present build with what is committed; return the exit status."""
    here, there = surroundings(), committed["surroundings"]
    if differs := differences(there["compiled"], here["compiled"]):
        print(f"instructions: not judged: the ceilings are of another build: {differs}")
        return 0
    own_only = False
    if differs := differences(there["interpreter"], here["interpreter"]):
        print(f"instructions: only those in {OWN} are judged: {differs}")
        own_only = True
    old = {name: Case(**case) for name, case in committed["cases"].items()}
    new = measure()
    if old.keys() != new.keys():
        strange = ", ".join(sorted(old.keys() ^ new.keys()))
        print(f"instructions: without a ceiling, or no longer there: {strange}")
        print(f"run {UPDATE}")
        return 1
    return report(judged(old[name], new[name], name, own_only=own_only) for name in old)


def report(verdicts: Iterable[Verdict]) -> int:
    """Print a line for each case, and what grew; return the exit status."""
    failures = lower = 0
    print(f"{'instructions of one dispatch':34}{'ceiling':>9}{'now':>9}{'change':>10}")
    for verdict in verdicts:
        print(
            f"{verdict.name:34}{verdict.ceiling:9.0f}{verdict.measured:9.0f}"
            f"{verdict.change:+10.1%}{'  FAILED' if verdict.failed else ''}"
        )
        lower += verdict.change < -TOLERANCE
        if verdict.failed:
            failures += 1
            for function, before, now in verdict.grown[:NAMED]:
                print(f"    {function} grew from {before:.0f} to {now:.0f}")
    if failures:
        print(f"{failures} failed: over the ceiling by more than {TOLERANCE:.0%}")
        print(f"what shall cost more is entered by {UPDATE}")
    elif lower:
        print(f"{lower} are lower by more than {TOLERANCE:.0%}: run {UPDATE}")
    return min(failures, 1)


def update() -> None:
    """Write what the present build costs as the ceilings."""
    cases = {name: vars(case) for name, case in measure().items()}
    document = {
        "commit": commit(),
        "surroundings": surroundings(),
        "cases": cases,
    }
    CEILINGS.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{CEILINGS.relative_to(ROOT)}: {len(cases)} cases")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--update", action="store_true", help="write the ceilings")
    options = parser.parse_args()
    reason = refusal(cqrs_fast.build_info())
    if reason is not None:
        sys.exit(f"no instructions: {reason}")
    try:
        if options.update:
            update()
        else:
            sys.exit(check(json.loads(CEILINGS.read_text())))
    except Unavailable as missing:
        print(f"instructions: not counted: {missing}")
        sys.exit(1 if options.update else 0)
    except FileNotFoundError as error:
        sys.exit(f"no ceilings: {error}; run {UPDATE}")


if __name__ == "__main__":
    main()
