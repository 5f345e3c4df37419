"""The text of RESULTS.md: results as Markdown, and nothing that is not in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from benchmarks import noise
from benchmarks.readme import (
    is_behind,
    is_by_hand,
    noise_mark,
    number,
    plain,
    source,
    table,
)

PLOTS = "plots"
IMAGE = re.compile(rf"^!\[.*\]\({PLOTS}/.*\)$", re.MULTILINE)
SERIES = {
    "stages": "Cost by stages",
    "routes": "Cost by routes",
    "threads": "Scaling over threads",
    "tasks": "Scaling over tasks",
}
"""By the first word of a series: the heading under which its plot is."""
EXPLAINED = """\
Every number here was written by `make bench-report`. A ratio is the time of a case to
that of its baseline, which takes turns with it: below 1 the case is the faster. Other
units are differences of the two. Each repeat is a process of its own (of Go and us a
turn of each), of which one of the best rounds counts; of the repeats the lowest two do,
or their median where something is subtracted within each. The spread, against rivals
and Go too, is that of nine tenths of what halves of the repeats give in the same way.
Rows whose spread is too wide are marked as noisy.
`python -m benchmarks.compare a.json b.json` compares two runs."""


def render(results: dict[str, Any], *, plotted: bool = True) -> str:
    """Return the whole document, with its plots if there are any."""
    parts: list[Iterable[str]] = [
        _first(results),
        _head(results),
        _rivals(results),
        _go(results),
        _curves(results),
        _distributions(results),
        _rows(results),
        _absent(results),
    ]
    text = "\n".join(line for part in parts for line in part)
    if not plotted:
        text = IMAGE.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def plot_name(*words: str) -> str:
    """Return the file of a plot."""
    return "-".join(re.findall(r"[a-z0-9]+", " ".join(words).lower())) + ".svg"


def groups(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows against rivals by group, in the order in which groups appear."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in results.get("rivals", ()):
        found.setdefault(row["group"], []).append(row)
    return found


def curves(results: dict[str, Any]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the rows of series: by the series' first word, then by its name."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in results["rows"]:
        name = row.get("series")
        if name is not None and row["measured"] is not None:
            kind = re.split(r"\W", name)[0]
            found.setdefault(kind, {}).setdefault(name, []).append(row)
    for series in found.values():
        for points in series.values():
            points.sort(key=lambda row: row["x"])
    return found


# The head


def _first(results: dict[str, Any]) -> Iterator[str]:
    found = noise.of_machine(results)
    if found.is_over:
        yield f"**The machine was noisy.** {_noise(found)}"
        yield ""
    elif not found.is_known:
        yield (
            f"**Preliminary.** {found.repeats} repeats of each row tell nothing about "
            "how noisy the machine was."
        )
        yield ""
    yield "# Results"
    yield ""


def _noise(found: noise.Noise) -> str:
    return (
        f"A typical round took {found.slowdown:.1%} longer than the best (the median "
        f"of {found.baselines} baselines); over {noise.LIMIT:.0%} is noise. "
        f"{found.noisy} of {found.rows} ratios are marked because they spread over "
        f"{noise.LIMIT:.0%} of themselves; over {noise.SHARE:.0%} of all is noise."
    )


def _head(results: dict[str, Any]) -> Iterator[str]:
    interpreter, build = results["interpreter"], results["build"]
    facts = {
        "machine": f"{results['cpu']}, {results.get('cores', '?')} cores, "
        f"{results['machine']}",
        "interpreter": f"{interpreter['implementation']} {interpreter['version']} "
        f"({interpreter['built']}), {interpreter['compiler']}, "
        f"GIL: {interpreter['gil']}",
        "its flags": f"`{interpreter['configured']}`; `{interpreter['flags']}`",
        "cqrs_fast": f"commit {results['commit']}, version {build['version']}, "
        f"{build['mode']} build, Cython {build['cython'].replace('_', '.')}, "
        f"C compiler {build['compiler']}",
        "its flags ": f"`{build['flags']}`",
        "packages": ", ".join(
            f"{name} {version}" for name, version in results.get("packages", {}).items()
        ),
        "measured": f"{results['date']}, in {_duration(results.get('seconds', 0))}, "
        f"{results.get('repeats', '?')} repeats",
        "noise": _noise(noise.of_machine(results)),
    }
    yield "| | |"
    yield "| --- | --- |"
    for name, fact in facts.items():
        yield f"| {name.strip()} | {plain(fact)} |"
    yield ""
    yield EXPLAINED
    yield ""


def _duration(seconds: float) -> str:
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


# Rivals and Go


def _rivals(results: dict[str, Any]) -> Iterator[str]:
    yield "## Against rivals"
    yield ""
    yield from _reason(results, "rivals")
    yield from _standing(results.get("rivals", ()))
    for group, rows in groups(results).items():
        yield f"### {group[:1].upper()}{group[1:]}"
        yield ""
        if any(row["ratio"] for row in rows):
            yield _image(plot_name("rivals", group), f"bars against rivals: {group}")
            yield ""
        yield "| both do | rival | as fast as it | spread | ours | theirs | |"
        yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
        for row in rows:
            yield _rival(row)
        yield ""


def _standing(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    ratios = [row["ratio"] for row in rows]
    measured = [ratio for ratio in ratios if ratio is not None]
    if measured:
        ahead = sum(ratio >= 1 for ratio in measured)
        yield (
            f"cqrs_fast is ahead in {ahead} of {len(measured)} rows, a rival in "
            f"{len(measured) - ahead}; {len(ratios) - len(measured)} were not measured."
        )
        yield ""


def _rival(row: dict[str, Any]) -> str:
    rival = " ".join(filter(None, [row["subject"], row["version"]]))
    # Brackets before parentheses would be a link.
    what = (row["what"] or "").replace("[", "\\[")
    cells = [row["feature"], f"{rival}: {what}" if what else rival]
    if row["ratio"] is None:
        cells += ["", "", "", "", f"not measured: {row['reason']}"]
    else:
        note = "**the rival is ahead**" if row["ratio"] < 1 else ""
        cells += [
            *_ratio_and_spread(row, "{:.2f} times"),
            number(row["ours_ns"], "ns"),
            number(row["theirs_ns"], "ns"),
            ", ".join(filter(None, [note, noise_mark(row)])),
        ]
    return f"| {' | '.join(map(plain, cells))} |"


def _ratio_and_spread(row: dict[str, Any], form: str) -> list[str]:
    low, high = row["spread"]
    return [form.format(row["ratio"]), f"{low:.2f} to {high:.2f}"]


def _go(results: dict[str, Any]) -> Iterator[str]:
    yield "## Against the same design in Go"
    yield ""
    yield from _reason(results, "go")
    rows = results.get("go", ())
    if not rows:
        return
    yield "| case | ceiling | ours / Go's | spread | ours | Go's | verdict |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for row in rows:
        ceiling = "" if row["ceiling"] is None else f"{row['ceiling']:.2f}"
        cells = [row["name"], ceiling]
        if row["ratio"] is None:
            cells += ["", "", "", "", f"not measured: {row['reason']}"]
        else:
            verdict = ""
            if row["ceiling"] is not None:
                verdict = "met" if row["ratio"] <= row["ceiling"] else "**over**"
            elif row["ratio"] > 1:
                verdict = "**Go is ahead**"
            cells += [
                *_ratio_and_spread(row, "{:.2f}"),
                number(row["ours_ns"], "ns"),
                number(row["go_ns"], "ns"),
                ", ".join(filter(None, [verdict, noise_mark(row)])),
            ]
        yield f"| {' | '.join(map(plain, cells))} |"
    for row in rows:
        if row.get("note"):
            yield ""
            yield f"{row['name']}: {row['note']}."
    yield ""
    yield f"Go: {', '.join(sorted({row['version'] or 'not found' for row in rows}))}."
    yield ""


def _reason(results: dict[str, Any], section: str) -> Iterator[str]:
    reason = results.get("reasons", {}).get(section)
    if reason is None and not results.get(section):
        reason = "the result file has nothing of it."
    if reason is not None:
        yield f"Not measured: {reason}"
        yield ""


# Curves and distributions


def _curves(results: dict[str, Any]) -> Iterator[str]:
    for kind, series in curves(results).items():
        yield f"## {SERIES.get(kind, f'Series: {kind}')}"
        yield ""
        yield _image(plot_name(kind), SERIES.get(kind, kind))
        yield ""
        yield f"| {kind} | {' | '.join(series)} |"
        yield f"| ---: |{' ---: |' * len(series)}"
        for x in sorted({row["x"] for points in series.values() for row in points}):
            cells = [_at(points, x) for points in series.values()]
            yield f"| {x:g} | {' | '.join(cells)} |"
        yield ""
        for name, points in series.items():
            against = sorted({row["against"] for row in points})
            yield f"- {name}: against {', '.join(against)}"
        yield ""


def _at(points: list[dict[str, Any]], x: float) -> str:
    for row in points:
        if row["x"] == x:
            mark = noise_mark(row)
            return number(row["measured"], row["unit"]) + (mark and f" ({mark})")
    return ""


def _distributions(results: dict[str, Any]) -> Iterator[str]:
    yield "## Latency of single dispatches"
    yield ""
    yield from _reason(results, "distributions")
    found = results.get("distributions", ())
    if not found:
        return
    yield _image(plot_name("latency"), "how many dispatches take how long")
    yield ""
    percentiles = list(found[0]["percentiles"])
    names = ["the slowest" if text == "100" else f"p{text}" for text in percentiles]
    yield f"| ns | dispatches | {' | '.join(names)} |"
    yield f"| --- | ---: |{' ---: |' * len(percentiles)}"
    for row in found:
        count = sum(count for _, count in row["counts"])
        values = [f"{row['percentiles'][text]:,}" for text in percentiles]
        yield f"| {row['name']} | {count:,} | {' | '.join(values)} |"
    yield ""
    yield (
        "Of each preset one command, through all that the preset puts into its route, "
        "to a handler that does nothing. The direct call of that handler is timed in "
        "the same way: that is what the clock takes."
    )
    yield ""


# All rows


def _rows(results: dict[str, Any]) -> Iterator[str]:
    yield "## All rows"
    yield ""
    over = [row for row in results["rows"] if row["verdict"] == "over"]
    promised = sum(row["verdict"] is not None for row in results["rows"])
    yield f"Of {promised} rows with a ceiling {len(over)} are over it."
    by_hand = [row for row in results["rows"] if is_by_hand(row)]
    behind = sum(map(is_behind, by_hand))
    yield (
        f"Of {len(by_hand)} others whose baseline is hand-written code or one of "
        f"functools, that baseline is ahead in {behind}; they are marked."
    )
    yield ""
    questions = results.get("files", {})
    for file, rows in groupby(results["rows"], lambda row: row.get("file", "")):
        title = file.removeprefix("bench_").replace("_", " ")
        yield f"### {title[:1].upper()}{title[1:]}"
        yield ""
        if file in questions:
            yield questions[file]
            yield ""
        yield from table(rows)
        yield ""
    yield source(results)
    yield ""


def _absent(results: dict[str, Any]) -> Iterator[str]:
    rows = [row for row in results["rows"] if row["measured"] is None]
    if not rows:
        return
    yield "## Not measured"
    yield ""
    for row in rows:
        yield f"- {row['name']}: {plain(row['reason'])}"
    yield ""


def _image(file: str, text: str) -> str:
    return f"![{text}]({PLOTS}/{file})"
