"""Many dispatches at once, in threads or as tasks of an event loop, used alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

from support import eventually

from cqrs_fast import CommandBus, Context, ContextCancelledError


class Job:
    """One dispatch under way."""

    def __init__(self, future: Future[Any], cancel: Callable[[], Any]) -> None:
        self.future = future
        self.cancel = cancel

    @property
    def done(self) -> bool:
        return self.future.done()

    def result(self) -> Any:
        return self.future.result(5)

    def error(self) -> BaseException | None:
        """Return the error it ended with; an asyncio cancellation is one."""
        try:
            return self.future.exception(5)
        except BaseException as error:
            return error


class Crowd:
    """Starts dispatches: each in a thread, or each as a task of one loop elsewhere."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self.is_async = loop is not None
        self.jobs: list[Job] = []

    def handler(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Turn a plain function into a handler that fits."""
        if not self.is_async:
            return function

        async def handle(message: Any) -> Any:
            await asyncio.sleep(0)
            return function(message)

        return handle

    def held(self) -> tuple[Callable[[Any], Any], Callable[[], None]]:
        """Return a handler that ends only once the other one is called."""
        opened = threading.Event()
        if not self.is_async:
            return lambda message: opened.wait(5), opened.set

        async def handle(message: Any) -> None:
            while not opened.is_set():
                await asyncio.sleep(0.001)

        return handle, opened.set

    def start(self, bus: CommandBus, message: Any, ctx: Context | None = None) -> Job:
        """Begin a dispatch; it has been entered, or is over, when this returns."""
        future: Future[Any] = Future()
        if self.loop is None:
            own = (ctx or Context.background()).with_cancel()

            def run() -> None:
                try:
                    future.set_result(bus.execute(message, own))
                except BaseException as error:
                    future.set_exception(error)

            threading.Thread(target=run, daemon=True).start()
            job = Job(future, own.cancel)
        else:

            async def step() -> Any:
                return await bus.execute_async(message, ctx)

            job_future = asyncio.run_coroutine_threadsafe(step(), self.loop)
            job = Job(job_future, job_future.cancel)
        self.jobs.append(job)
        return job

    def run(self, bus: CommandBus, message: Any, ctx: Context | None = None) -> Any:
        """Dispatch and wait for its end; raise what it raises."""
        return self.start(bus, message, ctx).result()

    def queue(
        self, count: int, bus: CommandBus, message: Callable[[int], Any], limits: Any
    ) -> list[Job]:
        """Start dispatches that wait, one behind the other."""
        jobs = []
        for number in range(count):
            reached = limits.snapshot().waiting + 1
            jobs.append(self.start(bus, message(number)))
            waits_until(limits, reached)
        return jobs


def waits_until(limits: Any, waiting: int) -> None:
    eventually(lambda: limits.snapshot().waiting == waiting)


CANCELLED = (ContextCancelledError, asyncio.CancelledError, CancelledError)


@contextmanager
def crowd(is_async: bool) -> Iterator[Crowd]:
    if not is_async:
        yield Crowd(None)
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Crowd(loop)
    finally:

        async def rest() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(rest(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
