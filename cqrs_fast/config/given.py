"""Given: plain values by their keys, without defaults; immutable."""

from __future__ import annotations

from typing import Any


class Given(dict[str, Any]):
    """What was given for each message: immutable, so that a Config is safe to share.

    By the name of the message, of the section and of the field.
    """

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(frozenset(self))

    def _reject(self, *arguments: object, **keywords: object) -> Any:
        raise TypeError("a Config is immutable: make another one, see merge_configs")

    __setitem__ = __delitem__ = __ior__ = _reject
    clear = pop = popitem = _reject
    setdefault: Any = _reject
    update: Any = _reject

    def __copy__(self) -> Given:
        return self

    def __deepcopy__(self, memo: object) -> Given:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Given, (dict(self),)

    def merged(self, override: Given) -> Given:
        """Return this with what was given to `override`, at every level."""
        found = dict(self)
        for name, value in override.items():
            old = found.get(name)
            if isinstance(old, Given) and isinstance(value, Given):
                value = old.merged(value)
            found[name] = value
        return Given(found)
