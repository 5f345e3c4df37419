"""Ctrl-C that never comes between writing something and noting that it is written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Hold KeyboardInterrupt back while the main thread is in a `with` block of this.

    It is raised at the end of the block instead. A second Ctrl-C is not held back: the
    block may be waiting for somebody to read the output.
    """

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._held = False
        self._came = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT over, unless the program treats it in a way of its own."""
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or (
            threading.get_ident() != self._main
        ):
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._held and not self._came:
            self._came = True
            return
        raise KeyboardInterrupt

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._held = True

    def __exit__(self, *raised: object) -> None:
        if threading.get_ident() != self._main:
            return
        self._held = False
        if self._came:
            self._came = False
            raise KeyboardInterrupt
