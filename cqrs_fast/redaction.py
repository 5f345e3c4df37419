"""Keep secrets out of texts: which fields are secret, and how objects are written.

A field is secret if `Secret[...]` occurs in its type. The fields of a nested record
(Struct, dataclass, attrs or Pydantic class, named tuple) count for that record alone.
`masked_repr` writes what `repr` would, with secret fields as `'***'`. `redact` is for
debug logs: it also masks by name, limits the size and calls no `__repr__` of users.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping, Sequence, Set
from enum import Enum, EnumMeta
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

__all__ = [
    "MASK",
    "SECRET_WORDS",
    "masked_repr",
    "redact",
    "rich_fields",
    "secret_fields",
]

MASK = "***"
SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "card")

_SCALARS = frozenset({str, bytes, bytearray, int, float, bool, complex, type(None)})
_SCALAR_MODULES = ("datetime", "decimal", "uuid", "zoneinfo")
_BUILTIN = frozenset({list, tuple, set, frozenset, dict})
_LONGEST_FOREIGN = 10_000  # elements read of a container class that is not builtin

_secrets: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()


class _Unresolved(Exception):
    """An annotation names something that cannot be found."""


def secret_fields(cls: type) -> frozenset[str]:
    """Return the names of the secret fields; all if an annotation is not resolved."""
    found = _secrets.get(cls)
    if found is None:
        names = [name for name, _ in _fields(cls) or ()] or list(_annotations(cls))
        try:
            hints = _hints(cls) if names else {}
            passed = _passes_secret(cls)
            found = frozenset(
                name for name in names if _is_secret(hints.get(name), passed, set())
            )
        except _Unresolved:
            return frozenset(names)  # not kept: the name may be defined later
        _secrets[cls] = found
    return found


def _fields(cls: Any) -> list[tuple[str, bool]] | None:
    """Return (field name, shown by its own repr) of a record class, else None."""
    if issubclass(cls, msgspec.Struct):
        return [(name, True) for name in cls.__struct_fields__]
    if hasattr(cls, "__dataclass_fields__"):
        from dataclasses import fields

        return [(field.name, field.repr) for field in fields(cls)]
    if hasattr(cls, "__attrs_attrs__"):
        return [(field.name, bool(field.repr)) for field in cls.__attrs_attrs__]
    models = getattr(cls, "__pydantic_fields__", None)
    if isinstance(models, dict):
        return [(name, bool(field.repr)) for name, field in models.items()]
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return [(name, True) for name in getattr(cls, "_fields", ())]
    return None


def _annotations(cls: type) -> set[str]:
    named = [vars(base).get("__annotations__", ()) for base in cls.__mro__]
    return {name for names in named for name in names}


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception as error:  # an annotation is any expression
        raise _Unresolved from error


def _passes_secret(cls: type) -> bool:
    """Return whether a generic base of the class has a secret type argument."""
    for base in cls.__mro__:
        for alias in vars(base).get("__orig_bases__", ()):
            try:
                if _is_secret(list(typing.get_args(alias)), False, set()):
                    return True
            except _Unresolved:
                return True
    return False


def _is_secret(hint: Any, passed: bool, seen: set[int]) -> bool:
    """Return whether an annotation is secret; a type parameter is if `passed` is."""
    if isinstance(hint, str | typing.ForwardRef):
        raise _Unresolved
    if isinstance(hint, typing.TypeVar):
        return passed
    for item in getattr(hint, "__metadata__", ()):
        if isinstance(item, msgspec.Meta) and (item.extra or {}).get("secret"):
            return True
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return False
    # The parts of a list (the parameters of a Callable) or of what has arguments …
    parts = list(hint if isinstance(hint, list) else typing.get_args(hint))
    if id(origin) not in seen:
        # … of a TypedDict, which is a plain dict at run time …
        if typing.is_typeddict(origin):
            parts += _hints(origin).values()
            seen = {*seen, id(origin)}
        # … and the meaning of `type X = ...` and NewType.
        for attribute in ("__value__", "__supertype__"):
            if not isinstance(origin, type) and hasattr(origin, attribute):
                parts.append(getattr(origin, attribute))
                seen = {*seen, id(origin)}
    return any(_is_secret(part, passed, seen) for part in parts)


def _is_scalar(cls: type) -> bool:
    """Return whether values of exactly this class hold no record."""
    if cls in _SCALARS or isinstance(cls, EnumMeta):
        return True
    module = cls.__module__
    return (
        module in _SCALAR_MODULES
        and getattr(sys.modules.get(module), cls.__name__, None) is cls
    )


def _elements(value: object, limit: int) -> list[Any] | None:
    """Return up to limit elements of a container; None if it is none."""
    if isinstance(value, str | bytes | bytearray | memoryview | range | type):
        return None
    if not isinstance(value, Mapping | Sequence | Set):
        return None
    items: Any = value.items() if isinstance(value, Mapping) else value
    if isinstance(value, dict):  # a subclass may override `items`
        items = dict.items(value)
    most = sys.maxsize if type(value) in _BUILTIN else _LONGEST_FOREIGN
    return list(islice(items, min(limit, most)))


def _reaches_secret(root: object) -> bool:
    """Return whether a repr of the object could show a secret field."""
    stack = [root]
    seen: dict[int, object] = {}  # keeps what it names alive, so that ids stay unique
    while stack:
        value = stack.pop()
        cls = type(value)
        if cls in _SCALARS or id(value) in seen:
            continue
        seen[id(value)] = value
        try:
            fields = _fields(cls)
            if fields is None:
                stack.extend(_elements(value, sys.maxsize) or ())
            elif secret_fields(cls):
                return True
            else:
                stack.extend(getattr(value, name, None) for name, _ in fields)
        except Exception:  # of a user's property or iterator: assume a secret
            return True
    return False


def _clean(text: str) -> str:
    """Escape what a line of a log cannot hold."""
    return text if text.isprintable() else repr(text)[1:-1]


def _name(cls: type) -> str:
    return _clean(cls.__name__)


def _names_secret(key: object) -> bool:
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    name = key.casefold() if isinstance(key, str) else ""
    return any(word in name for word in SECRET_WORDS)


class _Writer:
    """Write an object as its repr would, with secret fields masked.

    With a limit it writes for a debug log: it masks by name too, limits the size and
    calls no `__repr__` of users.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        bounded = limit is not None
        self.deepest, self.most_items = (8, 64) if bounded else (100, sys.maxsize)
        self.nodes = 1000 if bounded else sys.maxsize  # that may still be written

    def write(self, value: object, path: tuple[int, ...] = ()) -> str:
        """Write a value; path holds the ids of the objects that enclose it."""
        self.nodes -= 1
        if self.limit is None and not _reaches_secret(value):
            return repr(value)
        if self.nodes < 0 or id(value) in path or len(path) > self.deepest:
            return "..."
        try:
            if _is_scalar(type(value)):
                return self.scalar(value)
            text = self.structure(value, (*path, id(value)))
            # Values inside the outermost object are cut.
            return self.cut(text) if len(path) == 1 else text
        except Exception:  # code of users: properties, iterators, a tzinfo
            return f"<{_name(type(value))}>"

    def item(self, hidden: bool, key: object, item: Any, path: tuple[int, ...]) -> str:
        if hidden or (self.limit is not None and _names_secret(key)):
            return repr(MASK)
        return self.write(item, path)

    def structure(self, value: Any, path: tuple[int, ...]) -> str:
        fields = _fields(type(value))
        if fields is not None:
            return self.record(value, fields, path)
        elements = _elements(value, self.most_items)
        if elements is None:
            return f"<{_name(type(value))}>"
        if isinstance(value, Mapping):
            parts = [
                f"{self.write(key, path)}: {self.item(False, key, item, path)}"
                for key, item in elements
            ]
        else:
            # Headers are often a list of (name, value).
            key = elements[0] if len(elements) == 2 else None
            parts = [self.write(item, path) for item in elements[:1]]
            parts += [self.item(False, key, item, path) for item in elements[1:]]
        return _enclosed(value, self.joined(parts, len(value)), len(value))

    def record(
        self, value: Any, fields: list[tuple[str, bool]], path: tuple[int, ...]
    ) -> str:
        cls = type(value)
        if self.limit is not None:
            pairs = [(name, getattr(value, name, None)) for name, _ in fields]
        elif isinstance(value, msgspec.Struct):  # may leave defaults out
            pairs = list(msgspec.Struct.__rich_repr__(value))
        else:
            pairs = [(name, getattr(value, name)) for name, shown in fields if shown]
        # What a class leaves out of its own repr is masked if it is listed at all.
        secret = secret_fields(cls) | {name for name, shown in fields if not shown}
        parts = [
            f"{_clean(name)}={self.item(name in secret, name, item, path)}"
            for name, item in pairs[: self.most_items]
        ]
        return f"{_name(cls)}({self.joined(parts, len(pairs))})"

    def joined(self, parts: list[str], size: int) -> str:
        if size > len(parts):
            parts.append(f"... {size - len(parts)} more")
        return ", ".join(parts)

    def scalar(self, value: object) -> str:
        if isinstance(value, Enum):
            return f"{_name(type(value))}.{_clean(str(value._name_))}"
        if isinstance(value, str | bytes | bytearray):
            # Cut before it is escaped: a long text costs no more than a short one.
            text = repr(value[: self.limit])
            return text + "..." if len(value) > len(value[: self.limit]) else text
        if isinstance(value, int) and value.bit_length() > 3 * (self.limit or 0):
            return f"<int of {value.bit_length()} bits>"
        return self.cut(_clean(repr(value)))

    def cut(self, text: str) -> str:
        cut = text[: self.limit]
        return text if len(cut) == len(text) else cut + "..."


