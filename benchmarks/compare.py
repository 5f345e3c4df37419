"""Compare two result files: what became slower, what faster?

    python -m benchmarks.compare BEFORE.json AFTER.json [--threshold PERCENT] [--anyway]

A row is called slower, or faster, when two things are true: the spreads of the two
measurements do not touch, so that noise does not explain the difference, and the
difference exceeds the threshold. Of a row that is a ratio the threshold counts in
percent of the ratio before, of a row that is a difference in percent of the whole case
before; a row in percent has points. All else is the same. Rows that only one of the
files has, or that have no number in one of them, are listed and decide nothing.

Files of different machines, interpreters or builds are refused: there the numbers
differ for other reasons than the code. So are files with too few repeats. Exits with 1
if anything became slower, with 2 if refused.
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
SLOWER, FASTER, SAME = "slower", "faster", "same"
ORDER = (SLOWER, FASTER, SAME)


class Figure(NamedTuple):
    """One number of a result file, in which lower is better."""

    name: str
    unit: str
    value: float
    low: float
    high: float
    scale: float
    """What the threshold is a percentage of."""


class Change(NamedTuple):
    before: Figure
    after: Figure
    verdict: str

    @property
    def ratio(self) -> float | None:
        """After to before; None where nothing was before."""
        if self.before.value == 0:
            return 1.0 if self.after.value == 0 else None
        return self.after.value / self.before.value

    @property
    def weight(self) -> float:
        """By which changes are sorted: growth for the scale of the row."""
        difference = self.after.value - self.before.value
        return difference / self.before.scale if self.before.scale else difference


def figures(results: dict[str, Any]) -> dict[str, Figure | None]:
    """Return all numbers of a result file by name; None where one lacks."""
    found: dict[str, Figure | None] = {}
    for row in results["rows"]:
        name, unit = f"{row['name']} / {row['against']}", row["unit"]
        scales = {"ratio": row["measured"], "percent": 100.0}
        scale = scales[unit] if unit in scales else row[f"case_{unit}"]
        found[name] = figure(name, unit, row["measured"], row["spread"], scale)
    for row in results.get("rivals", ()):
        # Theirs / ours is turned around: what is slower shall be higher.
        name = f"{row['group']}: {row['subject']} ({row['what']}): {row['feature']}"
        ratio = row["ratio"] and 1 / row["ratio"]
        spread = row["ratio"] and [
            1 / (bound or row["ratio"]) for bound in row["spread"][::-1]
        ]
        found[name] = figure(name, "ratio", ratio, spread, ratio)
    for row in results.get("go", ()):
        name = f"Go: {row['name']}"
        found[name] = figure(name, "ratio", row["ratio"], row["spread"], row["ratio"])
    return found


def figure(
    name: str, unit: str, value: float | None, spread: Any, scale: float | None
) -> Figure | None:
    if value is None or scale is None:
        return None
    return Figure(name, unit, value, *spread, abs(scale))


def change(before: Figure, after: Figure, threshold: float) -> Change:
    """Judge one number."""
    limit = before.scale * threshold / 100
    if after.low > before.high and after.value - before.value > limit:
        return Change(before, after, SLOWER)
    if after.high < before.low and before.value - after.value > limit:
        return Change(before, after, FASTER)
    return Change(before, after, SAME)


def different(before: Any, after: Any, path: str) -> Iterator[str]:
    """Tell in what two environments differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from different(before.get(key), after.get(key), f"{path}.{key}")
    elif before != after:
        shown = ["not recorded" if it is None else str(it) for it in (before, after)]
        yield f"{path}: {shown[0]} before, {shown[1]} after"


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return why two result files are not to be compared."""
    found: list[str] = []
    for key in SAME_IN_BOTH:
        found += different(before.get(key), after.get(key), key)
    # The version of this package is what may change.
    found = [line for line in found if not line.startswith("build.version:")]
    for name, results in (("before", before), ("after", after)):
        if not noise.of_machine(results).is_known:
            found.append(f"{name}: too few repeats to tell a difference from noise")
    return found


class Comparison:
    """All changes from one result file to another, the worst first."""

    def __init__(
        self,
        before: dict[str, Any],
        after: dict[str, Any],
        threshold: float = THRESHOLD,
    ) -> None:
        self.before = before
        self.after = after
        self.threshold = threshold
        old, new = figures(before), figures(after)
        self.changes = sorted(
            (
                change(was, now, threshold)
                for key, was in old.items()
                if was is not None and (now := new.get(key)) is not None
            ),
            key=lambda change: (-change.weight, change.before.name),
        )
        self.apart = [
            f"{name}: {_where(old, name)} before, {_where(new, name)} after"
            for name in {**old, **new}
            if old.get(name) is None or new.get(name) is None
        ]

    @property
    def is_slower(self) -> bool:
        return any(change.verdict == SLOWER for change in self.changes)

    def render(self) -> str:
        """Return the comparison as Markdown."""
        lines = [
            f"**The file of {name} was measured on a noisy machine, or too few "
            "times.**\n"
            for name, results in (("before", self.before), ("after", self.after))
            if not _is_sound(results)
        ]
        lines += [
            f"{self.before['commit']} ({self.before['date']}) before, "
            f"{self.after['commit']} ({self.after['date']}) after; "
            f"threshold {self.threshold:g} %.",
            "",
            "| row | before | spread | after | spread | after / before | verdict |",
            "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
            *map(_line, self.changes),
            "",
        ]
        if self.apart:
            lines += ["Not compared:", "", *(f"- {line}" for line in self.apart), ""]
        return "\n".join([*lines, *self._summary()])

    def _summary(self) -> list[str]:
        counts = [
            f"{sum(change.verdict == verdict for change in self.changes)} {verdict}"
            for verdict in ORDER
        ]
        ratios = [
            change.ratio
            for change in self.changes
            if change.before.unit == "ratio" and change.ratio
        ]
        agreed = sum(max(ratio, 1 / ratio) <= 1 + AGREED for ratio in ratios)
        return [
            f"{', '.join(counts)}.",
            f"{agreed} of {len(ratios)} ratios agree within {AGREED:.0%}.",
        ]


def _is_sound(results: dict[str, Any]) -> bool:
    found = noise.of_machine(results)
    return found.is_known and not found.is_over


def _where(figures: dict[str, Figure | None], name: str) -> str:
    if name not in figures:
        return "no such row"
    return "no number" if figures[name] is None else "measured"


def _line(change: Change) -> str:
    before, after = change.before, change.after
    ratio = "from nothing" if change.ratio is None else f"{change.ratio:.3f}"
    cells = [before.name]
    for figure in (before, after):
        cells += [
            number(figure.value, figure.unit, digits=3),
            f"{number(figure.low, figure.unit, digits=3)} to "
            f"{number(figure.high, figure.unit, digits=3)}",
        ]
    verdict = change.verdict
    cells += [ratio, f"**{verdict}**" if verdict == SLOWER else verdict]
    return f"| {' | '.join(cells)} |"


def results_in(file: Path) -> dict[str, Any]:
    """Return a result file; raises ValueError if it is none."""
    try:
        results: dict[str, Any] = json.loads(file.read_text())
        missing = [key for key in NEEDED if key not in results]
        if not missing:
            figures(results)
            noise.of_machine(results)
            return results
        problem = f"it has no {', '.join(missing)}"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise ValueError(f"no result file of `make bench-report` ({problem})")


def read(file: Path) -> dict[str, Any]:
    """Return a result file, or leave with what is wrong with it."""
    try:
        return results_in(file)
    except (OSError, ValueError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--threshold", type=float, default=THRESHOLD, metavar="PERCENT")
    parser.add_argument("--anyway", action="store_true", help="do not refuse")
    options = parser.parse_args()
    before, after = read(options.before), read(options.after)
    reasons = differences(before, after)
    if reasons:
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
