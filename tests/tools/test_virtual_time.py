"""Time on the virtual loop passes in order and at once, and threads still wake it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from virtual_time import START_NS, RunawayError, VirtualTimeLoop, clock, run_virtual


def virtual_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def test_hours_pass_at_once_and_to_the_nanosecond() -> None:
    async def main() -> int:
        await asyncio.sleep(3 * 3600)
        await asyncio.sleep(0.000_000_001)
        return clock()

    before = time.perf_counter()
    assert run_virtual(main) == START_NS + 10_800_000_000_001
    assert time.perf_counter() - before < 1


def test_timers_fire_in_their_order() -> None:
    async def main() -> list[tuple[int, float]]:
        seen: list[tuple[int, float]] = []
        start = asyncio.get_running_loop().time()

        async def nap(number: int, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((number, round(asyncio.get_running_loop().time() - start, 9)))

        await asyncio.gather(nap(1, 0.5), nap(2, 100), nap(3, 0.25), nap(4, 0.5))
        return seen

    assert run_virtual(main) == [(3, 0.25), (1, 0.5), (4, 0.5), (2, 100.0)]


def test_time_stands_still_while_something_is_ready() -> None:
    async def main() -> int:
        asyncio.get_running_loop().call_later(5, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        return clock()

    assert run_virtual(main) == START_NS


def test_the_clock_follows_the_loop_and_returns_to_its_start() -> None:
    async def main() -> None:
        assert clock() == virtual_loop().clock()
        assert clock() / 1e9 == virtual_loop().time()
        await asyncio.sleep(1)
        assert clock() == START_NS + 1_000_000_000
        assert await asyncio.to_thread(clock) == clock()

    run_virtual(main)
    assert clock() == START_NS


def test_timeouts_of_asyncio_expire() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.get_running_loop().create_future()

    run_virtual(main)


def test_other_threads_wake_it() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        args = (future.set_result, 7)
        thread = threading.Timer(0.01, loop.call_soon_threadsafe, args)
        thread.start()
        result: int = await future
        thread.join()
        return result

    assert run_virtual(main) == 7


def test_a_held_loop_waits_for_threads_instead_of_jumping() -> None:
    async def main() -> None:
        loop = virtual_loop()
        timer = loop.call_later(1, pytest.fail)
        with loop.held():
            await asyncio.to_thread(time.sleep, 0.01)
        assert clock() == START_NS
        timer.cancel()

    run_virtual(main)


def test_endless_jumping_is_told() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0.001)

    with pytest.raises(RunawayError, match=r"jumped 50 times, by 0\.05 s"):
        run_virtual(main, most_jumps=50)


def test_waiting_for_nobody_is_told() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RunawayError, match="nothing woke the loop"):
        run_virtual(main, most_idle_seconds=0.05)


def test_timers_that_are_left_can_be_counted() -> None:
    async def main() -> None:
        loop = virtual_loop()
        handle = loop.call_later(9, lambda: None)
        assert loop.timers() == [handle]
        handle.cancel()
        assert loop.timers() == []

    run_virtual(main)


def test_errors_pass_and_the_loop_is_closed() -> None:
    loops: list[VirtualTimeLoop] = []

    async def main() -> None:
        loops.append(virtual_loop())
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_virtual(main)
    assert loops[0].is_closed()