def _enclosed(value: object, text: str, size: int) -> str:
    """Put the brackets of the container around its written elements."""
    cls = type(value)
    if cls is tuple:
        return f"({text},)" if size == 1 else f"({text})"
    if isinstance(value, Mapping) or (isinstance(value, Set) and size):
        text = f"{{{text}}}"
    elif not isinstance(value, Set):
        text = f"[{text}]"
    bare = cls in (list, dict) or (cls is set and size)
    return text if bare else f"{_name(cls)}({text})"


class _Shown:
    """A value for rich, whose repr is a text without secrets."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def masked_repr(obj: object) -> str:
    """Return the repr of an object with its secret fields, at any depth, masked."""
    if isinstance(obj, msgspec.Struct) and not _reaches_secret(obj):
        return msgspec.Struct.__repr__(obj)  # the `__repr__` of a message calls this
    return _Writer().write(obj)


def rich_fields(message: msgspec.Struct) -> list[tuple[str, Any]]:
    """Return the fields for rich, with everything secret masked."""
    hidden = secret_fields(type(message))
    return [
        (name, MASK)
        if name in hidden
        else (name, _Shown(masked_repr(item)) if _reaches_secret(item) else item)
        for name, item in msgspec.Struct.__rich_repr__(message)
    ]


def redact(obj: object, limit: int = 200) -> str:
    """Return a text of an object that is fit for a debug log.

    Secret fields are masked, and fields and keys whose name contains password, token,
    secret, authorization, cookie or card. Each value is cut at `limit` characters.
    Control characters are escaped. Objects of unknown classes are `<ClassName>`.
    """
    return _Writer(limit).write(obj)
