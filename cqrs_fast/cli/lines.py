"""Read numbered lines and never hold more than a chunk and one line."""

from __future__ import annotations

import os
import select
import stat
import sys
from typing import Any, NamedTuple

from cqrs_fast.cli.problem import Problem

CHUNK = 64 * 1024
WAIT_MS = 50


class Line(NamedTuple):
    """One line that is not blank.

    Attributes:
        number: from 1, blank lines included, as an editor counts.
        payload: without its line ending; None if it was too long to keep.
        end: how many bytes of the input end with it.
    """

    number: int
    payload: bytes | None
    end: int


class LineReader:
    """Split a file into lines.

    Parameters:
        file: a binary file, best without a buffer.
        limit: the most bytes of a line; nothing is kept of a longer one.

    Attributes:
        total: the bytes from here to the end of a regular file, else None.
        problem: why the input ended early, or None.
    """

    def __init__(self, file: Any, limit: int) -> None:
        self.file = file
        self.limit = limit
        self.total: int | None = None
        self.problem: Problem | None = None
        self._blocking: select.poll | None = None
        self._number = 0
        self._end = 0
        self._size = 0
        self._kept = bytearray()
        try:
            descriptor = file.fileno()
            status = os.fstat(descriptor)
        except (OSError, ValueError):
            return
        if stat.S_ISREG(status.st_mode):
            self.total = status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR)
        else:
            self._blocking = select.poll()
            self._blocking.register(descriptor, select.POLLIN)

    def read(self) -> list[Line] | None:
        """Return the lines that end in the next chunk; None at the end of the input.

        Waits for input only for a moment, and returns no lines if there is none.
        """
        lines: list[Line] = []
        if self._blocking is not None and not self._blocking.poll(WAIT_MS):
            return lines
        try:
            chunk = self.file.read(CHUNK)
        except OSError as error:
            self.problem = Problem(f"cannot read the input: {error.strerror}")
            return None
        if chunk is None:  # another process made the descriptor non-blocking
            return lines
        if not chunk:
            if self._size:
                self._finish(lines, 0)
            return lines or None
        first, *rest = chunk.split(b"\n")
        self._extend(first)
        for piece in rest:
            self._finish(lines, 1)
            self._extend(piece)
        return lines

    def _extend(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self.limit:
            self._kept += piece
        else:
            self._kept = bytearray()

    def _finish(self, lines: list[Line], ending: int) -> None:
        self._number += 1
        self._end += self._size + ending
        if self._size > self.limit:
            lines.append(Line(self._number, None, self._end))
        elif payload := bytes(self._kept.strip()):
            lines.append(Line(self._number, payload, self._end))
        self._size = 0
        self._kept.clear()


def open_input(path: str) -> Any:
    """Open a file, or standard input for `-`, without a buffer. Raises Problem."""
    if path != "-":
        try:
            return open(path, "rb", buffering=0)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Problem(f"cannot read {path}: {reason}") from None
    if sys.stdin is None:
        raise Problem("standard input is closed: name a file")
    buffer = sys.stdin.buffer
    return getattr(buffer, "raw", buffer)
