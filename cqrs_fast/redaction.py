"""Keep secrets out of texts: which fields hide, and how objects are written.

A field is secret when `Secret[...]` occurs in its type outside of a nested record
(Struct, dataclass, attrs or Pydantic class,
named tuple), which hides its own fields itself.
`masked_repr` writes what `repr` would, with those fields as `'***'`. `redact` is for
debug logs: it also hides by name, bounds everything and runs no `__repr__` of users.
"""

from __future__ import annotations

import sys
import types
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
    "is_plain",
    "masked_repr",
    "redact",
    "rich_fields",
    "secret_fields",
]

MASK = "***"

# What an annotation says about the values it allows.
_SECRET = 1  # marked secret
_OPEN = 2  # may be or contain a record
_VARIABLE = 4  # depends on a type parameter

_SCALARS = frozenset({str, bytes, bytearray, int, float, bool, complex, type(None)})
_SCALAR_MODULES = ("datetime", "decimal", "uuid", "zoneinfo")

_BUILTIN = frozenset({list, tuple, set, frozenset, dict})
_ARGUMENTS_ONLY = _BUILTIN | {typing.Union, types.UnionType}
_LONGEST_FOREIGN = 10_000  # elements read of a container class that is not builtin

SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "card")


class _Unresolved(Exception):
    """Say that an annotation names something that cannot be found."""


def _is_scalar(cls: type) -> bool:
    """Tell whether values of exactly this class can hold no record."""
    if cls in _SCALARS or isinstance(cls, EnumMeta):
        return True
    module = cls.__module__
    return (
        module in _SCALAR_MODULES
        and getattr(sys.modules.get(module), cls.__name__, None) is cls
    )


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception as error:  # an annotation is any expression
        raise _Unresolved from error


def _scan(hint: Any, seen: set[int]) -> int:
    """Return the flags of an annotation."""
    if isinstance(hint, str | typing.ForwardRef):
        raise _Unresolved
    if isinstance(hint, list):  # the parameters of a Callable
        return _scan_all(hint, seen)
    metadata = getattr(hint, "__metadata__", None)
    if metadata is not None:
        for item in metadata:
            if isinstance(item, msgspec.Meta) and (item.extra or {}).get("secret"):
                return _SECRET
        return _scan(hint.__origin__, seen)
    if isinstance(hint, typing.TypeVar):
        return _VARIABLE | _OPEN
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return 0
    if origin is not None:
        flags = _scan_all(typing.get_args(hint), seen)
        return flags if origin in _ARGUMENTS_ONLY else flags | _scan(origin, seen)
    if isinstance(hint, type):
        return 0 if _is_scalar(hint) else _scan_class(hint, seen)
    if hint is None or hint is Ellipsis:
        return 0
    # `type X = ...` and NewType stand for another type.
    target = hint if id(hint) not in seen else None
    seen.add(id(hint))
    for attribute in ("__value__", "__supertype__"):
        if hasattr(target, attribute):
            return _scan(getattr(target, attribute), seen)
    return _OPEN


def _scan_all(hints: Any, seen: set[int]) -> int:
    flags = 0
    for hint in hints:
        flags |= _scan(hint, seen)
    return flags


def _scan_class(cls: type, seen: set[int]) -> int:
    """Return the flags of a class; it stands open, as subclasses may be passed."""
    # A TypedDict is a plain dict at run time: the field that has it must hide it.
    if typing.is_typeddict(cls) and id(cls) not in seen:
        seen.add(id(cls))
        return _OPEN | _scan_all(_hints(cls).values(), seen)
    return _OPEN


def _passes_secret(cls: type) -> bool:
    """Tell whether a generic base of the class is given a secret type argument."""
    for base in cls.__mro__:
        for alias in vars(base).get("__orig_bases__", ()):
            try:
                if _scan_all(typing.get_args(alias), set()) & _SECRET:
                    return True
            except _Unresolved:
                return True
    return False


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


def _field_names(cls: type) -> list[str]:
    fields = _fields(cls)
    if fields is not None:
        return [name for name, _ in fields]
    return [
        name for base in cls.__mro__ for name in vars(base).get("__annotations__", ())
    ]


