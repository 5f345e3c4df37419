"""The plots of RESULTS.md as SVG: the same results give the same bytes.

Needs matplotlib. The background is opaque, so that the plots look alike on light pages
and on dark ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.document import SERIES, curves, groups, plot_name
from benchmarks.latency import PER_DECADE

INK, FAINT, PAPER = "#24292f", "#d0d7de", "#ffffff"
OURS_AHEAD, RIVAL_AHEAD = "#0072b2", "#d55e00"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
BUCKET = 10 ** (1 / PER_DECADE) * 1.01
"""How many times the bucket before a bucket reaches, with what rounding adds."""
WIDTH = 8.6  # inches, as are all sizes of figures
SETTINGS: Any = {
    "svg.fonttype": "none",  # small files, and text that can be searched
    "svg.hashsalt": "cqrs_fast",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
}


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write all plots that these results give; remove others from the folder."""
    folder.mkdir(exist_ok=True)
    written = []
    with pyplot.rc_context(SETTINGS):
        for name, figure in figures(results):
            path = folder / name
            # Without the date the same figure is the same file.
            figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
            pyplot.close(figure)
            written.append(path)
    for path in set(folder.glob("*.svg")).difference(written):
        path.unlink()
    return written


def figures(results: dict[str, Any]) -> Iterator[tuple[str, Figure]]:
    for group, rows in groups(results).items():
        measured = [row for row in rows if row["ratio"]]
        if measured:
            yield plot_name("rivals", group), _bars(group, measured)
    for kind, series in curves(results).items():
        yield plot_name(kind), _curve(kind, series)
    if results.get("distributions"):
        yield plot_name("latency"), _latency(results["distributions"])


# Bars


def _bars(group: str, rows: list[dict[str, Any]]) -> Figure:
    """Draw a bar for each row, by feature; ours is where the axis is."""
    figure, axes = pyplot.subplots(figsize=(WIDTH, 1.2 + 0.27 * _lines(rows)))
    labels: list[tuple[float, str]] = []
    top = max(row["spread"][1] for row in rows)
    axes.set_xscale("log")
    line = 0.0
    for feature in dict.fromkeys(row["feature"] for row in rows):
        line += 1
        axes.annotate(
            feature,
            (0, line),
            xycoords=axes.get_yaxis_transform(),
            fontweight="bold",
            va="center",
            xytext=(4, 0),
            textcoords="offset points",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
        )
        same = [row for row in rows if row["feature"] == feature]
        for row in sorted(same, key=lambda row: -row["ratio"]):
            line += 1
            labels.append((line, _rival_name(row, same)))
            _bar(axes, line, row)
        line += 0.4
    axes.set_yticks([y for y, _ in labels], [text for _, text in labels])
    axes.set_ylim(line + 0.4, 0.4)
    lowest = min(row["spread"][0] for row in rows)
    axes.set_xlim(min(lowest * 0.8, 0.8), top * 1.9)
    axes.axvline(1, color=INK, linewidth=1)
    axes.tick_params(axis="y", length=0)
    _plain_numbers(axes, "{:g}".format)
    axes.grid(axis="x")
    axes.set_xlabel("times as fast as the rival (right of 1: cqrs_fast is ahead)")
    axes.set_title(group[:1].upper() + group[1:], loc="left", fontweight="bold")
    return figure


def _lines(rows: list[dict[str, Any]]) -> float:
    return len(rows) + 1.4 * len({row["feature"] for row in rows})


def _rival_name(row: dict[str, Any], same: list[dict[str, Any]]) -> str:
    """Return a rival's name, with what of it is used where it has several rows."""
    alike = [other for other in same if other["subject"] == row["subject"]]
    return f"{row['subject']}: {row['what']}" if len(alike) > 1 else row["subject"]


def _bar(axes: Axes, line: float, row: dict[str, Any]) -> None:
    ratio, (low, high) = row["ratio"], row["spread"]
    colour = OURS_AHEAD if ratio >= 1 else RIVAL_AHEAD
    axes.barh(line, ratio - 1, left=1, height=0.7, color=colour)
    axes.plot([low, high], [line, line], color=INK, linewidth=1)
    axes.annotate(
        f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}",
        (max(high, 1), line),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
    )


