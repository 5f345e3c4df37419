"""Three ways to run lines through a bus: one by one, in threads, as tasks."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from time import perf_counter

from cqrs_fast.cli.interrupt import Interrupts
from cqrs_fast.cli.ledger import Ledger, Outcome, Slot, failure, success
from cqrs_fast.cli.lines import Line, LineReader
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.target import Bus
from cqrs_fast.errors import ValidationError

# How many lines each runner may be ahead of the one that the output waits for.
AHEAD = 16


def run_lines(bus: Bus, reader: LineReader, ledger: Ledger, concurrency: int) -> None:
    """Dispatch every line, `concurrency` at a time.

    Raises what the ledger keeps in `problem`, Problem, and KeyboardInterrupt.
    """
    if any(route.is_async for route in bus.describe()):
        # asyncio turns Ctrl-C into a cancellation, which strikes at an await only.
        asyncio.run(run_tasks(bus, reader, ledger, concurrency))
    else:
        interrupts = Interrupts()
        with interrupts.listening():
            lines = lines_of(reader, ledger, interrupts)
            if concurrency > 1:
                run_threads(bus, lines, ledger, concurrency)
            else:
                run_alone(bus, lines, ledger, interrupts)
    if ledger.problem is not None:
        raise ledger.problem


def too_long(bus: Bus) -> ValidationError:
    """Return what `execute_json` would raise for the whole line."""
    text = f"expected a payload of at most {bus.max_payload_bytes} bytes"
    return ValidationError([("$", "max_length", text)])


def attempt(bus: Bus, line: Line) -> Outcome:
    """Dispatch one line."""
    if line.payload is None:
        return failure(line, too_long(bus), 0.0)
    started = perf_counter()
    try:
        result = bus.execute_json(line.payload)
    except BaseException as error:
        # Ctrl-C reaches the main thread alone; all else is the handler's doing.
        ctrl_c = isinstance(error, KeyboardInterrupt)
        if ctrl_c and threading.current_thread() is threading.main_thread():
            raise
        return failure(line, error, perf_counter() - started)
    return success(line, result, perf_counter() - started)


def lines_of(
    reader: LineReader, ledger: Ledger, interrupts: Interrupts
) -> Iterator[Line]:
    """Read lines as long as the ledger wants more."""
    while True:
        with interrupts:
            ledger.before_reading()
        batch = next_batch(reader, ledger)
        if batch is None:
            return
        for line in batch:
            if not ledger.accepting:
                return
            yield line


def next_batch(reader: LineReader, ledger: Ledger) -> list[Line] | None:
    """Wait for some lines; None where there are no more, or no more are wanted."""
    reader.wait(lambda: ledger.accepting)
    if not ledger.accepting:
        return None
    try:
        return reader.read()
    except Problem as problem:
        ledger.problem = problem  # for later: what was read is still dispatched
        return None


def run_alone(
    bus: Bus, lines: Iterable[Line], ledger: Ledger, interrupts: Interrupts
) -> None:
    """Dispatch one line after another in this thread."""
    for line in lines:
        slot = ledger.enter(line)
        outcome = attempt(bus, line)
        with interrupts:
            ledger.settle(slot, outcome)


def run_threads(bus: Bus, lines: Iterable[Line], ledger: Ledger, count: int) -> None:
    """Dispatch `count` lines at a time, each in a thread."""
    work: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
    room = threading.Semaphore(count * AHEAD)

    def worker() -> None:
        while (slot := work.get()) is not None:
            if ledger.accepting:
                freed = ledger.settle(slot, attempt(bus, slot.line))
            else:
                freed = 1
            if freed:
                room.release(freed)

    # A second Ctrl-C leaves at once: such threads do not keep the process alive.
    threads = [threading.Thread(target=worker, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for line in lines:
            room.acquire()
            if not ledger.accepting:
                break
            work.put(ledger.enter(line))
    except BaseException:
        # What runs cannot be interrupted and is told of; what waits never starts.
        ledger.accepting = False
        raise
    finally:
        for _ in threads:
            work.put(None)
        for thread in threads:
            thread.join()


async def run_tasks(bus: Bus, reader: LineReader, ledger: Ledger, count: int) -> None:
    """Dispatch `count` lines at a time on the running loop, with one in no Task."""
    if count == 1:
        async for line in lines_on_loop(reader, ledger):
            ledger.settle(ledger.enter(line), await attempt_async(bus, line))
        return
    work: asyncio.Queue[Slot | None] = asyncio.Queue()
    room = asyncio.Semaphore(count * AHEAD)

    async def worker() -> None:
        while (slot := await work.get()) is not None:
            freed = 1
            if ledger.accepting:
                freed = ledger.settle(slot, await attempt_async(bus, slot.line))
            for _ in range(freed):
                room.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(worker())
        async for line in lines_on_loop(reader, ledger):
            await room.acquire()
            if not ledger.accepting:
                break
            work.put_nowait(ledger.enter(line))
        for _ in range(count):
            work.put_nowait(None)


async def attempt_async(bus: Bus, line: Line) -> Outcome:
    """Dispatch one line on the running loop."""
    if line.payload is None:
        return failure(line, too_long(bus), 0.0)
    started = perf_counter()
    try:
        result = await bus.execute_json_async(line.payload)
    except (Exception, SystemExit) as error:
        return failure(line, error, perf_counter() - started)
    except asyncio.CancelledError as error:
        # Either this program is being ended, or the handler's own affair is.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return failure(line, error, perf_counter() - started)
    return success(line, result, perf_counter() - started)


async def lines_on_loop(reader: LineReader, ledger: Ledger) -> AsyncIterator[Line]:
    """Read lines as long as the ledger wants more, without blocking the loop."""
    while True:
        ledger.before_reading()
        try:
            batch = await asyncio.to_thread(next_batch, reader, ledger)
        except asyncio.CancelledError:
            ledger.accepting = False  # or that thread would wait for input for ever
            raise
        if batch is None:
            return
        for line in batch:
            if not ledger.accepting:
                return
            yield line
