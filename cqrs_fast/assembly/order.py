"""The default order of middleware, and warnings of orders that defeat a middleware."""

from __future__ import annotations

import math
import warnings
from typing import Any

from cqrs_fast import errors
from cqrs_fast.assembly.description import StageInfo
from cqrs_fast.errors import MiddlewareOrderWarning
from cqrs_fast.stages.catalog import CATALOG, row_of

# Outermost first, by class; the two timeouts are for the dispatch and for an attempt.
# "custom" is the place of the user's own middleware.
DEFAULT_ORDER = tuple(row.name for row in CATALOG)

# The most texts that a bus remembers: reloads can produce new ones without end.
MOST_KNOWN = 1000


def check_order(stages: list[StageInfo], known: set[str]) -> None:
    """Warn of a known-bad order, at the line that registers the handler.

    `known` holds the texts of earlier warnings.
    """
    for text in problems(stages):
        if text not in known:
            if len(known) >= MOST_KNOWN:
                known.clear()
            known.add(text)
            warnings.warn(text, MiddlewareOrderWarning, stacklevel=2)


def problems(stages: list[StageInfo]) -> list[str]:
    """Return the problems in the order of the stages of a route."""
    found = []
    kinds = [stage.kind for stage in stages]
    for at, repeating in enumerate(stages):
        if not row_of(repeating.kind).repeats:
            continue
        for kind in dict.fromkeys(kinds[at + 1 :]):
            if why := row_of(kind).inside:
                text = f"{kind} lies inside of {repeating.kind}: {why}; put it outside"
                found.append(text)
        for kind in dict.fromkeys(kinds[:at]):
            error = row_of(kind).rejects
            if error and not _names(repeating.settings, error):
                continue
            if why := row_of(kind).outside:
                named = f", which names {error} in retry_on" if error else ""
                found.append(
                    f"{kind} lies outside of {repeating.kind}{named}: {why}; "
                    "put it inside"
                )
        found += _budget(stages, at)
    return found


def _names(settings: dict[str, Any], error: str) -> bool:
    """Return whether a retry names an error, or a base of it from this library."""
    bases = getattr(errors, error).__mro__
    own = {cls.__name__ for cls in bases if issubclass(cls, errors.CQRSError)}
    return not own.isdisjoint(settings["retry_on"])


def _budget(stages: list[StageInfo], at: int) -> list[str]:
    """Return a problem if the outer timeout is too short for all the attempts."""
    retry = stages[at].settings
    total, kind = _shortest(stages[:at])
    attempt, _ = _shortest(stages[at + 1 :])
    attempts = retry["max_attempts"]
    needed = attempts * attempt + _longest_delays(retry)
    if math.isinf(attempt) or needed <= total:
        return []
    return [
        f"{attempts} attempts of {attempt:g} s and the delays between them can take "
        f"{needed:g} s, but the {kind} outside of {stages[at].kind} ends them "
        f"after {total:g} s; allow more there, or fewer or shorter attempts"
    ]


def _shortest(stages: list[StageInfo]) -> tuple[float, str]:
    """Return the shortest time limit and its stage; infinity without one."""
    found = [(math.inf, "")]
    for stage in stages:
        limit = row_of(stage.kind).limits
        if limit and stage.settings[limit]:
            found.append((stage.settings[limit], stage.kind))
    return min(found)


def _longest_delays(retry: dict[str, Any]) -> float:
    """Return the longest possible sum of the delays, in seconds."""
    total = 0.0
    delay = float(retry["base_delay"])
    # After a few hundred attempts all delays are at their limit.
    for _ in range(min(retry["max_attempts"] - 1, 1000)):
        total += min(delay, retry["max_delay"])
        delay = min(delay * retry["multiplier"], retry["max_delay"])
    return total
