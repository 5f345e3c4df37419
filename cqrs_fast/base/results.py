"""Compare what a handler says it returns with what its message says."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from cqrs_fast.base.message_names import message_meant

_MESSAGES = "cqrs_fast.messages"
# An int is accepted for a float, as type checkers do.
_PROMOTED = {float: (int,), complex: (int, float)}


def declared_result(cls: Any) -> Any:
    """Return R of the Command[R] or Query[R] that a class derives from, or Any."""
    origin = get_origin(cls) or cls
    for base in getattr(origin, "__mro__", ()):
        for generic in vars(base).get("__orig_bases__", ()):
            kind = getattr(get_origin(generic), "__message_kind__", None)
            if kind is not None and get_origin(generic).__module__ == _MESSAGES:
                return get_args(generic)[0]
    return Any


def fits(returned: Any, declared: Any) -> bool:
    """Tell whether one type may be used as another; True where that is not known."""
    wanted = list(_classes(declared))
    return all(
        any(one is None or cls is None or _is_subclass(one, cls) for cls in wanted)
        for one in _classes(returned)
    )


def _classes(annotation: Any) -> Iterator[type | None]:
    """Yield the classes of a union; None for what is no plain class."""
    if get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _classes(one)
        return
    if annotation is None:
        yield NoneType
        return
    meant = message_meant(annotation)
    cls = get_origin(meant) or meant
    known = isinstance(cls, type) and cls not in (Any, object)
    known = known and not getattr(cls, "_is_protocol", False)
    yield cls if known and not typing.is_typeddict(cls) else None


def _is_subclass(one: type, cls: type) -> bool:
    try:
        return issubclass(one, (cls, *_PROMOTED.get(cls, ())))
    except TypeError:  # a class of classes that refuses
        return True
