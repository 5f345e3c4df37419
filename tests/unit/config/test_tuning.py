"""performance_tuning changes the collector for a block, and gives it back as it was."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cqrs_fast import CommandBus, default_config, low_latency_config, performance_tuning
from cqrs_fast.config.model import PerformanceConfig


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    thresholds, enabled = gc.get_threshold(), gc.isenabled()
    gc.set_threshold(700, 10, 10)
    gc.unfreeze()  # what conftest.py has frozen, and once more at the end
    yield
    gc.unfreeze()
    gc.freeze()
    gc.set_threshold(*thresholds)
    if enabled:
        gc.enable()
    else:
        gc.disable()


def state() -> tuple[tuple[int, int, int], bool]:
    return gc.get_threshold(), gc.isenabled()


def tuning(percent: int = 100, *, freeze: bool = False) -> performance_tuning:
    return performance_tuning(PerformanceConfig(gc_percent=percent, gc_freeze=freeze))


@pytest.mark.parametrize(
    ("percent", "first"),
    [
        (100, 700),
        (50, 350),
        (1000, 7000),
        (1, 7),
        (0, 1),
        (100_000, 700_000),
    ],
)
def test_the_first_threshold_is_scaled(percent: int, first: int) -> None:
    with tuning(percent):
        assert state() == ((first, 10, 10), True)
    assert state() == ((700, 10, 10), True)


def test_it_scales_what_was_set() -> None:
    gc.set_threshold(50_000, 20, 30)
    with tuning(50):
        assert gc.get_threshold() == (25_000, 20, 30)
    assert gc.get_threshold() == (50_000, 20, 30)


def test_no_threshold_overflows() -> None:
    gc.set_threshold(2**31 - 1, 10, 10)
    with tuning(100_000):
        assert gc.get_threshold()[0] == 2**31 - 1


@pytest.mark.parametrize("percent", [-1, 50, 1000])
def test_a_collector_that_was_off_stays_off(percent: int) -> None:
    gc.disable()
    gc.set_threshold(0, 5, 6)
    with tuning(percent):
        assert state() == ((0, 5, 6), False)
    assert state() == ((0, 5, 6), False)


def test_never_switches_collection_off() -> None:
    with tuning(-1):
        assert state() == ((700, 10, 10), False)
    assert state() == ((700, 10, 10), True)


def test_an_error_restores_too() -> None:
    with pytest.raises(KeyError), tuning(-1, freeze=True):
        raise KeyError("what went wrong")
    assert state() == ((700, 10, 10), True)


def test_what_was_set_meanwhile_is_taken_back() -> None:
    with tuning(50):
        gc.set_threshold(5, 5, 5)
        gc.disable()
    assert state() == ((700, 10, 10), True)


def test_blocks_nest_and_the_newest_counts() -> None:
    with tuning(50):
        with tuning(-1):
            assert state() == ((700, 10, 10), False)
            with tuning(200):
                assert state() == ((1400, 10, 10), True)
        assert state() == ((350, 10, 10), True)
        with tuning(100):
            assert state() == ((700, 10, 10), True)
    assert state() == ((700, 10, 10), True)


def test_blocks_may_overlap() -> None:
    first, second = tuning(50), tuning(-1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert state() == ((700, 10, 10), False)
    second.__exit__(None, None, None)
    assert state() == ((700, 10, 10), True)


def test_one_object_may_be_entered_again() -> None:
    one = tuning(50)
    with one, one:
        assert gc.get_threshold()[0] == 350
    with one:
        assert gc.get_threshold()[0] == 350
    assert state() == ((700, 10, 10), True)


def test_threads_leave_it_as_it_was() -> None:
    def enter_and_leave() -> None:
        for _ in range(200):
            with tuning(50), tuning(-1):
                pass

    threads = [threading.Thread(target=enter_and_leave) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state() == ((700, 10, 10), True)


def test_freezing_keeps_what_is_alive_out_of_collections() -> None:
    before = gc.get_freeze_count()
    alive = [[number] for number in range(1000)]
    with tuning(freeze=True):
        assert gc.get_freeze_count() > before + len(alive)
    assert gc.get_freeze_count() == 0


def test_freezing_collects_first() -> None:
    class Node:
        pass

    node: Any = Node()
    node.itself = node
    del node
    with tuning(freeze=True):
        assert not [one for one in gc.get_objects() if type(one) is Node]
    assert not [one for one in gc.get_objects() if type(one) is Node]


def test_what_was_frozen_before_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    assert frozen > 1000
    with tuning(freeze=True):
        assert gc.get_freeze_count() >= frozen - 100
    assert gc.get_freeze_count() >= frozen - 100


def test_an_inner_block_leaves_the_outer_one_frozen() -> None:
    with tuning(freeze=True):
        with tuning(freeze=True):
            pass
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() == 0


def test_blocks_that_overlap_stay_frozen_to_the_last() -> None:
    first, second = tuning(freeze=True), tuning(freeze=True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_freeze_count() > 1000
    second.__exit__(None, None, None)
    assert gc.get_freeze_count() == 0


def test_without_it_nothing_is_touched() -> None:
    frozen = gc.get_freeze_count()
    config = low_latency_config()
    CommandBus.from_config(config)
    assert state() == ((700, 10, 10), True)
    with performance_tuning(default_config().performance):
        assert state() == ((700, 10, 10), True)
        assert abs(gc.get_freeze_count() - frozen) < 100


@pytest.mark.parametrize("wrong", [None, 50, {"gc_percent": 50}, default_config()])
def test_anything_but_a_performance_config_is_refused(wrong: Any) -> None:
    message = "performance must be a PerformanceConfig, such as config.performance"
    with pytest.raises(TypeError, match=message):
        performance_tuning(wrong)


def test_an_interpreter_has_few_frozen_objects_of_its_own() -> None:
    """Else what is frozen here would never be given back."""
    import subprocess

    script = "import gc; print(gc.get_freeze_count())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1000
