"""Names for people to read: of messages and of functions, in logs and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def class_label(cls: type) -> str:
    """Return where a class is defined: `package.module.Name`."""
    return f"{cls.__module__}.{cls.__qualname__}"


def another_class(registered: type, cls: type) -> str:
    """Return what to tell where the name of `cls` is that of another class."""
    return (
        f"The handler of that name is for another class, {class_label(registered)}, "
        f"and this one is {class_label(cls)}. Give one of them another name, such as "
        f"tag=\"{registered.__module__.rpartition('.')[2]}.{registered.__name__}\" in "
        "its class statement."
    )


def no_handler_text(name: object, hint: str | None, registered: list[str]) -> str:
    """Return the error text for a name that is not among those `registered`."""
    parts = [f"no handler is registered for {quoted(name)}."]
    if hint:
        parts.append(hint)
    if matches := _close_names(name, registered):
        parts.append(f"Did you mean {' or '.join(map(quoted, matches))}?")
    if not hint:
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


def unknown_keyword(
    call: str, given: Iterable[str], known: Iterable[str], noun: str = "parameter"
) -> str | None:
    """Return what to tell of the first keyword that `call` does not know, or None."""
    from difflib import get_close_matches

    known = list(known)
    for name in sorted(given):
        if name not in known:
            close = get_close_matches(name, known, 1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            return f"{call} has no {noun} {name!r}.{meant} It has {', '.join(known)}"
    return None


def check_settings(cls: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for a keyword that the `update` of a class does not know."""
    text = unknown_keyword(f"{cls}.update()", given, known, "setting")
    if text is not None:
        raise TypeError(text)


def reject_keywords(method: Callable[..., object], unknown: dict[str, object]) -> None:
    """Raise TypeError for what a bound method got as `**unknown`, if it got any."""
    if unknown:
        from inspect import signature

        call = getattr(method, "__qualname__", repr(method))
        text = unknown_keyword(f"{call}()", unknown, signature(method).parameters)
        raise TypeError(text)


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
