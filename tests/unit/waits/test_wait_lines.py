"""Lines of tickets: who owns a ticket, and what becomes of one that is freed."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from types import ModuleType
from typing import Any

import pytest
from foreign import compiled


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Return the compiled module."""
    return compiled("lines", tmp_path_factory.mktemp("lines"))


@pytest.fixture
def hall(lines: ModuleType) -> Any:
    hall = lines.Hall(1)
    hall.enter()
    return hall


def test_a_permit_goes_to_the_first_of_those_who_wait(
    lines: ModuleType, hall: Any
) -> None:
    tickets = [hall.come() for _ in range(4)]
    hall.leave(tickets[1])
    hall.leave(tickets[1])
    assert hall.counts() == (1, 3, 3)
    hall.end()
    assert [lines.granted(ticket) for ticket in tickets] == [True, False, False, False]
    hall.leave(tickets[3])
    hall.leave(tickets[0])
    assert [lines.granted(ticket) for ticket in tickets] == [False, False, True, False]
    hall.leave(tickets[2])
    hall.leave(tickets[2])
    assert hall.counts() == (0, 0, 0)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_ticket_that_is_freed_leaves_the_line(
    lines: ModuleType, hall: Any, which: int
) -> None:
    tickets = [hall.come() for _ in range(3)]
    del tickets[which]
    assert hall.counts() == (1, 2, 2)
    for ticket in list(tickets):
        hall.end() if ticket is tickets[0] else hall.leave(tickets[0])
        assert lines.granted(ticket)
    hall.leave(tickets[1])
    assert hall.counts() == (0, 0, 0)


def test_a_granted_ticket_that_is_freed_passes_its_permit_on(
    lines: ModuleType, hall: Any
) -> None:
    tickets = [hall.come() for _ in range(2)]
    hall.end()
    assert lines.granted(tickets[0])
    del tickets[0]
    assert lines.granted(tickets[0])
    tickets.clear()
    assert hall.counts() == (0, 0, 0)


def test_the_collector_frees_what_waits_in_a_cycle(
    lines: ModuleType, hall: Any
) -> None:
    class Knot:
        pass

    for _ in range(3):
        knot = Knot()
        knot.own, knot.ticket = knot, hall.come()  # type: ignore[attr-defined]
    del knot
    assert hall.counts() == (1, 3, 3)
    gc.collect()
    assert hall.counts() == (1, 0, 0)


def test_a_ticket_keeps_what_it_waits_for_alive(lines: ModuleType) -> None:
    hall = lines.Hall(1)
    hall.enter()
    gone = weakref.ref(hall)
    ticket = hall.come()
    del hall
    assert gone() is not None
    del ticket
    assert gone() is None


def test_who_waits_on_a_closed_loop_is_passed_over(
    lines: ModuleType, hall: Any
) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    tickets = [hall.come() for _ in range(3)]
    for ticket in tickets[:2]:
        lines.lose_loop(ticket, loop)
    hall.end()
    assert [lines.granted(ticket) for ticket in tickets] == [False, False, True]
    assert hall.counts() == (1, 0, 0)


def test_an_error_while_one_is_woken_leaves_the_permit_with_it(
    lines: ModuleType, hall: Any
) -> None:
    class Loop:
        calls = 0

        def call_soon_threadsafe(self, *arguments: object) -> None:
            self.calls += 1
            raise KeyboardInterrupt

    loop = Loop()
    ticket, other = hall.come(), hall.come()
    lines.lose_loop(ticket, loop)
    with pytest.raises(KeyboardInterrupt):
        hall.end()
    # It was woken once more, in case the first time did not come through.
    assert loop.calls == 2
    assert lines.granted(ticket)
    assert hall.counts() == (1, 1, 1)
    lines.lose_loop(ticket, None)
    hall.leave(ticket)
    assert lines.granted(other)


def test_a_long_line_is_freed_in_a_thread_with_a_small_stack(
    lines: ModuleType, hall: Any
) -> None:
    def work() -> None:
        tickets = [hall.come() for _ in range(100_000)]
        assert hall.counts() == (1, 100_000, 100_000)
        tickets.reverse()
        tickets.clear()

    size = threading.stack_size(64 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
    finally:
        threading.stack_size(size)
    thread.join()
    assert hall.counts() == (1, 0, 0)
