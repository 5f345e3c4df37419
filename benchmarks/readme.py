"""Put the table of benchmarks/results.json between the markers of README.md.

    python -m benchmarks.readme [README.md]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN = "<!-- results -->"
END = "<!-- /results -->"
MARKS = {"met": "met", "over": "**over**", None: ""}
SUFFIXES = {"ratio": "", "bytes": " bytes", "ms": " ms", "percent": " %"}


def render(results: dict[str, Any], *, promised_only: bool = False) -> str:
    """Return results as a Markdown table and a line that says where they come from."""
    rows = results["rows"]
    if promised_only:
        rows = [row for row in rows if row["ceiling"] is not None]
    interpreter = results["interpreter"]
    lines = [
        "| case | against | ceiling | measured | spread | case, baseline | verdict |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        *(_line(row) for row in rows),
        "",
        f"{results['date']}, commit {results['commit']}, "
        f"{interpreter['implementation']} {interpreter['version']}, {results['cpu']}, "
        f"{results['build']['mode']} build. A ratio is the median of repeated runs in "
        "which case and baseline take turns, the spread the lowest and the highest; "
        "“over” marks what costs more than its ceiling allows.",
    ]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    unit = row["unit"]
    sign = "" if unit == "ratio" else "+"
    low, high = row["spread"]
    ceiling = "" if row["ceiling"] is None else _number(row["ceiling"], unit, sign)
    if unit == "ratio":
        costs = f"{row['case_ns']:.0f} ns, {row['baseline_ns']:.0f} ns"
    else:
        costs = ", ".join(
            _number(row[f"{part}_{unit}"], unit) for part in ("case", "baseline")
        )
    cells = [
        row["name"],
        row["against"],
        ceiling,
        _number(row["measured"], unit, sign),
        f"{_number(low, unit)} to {_number(high, unit)}",
        costs,
        MARKS[row["verdict"]],
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float, unit: str, sign: str = "") -> str:
    digits = {"ratio": 2, "bytes": 0, "ms": 1, "percent": 0}[unit]
    return f"{value:{sign}.{digits}f}{SUFFIXES[unit]}"


def replaced(text: str, results: dict[str, Any]) -> str:
    """Return a README with the table of these results."""
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"there is no {BEGIN} with an {END} after it")
    return f"{text[:begin]}{BEGIN}\n{render(results, promised_only=True)}\n{text[end:]}"


def write(readme: Path) -> None:
    """Put the table of results.json into a README."""
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
