"""Check the loggers and callables that stages are constructed with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cqrs_fast.base.arguments import whole_number
from cqrs_fast.base.promises import check_plain

if TYPE_CHECKING:
    from logging import Logger


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
    argument: str, function: object, instead: str, *, yields: bool = False
) -> Callable[..., object]:
    """Return a callable that does its work when it is called: that is not async.

    Parameters:
        instead: tells what to do with one that is.
        yields: whether it may be a generator function.
    """
    if not callable(function):
        raise TypeError(f"{argument} must be callable, got {function!r}")
    check_plain(argument, function, f": {instead}", yields=yields)
    return function