class _Plan:
    """What the annotations of a class say: made once, holds no reference to it."""

    __slots__ = ("plain", "secret")

    def __init__(self, cls: type) -> None:
        names = _field_names(cls)
        hints = _hints(cls) if names else {}
        flags = {name: _scan(hints.get(name, Any), set()) for name in names}
        if any(flag & _VARIABLE for flag in flags.values()) and _passes_secret(cls):
            for name, flag in flags.items():
                if flag & _VARIABLE:
                    flags[name] = _SECRET
        self.secret = frozenset(name for name in names if flags[name] & _SECRET)
        self.plain = not any(flags.values())


_plans: WeakKeyDictionary[type, _Plan] = WeakKeyDictionary()


def _plan(cls: type) -> _Plan | None:
    """Return the plan of a class, None while its annotations cannot be resolved."""
    plan = _plans.get(cls)
    if plan is None:
        try:
            plan = _Plan(cls)
        except _Unresolved:
            return None  # not kept: the missing name may be defined later
        _plans[cls] = plan
    return plan


def secret_fields(cls: type) -> frozenset[str]:
    """Return the names of the fields that are secret.

    Where an annotation cannot be resolved, every field is.
    """
    plan = _plan(cls)
    return frozenset(_field_names(cls)) if plan is None else plan.secret


def is_plain(cls: type) -> bool:
    """Tell whether no field of the class can hold or reach a secret."""
    plan = _plan(cls)
    return plan is not None and plan.plain


def _elements(value: object, limit: int) -> list[Any] | None:
    """Return up to limit elements of a container, None for what is none."""
    if isinstance(value, str | bytes | bytearray | memoryview | range | type):
        return None
    if isinstance(value, dict):
        return list(islice(dict.items(value), limit))
    if isinstance(value, Mapping):
        return list(islice(value.items(), limit))
    if isinstance(value, Sequence | Set):
        return list(islice(value, limit))
    return None


def _reaches_secret(root: object) -> bool:
    """Tell whether a repr of the object could show a secret field."""
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
                stack.extend(_elements(value, _most_elements(cls)) or ())
                continue
            plan = _plan(cls)
            if plan is None or plan.secret:
                if fields:
                    return True
            elif not plan.plain:
                stack.extend(getattr(value, name, None) for name, _ in fields)
        except Exception:  # properties and iterators of users: stay on the safe side
            return True
    return False


def _most_elements(cls: type) -> int:
    return sys.maxsize if cls in _BUILTIN else _LONGEST_FOREIGN


def _clean(text: str) -> str:
    """Escape what a line of a log cannot hold."""
    return text if text.isprintable() else repr(text)[1:-1]


def _name(cls: type) -> str:
    return _clean(cls.__name__)


def _enclose(value: object, listed: list[str]) -> str:
    """Put the brackets of the container around its written elements."""
    cls = type(value)
    text = ", ".join(listed)
    if cls is tuple:
        return f"({text},)" if len(listed) == 1 else f"({text})"
    if isinstance(value, Mapping) or (isinstance(value, Set) and listed):
        text = f"{{{text}}}"
    elif not isinstance(value, Set):
        text = f"[{text}]"
    bare = cls in (list, dict) or (cls is set and listed)
    return text if bare else f"{_name(cls)}({text})"


def _names_secret(key: object) -> bool:
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    if not isinstance(key, str):
        return False
    name = key.casefold()
    return any(word in name for word in SECRET_WORDS)


