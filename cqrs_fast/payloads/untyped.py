"""Find out what is wrong with a payload that did not decode, and where.

The JSON parser of the standard library reports the position of a syntax error, and
shows its caller each number and each key. It is slower than msgspec, so it only reads
payloads that did not decode and are not long.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

# A longer payload is not read again, to bound the cost of a bad one.
MOST_BYTES = 16 * 1024
# msgspec reads no longer integer.
MOST_DIGITS = 4300

# msgspec quotes the parts of a path like this in all its versions.
QUOTED = re.compile("`([^`]*)`")

NO_UTF8 = "expected text encoded as UTF-8"
NO_NUMBER = "malformed JSON: NaN and Infinity are not part of it"


class NoNumberError(ValueError):
    """A constant of JavaScript that is not part of JSON."""


class Reading:
    """The findings in a JSON payload.

    A number that neither an int nor a float can hold is a Decimal in `value`.
    """

    def __init__(self, payload: bytes) -> None:
        self.value: Any = None
        self.problem: str | None = None  # why it is not JSON
        self.has_huge_numbers = False
        self.has_repeated_keys = False
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self.problem = NO_UTF8
            return
        if len(payload) <= MOST_BYTES:
            self.read(text)

    def read(self, text: str) -> None:
        decoder = json.JSONDecoder(
            object_pairs_hook=self.object_of,
            parse_float=self.float_of,
            parse_int=self.int_of,
            parse_constant=self.constant_of,
        )
        try:
            self.value = decoder.decode(text)
        except NoNumberError:
            self.problem = NO_NUMBER
        except json.JSONDecodeError as error:
            at = len(text[: error.pos].encode())
            self.problem = f"malformed JSON at byte {at}"
            if error.pos >= len(text.rstrip(" \t\r\n")):
                self.problem = "malformed JSON: the data is truncated"

    def object_of(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        self.has_repeated_keys |= len(value) < len(pairs)
        return value

    def float_of(self, text: str) -> float | Decimal:
        value = float(text)
        return value if math.isfinite(value) else self.huge(text)

    def int_of(self, text: str) -> int | Decimal:
        if len(text.lstrip("-")) <= MOST_DIGITS:
            try:
                return int(text)
            except ValueError:  # sys.set_int_max_str_digits allows fewer
                pass
        return self.huge(text)

    def constant_of(self, name: str) -> Any:
        raise NoNumberError(name)

    def huge(self, text: str) -> Decimal:
        self.has_huge_numbers = True
        try:
            return Decimal(text)
        except ArithmeticError:  # no Decimal can hold it either
            return Decimal("Infinity")


def count_of(value: Any) -> int:
    """Return the number of values in an untyped value, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(count_of, value)) + sum(map(count_of, value.values()))
    if isinstance(value, list | tuple):  # a tuple: an array that is a key
        return 1 + sum(map(count_of, value))
    return 1


def place_of(error: Exception) -> str:
    """Return the path of a `__post_init__` that raised, from msgspec's text."""
    text = str(error)
    try:
        own = str(error.__cause__)
    except Exception:  # user code
        return "$"
    *before, path = QUOTED.findall(text.removeprefix(own)) or ["$"]
    if not (text.startswith(own) and path.startswith("$")):
        return "$"
    return f"key in {path}" if "key" in before else path
