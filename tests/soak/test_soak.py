"""Each long row runs, one schedule of a seed, and the runner tells of failures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from places import TESTS
from soak import __main__ as runner
from soak.rows import ROWS, Row

TABLE = Path(__file__).with_name("README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::cqrs_fast.MiddlewareOrderWarning")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"row {row.number}")
def test_a_schedule_of_each_row(row: Row) -> None:
    """The long rows in their shortest form, so that they stay whole."""
    assert row.schedule(4711) > 0
    row.finish()


def test_a_failure_tells_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    def schedule(seed: int) -> int:
        if seed == 12:
            error = AssertionError("broken")
            error.add_note("what was drawn")
            raise error
        return 5

    assert not runner.run(Row("4", "any", schedule), 10, 60.0)
    told = capsys.readouterr()
    assert "seed        10         2 schedules           10 calls" in told.out
    assert "--row 4 --seed 12 --count 1" in told.out
    assert "what was drawn" in told.err


def test_a_row_ends_with_its_time_or_its_count() -> None:
    seeds: list[int] = []

    def schedule(seed: int) -> int:
        seeds.append(seed)
        return 1

    assert runner.run(Row("4", "any", schedule), 7, 0.0)
    assert runner.run(Row("4", "any", schedule), 7, 60.0, 3)
    assert seeds == [7, 7, 8, 9]


def test_what_all_schedules_came_to_can_fail_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def finish() -> None:
        raise AssertionError("too much")

    assert not runner.run(Row("22", "any", lambda seed: 1, finish), 7, 0.0)
    assert "too much" in capsys.readouterr().err


def test_the_table_of_rows_names_tests_that_exist() -> None:
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)(?:::(\w+))?`", TABLE)
    assert len(named) > 15
    for file, test in named:
        text = (TESTS / file).read_text(encoding="utf-8")
        assert not test or f"{test}(" in text, f"{file}::{test}"
    for row in ROWS:
        assert f"`--row {row.number}`" in TABLE
