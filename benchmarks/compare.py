"""Compare two result files: what became slower, what faster?

    python -m benchmarks.compare BEFORE.json AFTER.json [--threshold PERCENT] [--anyway]

A row is slower, or faster, if the spreads of the two measurements do not touch (so
noise does not explain the difference) and the difference exceeds the threshold. The
threshold is a percentage of the ratio before; for a difference, of the whole case
before; for a row in percent, points. All other rows are the same. Rows without a number
in one of the files are listed and decide nothing.

Files of different machines, interpreters or builds, and files with too few repeats, are
rejected. Exits with 1 if anything became slower, with 2 if a file is rejected.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import noise
from benchmarks.document import number

THRESHOLD = 5.0
AGREED = 0.10
"""Two runs of the same code agree if no ratio differs by more."""
NEEDED = ("date", "commit", "cpu", "machine", "interpreter", "build", "rows")
SAME_IN_BOTH = ("cpu", "cores", "machine", "interpreter", "build")
SLOWER, FASTER, SAME = VERDICTS = ("slower", "faster", "same")

Results = dict[str, Any]


class Figure(NamedTuple):
    """One number of a result file; lower is better. `scale`: 100 % of the threshold."""

    name: str
    unit: str
    value: float
    low: float
    high: float
    scale: float

    def shown(self) -> list[str]:
        """Return the value and the spread as cells."""
        value, low, high = (
            number(one, self.unit, digits=3)
            for one in (self.value, self.low, self.high)
        )
        return [value, f"{low} to {high}"]


class Change(NamedTuple):
    before: Figure
    after: Figure
    verdict: str

    @property
    def ratio(self) -> float | None:
        """After divided by before; None if nothing was before."""
        if self.before.value == 0:
            return 1.0 if self.after.value == 0 else None
        return self.after.value / self.before.value

    @property
    def weight(self) -> float:
        """The growth as a share of the scale, by which changes are sorted."""
        difference = self.after.value - self.before.value
        return difference / self.before.scale if self.before.scale else difference

    def cells(self) -> list[str]:
        ratio = "from nothing" if self.ratio is None else f"{self.ratio:.3f}"
        verdict = f"**{SLOWER}**" if self.verdict == SLOWER else self.verdict
        shown = [*self.before.shown(), *self.after.shown()]
        return [self.before.name, *shown, ratio, verdict]


def figures(results: Results) -> dict[str, Figure | None]:
    """Return all numbers of a result file by name; None if one is missing."""
    found: dict[str, Figure | None] = {}

    def add(name: str, unit: str, value: Any, spread: Any, scale: Any) -> None:
        known = value is not None and scale is not None
        found[name] = Figure(name, unit, value, *spread, abs(scale)) if known else None

    for row in results["rows"]:
        scales = {"ratio": row["measured"], "percent": 100.0}
        unit = row["unit"]
        scale = scales[unit] if unit in scales else row[f"case_{unit}"]
        name = f"{row['name']} / {row['against']}"
        add(name, unit, row["measured"], row["spread"], scale)
    for row in results.get("rivals", ()):
        # Theirs / ours is inverted, so that slower is higher.
        name = f"{row['group']}: {row['subject']} ({row['what']}): {row['feature']}"
        ratio = row["ratio"] and 1 / row["ratio"]
        bounds = [bound or row["ratio"] for bound in (row["spread"] or [])[::-1]]
        add(name, "ratio", ratio, [1 / bound for bound in bounds if bound], ratio)
    for row in results.get("go", ()):
        add(f"Go: {row['name']}", "ratio", row["ratio"], row["spread"], row["ratio"])
    return found


def change(before: Figure, after: Figure, threshold: float) -> Change:
    """Judge one number."""
    limit = before.scale * threshold / 100
    if after.low > before.high and after.value - before.value > limit:
        return Change(before, after, SLOWER)
    if after.high < before.low and before.value - after.value > limit:
        return Change(before, after, FASTER)
    return Change(before, after, SAME)


def different(before: Any, after: Any, path: str) -> Iterator[str]:
    """Yield how two environments differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from different(before.get(key), after.get(key), f"{path}.{key}")
    elif before != after:
        shown = ["not recorded" if it is None else str(it) for it in (before, after)]
        yield f"{path}: {shown[0]} before, {shown[1]} after"


