"""Results as results.json has them, for the tests of what is made of them."""

from __future__ import annotations

from typing import Any

from benchmarks.environment import environment

Results = dict[str, Any]


def row(name: str, measured: float | None = 1.0, **fields: Any) -> Results:
    """Return what results.json has of a row that is a ratio."""
    return {
        "file": "bench_dispatch",
        "name": name,
        "against": "direct call",
        "unit": "ratio",
        "ceiling": None,
        "measured": measured,
        "spread": None if measured is None else [measured * 0.99, measured * 1.01],
        "verdict": None,
        "case_ns": measured and measured * 30,
        "baseline_ns": measured and 30.0,
        "series": None,
        "x": None,
        "slowdown": 0.05,
        "repeats": 11,
        "reason": None,
        **fields,
    }


def rival(subject: str, ratio: float | None = 2.0, **fields: Any) -> Results:
    return {
        "group": "caches",
        "feature": "a hit",
        "subject": subject,
        "version": "1.2",
        "what": "Cache.get",
        "ratio": ratio,
        "spread": ratio and [ratio * 0.98, ratio * 1.02],
        "ours_ns": ratio and 50.0,
        "theirs_ns": ratio and 50.0 * ratio,
        "reason": None,
        **fields,
    }


def go(name: str, ratio: float | None, ceiling: float | None = None) -> Results:
    return {
        "name": name,
        "ceiling": ceiling,
        "ratio": ratio,
        "spread": ratio and [ratio * 0.98, ratio * 1.02],
        "ours_ns": ratio and 50.0,
        "go_ns": ratio and 50.0 / ratio,
        "reason": None if ratio else "there is no `go`",
        "version": "go1.19" if ratio else None,
    }


DISTRIBUTION = {
    "name": "default",
    "unit": "ns",
    "percentiles": {"50": 120, "99.9": 900, "100": 5_000},
    "counts": [[112, 400], [126, 590], [1_000, 9], [5_012, 1]],
}


def results(*rows: Results, **fields: Any) -> Results:
    return {
        "date": "2026-01-02",
        "commit": "abc",
        **environment(),
        "seconds": 125.0,
        "repeats": 11,
        "files": {"bench_dispatch": "What does it cost?"},
        "reasons": {},
        "rows": list(rows) or [row("one")],
        "rivals": [],
        "go": [],
        "distributions": [],
        **fields,
    }
