"""Check what stages are constructed with: errors name the argument and its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logging import Logger

# As long as any wait of the pipeline may be; in nanoseconds it fits an int64.
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


def log_level(argument: str, level: object) -> int:
    """Return a level of the logging module, as a number."""
    return whole_number(argument, level, 1, 1000)


def logger_of(argument: str, logger: object) -> Logger:
    """Return the logger that is meant: itself, by its name, or for None our own."""
    import logging

    if logger is None:
        return logging.getLogger("cqrs_fast")
    if isinstance(logger, str):
        return logging.getLogger(logger)
    if not isinstance(logger, logging.Logger):
        raise TypeError(
            f"{argument} must be a logging.Logger, a name or None, got {logger!r}"
        )
    return logger


def plain_callable(
    argument: str, function: object, instead: str
) -> Callable[..., object]:
    """Return a callable that is not async; `instead` tells what to do with one."""
    from cqrs_fast.pipeline.inspection import is_coroutine_function

    if not callable(function):
        raise TypeError(f"{argument} must be callable, got {function!r}")
    if is_coroutine_function(function):
        raise TypeError(f"{argument} must be no async function: {instead}")
    return function


def awaitable_error(argument: str, awaitable: Any, instead: str) -> TypeError:
    """Put an awaitable to rest that a plain-looking callable returned; tell of it."""
    # A coroutine is closed, so that it never warns; a future or task is cancelled.
    end = getattr(awaitable, "close", None) or getattr(awaitable, "cancel", None)
    if end is not None:
        end()
    returned = f"returned an awaitable, a {type(awaitable).__name__}"
    return TypeError(f"{argument} {returned}: {instead}")