def differences(before: Results, after: Results) -> list[str]:
    """Return why two result files cannot be compared."""
    found: list[str] = []
    for key in SAME_IN_BOTH:
        found += different(before.get(key), after.get(key), key)
    # The version of this package may change.
    found = [line for line in found if not line.startswith("build.version:")]
    for name, results in (("before", before), ("after", after)):
        if not noise.of_machine(results).is_known:
            found.append(f"{name}: too few repeats to tell a difference from noise")
    return found


class Comparison:
    """All changes from one result file to another, the worst first."""

    def __init__(
        self, before: Results, after: Results, threshold: float = THRESHOLD
    ) -> None:
        self.files = {"before": before, "after": after}
        self.threshold = threshold
        self.changes: list[Change] = []
        self.apart: list[str] = []
        old, new = figures(before), figures(after)
        for name in {**old, **new}:
            was, now = old.get(name), new.get(name)
            if was is not None and now is not None:
                self.changes.append(change(was, now, threshold))
            else:
                where = f"{_where(old, name)} before, {_where(new, name)} after"
                self.apart.append(f"{name}: {where}")
        self.changes.sort(key=lambda one: (-one.weight, one.before.name))

    @property
    def is_slower(self) -> bool:
        return any(change.verdict == SLOWER for change in self.changes)

    def render(self) -> str:
        """Return the comparison as Markdown."""
        lines = []
        for name, results in self.files.items():
            found = noise.of_machine(results)
            if found.is_over or not found.is_known:
                where = f"The file of {name} was measured on a noisy machine"
                lines.append(f"**{where}, or too few times.**\n")
        measured = [
            f"{results['commit']} ({results['date']}) {name}"
            for name, results in self.files.items()
        ]
        lines += [
            f"{', '.join(measured)}; threshold {self.threshold:g} %.",
            "",
            "| row | before | spread | after | spread | after / before | verdict |",
            "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
            *(f"| {' | '.join(change.cells())} |" for change in self.changes),
            "",
        ]
        if self.apart:
            lines += ["Not compared:", "", *(f"- {line}" for line in self.apart), ""]
        verdicts = [change.verdict for change in self.changes]
        counts = [f"{verdicts.count(one)} {one}" for one in VERDICTS]
        ratios = [one.ratio for one in self.changes if one.before.unit == "ratio"]
        known = [ratio for ratio in ratios if ratio]
        agreed = sum(max(ratio, 1 / ratio) <= 1 + AGREED for ratio in known)
        lines.append(f"{', '.join(counts)}.")
        lines.append(f"{agreed} of {len(known)} ratios agree within {AGREED:.0%}.")
        return "\n".join(lines)


def _where(found: dict[str, Figure | None], name: str) -> str:
    if name not in found:
        return "no such row"
    return "no number" if found[name] is None else "measured"


def results_in(file: Path) -> Results:
    """Return a result file; raises OSError, and ValueError if it is none."""
    try:
        results: Results = json.loads(file.read_text())
        missing = [key for key in NEEDED if key not in results]
        if not missing:
            figures(results)
            noise.of_machine(results)
            return results
        problem = f"it has no {', '.join(missing)}"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise ValueError(f"no result file of `make bench-report` ({problem})")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--threshold", type=float, default=THRESHOLD, metavar="PERCENT")
    parser.add_argument("--anyway", action="store_true", help="do not reject")
    options = parser.parse_args()
    found = []
    for file in (options.before, options.after):
        try:
            found.append(results_in(file))
        except (OSError, ValueError) as error:
            print(f"{file}: {error}", file=sys.stderr)
            raise SystemExit(2) from None
    before, after = found
    if reasons := differences(before, after):
        lines = ["these two files cannot be compared:", *reasons]
        print(*lines, sep="\n  ", file=sys.stderr)
        if not options.anyway:
            print(
                "measure both on one machine, with the same interpreter and flags and "
                "all repeats, or pass --anyway",
                file=sys.stderr,
            )
            raise SystemExit(2)
    comparison = Comparison(before, after, options.threshold)
    print(comparison.render())
    raise SystemExit(1 if comparison.is_slower else 0)


if __name__ == "__main__":
    main()
