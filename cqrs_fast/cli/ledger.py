"""Bring outcomes back into the order of the input, write them and count them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from time import monotonic
from typing import Any, Protocol

import msgspec

from cqrs_fast.cli.console import Progress
from cqrs_fast.cli.lines import Line
from cqrs_fast.cli.problem import Problem
from cqrs_fast.errors import ValidationError
from cqrs_fast.policies.latency_histogram import LatencyHistogram

FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 0.1


class Writable(Protocol):
    """A binary file without a buffer of its own where possible."""

    def write(self, data: bytearray, /) -> int | None:
        """Write some of `data` and return how many bytes."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of a line.

    Attributes:
        text: the line to write, its end included.
        error: the class of the error, None if there was none.
        seconds: how long the dispatch took.
    """

    text: bytes
    error: str | None
    seconds: float


class Slot:
    """The place of one line in the output."""

    __slots__ = ("line", "outcome")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.outcome: Outcome | None = None


def success(line: Line, result: bytes, seconds: float) -> Outcome:
    """Return the outcome of a line whose dispatch gave an encoded result."""
    # Only a raw result can have line ends, as blanks between its tokens.
    result = result.replace(b"\n", b" ")
    text = b'{"line":%d,"ok":true,"result":%b}\n' % (line.number, result)
    return Outcome(text, None, seconds)


def failure(line: Line, error: BaseException, seconds: float) -> Outcome:
    """Return the outcome of a line whose dispatch raised."""
    kind = type(error).__name__
    try:
        message = str(error)
    except Exception:
        message = "(its text cannot be made)"
    told: dict[str, Any] = {"type": kind, "message": printable(message)}
    if isinstance(error, ValidationError):
        told["errors"] = [
            {"path": printable(path), "code": code, "message": printable(text)}
            for path, code, text in error.errors
        ]
    record = {"line": line.number, "ok": False, "error": told}
    return Outcome(msgspec.json.encode(record) + b"\n", kind, seconds)


def printable(text: object) -> str:
    """Return text that UTF-8 can encode."""
    return str(text).encode("utf-8", "backslashreplace").decode()


class Ledger:
    """Take lines and their outcomes from any thread; write in input order.

    Parameters:
        stop_on_error: write nothing after the first failure, and accept no more.
        shared: output and progress are on one terminal.
        total: how many bytes of input there are, None where nobody knows.

    Attributes:
        accepting: whether further lines shall be dispatched.
        problem: what made it impossible to go on, None so far.
        lines, errors, latency: what was written: how many lines, how many of them
            failed by class of error, and how long the dispatches took.
    """

    def __init__(
        self,
        output: Writable,
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
        self.accepting = True
        self.problem: BaseException | None = None
        self.lines = 0
        self.errors: Counter[str] = Counter()
        self.latency = LatencyHistogram()
        self._writing = True
        self._waiting = False
        self._broken = False
        self._lock = threading.Lock()
        self._slots: deque[Slot] = deque()
        self._buffer = bytearray()
        self._flushed = 0.0

    @property
    def failed(self) -> int:
        """Return how many of the lines failed."""
        return self.errors.total()

    def enter(self, line: Line) -> Slot:
        """Take the next line of the input, before it is dispatched."""
        slot = Slot(line)
        with self._lock:
            self._slots.append(slot)
            self._waiting = False
        return slot

    def settle(self, slot: Slot, outcome: Outcome) -> int:
        """Take the outcome of a line; return for how many more there is room now.

        Never raises: what goes wrong with the output is kept in `problem`.
        """
        with self._lock:
            slot.outcome = outcome
            before = len(self._slots)
            self._write_settled()
            idle = self._waiting and not self._slots
            self._try_flush(force=idle)
            # Whoever waits for room must come to see that there is no more to do.
            return max(before - len(self._slots), 0 if self.accepting else 1)

    def _write_settled(self) -> None:
        while self._slots and self._slots[0].outcome is not None and self._writing:
            slot = self._slots.popleft()
            outcome = slot.outcome
            assert outcome is not None
            self._buffer += outcome.text
            self.lines += 1
            self.latency.record(outcome.seconds)
            if outcome.error is not None:
                self.errors[outcome.error] += 1
                if self.stop_on_error:
                    self.accepting = self._writing = False
            if self.progress is not None:
                share = slot.line.end / self.total if self.total else None
                self.progress.update(share, self.told)

    def told(self, elapsed: float) -> str:
        """Return what the progress says after so many seconds."""
        rate = self.lines / elapsed if elapsed > 0 else 0.0
        return f"{self.lines:,} lines  {rate:,.0f}/s  {self.failed:,} failed"

    def before_reading(self) -> None:
        """Write what there is, for the next line may be long in coming."""
        with self._lock:
            self._waiting = True
            self._try_flush(force=True)

    def finish(self) -> None:
        """Write what is left, and nothing after it."""
        with self._lock:
            self.accepting = self._writing = False
            self._try_flush(force=True)
            if self.progress is not None:
                self.progress.clear()

    def _try_flush(self, *, force: bool) -> None:
        if self._broken or not self._buffer:
            return
        now = monotonic()
        overdue = now - self._flushed >= FLUSH_SECONDS
        if not (force or overdue or len(self._buffer) >= FLUSH_BYTES):
            return
        self._flushed = now
        try:
            self._flush()
        except OSError as error:
            self._broken = True
            self.accepting = self._writing = False
            broken_pipe = isinstance(error, BrokenPipeError)
            told = Problem(f"cannot write the output: {error.strerror}")
            self.problem = error if broken_pipe else told

    def _flush(self) -> None:
        if self.shared and self.progress is not None:
            self.progress.clear()
        while self._buffer:
            written = self.output.write(self._buffer)
            if written is None:  # another process made the descriptor non-blocking
                wait_writable(self.output)
            else:
                del self._buffer[:written]


def wait_writable(output: Any) -> None:
    """Wait until a non-blocking descriptor takes more."""
    import select

    poll = select.poll()
    poll.register(output.fileno(), select.POLLOUT)
    poll.poll()
