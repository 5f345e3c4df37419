"""The name of a message as a line of a log can hold it."""

from __future__ import annotations

from cqrs_fast.messages import message_name

_LONGEST = 200  # characters


def logged_name(message: object) -> str:
    """Return the message's own name: control characters escaped, and not endless.

    A class may let its instances name themselves, from what a client sent say.
    """
    name = message_name(message)
    if len(name) <= _LONGEST and name.isprintable():
        return name
    more = "..." if len(name) > _LONGEST else ""
    return repr(name[:_LONGEST])[1:-1] + more
