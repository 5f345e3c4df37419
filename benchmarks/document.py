"""The text of RESULTS.md and the table of docs/benchmarks.md, from the results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from benchmarks import noise
from benchmarks.environment import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
"""The page with the table of the rows that have a ceiling."""
PLOTS = "plots"
SERIES = {
    "stages": "Cost by stages",
    "routes": "Cost by routes",
    "threads": "Scaling over threads",
    "tasks": "Scaling over tasks",
}
"""By the first word of a series: the heading under which its plot is."""
BY_HAND = re.compile("hand-written|functools|dict")
"""In what a row is measured against: code that does the same without this library."""
NUMBERS = re.compile(
    "ceiling|measured|spread|case, baseline|times as fast|ours.*|theirs|Go's|p[\\d.]+|"
    "dispatches|the slowest"
)
"""The columns of them."""
BEGIN, END = "<!-- results -->", "<!-- /results -->"
AHEAD = "**the baseline is ahead**"
VERDICTS = {"met": "met", "over": "**over**", None: ""}
DIGITS = {"ratio": 2, "bytes": 0, "ms": 1}
SUFFIXES = {"ratio": "", "percent": " %"}
ROW = ("case", "against", "ceiling", "measured", "spread", "case, baseline", "verdict")
EXPLAINED = """\
`make bench-report` wrote every number here. A ratio is the time of a case divided by
that of its baseline; below 1 the case is faster. Case and baseline alternate. Other
units are differences of the two. Each repeat is a process of its own (of Go and us one
of each). One of the best rounds of a repeat counts, and the two lowest repeats; the
median counts if the repeat subtracts something itself. The spread is the range that
nine tenths of the halves of the repeats give. A row with a wide spread is marked as
noisy.
`python -m benchmarks.compare a.json b.json` compares two runs."""

Row = dict[str, Any]


def render(results: Row, *, plotted: bool = True) -> str:
    """Return the whole document, with its plots if there are any."""
    lines: list[str] = []
    for part in (_head, _rivals, _go, _curves, _distributions, _rows):
        for block in part(results):
            if plotted or not block.startswith("!["):
                lines += [block, ""]
    return "\n".join(lines).rstrip() + "\n"


def table(rows: Iterable[Row]) -> str:
    """Return the table of rows of the benchmarks."""
    return _table(ROW, map(cells, rows))


def source(results: Row) -> str:
    """Return the origin of the numbers."""
    interpreter = results["interpreter"]
    return (
        f"{results['date']}, commit {results['commit']}, "
        f"{interpreter['implementation']} {interpreter['version']}, {results['cpu']}, "
        f"{results['build']['mode']} build. Case and baseline alternate, and the "
        "lowest repeats count. The spread is the range that halves of the repeats "
        "give. “over” marks a row that exceeds its ceiling; “noisy” marks a spread "
        f"wider than {noise.LIMIT:.0%} of the number."
    )


def replaced(text: str, results: Row) -> str:
    """Return a page with the table of the rows with a ceiling between its markers."""
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"there is no {BEGIN} with an {END} after it")
    rows = [row for row in results["rows"] if row["ceiling"] is not None]
    shown = f"{table(rows)}\n\n{source(results)}"
    return f"{text[:begin]}{BEGIN}\n{shown}\n{text[end:]}"


def plot_name(*words: str) -> str:
    """Return the file of a plot."""
    return "-".join(re.findall(r"[a-z0-9]+", " ".join(words).lower())) + ".svg"


def groups(results: Row) -> dict[str, list[Row]]:
    """Return the rows against rivals by group, in the order in which groups appear."""
    found: dict[str, list[Row]] = {}
    for row in results.get("rivals", ()):
        found.setdefault(row["group"], []).append(row)
    return found


def nearest(results: Row) -> list[Row]:
    """Return the fastest rival of the first feature of each group that is not async."""
    found = []
    for group, rows in groups(results).items():
        rivals = [row for row in rows if row["feature"] == rows[0]["feature"]]
        if "async" not in group and (known := [row for row in rivals if row["ratio"]]):
            found.append(min(known, key=lambda row: row["ratio"]))
    return found


def curves(results: Row) -> dict[str, dict[str, list[Row]]]:
    """Return the rows of series: by the series' first word, then by its name."""
    found: dict[str, dict[str, list[Row]]] = {}
    for row in sorted(results["rows"], key=lambda row: row.get("x") or 0.0):
        name = row.get("series")
        if name is not None and row["measured"] is not None:
            kind = re.split(r"\W", name)[0]
            found.setdefault(kind, {}).setdefault(name, []).append(row)
    return dict(sorted(found.items()))


# Cells


