"""What does the same work cost in other libraries, and in code written by hand?

As pytest-benchmark shows it; `python -m benchmarks.rivals.measure` isolates the rivals
and prints ratios.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.rivals.duel import Duel
from benchmarks.rivals.measure import DUELS, name_of
from benchmarks.suite import run
from benchmarks.table import Pair, Row

ROUNDS = 5
"""Some rivals are slow."""


def row_of(duel: Duel) -> Row:
    def make() -> Pair:
        if duel.missing is not None:
            pytest.skip(f"{duel.subject}: {duel.missing}")
        try:
            match = duel.checked()
        except Exception as error:
            pytest.skip(f"{duel.subject}: {type(error).__name__}: {error}")
        return Pair(match.ours, match.theirs)

    return Row(name_of(duel), f"{duel.subject} {duel.what}", make, rounds=ROUNDS)


ROWS = [row_of(duel) for duel in DUELS]


def test_rivals(benchmark: Any, row: Row, part: str) -> None:
    # First of all: a row that cannot be made is skipped here.
    assert row.pair
    run(benchmark, row, part)
