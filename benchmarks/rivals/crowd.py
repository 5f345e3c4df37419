"""Callers at once: threads that start together, and a gauge of how many are inside."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any


def together(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run functions in a thread each, started at one moment.

    Returns what each of them returned, or the error it ended with.
    """
    barrier = threading.Barrier(len(functions))
    ends: list[Any] = [None] * len(functions)

    def run(number: int, function: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            ends[number] = function()
        except BaseException as error:
            ends[number] = error

    threads = [
        threading.Thread(target=run, args=(number, function), daemon=True)
        for number, function in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


class Inside:
    """A function that takes a while, and knows how many callers it has at most."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.calls = 0
        self.now = 0
        self.most = 0

    def __call__(self, *_: Any) -> str:
        self._enter()
        try:
            time.sleep(self.seconds)
        finally:
            self._leave()
        return "done"

    async def suspending(self, *_: Any) -> str:
        self._enter()
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self._leave()
        return "done"

    def _enter(self) -> None:
        with self.lock:
            self.calls += 1
            self.now += 1
            self.most = max(self.most, self.now)

    def _leave(self) -> None:
        with self.lock:
            self.now -= 1
