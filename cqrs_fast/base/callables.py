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
    """Return a logger given as itself or by name; `cqrs_fast` for None."""
    import logging

    if logger is None:
        return logging.getLogger("cqrs_fast")
    if isinstance(logger, str):
        return logging.getLogger(logger)
    if not isinstance(logger, logging.Logger):
        text = f"{argument} must be a logging.Logger, a name or None, got {logger!r}"
        raise TypeError(text)
    return logger


def plain_callable(
    argument: str, function: object, instead: str, *, yields: bool = False
) -> Callable[..., object]:
    """Return a callable that does its work when it is called, so no async function.

    Parameters:
        instead: what to do with an async function, for the error text.
        yields: whether it may be a generator function.
    """
    if not callable(function):
        raise TypeError(f"{argument} must be callable, got {function!r}")
    check_plain(argument, function, f": {instead}", yields=yields)
    return function
