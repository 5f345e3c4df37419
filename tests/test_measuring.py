"""Candidates take turns, and what their rounds tell is computed with care."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from functools import partial

import pytest

from cqrs_fast import measuring
from cqrs_fast.measuring import (
    best_of,
    compiled,
    least_traced,
    ratio_of,
    spread_of,
    take_turns,
    times_in_round,
    tracer,
    tracing,
)

SOURCE = """\
{manner}def function(feed, {names}):
    for item in feed:
        if item:
            {statement}
    return kept
"""


def test_a_statement_of_several_lines_is_compiled_with_its_names() -> None:
    statement = """
        for number in range(item):
            kept.append(number)
        """
    kept: list[int] = []
    assert compiled(SOURCE, statement, {"kept": kept})([0, 2, 3]) == [0, 1, 0, 1, 2]


def test_a_statement_that_awaits_is_a_coroutine_function() -> None:
    async def give(item: int) -> int:
        return item

    names = {"kept": [], "give": give}
    function = compiled(SOURCE, "kept.append(await give(item))", names)
    assert asyncio.run(function([1, 2])) == [1, 2]


@pytest.mark.parametrize(
    ("each", "times"), [(1_000_000.0, 1), (250_000.0, 1), (1000.0, 250), (1.0, 250_000)]
)
def test_a_round_takes_about_so_long(each: float, times: int) -> None:
    assert times_in_round(lambda times: each * times, 250_000.0) == times


def test_a_first_call_that_warms_up_is_not_believed() -> None:
    costs: Iterator[float] = iter([90_000.0])
    found = times_in_round(lambda times: next(costs, 1000.0 * times), 100_000.0)
    assert found == 100


def test_candidates_take_turns() -> None:
    order: list[str] = []

    def probe(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = take_turns([lambda: probe("a"), lambda: probe("b")], rounds=3)
    assert order == ["a", "b"] * 3
    assert found == [[1, 3, 5], [2, 4, 6]]


def test_no_round_begins_when_the_time_is_over() -> None:
    assert take_turns([lambda: 1.0], seconds=0.0) == [[1.0]]
    assert take_turns([lambda: 1.0], seconds=0.0, fewest=4) == [[1.0] * 4]
    assert take_turns([lambda: 1.0], seconds=60.0, rounds=2) == [[1.0] * 2]


def test_the_collector_is_off_and_cycles_are_collected_between_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "COLLECT_SECONDS", 0.0)
    seen: list[tuple[bool, int]] = []

    class Node:
        pass

    def leave_a_cycle() -> float:
        left = sum(isinstance(one, Node) for one in gc.get_objects())
        seen.append((gc.isenabled(), left))
        node = Node()
        node.itself = node  # type: ignore[attr-defined]
        return 1.0

    take_turns([leave_a_cycle], rounds=3)
    assert seen == [(False, 0)] * 3
    assert gc.isenabled()


def test_progress_is_told_after_each_round() -> None:
    told: list[float] = []
    take_turns([lambda: 1.0], rounds=3, progress=told.append)
    assert len(told) == 3
    assert told == sorted(told)


def test_one_of_the_best_rounds_counts() -> None:
    assert best_of([3, 2, 1]) == 1
    assert best_of(range(100)) == 5


def test_a_ratio_is_the_median_of_those_of_the_repeats() -> None:
    assert ratio_of([10.0, 30.0, 90.0], [10.0, 10.0, 10.0]) == (3.0, 1.0, 9.0)
    with pytest.raises(ValueError, match="longer"):
        ratio_of([1.0], [1.0, 2.0])
    assert spread_of([9.0, 10.0, 12.0]) == pytest.approx(0.3)


def test_a_peak_counts_what_is_freed_again() -> None:
    calls = range(100)
    with tracing():
        assert not gc.isenabled()
        nothing, freed, kept = (
            least_traced(partial(tracer(statement, {"there": []}), calls))
            for statement in ("pass", "bytearray(1000)", "there.append(bytes(1000))")
        )
    assert nothing.kept == 0
    assert nothing.peak < 200
    assert 1000 <= freed.peak - nothing.peak < 1200
    assert freed.kept == nothing.kept
    assert kept.kept >= 100 * 1000
    assert not tracemalloc.is_tracing()
    assert gc.isenabled()


def test_tracing_that_was_on_stays_on() -> None:
    tracemalloc.start()
    try:
        with tracing():
            pass
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
