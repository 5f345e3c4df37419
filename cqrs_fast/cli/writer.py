"""Write the outcome of each line, and count the outcomes."""

from __future__ import annotations

import select
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any, NamedTuple

import msgspec

from cqrs_fast.cli.console import Progress, text_of
from cqrs_fast.cli.lines import Line
from cqrs_fast.cli.problem import Problem
from cqrs_fast.errors import ValidationError
from cqrs_fast.policies.latency_histogram import LatencyHistogram

FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 0.1


class Outcome(NamedTuple):
    """The outcome of a line: what to write, the error's class or None, the seconds."""

    line: Line
    text: bytes
    error: str | None
    seconds: float


def success(line: Line, result: bytes, seconds: float) -> Outcome:
    """Return the outcome of a line whose dispatch gave an encoded result."""
    # Only a raw result can have line ends, as blanks between its tokens.
    result = result.replace(b"\n", b" ")
    text = b'{"line":%d,"ok":true,"result":%b}\n' % (line.number, result)
    return Outcome(line, text, None, seconds)


def failure(line: Line, error: BaseException, seconds: float) -> Outcome:
    """Return the outcome of a line whose dispatch raised."""
    kind = type(error).__name__
    shown: dict[str, Any] = {"type": kind, "message": encodable(text_of(error))}
    if isinstance(error, ValidationError):
        shown["errors"] = [
            {"path": encodable(path), "code": code, "message": encodable(text)}
            for path, code, text in error.errors
        ]
    record = {"line": line.number, "ok": False, "error": shown}
    return Outcome(line, msgspec.json.encode(record) + b"\n", kind, seconds)


def encodable(text: object) -> str:
    """Return text that UTF-8 can encode."""
    return str(text).encode("utf-8", "backslashreplace").decode()


class Interrupts:
    """Delay KeyboardInterrupt to the end of a `with` block of this.

    A second Ctrl-C is not delayed: the block may wait for a reader of the output.
    """

    def __init__(self) -> None:
        self._is_held = False
        self._came = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take over SIGINT, unless the program handles it in its own way."""
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._is_held or self._came:
            raise KeyboardInterrupt
        self._came = True

    def __enter__(self) -> None:
        self._is_held = True

    def __exit__(self, *raised: object) -> None:
        self._is_held = False
        if self._came:
            self._came = False
            raise KeyboardInterrupt


class Writer:
    """Write outcomes in the order of the input. For one thread only.

    Parameters:
        output: a binary file, best without a buffer.
        stop_on_error: write nothing after the first failure.
        shared: output and progress are on one terminal.
        total: how many bytes of input there are; None if unknown.

    Attributes:
        stopped: nothing more is written, so nothing more needs to be dispatched.
        lines, errors, latency: what was written: the lines, those that failed by class
            of error, and how long the dispatches took.
    """

    def __init__(
        self,
        output: Any,
        progress: Progress | None = None,
        *,
        stop_on_error: bool = False,
        shared: bool = False,
        total: int | None = None,
    ) -> None:
        self.output = output
        self.progress = progress
        self.stop_on_error = stop_on_error
        self.shared = shared
        self.total = total
        self.stopped = False
        self.lines = 0
        self.errors: Counter[str] = Counter()
        self.latency = LatencyHistogram()
        self._buffer = bytearray()
        self._flushed = 0.0

    @property
    def failed(self) -> int:
        """How many of the lines failed."""
        return self.errors.total()

    def write(self, outcome: Outcome) -> None:
        """Write an outcome soon. Raises Problem; BrokenPipeError with no reader."""
        if self.stopped:
            return
        self._buffer += outcome.text
        self.lines += 1
        self.latency.record(outcome.seconds)
        if outcome.error is not None:
            self.errors[outcome.error] += 1
            self.stopped = self.stop_on_error
        if self.progress is not None:
            share = outcome.line.end / self.total if self.total else None
            self.progress.update(share, self.summary)
        is_due = monotonic() - self._flushed >= FLUSH_SECONDS
        if is_due or len(self._buffer) >= FLUSH_BYTES:
            self.flush()

    def summary(self, elapsed: float) -> str:
        """Return what the progress shows after so many seconds."""
        rate = self.lines / elapsed if elapsed > 0 else 0.0
        return f"{self.lines:,} lines  {rate:,.0f}/s  {self.failed:,} failed"

    def flush(self) -> None:
        """Write what is left. Raises as `write` does, and only once."""
        self._flushed = monotonic()
        if self._buffer and self.shared and self.progress is not None:
            self.progress.clear()
        try:
            while self._buffer:
                written = self.output.write(self._buffer)
                if written is None:  # another process made the descriptor non-blocking
                    poll = select.poll()
                    poll.register(self.output.fileno(), select.POLLOUT)
                    poll.poll()
                else:
                    del self._buffer[:written]
        except OSError as error:
            self.stopped = True
            self._buffer.clear()
            if isinstance(error, BrokenPipeError):
                raise
            raise Problem(f"cannot write the output: {error.strerror}") from None

    def finish(self) -> None:
        """Write what is left, nothing after it, and clear the progress."""
        self.stopped = True
        if self.progress is not None:
            self.progress.clear()
        self.flush()
