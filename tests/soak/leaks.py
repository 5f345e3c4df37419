"""Row 22: memory stays level over as many mixed dispatches as there is time for."""

from __future__ import annotations

import gc

import pytest
from reliability.mixed import Mixed, slope
from reliability.parts import assert_at_rest, rss_bytes

ROUND = 50_000
# What a few pages more or less make of a line through this many points.
FEWEST_POINTS = 20
PAGES = 64 * 1024


class State:
    mixed: Mixed | None = None
    before: dict[str, int]
    points: list[tuple[float, float]]


def schedule(seed: int) -> int:
    """Make some more dispatches of every outcome, on the same two buses."""
    if State.mixed is None:
        State.mixed = Mixed(seed)
        State.mixed.run(ROUND)
        State.before, State.points = State.mixed.held(), []
    State.mixed.run(ROUND)
    gc.collect()
    State.points.append((len(State.points) * float(ROUND), float(rss_bytes())))
    return ROUND


def finish() -> None:
    """Fit a line through the resident memory; compare objects and references."""
    mixed = State.mixed
    assert mixed is not None
    after = mixed.held()
    for name, count in State.before.items():
        assert after[name] == pytest.approx(count, abs=1_000), name
    for bus in mixed.buses.values():
        assert_at_rest(bus)
    calls = len(State.points) * ROUND
    if len(State.points) >= FEWEST_POINTS:
        per_million = slope(State.points) * 1_000_000
        print(f"row 22   RSS slope {per_million:.0f} bytes per 10^6 of {calls:,} calls")
        assert per_million * calls / 1_000_000 < PAGES + 1024 * calls / 1_000_000
