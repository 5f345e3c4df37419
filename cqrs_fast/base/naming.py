"""Names for people to read: of messages and of functions, in logs and errors."""

_LONGEST = 200  # characters
# Matching is quadratic in the lengths, and a client may send the name.
_MATCHED_NAMES = 1000
_SHOWN_NAMES = 10


def quoted(name: object) -> str:
    """Return a name in quotes: control characters escaped, the length limited."""
    text = str(name)
    return repr(text[:_LONGEST]) + ("..." if len(text) > _LONGEST else "")


def seconds_text(value: object) -> str:
    """Return a number of seconds as a text; any other value unchanged."""
    return f"{value:.6g} s" if isinstance(value, int | float) else str(value)


def no_handler_text(name: object, hint: str | None, registered: list[str]) -> str:
    """Return the error text for a name that is not among those `registered`."""
    parts = [f"no handler is registered for {quoted(name)}."]
    if hint:
        parts.append(hint)
    if matches := _close_names(name, registered):
        parts.append(f"Did you mean {' or '.join(map(quoted, matches))}?")
    parts.append("Register one with bus.register_handler(message, handler).")
    if registered:
        shown = ", ".join(registered[:_SHOWN_NAMES])
        more = len(registered) - _SHOWN_NAMES
        tail = f" and {more} more" if more > 0 else ""
        parts.append(f"Registered here: {shown}{tail}.")
    else:
        parts.append("This bus has no handlers at all.")
    return " ".join(parts)


def _close_names(name: object, names: list[str]) -> list[str]:
    from difflib import get_close_matches

    wanted = str(name)[:_LONGEST]
    if len(names) > _MATCHED_NAMES:
        names = [other for other in names if other[:1] == wanted[:1]]
    others = [other for other in names[:_MATCHED_NAMES] if other != wanted]
    return get_close_matches(wanted, others)


def logged_name(name: str) -> str:
    """Return the name of a message: control characters escaped, the length limited.

    A client may have sent it, if instances of a class have their own names.
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
