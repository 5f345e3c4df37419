"""Names for people: of messages in a log, of functions in a description."""

_LONGEST = 200  # characters


def logged_name(name: str) -> str:
    """Return a message's name: control characters escaped, and not endless.

    A class may let its instances name themselves, from what a client sent say.
    """
    if len(name) <= _LONGEST and name.isprintable():
        return name
    more = "..." if len(name) > _LONGEST else ""
    return repr(name[:_LONGEST])[1:-1] + more


def label_of(function: object) -> str:
    """Return where a handler or middleware is defined: `package.module.name`."""
    function = getattr(function, "func", function)
    name = getattr(function, "__qualname__", None)
    if name is None:
        function = type(function)
        name = function.__qualname__
    return f"{function.__module__}.{name}"
