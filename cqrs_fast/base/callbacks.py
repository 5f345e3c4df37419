"""Tell of what must not change the outcome of a dispatch, on the `cqrs_fast` logger."""

from __future__ import annotations

import time

# One line a second for each kind of callback: a broken one is called at full rate.
_INTERVAL = 1.0
_last: dict[str, float] = {}
_suppressed: dict[str, int] = {}


def report(kind: str, name: str, error: BaseException) -> None:
    """Log `error`, raised by a callback of `kind` in a dispatch of `name`.

    Goes to the `cqrs_fast` logger with its traceback, at most once a second for each
    kind; the next line says how many were left out. Safe from any thread; never raises
    an Exception itself.
    """
    now = time.monotonic()
    if now - _last.get(kind, -_INTERVAL) < _INTERVAL:
        _suppressed[kind] = _suppressed.get(kind, 0) + 1
        return
    _last[kind] = now
    left_out = _suppressed.pop(kind, 0)
    import logging

    logging.getLogger("cqrs_fast").error(
        "%s of %s raised %s; the dispatch goes on (%d more like it left out)",
        kind,
        name,
        type(error).__name__,
        left_out,
        exc_info=error,
    )


def tell_used_up(name: str, result: object, instead: str) -> None:
    """Log that the result of `name` can be used once only, and what comes of it.

    Never raises an Exception itself; who calls it sees to it that it is told once.
    """
    import logging

    try:
        logging.getLogger("cqrs_fast").warning(
            "the handler of %s returned a %s, which is used up by its use: %s; return "
            "a list, say (told once)",
            name,
            type(result).__name__,
            instead,
        )
    except Exception as error:
        report("logging", name, error)