class _Masker:
    """Write an object as its repr would, with secret fields masked."""

    deepest = 100
    most_items = sys.maxsize
    hide_names = False

    def write(self, value: object, path: tuple[int, ...] = ()) -> str:
        """Write a value; path holds the ids of the objects that enclose it."""
        if not _reaches_secret(value):
            return repr(value)
        if id(value) in path or len(path) > self.deepest:
            return "..."
        return self.structure(value, path)

    def structure(self, value: object, path: tuple[int, ...]) -> str:
        try:
            fields = _fields(type(value))
            path = (*path, id(value))
            if fields is not None:
                return self.record(value, fields, path)
            return self.container(value, path)
        except Exception:  # code of users: properties, iterators
            return f"<{_name(type(value))}>"

    def pairs(self, value: Any, fields: list[tuple[str, bool]]) -> list[Any]:
        if isinstance(value, msgspec.Struct):  # leaves defaults out where asked to
            return list(msgspec.Struct.__rich_repr__(value))
        return [(name, getattr(value, name)) for name, shown in fields if shown]

    def record(
        self, value: object, fields: list[tuple[str, bool]], path: tuple[int, ...]
    ) -> str:
        # What a class keeps out of its own repr is masked where it is listed at all.
        hidden = secret_fields(type(value)) | {
            name for name, shown in fields if not shown
        }
        pairs = self.pairs(value, fields)
        parts = [
            f"{_clean(name)}={self.item(name in hidden, name, item, path)}"
            for name, item in pairs[: self.most_items]
        ]
        self.note_more(parts, len(pairs))
        return f"{_name(type(value))}({', '.join(parts)})"

    def container(self, value: Any, path: tuple[int, ...]) -> str:
        most = min(self.most_items, _most_elements(type(value)))
        elements = _elements(value, most)
        if elements is None:
            return f"<{_name(type(value))}>"
        if isinstance(value, Mapping):
            parts = [
                f"{self.write(key, path)}: {self.item(False, key, item, path)}"
                for key, item in elements
            ]
        elif len(elements) == 2:  # headers are often a list of (name, value)
            first, second = elements
            parts = [self.write(first, path), self.item(False, first, second, path)]
        else:
            parts = [self.write(item, path) for item in elements]
        self.note_more(parts, len(value))
        return _enclose(value, parts)

    def item(
        self, hidden: bool, key: object, item: object, path: tuple[int, ...]
    ) -> str:
        if hidden or (self.hide_names and _names_secret(key)):
            return repr(MASK)
        return self.write(item, path)

    def note_more(self, parts: list[str], size: int) -> None:
        if size > len(parts):
            parts.append(f"... {size - len(parts)} more")


class _Redactor(_Masker):
    """Write an object for a debug log: by name too, bounded, no repr of users."""

    deepest = 8
    most_items = 64
    hide_names = True

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nodes = 1000  # objects that may still be written

    def write(self, value: object, path: tuple[int, ...] = ()) -> str:
        """Write a value; those inside the outermost object are cut at the limit."""
        self.nodes -= 1
        if self.nodes < 0 or id(value) in path or len(path) > self.deepest:
            return "..."
        if _is_scalar(type(value)):
            return self.scalar(value)
        text = self.structure(value, path)
        return self.cut(text) if len(path) == 1 else text

    def pairs(self, value: Any, fields: list[tuple[str, bool]]) -> list[Any]:
        return [(name, getattr(value, name, None)) for name, _ in fields]

    def scalar(self, value: object) -> str:
        if isinstance(value, Enum):
            return f"{_name(type(value))}.{_clean(str(value._name_))}"
        if isinstance(value, str | bytes | bytearray):
            # Cut before it is escaped: a long text costs no more than a short one.
            text = repr(value[: self.limit])
            return text + "..." if len(value) > self.limit else text
        if isinstance(value, int) and value.bit_length() > 3 * self.limit:
            return f"<int of {value.bit_length()} bits>"
        try:
            return self.cut(_clean(repr(value)))
        except Exception:  # a tzinfo of users
            return f"<{_name(type(value))}>"

    def cut(self, text: str) -> str:
        return text if len(text) <= self.limit else text[: self.limit] + "..."


class _Shown:
    """Stand in for a value: its repr is a text that hides secrets."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def masked_repr(obj: object) -> str:
    """Return the repr of an object with its secret fields, at any depth, masked."""
    if _reaches_secret(obj):
        return _Masker().write(obj)
    if isinstance(obj, msgspec.Struct):  # a message's own __repr__ may come here
        return msgspec.Struct.__repr__(obj)
    return repr(obj)


def rich_fields(message: msgspec.Struct) -> list[tuple[str, Any]]:
    """Return the fields as rich shows them, what holds a secret masked."""
    hidden = secret_fields(type(message))
    return [
        (name, MASK)
        if name in hidden
        else (name, _Shown(masked_repr(item)) if _reaches_secret(item) else item)
        for name, item in msgspec.Struct.__rich_repr__(message)
    ]


def redact(obj: object, limit: int = 200) -> str:
    """Return a text of an object that is fit for a debug log.

    Secret fields, and fields and keys whose name tells of a password, token, secret,
    authorization, cookie or card, are masked; each value is cut at `limit` characters;
    control characters are escaped. Objects of unknown classes appear as `<ClassName>`.
    """
    return _Redactor(limit).write(obj)
