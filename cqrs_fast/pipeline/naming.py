"""The name of a message as a line of a log can hold it."""

_LONGEST = 200  # characters


def logged_name(name: str) -> str:
    """Return a message's name: control characters escaped, and not endless.

    A class may let its instances name themselves, from what a client sent say.
    """
    if len(name) <= _LONGEST and name.isprintable():
        return name
    more = "..." if len(name) > _LONGEST else ""
    return repr(name[:_LONGEST])[1:-1] + more
