"""Put the table of benchmarks/results.json between the markers of README.md.

    python -m benchmarks.readme [README.md]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import noise
from benchmarks.environment import ROOT

BY_HAND = re.compile("hand-written|functools|dict")
"""In what a row is measured against: code that does the same without this library."""
AHEAD = "**the baseline is ahead**"
BEGIN = "<!-- results -->"
END = "<!-- /results -->"
MARKS = {"met": "met", "over": "**over**", None: ""}
DIGITS = {"ratio": 2, "bytes": 0, "ms": 1}
SUFFIXES = {"ratio": "", "percent": " %"}
HEAD = (
    "| case | against | ceiling | measured | spread | case, baseline | verdict |",
    "| --- | --- | ---: | ---: | ---: | ---: | --- |",
)


def render(results: dict[str, Any], *, promised_only: bool = False) -> str:
    """Return results as a Markdown table and a line that says where they come from."""
    rows = results["rows"]
    if promised_only:
        rows = [row for row in rows if row["ceiling"] is not None]
    return "\n".join([*table(rows), "", source(results)])


def source(results: dict[str, Any]) -> str:
    """Return what the numbers of a table are, and where they come from."""
    interpreter = results["interpreter"]
    return (
        f"{results['date']}, commit {results['commit']}, "
        f"{interpreter['implementation']} {interpreter['version']}, {results['cpu']}, "
        f"{results['build']['mode']} build. Case and baseline take turns, and the "
        "best of repeated runs count; the spread is what halves of those runs would "
        "have given. “over” marks what costs more than its ceiling allows, “noisy” a "
        f"spread wider than {noise.LIMIT:.0%} of the number."
    )


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table of rows."""
    return [*HEAD, *(_line(row) for row in rows)]


def _line(row: dict[str, Any]) -> str:
    unit = row["unit"]
    sign = "" if unit == "ratio" else "+"
    ceiling = "" if row["ceiling"] is None else number(row["ceiling"], unit, sign)
    cells = [row["name"], row["against"], ceiling]
    if row["measured"] is None:
        cells += ["", "", "", f"not measured: {plain(row['reason'])}"]
        return f"| {' | '.join(cells)} |"
    of_part = "ns" if unit == "ratio" else unit
    parts = [
        number(row[f"{part}_{of_part}"], of_part) for part in ("case", "baseline")
    ]
    cells += [
        number(row["measured"], unit, sign),
        " to ".join(number(bound, unit) for bound in row["spread"]),
        ", ".join(parts),
        ", ".join(filter(None, [verdict(row), noise_mark(row)])),
    ]
    return f"| {' | '.join(cells)} |"


def verdict(row: dict[str, Any]) -> str:
    """Return what is to be said of the number of a row."""
    return AHEAD if is_behind(row) else MARKS[row["verdict"]]


def is_behind(row: dict[str, Any]) -> bool:
    """Return whether a row without a ceiling costs more than code without us."""
    return is_by_hand(row) and row["measured"] > 1


def is_by_hand(row: dict[str, Any]) -> bool:
    return (
        row["measured"] is not None
        and row["ceiling"] is None
        and row["unit"] == "ratio"
        and BY_HAND.search(row["against"]) is not None
    )


def noise_mark(row: dict[str, Any]) -> str:
    return "noisy" if noise.is_noisy(row) else ""


def number(value: float, unit: str, sign: str = "", digits: int | None = None) -> str:
    """Return a number with its unit, as a person reads it."""
    if digits is None:
        digits = DIGITS.get(unit, 0 if abs(value) >= 10 else 1)
        if unit == "percent" and 0 < abs(value) < 1:
            digits = 2
    return f"{value:{sign}.{digits}f}{SUFFIXES.get(unit, f' {unit}')}"


def plain(text: str | None) -> str:
    """Return a text that does not end the cell of a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


def replaced(text: str, results: dict[str, Any]) -> str:
    """Return a README with the table of these results."""
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"there is no {BEGIN} with an {END} after it")
    return f"{text[:begin]}{BEGIN}\n{render(results, promised_only=True)}\n{text[end:]}"


def write(readme: Path, results: dict[str, Any] | None = None) -> None:
    """Put a table into a README: of these results, or else of results.json."""
    if results is None:
        results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    readme.write_text(replaced(readme.read_text(), results))


def main() -> None:
    readme = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "README.md"
    try:
        write(readme)
    except (OSError, ValueError) as error:
        sys.exit(f"{readme}: {error}")


if __name__ == "__main__":
    main()
