"""The plots of RESULTS.md as SVG: the same results give the same bytes.

Needs matplotlib. The background is opaque, so that the plots look alike on light pages
and on dark ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.figure import Figure

from benchmarks.document import SERIES, curves, groups, nearest, plot_name

OURS_AHEAD, RIVAL_AHEAD = "#0072b2", "#d55e00"
WIDTH = 8.6  # inches
SETTINGS: Any = {
    "svg.fonttype": "none",  # small files, and text that can be searched
    "svg.hashsalt": "cqrs_fast",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.min_exponent": 9,
    "grid.color": "#d0d7de",
    "savefig.bbox": "tight",
}


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write all plots that these results give; remove others from the folder."""
    folder.mkdir(exist_ok=True)
    written = []
    with pyplot.rc_context(SETTINGS):
        for name, figure in figures(results):
            path = folder / name
            # Without the date the same figure is the same file.
            figure.savefig(path, metadata={"Date": None})
            pyplot.close(figure)
            written.append(path)
    for path in set(folder.glob("*.svg")).difference(written):
        path.unlink()
    return written


def figures(results: dict[str, Any]) -> Iterator[tuple[str, Figure]]:
    if rows := nearest(results):
        named = [{**row, "feature": row["group"]} for row in rows]
        title = "against the fastest rival of each kind"
        yield plot_name("rivals"), _bars(title, named)
    for group, rows in groups(results).items():
        if measured := [row for row in rows if row["ratio"]]:
            yield plot_name("rivals", group), _bars(group, measured)
    for kind, series in curves(results).items():
        yield plot_name(kind), _curve(kind, series)
    if results.get("distributions"):
        yield plot_name("latency"), _latency(results["distributions"])


def _bars(group: str, rows: list[dict[str, Any]]) -> Figure:
    """Draw a bar for each row, by feature; ours is where the axis is."""
    figure, axes = pyplot.subplots(figsize=(WIDTH, 1.2 + 0.27 * len(rows)))
    features = list(dict.fromkeys(row["feature"] for row in rows))
    ordered = sorted(
        rows, key=lambda row: (features.index(row["feature"]), -row["ratio"])
    )
    places = range(len(ordered))
    ratios = [row["ratio"] for row in ordered]
    errors = [
        [max(row["ratio"] - row["spread"][0], 0.0) for row in ordered],
        [max(row["spread"][1] - row["ratio"], 0.0) for row in ordered],
    ]
    bars = axes.barh(
        places,
        [ratio - 1 for ratio in ratios],
        left=1,
        xerr=errors,
        color=[OURS_AHEAD if ratio >= 1 else RIVAL_AHEAD for ratio in ratios],
    )
    labels = [f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}" for ratio in ratios]
    axes.bar_label(bars, labels, padding=4)
    names = [f"{row['feature']}: {row['subject']} {row['what']}" for row in ordered]
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("times as fast as the rival (right of 1: cqrs_fast is ahead)")
    axes.set_title(group[:1].upper() + group[1:], loc="left", fontweight="bold")
    return figure


def _curve(kind: str, series: dict[str, list[dict[str, Any]]]) -> Figure:
    """Draw the series of a kind, each with the band of its spreads."""
    figure, axes = pyplot.subplots(figsize=(WIDTH, 3.8))
    for name, points in series.items():
        xs = [row["x"] for row in points]
        lows, highs = zip(*(row["spread"] for row in points), strict=True)
        label = f"{name}, against {points[0]['against']}".replace("`", "")
        axes.plot(xs, [row["measured"] for row in points], marker="o", label=label)
        axes.fill_between(xs, lows, highs, alpha=0.2, lw=0)
    xs = sorted({row["x"] for points in series.values() for row in points})
    if xs[0] > 0 and xs[-1] / xs[0] >= 8:
        axes.set_xscale("log")
    axes.set_xticks(xs, [f"{x:,.0f}" for x in xs])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(kind)
    axes.set_ylabel("ratio")
    axes.set_title(SERIES.get(kind, kind), loc="left", fontweight="bold")
    axes.legend()
    return figure


def _latency(distributions: list[dict[str, Any]]) -> Figure:
    """Draw how many dispatches are slower than a time."""
    figure, axes = pyplot.subplots(figsize=(WIDTH, 3.8))
    for row in distributions:
        uppers, counts = zip(*row["counts"], strict=True)
        slower = [sum(counts) - done for done in accumulate(counts)]
        # Of the slowest nothing is slower: there the curve ends.
        shares = [count / sum(counts) for count in slower[:-1]]
        axes.step(uppers[:-1], shares, where="post", label=row["name"])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("time of one dispatch, ns")
    axes.set_ylabel("share that takes longer")
    axes.set_title("Single dispatches", loc="left", fontweight="bold")
    axes.legend()
    return figure
