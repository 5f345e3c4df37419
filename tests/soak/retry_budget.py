"""Row 19: in the 10 s up to any retry, retries stay within the share and the floor."""

from __future__ import annotations

import threading
from contextlib import suppress

from reliability.parts import Get, assert_at_rest, bus_of, quick_switches, seeded

from cqrs_fast import Context, RetryMiddleware
from cqrs_fast.testing import ManualClock

THREADS, STEPS, SPAN = 8, 25, 10


def fail(ctx: Context, get: Get) -> int:
    raise ConnectionError


def schedule(seed: int) -> int:
    """Draw how much each of 8 threads asks for in each second; count the retries."""
    random = seeded(seed)
    percent = random.choice((1, 10, 20, 50))
    floor = random.choice((0, 1, 3, 10))
    # The middle of a second: what the tiny delays add never reaches the next one.
    clock = ManualClock(1000.3, auto_advance=True)
    retry = RetryMiddleware(
        5,
        1e-9,
        jitter="none",
        budget=percent,
        budget_min_per_sec=floor,
        budget_ttl=float(SPAN),
    )
    bus = bus_of([retry], Get, fail, clock=clock)
    plan = [
        [random.choice((0, 1, 5, 40)) for _ in range(THREADS)] for _ in range(STEPS)
    ]
    barrier = threading.Barrier(THREADS + 1)

    def work(number: int) -> None:
        for step in plan:
            barrier.wait()
            for _ in range(step[number]):
                with suppress(ConnectionError):
                    bus.execute(Get())
            barrier.wait()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    retries: list[int] = []
    with quick_switches():
        for thread in threads:
            thread.start()
        for _ in plan:
            barrier.wait()
            barrier.wait()
            retries.append(bus.stats().total.retries - sum(retries))
            clock.advance(1.0)
        for thread in threads:
            thread.join()
    firsts = [sum(step) for step in plan]
    note = f"{percent} %, at least {floor}/s; firsts {firsts}, retries {retries}"
    for end in range(1, STEPS + 1):
        if retries[end - 1] == 0:
            # First attempts pay for later retries, not for earlier ones: 10 s that
            # leave out what was paid before promise nothing.
            continue
        begin = max(end - SPAN, 0)
        most = percent * sum(firsts[begin:end]) + 100 * floor * SPAN
        assert 100 * sum(retries[begin:end]) <= most, f"{begin} to {end} s: {note}"
    # Not for want of trying: each first attempt asks for four more.
    asked = any(sum(firsts[:n]) * percent >= 100 for n in range(SPAN))
    assert sum(retries) > 0 or not asked, note
    assert_at_rest(bus)
    return sum(firsts)
