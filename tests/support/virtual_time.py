"""An event loop whose time is virtual: hours of timers pass at once, and in order.

    result = run_virtual(main)      # main is called on the loop and awaited
    bus = CommandBus(clock=clock)   # its clock reads what loop.time() reads

When nothing is ready the loop does not sleep: its time jumps to the next timer. What
other threads send by `call_soon_threadsafe` still wakes it. Their work takes no virtual
time, so a test that waits for a thread does so in `with loop.held():`, where the loop
waits in real time instead of jumping.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

START_NS = 1_000_000_000_000
# A test that needs more has lost its way.
MOST_JUMPS = 1_000_000
MOST_IDLE_SECONDS = 10.0


class RunawayError(RuntimeError):
    """Report a loop that jumps, or waits for nobody, without end."""


class _Selector(selectors.BaseSelector):
    """Ask the real selector; where it would block, let the loop jump."""

    def __init__(self) -> None:
        self.real = selectors.DefaultSelector()
        self.loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = self.real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is not None and not self.loop.holds:
            self.loop.jump(timeout)
            return []
        return self.block()

    def block(self) -> list[Any]:
        end = time.monotonic() + self.loop.most_idle_seconds
        while time.monotonic() < end:
            ready = self.real.select(0.05)
            if ready:
                return ready
        raise RunawayError(
            f"nothing woke the loop in {self.loop.most_idle_seconds:g} real seconds; "
            f"tasks: {[task.get_name() for task in asyncio.all_tasks(self.loop)]}"
        )

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        return self.real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> Any:
        return self.real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> Any:
        return self.real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self.real.get_map()

    def close(self) -> None:
        self.real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector event loop in virtual time, kept in whole nanoseconds.

    Parameters:
        most_jumps: more jumps than this raise RunawayError out of the loop.
        most_idle_seconds: so long in real time it waits for other threads at most.
    """

    def __init__(
        self,
        most_jumps: int = MOST_JUMPS,
        most_idle_seconds: float = MOST_IDLE_SECONDS,
    ) -> None:
        self.now_ns = START_NS
        self.jumps = self.holds = 0
        self.most_jumps = most_jumps
        self.most_idle_seconds = most_idle_seconds
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now_ns / 1e9

    def clock(self) -> int:
        """Return the virtual time in nanoseconds."""
        return self.now_ns

    def jump(self, seconds: float) -> None:
        self.jumps += 1
        if self.jumps > self.most_jumps:
            raise RunawayError(
                f"virtual time jumped {self.most_jumps} times, by "
                f"{(self.now_ns - START_NS) / 1e9:g} s in all: something polls?"
            )
        self.now_ns += max(round(seconds * 1e9), 1)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop virtual time: the loop waits for other threads in real time."""
        self.holds += 1
        try:
            yield
        finally:
            self.holds -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Join the threads in real time: a virtual timeout would pass at once."""
        with self.held():
            await super().shutdown_default_executor()

    def timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that would still fire."""
        return [one for one in self._scheduled if not one.cancelled()]  # type: ignore[attr-defined]


_current: VirtualTimeLoop | None = None


def clock() -> int:
    """Return the time of the loop of `run_virtual`, from any thread; in nanoseconds."""
    return START_NS if _current is None else _current.now_ns


def run_virtual(main: Callable[[], Awaitable[T]], **options: Any) -> T:
    """Call `main` on a new virtual-time loop, await what it returns, and return that.

    `clock` follows this loop until it ends. Takes the options of VirtualTimeLoop.
    """
    global _current

    async def run() -> T:
        return await main()

    before = _current
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(**options)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        _current = loop
        try:
            return runner.run(run())
        finally:
            _current = before
