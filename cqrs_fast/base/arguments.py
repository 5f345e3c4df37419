"""Check the arguments of constructors: errors name the argument and its value."""

from __future__ import annotations

from typing import Any

# The longest wait of the pipeline; in nanoseconds it fits an int64.
MOST_SECONDS = 1e9


def seconds_to_ns(argument: str, seconds: object) -> int:
    """Return a positive, finite number of seconds in nanoseconds, at least one."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{argument} must be a number of seconds, got {seconds!r}")
    if not 0 < seconds <= MOST_SECONDS:
        raise ValueError(
            f"{argument} must be more than 0 and at most 1e9 seconds, got {seconds!r}"
        )
    return max(round(seconds * 1_000_000_000), 1)


def whole_number(argument: str, number: object, least: int, most: int) -> int:
    """Return an int from `least` to `most`."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{argument} must be an int, got {number!r}")
    if not least <= number <= most:
        raise ValueError(f"{argument} must be from {least} to {most}, got {number!r}")
    return number


def seconds_or_zero(argument: str, seconds: object) -> int:
    """Return a finite number of seconds, 0 or more, in nanoseconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{argument} must be a number of seconds, got {seconds!r}")
    if not 0 <= seconds <= MOST_SECONDS:
        raise ValueError(f"{argument} must be from 0 to 1e9 seconds, got {seconds!r}")
    return seconds_to_ns(argument, seconds) if seconds else 0


def real_number(argument: str, number: object, least: float, most: float) -> float:
    """Return a finite number from `least` to `most` as a float."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{argument} must be a number, got {number!r}")
    if not least <= number <= most:
        raise ValueError(f"{argument} must be from {least} to {most}, got {number!r}")
    return float(number)


def listed(middleware: Any) -> tuple[Any, ...]:
    """Return what is given as `middleware=`, which must be several, as a tuple."""
    try:
        return tuple(middleware)
    except TypeError:
        if hasattr(type(middleware), "__iter__"):
            raise
    raise TypeError(
        f"middleware must be a list, got {middleware!r}: write middleware=[...]"
    )


def flag(argument: str, value: object) -> bool:
    """Return a bool; nothing else is converted."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be a bool, got {value!r}")
    return value


def choice(argument: str, value: object, choices: tuple[str, ...]) -> str:
    """Return one of some words."""
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a string, got {value!r}")
    if value not in choices:
        wanted = " or ".join(map(repr, choices))
        raise ValueError(f"{argument} must be {wanted}, got {value!r}")
    return value


def exception_classes(argument: str, classes: object) -> tuple[type[Exception], ...]:
    """Return an Exception class, or several in a tuple, list or set, as a tuple.

    Other BaseExceptions, such as a cancellation, must always pass.
    """
    found: list[type[Exception]] = []
    several = isinstance(classes, tuple | list | set | frozenset)
    for one in classes if several else (classes,):  # type: ignore[attr-defined]
        if not isinstance(one, type) or not issubclass(one, Exception):
            text = f"{argument} must be an Exception class or several, got {one!r}"
            raise TypeError(text)
        found.append(one)
    return tuple(found)
