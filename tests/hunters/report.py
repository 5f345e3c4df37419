"""Write what the hunters found into docs/reliability.md, between its two marks.

A row stays until the same hunter ran again in the same build and on the same Python.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- hunt -->", "<!-- /hunt -->"
HEAD = (
    "| hunter | build | Python | scenarios | faults | of others | time | date "
    "| again with |",
    "| --- | --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
)


def write_each(
    rows: Iterable[dict[str, Any]], page: Path = PAGE
) -> list[dict[str, Any]]:
    """Write each row as it comes: an interrupted hunt loses none. Return all."""
    written = []
    for row in rows:
        write([row], page)
        written.append(row)
    return written


def write(rows: list[dict[str, Any]], page: Path = PAGE) -> None:
    """Put these rows into the page's table, each in place of the one before it."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no {BEGIN} and {END}")
    lines = {key(line): line for line in old.splitlines() if line.startswith("| ")}
    for one in rows:
        written = line(one)
        lines[key(written)] = written
    for name in HEAD:
        lines.pop(key(name), None)
    block = "\n".join([*HEAD, *(lines[one] for one in sorted(lines))])
    # As a whole, or not at all.
    fresh = page.with_suffix(".new")
    fresh.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}", encoding="utf-8")
    os.replace(fresh, page)
    print(f"written: {page}", flush=True)


def key(line: str) -> tuple[str, ...]:
    """Return what a line is about: Python, build, hunter."""
    hunter, mode, python = (cell.strip() for cell in line.split("|")[1:4])
    return ".".join(python.split(".")[:2]), mode, hunter


def line(row: dict[str, Any]) -> str:
    told = [row.get("hunter", "all"), row.get("mode", "all"), row["python"]]
    if "missing" in row:
        told += [*[""] * 5, f"not run: {row['missing']}"]
    else:
        faults = str(row["faults"]) if row["faults"] == 0 else f"**{row['faults']}**"
        faults += ", then it gave up" if row["gave_up"] else ""
        told += [f"{row['scenarios']:,}", faults, str(row["excused"])]
        told += [f"{row['seconds']} s", row["date"], f"`{command(row)}`"]
    return f"| {' | '.join(told)} |"


def command(row: dict[str, Any]) -> str:
    version = ".".join(row["python"].split(".")[:2])
    told = f"make hunt VERSION={version} MODE={row['mode']} HUNTER={row['hunter']}"
    if row["hunter"] == "waiters":
        told += f" SEED={row['seed']} SCHEDULES={row['schedules']}"
    return told if row["whole"] else f"{told} SHORT=1"
