"""What the documents of all formats are held to."""

from __future__ import annotations

import re
from typing import Any

from cqrs_fast.errors import ConfigError

MAX_DEPTH = 32

_NUMBER = re.compile(
    r"[-+]?(?:(?P<whole>0|[1-9][0-9]*)|(?:0|[1-9][0-9]*)?\.[0-9]+|[1-9][0-9]*\.)"
    r"(?P<power>[eE][-+]?[0-9]+)?"
)


class Pairs(list[tuple[Any, Any]]):
    """An object of a document: its keys and values in order, keys maybe repeated."""


def too_deep(where: str = "") -> ConfigError:
    """Return the error of a document with too many levels."""
    return ConfigError(f"nested deeper than {MAX_DEPTH} levels{where}")


def number(text: str) -> int | float | None:
    """Return the number that a text is in decimal, or None."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match["power"] or not match["whole"]:
        return float(text)
    try:
        return int(text)
    except ValueError:  # more digits than CPython reads
        return None