def _plain_numbers(axes: Axes, form: Callable[[float], str]) -> None:
    """Label a logarithmic axis with 0.5, 1, 2, 5, 10 and so on."""
    low, high = axes.get_xlim()
    digits = (1, 2, 5) if high / low < 2_000 else (1,)
    ticks = [
        digit * 10.0**power
        for power in range(-3, 12)
        for digit in digits
        if low <= digit * 10.0**power <= high
    ]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))


def _duration(nanoseconds: float) -> str:
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < 999.5:
            return f"{nanoseconds:g} {unit}"
        nanoseconds /= 1_000
    return f"{nanoseconds:g} s"


# Curves


def _curve(kind: str, series: dict[str, list[dict[str, Any]]]) -> Figure:
    """Draw the series of a kind, each with the band of its spreads."""
    figure, axes = pyplot.subplots(figsize=(WIDTH, 3.8))
    rows = [row for points in series.values() for row in points]
    for (name, points), marker in zip(series.items(), _repeated(MARKERS), strict=False):
        xs = [row["x"] for row in points]
        lows, highs = zip(*(row["spread"] for row in points), strict=True)
        label = name.removeprefix(kind).strip(" ,") or name
        (line,) = axes.plot(
            xs, [row["measured"] for row in points], marker=marker, label=label
        )
        axes.fill_between(xs, lows, highs, color=line.get_color(), alpha=0.2, lw=0)
    ticks = sorted({row["x"] for row in rows})
    if ticks[0] > 0 and ticks[-1] / ticks[0] >= 8:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.set_ylim(0, 1.08 * max(1.0, *(row["spread"][1] for row in rows)))
    axes.axhline(1, color=INK, linewidth=1, linestyle=":")
    axes.grid()
    axes.set_xlabel(kind)
    axes.set_ylabel(", ".join(sorted({row["unit"] for row in rows})))
    against = sorted({row["against"].replace("`", "") for row in rows})
    axes.set_title(SERIES.get(kind, kind), loc="left", fontweight="bold")
    axes.set_title(f"against {', '.join(against)}", loc="right", fontsize=9)
    if len(series) > 1:
        axes.legend()
    return figure


def _repeated(markers: str) -> Iterator[str]:
    while True:
        yield from markers


# Distributions


def _latency(distributions: list[dict[str, Any]]) -> Figure:
    """Draw where most dispatches lie, and how many are slower than a time."""
    figure, (body, tail) = pyplot.subplots(
        2, 1, figsize=(WIDTH, 6.4), gridspec_kw={"hspace": 0.45}
    )
    for row in distributions:
        uppers, counts = zip(*row["counts"], strict=True)
        whole = sum(counts)
        edges = _filled(row["counts"])
        body.plot(
            [upper for upper, _ in edges],
            [count / whole * 100 for _, count in edges],
            drawstyle="steps-pre",
            label=row["name"],
        )
        slower = [whole - done for done in accumulate(counts)]
        # Of the slowest nothing is slower: there the curve ends.
        tail.plot(
            uppers[:-1],
            [count / whole for count in slower[:-1]],
            drawstyle="steps-post",
            label=row["name"],
        )
    start = min(row["counts"][0][0] for row in distributions) * 0.7
    body.set_xlim(start, max(row["percentiles"]["99.9"] for row in distributions) * 1.5)
    tail.set_xlim(start, max(row["percentiles"]["100"] for row in distributions) * 1.5)
    tail.set_yscale("log")
    body.set_ylim(bottom=0)
    body.set_ylabel("% of dispatches, by bucket")
    tail.set_ylabel("share that takes longer")
    for axes in (body, tail):
        axes.set_xscale("log")
        _plain_numbers(axes, _duration)
        axes.grid()
        axes.set_xlabel("time of one dispatch")
        axes.legend()
    body.set_title("Most dispatches", loc="left", fontweight="bold")
    tail.set_title("The slow ones", loc="left", fontweight="bold")
    return figure


def _filled(counts: Iterable[tuple[int, int]]) -> list[tuple[float, int]]:
    """Add what the counts leave out: the lower ends of buckets after empty ones."""
    filled: list[tuple[float, int]] = []
    for upper, count in counts:
        lower = upper / BUCKET
        if not filled or lower > filled[-1][0]:
            filled.append((lower, 0))
        filled.append((upper, count))
    return [*filled, (filled[-1][0] * BUCKET, 0)]
