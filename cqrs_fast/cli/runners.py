"""Three ways to run lines through a bus: one by one, in threads, as tasks."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from time import perf_counter

from cqrs_fast.cli.lines import Line, LineReader
from cqrs_fast.cli.target import Bus
from cqrs_fast.cli.writer import (
    FLUSH_SECONDS,
    Interrupts,
    Outcome,
    Writer,
    failure,
    success,
)
from cqrs_fast.errors import ValidationError

# How many lines each runner may be ahead of the one that is to be written next.
AHEAD = 16


def run_lines(bus: Bus, reader: LineReader, writer: Writer, concurrency: int) -> None:
    """Dispatch every line, `concurrency` at a time.

    Raises Problem, BrokenPipeError and KeyboardInterrupt.
    """
    if any(route.is_async for route in bus.describe()):
        # asyncio turns Ctrl-C into a cancellation, which comes only at an await.
        asyncio.run(run_tasks(bus, reader, writer, concurrency))
    else:
        interrupts = Interrupts()
        run = run_threads if concurrency > 1 else run_alone
        with interrupts.listening():
            run(bus, reader, writer, concurrency, interrupts)
    if reader.problem is not None:
        raise reader.problem


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
        # Only in the main thread it is Ctrl-C; everything else comes from the handler.
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and isinstance(error, KeyboardInterrupt):
            raise
        return failure(line, error, perf_counter() - started)
    return success(line, result, perf_counter() - started)


def lines_of(reader: LineReader) -> Iterator[Line | None]:
    """Yield the lines, and None before each read, which may wait."""
    yield None
    while (batch := reader.read()) is not None:
        yield from batch
        yield None


def run_alone(
    bus: Bus, reader: LineReader, writer: Writer, _: int, interrupts: Interrupts
) -> None:
    """Dispatch one line after another in this thread."""
    for line in lines_of(reader):
        outcome = None if line is None else attempt(bus, line)
        with interrupts:
            if outcome is None:
                writer.flush()
            else:
                writer.write(outcome)
        if writer.stopped:
            return


def run_threads(
    bus: Bus, reader: LineReader, writer: Writer, count: int, interrupts: Interrupts
) -> None:
    """Dispatch `count` lines at a time, each in a thread."""
    work: queue.SimpleQueue[tuple[Line, Future[Outcome | None]] | None]
    work = queue.SimpleQueue()
    pending: deque[Future[Outcome | None]] = deque()
    is_over = False

    def worker() -> None:
        while (job := work.get()) is not None:
            line, future = job
            skip = is_over or writer.stopped
            future.set_result(None if skip else attempt(bus, line))

    def write(most: int) -> None:
        """Write what is ready, and wait until at most so many lines are pending."""
        while pending and (len(pending) > most or pending[0].done()):
            try:
                outcome = pending[0].result(FLUSH_SECONDS)
            except TimeoutError:
                with interrupts:
                    writer.flush()
                continue
            with interrupts:
                pending.popleft()
                if outcome is not None:
                    writer.write(outcome)

    # Daemons: a second Ctrl-C ends the process although handlers still run.
    threads = [threading.Thread(target=worker, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for line in lines_of(reader):
            if line is None:
                write(most=count * AHEAD)
                with interrupts:
                    writer.flush()
            else:
                write(most=count * AHEAD - 1)
                future: Future[Outcome | None] = Future()
                pending.append(future)
                work.put((line, future))
            if writer.stopped:
                break
        write(most=0)
    except BaseException:
        # Handlers that run cannot be interrupted; lines that wait never start.
        is_over = True
        raise
    finally:
        for _ in threads:
            work.put(None)
        for thread in threads:
            thread.join()
        write(most=0)


async def run_tasks(bus: Bus, reader: LineReader, writer: Writer, count: int) -> None:
    """Dispatch `count` lines at a time on the running loop; one runs in this task."""
    work: asyncio.Queue[tuple[Line, asyncio.Future[Outcome | None]]] = asyncio.Queue()
    pending: deque[asyncio.Future[Outcome | None]] = deque()
    loop = asyncio.get_running_loop()
    is_over = False

    async def worker() -> None:
        while True:
            line, future = await work.get()
            outcome = None
            try:
                if not writer.stopped:
                    outcome = await attempt_async(bus, line)
            except asyncio.CancelledError as error:
                if is_over:
                    raise
                if task := asyncio.current_task():
                    task.uncancel()  # the handler has cancelled it
                outcome = failure(line, error, 0.0)
            future.set_result(outcome)

    async def write(most: int) -> None:
        """Write what is ready, and wait until at most so many lines are pending."""
        while pending and (len(pending) > most or pending[0].done()):
            if not pending[0].done():
                await asyncio.wait([pending[0]], timeout=FLUSH_SECONDS)
            if not pending[0].done():
                writer.flush()
            elif outcome := pending.popleft().result():
                writer.write(outcome)

    workers = [loop.create_task(worker()) for _ in range(count if count > 1 else 0)]
    try:
        # A read waits only for a moment, so a cancellation is not delayed for long.
        while (batch := await asyncio.to_thread(reader.read)) is not None:
            for line in batch:
                if count == 1:
                    writer.write(await attempt_async(bus, line))
                else:
                    await write(most=count * AHEAD - 1)
                    pending.append(loop.create_future())
                    work.put_nowait((line, pending[-1]))
                if writer.stopped:
                    break
            await write(most=count * AHEAD)
            writer.flush()
            if writer.stopped:
                break
        await write(most=0)
    finally:
        is_over = True
        for task in workers:
            task.cancel()


async def attempt_async(bus: Bus, line: Line) -> Outcome:
    """Dispatch one line on the running loop."""
    if line.payload is None:
        return failure(line, too_long(bus), 0.0)
    started = perf_counter()
    try:
        result = await bus.execute_json_async(line.payload)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        # A CancelledError comes from the handler unless this task is cancelled.
        task = asyncio.current_task()
        is_cancelled = task is None or task.cancelling() > 0
        if is_cancelled and isinstance(error, asyncio.CancelledError):
            raise
        return failure(line, error, perf_counter() - started)
    return success(line, result, perf_counter() - started)
