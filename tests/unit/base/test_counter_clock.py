"""Dispatches are timed by the counter of the processor, and nobody can tell."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from support import Add, run_script

from cqrs_fast import CommandBus
from cqrs_fast.base.counter_clock import is_steady, read_ns

SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
OFF_NS = 20_000
"""Far more than it is off, and far less than it would be if it were wrong."""

steady = pytest.mark.skipif(
    not is_steady(), reason="the system's clock goes by no counter of the processor"
)


def known_for(seconds: float) -> None:
    """Read it for so long that its rate is known."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        read_ns()


def check_agrees(rounds: int = 5_000) -> None:
    """Hold each reading against the system's before and after it."""
    for _ in range(rounds):
        before = time.monotonic_ns()
        reading = read_ns()
        after = time.monotonic_ns()
        assert before - OFF_NS <= reading <= after + OFF_NS


def test_it_is_used_only_where_the_system_uses_the_counter() -> None:
    if SOURCE.exists():
        assert is_steady() <= (SOURCE.read_text() == "tsc\n")
    else:
        assert not is_steady()


def test_the_environment_keeps_to_the_system_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CQRS_FAST_CLOCK", "system")
    script = "from cqrs_fast.base.counter_clock import is_steady; print(is_steady())"
    assert run_script(script) == "False\n"


@pytest.mark.alone
@steady
def test_it_tells_the_time_of_the_system_clock() -> None:
    check_agrees()
    known_for(0.03)
    check_agrees()


@pytest.mark.alone
@steady
def test_it_agrees_after_a_pause() -> None:
    known_for(0.03)
    time.sleep(0.03)
    check_agrees(10)


@steady
def test_it_never_goes_back_in_any_thread() -> None:
    backwards = []

    def watch() -> None:
        last = 0
        for _ in range(20_000):
            reading = read_ns()
            if reading < last:
                backwards.append((last, reading))
            last = reading

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not backwards


@steady
def test_it_goes_on_in_a_forked_child() -> None:
    script = """
import time, warnings
# Newer versions of Python advise against what is tested here.
warnings.simplefilter("ignore", DeprecationWarning)
from cqrs_fast.base.counter_clock import read_ns
from forking import fork

def check():
    for _ in range(1000):
        before = time.monotonic_ns()
        reading = read_ns()
        after = time.monotonic_ns()
        assert before - 20_000 <= reading <= after + 20_000

end = time.monotonic() + 0.03
while time.monotonic() < end:
    read_ns()
fork(check)
check()
"""
    assert run_script(script) == ""


@pytest.mark.alone
def test_what_a_dispatch_takes_is_what_it_took() -> None:
    def handler(add: Add) -> int:
        end = time.perf_counter_ns() + 2_000_000
        while time.perf_counter_ns() < end:
            pass
        return add.number

    bus = CommandBus(enable_metrics=True)
    bus.register_handler(Add, handler)
    took = 0.0
    for number in range(8):
        started = time.perf_counter()
        bus.execute(Add(number))
        took += time.perf_counter() - started
    latency = bus.stats().messages["Add"]
    assert 0.016 <= latency.mean * 8 <= took + 0.001