def number(value: float, unit: str, sign: str = "", digits: int | None = None) -> str:
    """Return a number with its unit, as a person reads it."""
    if digits is None:
        digits = DIGITS.get(unit, 0 if abs(value) >= 10 else 1)
        if unit == "percent" and 0 < abs(value) < 1:
            digits = 2
    return f"{value:{sign}.{digits}f}{SUFFIXES.get(unit, f' {unit}')}"


def cells(row: Row) -> list[str]:
    """Return the cells of a row of the benchmarks."""
    unit = row["unit"]
    sign, part = ("", "ns") if unit == "ratio" else ("+", unit)
    ceiling = "" if row["ceiling"] is None else number(row["ceiling"], unit, sign)
    first = [row["name"], row["against"], ceiling]
    if row["measured"] is None:
        return [*first, "", "", "", f"not measured: {row['reason']}"]
    verdict = AHEAD if is_behind(row) else VERDICTS[row["verdict"]]
    return [
        *first,
        number(row["measured"], unit, sign),
        " to ".join(number(bound, unit) for bound in row["spread"]),
        ", ".join(number(row[f"{one}_{part}"], part) for one in ("case", "baseline")),
        _marked(verdict, row),
    ]


def is_behind(row: Row) -> bool:
    """Return whether a row without a ceiling costs more than code without us."""
    return _is_by_hand(row) and row["measured"] > 1


def _is_by_hand(row: Row) -> bool:
    return (
        row["measured"] is not None
        and row["ceiling"] is None
        and row["unit"] == "ratio"
        and BY_HAND.search(row["against"]) is not None
    )


def _marked(verdict: str, row: Row) -> str:
    return ", ".join(filter(None, [verdict, "noisy" if noise.is_noisy(row) else ""]))


