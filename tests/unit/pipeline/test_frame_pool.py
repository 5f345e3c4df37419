"""reserve_frames: frames of async dispatches are kept for reuse, as many as asked."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from support import Add, drive, suspend

from cqrs_fast import CommandBus, TimeoutMiddleware, reserve_frames

BURST = 2_000

# In a process of its own: the pool only grows.
SCRIPT = f"""
import sys
from cqrs_fast import Command, CommandBus, reserve_frames

class Add(Command[int]):
    number: int = 0

async def handler(add):
    return 1

bus = CommandBus()
bus.register_handler(Add, handler)
execute, message = bus.execute_async, Add()
held = [None] * {BURST}

def burst():
    before = sys.getallocatedblocks()
    for index in range({BURST}):
        held[index] = execute(message)
    made = sys.getallocatedblocks() - before
    for index in range({BURST}):
        held[index] = None
    return made

{{prepare}}
print(burst(), burst())
"""


def bursts(prepare: str) -> list[int]:
    """Return how many blocks each of two bursts allocates in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(prepare=prepare)],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONMALLOC": "pymalloc",  # others do not count their blocks
        },
    )
    return [int(blocks) for blocks in done.stdout.split()]


def test_a_burst_of_preallocated_frames_allocates_nothing() -> None:
    first, second = bursts(f"reserve_frames({BURST}, True)")
    # Integers of the loop and of the counting itself.
    assert abs(first) < 10
    assert abs(second) < 10


def test_without_preallocation_the_second_burst_allocates_nothing() -> None:
    first, second = bursts(f"reserve_frames({BURST})")
    assert first >= BURST - 50
    assert abs(second) < 10


def test_as_many_as_usual_are_kept_without_being_asked() -> None:
    first, second = bursts("")
    assert first >= BURST - 50
    assert BURST - 300 < second < BURST


def test_the_pool_only_grows() -> None:
    kept = reserve_frames(0)
    assert kept >= 256
    assert reserve_frames(kept + 10) == kept + 10
    assert reserve_frames(1, preallocate=True) == kept + 10
    assert reserve_frames(0) == kept + 10


@pytest.mark.parametrize(
    ("size", "preallocate", "error", "message"),
    [
        (-1, False, ValueError, "size must be from 0 to 1000000, got -1"),
        (10**6 + 1, False, ValueError, "size must be from 0 to 1000000, got 1000001"),
        (True, False, TypeError, "size must be an int, got True"),
        (2.0, False, TypeError, "size must be an int, got 2.0"),
        ("5", False, TypeError, "size must be an int, got '5'"),
        (5, 1, TypeError, "preallocate must be a bool, got 1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    size: Any, preallocate: Any, error: type[Exception], message: str
) -> None:
    kept = reserve_frames(0)
    with pytest.raises(error) as raised:
        reserve_frames(size, preallocate)
    assert str(raised.value) == message
    assert reserve_frames(0) == kept


def test_preallocated_frames_dispatch_as_others_do() -> None:
    reserve_frames(600, True)

    async def handler(add: Add) -> int:
        await suspend()
        return add.number

    bus = CommandBus(middleware=[TimeoutMiddleware(5.0)])
    bus.register_handler(Add, handler)
    dispatches = [bus.execute_async(Add(number)) for number in range(700)]
    for dispatch in dispatches:
        dispatch.send(None)
    gc.collect()
    assert [drive(dispatch) for dispatch in dispatches] == list(range(700))
    assert bus.close(0).drained


def test_frames_come_back_from_collected_cycles_and_finalizers() -> None:
    class Echo:
        """Dispatches once more as it dies, while its own frame is on the way back."""

        def __del__(self) -> None:
            heard.append(drive(bus.execute_async(Add(1))))
            reserve_frames(reserve_frames(0) + 1, True)

    async def handler(add: Add) -> int:
        return add.number

    heard: list[int] = []
    bus = CommandBus()
    bus.register_handler(Add, handler)
    for _ in range(50):
        dispatch = bus.execute_async(Add(2))
        dispatch.close()
        cycle: list[Any] = [dispatch, Echo()]
        cycle.append(cycle)
        del dispatch, cycle
    gc.collect()
    assert heard == [1] * 50
    assert drive(bus.execute_async(Add(3))) == 3


def test_threads_may_reserve_while_others_dispatch() -> None:
    async def handler(add: Add) -> int:
        return add.number

    bus = CommandBus()
    bus.register_handler(Add, handler)
    start = reserve_frames(0)
    wrong: list[int] = []

    def dispatch() -> None:
        for number in range(2000):
            held = [bus.execute_async(Add(number)) for _ in range(5)]
            wrong.extend(one for one in map(drive, held) if one != number)

    def reserve() -> None:
        for more in range(200):
            reserve_frames(start + more, preallocate=more % 10 == 0)

    threads = [threading.Thread(target=work) for work in (dispatch, reserve, dispatch)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert reserve_frames(0) == start + 199


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a POSIX call")
def test_a_child_goes_on_with_its_own_pool() -> None:
    script = """
import os, sys
from cqrs_fast import Command, CommandBus, reserve_frames

class Add(Command[int]):
    number: int = 0

async def handler(add):
    return add.number

bus = CommandBus()
bus.register_handler(Add, handler)

def finish(dispatch):
    try:
        dispatch.send(None)
    except StopIteration as stop:
        return stop.value

reserve_frames(500, True)
child = os.fork()
right = [finish(bus.execute_async(Add(n))) for n in range(600)] == list(range(600))
right = right and reserve_frames(700, True) == 700
if child == 0:
    os._exit(0 if right else 1)
sys.exit(0 if right and os.waitpid(child, 0)[1] == 0 else 1)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
