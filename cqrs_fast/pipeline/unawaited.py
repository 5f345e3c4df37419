"""What is said of a dispatch that was made and never awaited."""

from __future__ import annotations

import sys
import warnings
from linecache import getline
from types import FrameType
from typing import Any

Origin = tuple[tuple[str, int, str], ...]


def call_origin(depth: int) -> Origin:
    """Return (file, line, function) of at most `depth` calls, the nearest first."""
    origin: list[tuple[str, int, str]] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(origin) < depth:
        code = frame.f_code
        origin.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return tuple(origin)


def warn_never_awaited(dispatch: Any) -> None:
    """Warn that a dispatch was freed before its first step: its work was not done."""
    text = f"{dispatch.__name__} was never awaited"
    if dispatch.cr_origin is not None:
        text += "\nDispatch created at (most recent call last)\n"
        text += "\n".join(map(_line, reversed(dispatch.cr_origin)))
    # The place of the call below this one is where it was dropped.
    warnings.warn(text, RuntimeWarning, stacklevel=2, source=dispatch)


def _line(call: tuple[str, int, str]) -> str:
    path, line, function = call
    place = f'  File "{path}", line {line}, in {function}'
    source = getline(path, line).strip()
    return f"{place}\n    {source}" if source else place
