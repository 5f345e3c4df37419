"""Write what the hunters found into docs/reliability.md, between its two marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- hunt -->", "<!-- /hunt -->"
HEAD = (
    "| hunter | build | Python | scenarios | faults | the interpreter's | time | date "
    "| again with |",
    "| --- | --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
)


def write(rows: list[dict[str, Any]], page: Path = PAGE) -> None:
    """Put the table of these rows into the page, instead of the one that it has."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no {BEGIN} and {END}")
    block = "\n".join(table(rows))
    page.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}", encoding="utf-8")
    print(f"written: {page}")


def table(rows: list[dict[str, Any]]) -> list[str]:
    return [*HEAD, *(line(row) for row in rows)]


def line(row: dict[str, Any]) -> str:
    told = [row.get("hunter", "all"), row.get("mode", "all"), row["python"]]
    if "missing" in row:
        told += [*[""] * 5, f"not run: {row['missing']}"]
    else:
        faults = str(row["faults"]) if row["faults"] == 0 else f"**{row['faults']}**"
        told += [f"{row['scenarios']:,}", faults, str(row["excused"])]
        told += [f"{row['seconds']} s", row["date"], f"`{command(row)}`"]
    return f"| {' | '.join(told)} |"


def command(row: dict[str, Any]) -> str:
    version = ".".join(row["python"].split(".")[:2])
    told = f"make hunt VERSION={version} MODE={row['mode']} HUNTER={row['hunter']}"
    if row["hunter"] == "waiters":
        told += f" SEED={row['seed']} SCHEDULES={row['schedules']}"
    return told
