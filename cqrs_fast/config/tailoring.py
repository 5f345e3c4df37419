"""Where the middleware of a section goes, in the list of a bus and of one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cqrs_fast.config.assembly import INNER, OUTER
from cqrs_fast.stages.caching.settings import class_ttl

CACHING = "caching"

# By the name of its section: the arguments of a middleware, and the middleware.
Made = Mapping[str, tuple[Any, Any]]


def tailored(
    middleware: Iterable[Any], bus: Made, own: tuple[Any, ...], message: Made
) -> list[Any]:
    """Return the middleware of one message.

    Parameters:
        middleware: of the bus, outermost first.
        bus: what a config made for the bus.
        own: the middleware that the user gave to the bus.
        message: what the message has instead; None as a middleware for nothing.
    """
    found = list(middleware)
    made = dict(bus)
    for section in (*OUTER, *INNER):
        if section not in message:
            continue
        stage = message[section][1]
        places = places_of([made.pop(section, (None, None))[1]], found)
        if stage is None:
            for place in places:
                del found[place]
            continue
        if places:
            found[places[0]] = stage
        else:
            found.insert(place_of(section, found, made, own), stage)
        made[section] = message[section]
    return found


def asks_for_cache(cls: type | None, *lists: Iterable[Any]) -> bool:
    """Return whether a class says `cache_ttl`, and no list has a cache."""
    if not class_ttl(cls):
        return False
    name = INNER[CACHING].name
    return all(type(one).__name__ != name for each in lists for one in each)


def place_of(section: str, middleware: list[Any], made: Made, own: Any) -> int:
    """Return the place of a section: next to its neighbours, as `from_config` does."""
    side = list(OUTER if section in OUTER else INNER)
    at = side.index(section)
    before = places_of(found_of(side[:at], made), middleware)
    after = places_of(found_of(side[at + 1 :], made), middleware)
    if before and section in OUTER:
        return max(before) + 1
    if after or section in OUTER:
        return min(after, default=0)
    if not before:
        # The first of its side: inside the user's middleware, outside of later ones.
        before = places_of([*found_of(OUTER, made), *own], middleware)
    return max(before, default=-1) + 1


def found_of(sections: Iterable[str], made: Made) -> list[Any]:
    """Return the middleware of those sections that have one, in their order."""
    return [made[section][1] for section in sections if section in made]


def places_of(stages: list[Any], middleware: list[Any]) -> list[int]:
    """Return where a list has any of some middleware."""
    wanted = {id(stage) for stage in stages if stage is not None}
    return [index for index, one in enumerate(middleware) if id(one) in wanted]
