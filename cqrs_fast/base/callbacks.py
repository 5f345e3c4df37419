"""Log errors that must not change the outcome of a dispatch."""

from __future__ import annotations

import contextlib
import time

from cqrs_fast.base.naming import logged_name

# One line a second for each kind: a broken callback may fail at full rate.
_INTERVAL = 1.0
_last: dict[str, float] = {}
_suppressed: dict[str, int] = {}


def report_callback_error(kind: str, name: str, error: BaseException) -> None:
    """Log `error`, raised by a callback of `kind` in a dispatch of `name`.

    Logs to `cqrs_fast` with the traceback, at most once a second for each kind; the
    next line counts those left out. Safe from any thread; never raises an Exception.
    """
    now = time.monotonic()
    if now - _last.get(kind, -_INTERVAL) < _INTERVAL:
        _suppressed[kind] = _suppressed.get(kind, 0) + 1
        return
    _last[kind] = now
    left_out = _suppressed.pop(kind, 0)
    import logging

    logging.getLogger("cqrs_fast").error(
        "%s of %s raised %s; the dispatch continues (%d similar errors left out)",
        kind,
        name,
        type(error).__name__,
        left_out,
        exc_info=error,
    )


def log_unkeyable(name: str, field: str | None, reason: object) -> None:
    """Log that no key can be made of the queries of `name`; told once by who calls it.

    Never raises an Exception itself.

    Parameters:
        field: the field that it is for, None where that is not known.
        reason: what the key was refused for.
    """
    import logging

    where = "" if field is None else f"its field {field!r}: "
    with contextlib.suppress(Exception):
        logging.getLogger("cqrs_fast").warning(
            "%s is not cached: %s%s; give its class a cache_key() method",
            logged_name(name),
            where,
            reason,
        )


def log_unshared(name: str, outcome: object, instead: str) -> None:
    """Log that a result of `name` cannot be shared, or its error cannot be copied.

    Never raises an Exception. The caller logs each handler only once.

    Parameters:
        outcome: the result of the handler, or an exception that it raised.
        instead: the consequence, for the text.
    """
    import logging

    kind = type(outcome).__name__
    if isinstance(outcome, BaseException):
        what = f"raised a {kind}, which cannot be copied"
        remedy = "raise one of a Python class without __del__"
    else:
        what = f"returned a {kind}, which is used up by its first use"
        remedy = "return a list, for example"
    try:
        logging.getLogger("cqrs_fast").warning(
            "the handler of %s %s: %s; %s (logged once)", name, what, instead, remedy
        )
    except Exception as error:
        report_callback_error("logging", name, error)