def _ratio_cells(row: Row, theirs: str, verdict: str) -> list[str]:
    """Return the last cells of a row against somebody else."""
    if row["ratio"] is None:
        return ["", "", "", "", f"not measured: {row['reason']}"]
    return [
        f"{row['ratio']:.2f}",
        " to ".join(f"{bound:.2f}" for bound in row["spread"]),
        number(row["ours_ns"], "ns"),
        number(row[theirs], "ns"),
        _marked(verdict, row),
    ]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown, whose cells hold any text."""
    head = list(head)
    rules = ["---:" if NUMBERS.fullmatch(name) else "---" for name in head]
    lines = [head, rules, *rows]
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _plain(text: str) -> str:
    # Brackets before parentheses would be a link.
    return " ".join(text.split()).replace("|", "\\|").replace("](", "\\](")


def _image(file: str, text: str) -> str:
    return f"![{text}]({PLOTS}/{file})"


# Sections: each yields blocks


def _head(results: Row) -> Iterator[str]:
    found = noise.of_machine(results)
    told = (
        f"A typical round took {found.slowdown:.1%} longer than the best (the median "
        f"of {found.baselines} baselines); over {noise.LIMIT:.0%} is noise. "
        f"{found.noisy} of {found.rows} ratios are marked because they spread over "
        f"{noise.LIMIT:.0%} of themselves; over {noise.SHARE:.0%} of all is noise."
    )
    if found.is_over:
        yield f"**The machine was noisy.** {told}"
    elif not found.is_known:
        yield (
            f"**Preliminary.** {found.repeats} repeats of each row tell nothing about "
            "how noisy the machine was."
        )
    yield "# Results"
    interpreter, build = results["interpreter"], results["build"]
    minutes, seconds = divmod(results.get("seconds", 0), 60)
    facts = {
        "machine": f"{results['cpu']}, {results.get('cores', '?')} cores, "
        f"{results['machine']}",
        "interpreter": f"{interpreter['implementation']} {interpreter['version']} "
        f"({interpreter['built']}), {interpreter['compiler']}, "
        f"GIL: {interpreter['gil']}; `{interpreter['configured']}`; "
        f"`{interpreter['flags']}`",
        "cqrs_fast": f"commit {results['commit']}, version {build['version']}, "
        f"{build['mode']} build, Cython {build['cython'].replace('_', '.')}, "
        f"C compiler {build['compiler']}; `{build['flags']}`",
        "packages": ", ".join(
            f"{name} {version}" for name, version in results.get("packages", {}).items()
        ),
        "measured": f"{results['date']}, in {minutes:.0f} min {seconds:.0f} s, "
        f"{results.get('repeats', '?')} repeats",
        "noise": told,
    }
    yield _table(["", ""], facts.items())
    yield EXPLAINED


def _reason(results: Row, section: str) -> Iterator[str]:
    reason = results.get("reasons", {}).get(section)
    if reason is None and not results.get(section):
        reason = "the result file has nothing of it."
    if reason is not None:
        yield f"Not measured: {reason}"


def _rivals(results: Row) -> Iterator[str]:
    yield "## Against rivals"
    yield from _reason(results, "rivals")
    ratios = [row["ratio"] for row in results.get("rivals", ())]
    if known := [ratio for ratio in ratios if ratio is not None]:
        ahead = sum(ratio >= 1 for ratio in known)
        yield (
            f"cqrs_fast is ahead in {ahead} of {len(known)} rows, a rival in "
            f"{len(known) - ahead}; {len(ratios) - len(known)} were not measured."
        )
    if nearest(results):
        yield _image(plot_name("rivals"), "bars against the fastest rival of each kind")
    head = ("both do", "rival", "times as fast", "spread", "ours", "theirs", "")
    for group, rows in groups(results).items():
        yield f"### {group[:1].upper()}{group[1:]}"
        if any(row["ratio"] for row in rows):
            yield _image(plot_name("rivals", group), f"bars against rivals: {group}")
        yield _table(head, map(_rival, rows))


def _rival(row: Row) -> list[str]:
    name = " ".join(filter(None, [row["subject"], row["version"]]))
    verdict = "**the rival is ahead**" if (row["ratio"] or 1.0) < 1 else ""
    rival = f"{name}: {row['what']}" if row["what"] else name
    return [row["feature"], rival, *_ratio_cells(row, "theirs_ns", verdict)]


def _go(results: Row) -> Iterator[str]:
    yield "## Against the same design in Go"
    yield from _reason(results, "go")
    rows = results.get("go", ())
    if not rows:
        return
    head = ("case", "ceiling", "ours / Go's", "spread", "ours", "Go's", "verdict")
    yield _table(head, map(_go_row, rows))
    yield from (f"{row['name']}: {row['note']}." for row in rows if row.get("note"))
    yield f"Go: {', '.join(sorted({row['version'] or 'not found' for row in rows}))}."


def _go_row(row: Row) -> list[str]:
    ratio, ceiling = row["ratio"] or 0.0, row["ceiling"]
    verdict = "**Go is ahead**" if ratio > 1 else ""
    if ceiling is not None:
        verdict = "met" if ratio <= ceiling else "**over**"
    shown = "" if ceiling is None else f"{ceiling:.2f}"
    return [row["name"], shown, *_ratio_cells(row, "go_ns", verdict)]


def _curves(results: Row) -> Iterator[str]:
    for kind, series in curves(results).items():
        title = SERIES.get(kind, f"Series: {kind}")
        yield f"## {title}"
        yield _image(plot_name(kind), title)
        for name, points in series.items():
            shown = "; ".join(
                f"{row['x']:g}: {_marked(number(row['measured'], row['unit']), row)}"
                for row in points
            )
            against = ", ".join(sorted({row["against"] for row in points}))
            yield f"- {name}, against {against}: {shown}"


def _distributions(results: Row) -> Iterator[str]:
    yield "## Single dispatches"
    yield from _reason(results, "distributions")
    rows = results.get("distributions", ())
    if not rows:
        return
    yield _image(plot_name("latency"), "distribution of single dispatches")
    percentiles = list(rows[0]["percentiles"])
    names = ["the slowest" if text == "100" else f"p{text}" for text in percentiles]
    yield _table(
        ["ns", "dispatches", *names],
        (
            [
                row["name"],
                f"{sum(count for _, count in row['counts']):,}",
                *(f"{row['percentiles'][text]:,}" for text in percentiles),
            ]
            for row in rows
        ),
    )
    yield (
        "Of each preset one command, through all that the preset puts into its route, "
        "to a handler that does nothing. The direct call of that handler is timed in "
        "the same way: that is what the clock takes."
    )


def _rows(results: Row) -> Iterator[str]:
    yield "## All rows"
    rows = results["rows"]
    over = sum(row["verdict"] == "over" for row in rows)
    by_hand = [row for row in rows if _is_by_hand(row)]
    yield (
        f"Of {sum(row['verdict'] is not None for row in rows)} rows with a ceiling "
        f"{over} are over it. Of {len(by_hand)} others whose baseline is hand-written "
        "code or one of functools, that baseline is ahead in "
        f"{sum(map(is_behind, by_hand))}; they are marked."
    )
    for file, some in groupby(rows, lambda row: row.get("file", "")):
        title = file.removeprefix("bench_").replace("_", " ")
        yield f"### {title[:1].upper()}{title[1:]}"
        if question := results.get("files", {}).get(file):
            yield question
        yield table(some)
    yield source(results)
