"""Copy exceptions, so that other callers can raise them, without their constructors.

A copy has the class, `args`, attributes, slots (private ones too), notes and cause of
an exception, and the C fields of built-in ones. It is made through the descriptors of
the classes, so no `__new__`, `__init__`, `__setattr__`, `__getattribute__`, property or
`__reduce__` of users runs. A copy must have the `str` and `repr` of the original.

An exception is not copied if its class may keep state that Python cannot see, as
extension types do, or has a `__del__`, which would run twice.

A detached copy may be stored: it holds no frame, and so no local variable of a caller.
Its cause is detached too, and so are exceptions among its members, args and attributes,
and in two levels of tuples, lists, sets and dicts there. It omits tracebacks and frames
there, and the `obj` of an AttributeError. Other values are shared with the original.
"""

from __future__ import annotations

import builtins
from operator import is_
from struct import calcsize
from types import FrameType, GetSetDescriptorType, MemberDescriptorType, TracebackType
from typing import Any, NamedTuple
from weakref import ref

__all__ = ["copied_error", "detached_error"]

# Levels of causes and of groups; deeper exceptions are not copied.
_DEEPEST = 32
# Levels of containers, such as lists of errors by field.
_NESTED = 2
_POINTER = calcsize("P")

_ABSENT: Any = object()
# The originals: a subclass may redefine any of these names.
_ARGS: Any = vars(BaseException)["args"]
_CAUSE: Any = vars(BaseException)["__cause__"]
_CONTEXT: Any = vars(BaseException)["__context__"]
_DICT: Any = vars(BaseException)["__dict__"]
_SUPPRESS: Any = vars(BaseException)["__suppress_context__"]
_TRACEBACK: Any = vars(BaseException)["__traceback__"]
_MESSAGE: Any = vars(BaseExceptionGroup)["message"]
_MEMBERS: Any = vars(BaseExceptionGroup)["exceptions"]
# The object without the attribute: a local value of the handler.
_OWNER: Any = vars(AttributeError)["obj"]
_BASE: Any = vars(type)["__base__"]
_MRO: Any = vars(type)["__mro__"]
_NAMES: Any = vars(type)["__dict__"]
_SIZE: Any = vars(type)["__basicsize__"]
_WEAKREF: Any = vars(type)["__weakrefoffset__"]

# By address: a metaclass may redefine the hash and comparison of its classes.
_BUILT_IN: dict[int, type] = {
    id(one): one
    for one in vars(builtins).values()
    if isinstance(one, type) and issubclass(one, BaseException)
}
_CONTAINERS: tuple[Any, ...] = (tuple, list, set, frozenset, dict)
# Fields of built-in exceptions that are no members.
_KEPT_IN_C = ("characters_written",)
# The fields of these are copied by name, below.
_MADE_BY_HAND = {id(BaseException), id(BaseExceptionGroup)}


class _Layout(NamedTuple):
    """How the exceptions of one class are copied."""

    base: type[BaseException]  # the built-in class whose memory they have
    members: tuple[tuple[str, Any], ...]  # by name: slots, and what C keeps
    is_group: bool


class _NotDetached(Exception):
    """An inner exception cannot be copied, so the outer one cannot either."""


_layouts: dict[int, tuple[ref[type], _Layout | None]] = {}


def copied_error(error: BaseException) -> BaseException:
    """Return a copy of `error` without a traceback or context, to be raised at once.

    If it cannot be copied: `error` itself, its traceback and context removed. Safe from
    any thread.
    """
    made = _copied(error, None, 0)
    if made is not None:
        return made
    _TRACEBACK.__set__(error, None)
    _CONTEXT.__set__(error, None)
    return error


def detached_error(error: BaseException) -> BaseException | None:
    """Return a copy of `error` that holds no frames; None if it cannot be copied.

    Store one copy and raise copies of it, so that raising never changes the stored one.
    Safe from any thread.
    """
    return _copied(error, {}, 0)


def _copied(
    error: BaseException, memo: dict[int, Any] | None, depth: int
) -> BaseException | None:
    try:
        layout = _layout_of(type(error))
        if layout is None:
            return None
        made = _filled(error, layout, memo, depth)
        return made if _texts(made) == _texts(error) else None
    except Exception:  # any failure means that there is no copy
        return None


def _filled(
    error: BaseException, layout: _Layout, memo: dict[int, Any] | None, depth: int
) -> BaseException:
    given: tuple[Any, ...] = ()
    if layout.is_group:
        members = _MEMBERS.__get__(error)
        given = _MESSAGE.__get__(error), list(_handed_on(members, memo, depth))
    made = layout.base.__new__(type(error), *given)
    if memo is not None:
        memo[id(error)] = made
    for name, member in layout.members:
        if member is _OWNER and memo is not None:
            continue
        value = _read(member, error)
        there = _read(member, made)
        if value is not there and value is not _ABSENT:
            member.__set__(made, _attribute(name, value, memo, depth))
        elif there is not value:
            member.__delete__(made)
    state = dict.copy(_DICT.__get__(error))
    for name, value in state.items():
        state[name] = _attribute(name, value, memo, depth)
    _DICT.__get__(made).update(state)
    args = _ARGS.__get__(error)
    _ARGS.__set__(made, tuple([_handed_on(one, memo, depth) for one in args]))
    cause = _CAUSE.__get__(error)
    if cause is not None and memo is not None:
        cause = _remembered(cause, memo, depth)
    _CAUSE.__set__(made, cause)
    # After the cause, because that sets it.
    _SUPPRESS.__set__(made, _SUPPRESS.__get__(error))
    return made


def _attribute(name: str, value: Any, memo: dict[int, Any] | None, depth: int) -> Any:
    value = _handed_on(value, memo, depth)
    # `add_note` changes it in place.
    return list(value) if name == "__notes__" and type(value) is list else value


def _handed_on(
    value: Any, memo: dict[int, Any] | None, depth: int, nested: int = _NESTED
) -> Any:
    """Return a value for the copy: the value itself, unless it leads to frames."""
    kind = type(value)
    if memo is None:
        return value
    # By its true class: a mock only claims to be an exception.
    if issubclass(kind, BaseException):
        made = _remembered(value, memo, depth)
        if made is None:
            raise _NotDetached
        return made
    if kind is TracebackType or kind is FrameType:
        return None
    container = next((one for one in _CONTAINERS if issubclass(kind, one)), None)
    # Limited, because a container may contain itself.
    if nested == 0 or container is None:
        return value
    if container is dict:
        items = [one for pair in list(dict.items(value)) for one in pair]
    else:
        items = list(container.__iter__(value))
    others = [_handed_on(item, memo, depth, nested - 1) for item in items]
    if all(map(is_, others, items)):
        return value
    if kind is not container:  # its constructor would run
        raise _NotDetached
    if container is dict:
        return dict(zip(others[::2], others[1::2], strict=True))
    return container(others)


def _remembered(
    error: BaseException, memo: dict[int, Any], depth: int
) -> BaseException | None:
    """Return the copy of an exception, made once, or None."""
    if id(error) not in memo:
        # Until the copy is made, a cycle back to it ends with None.
        memo[id(error)] = None
        deeper = depth < _DEEPEST
        memo[id(error)] = _copied(error, memo, depth + 1) if deeper else None
    found: BaseException | None = memo[id(error)]
    return found


def _read(member: Any, error: BaseException) -> Any:
    try:
        return member.__get__(error)
    except AttributeError:
        return _ABSENT


def _texts(error: BaseException) -> list[Any]:
    """Return `str` and `repr` of an exception; a class name for one that raises."""
    texts: list[Any] = []
    for text_of in (str, repr):
        try:
            # As a plain str: a subclass may redefine the comparison.
            texts.append(str.__str__(text_of(error)))
        except Exception as raised:
            texts.append(type(raised).__name__)
    return texts


def _layout_of(cls: type[BaseException]) -> _Layout | None:
    known = _layouts.get(id(cls))
    if known is not None and known[0]() is cls:
        return known[1]
    layout = _layout(cls)

    def forget(dead: ref[type]) -> None:
        known = _layouts.get(address)
        if known is not None and known[0] is dead:
            del _layouts[address]

    address = id(cls)
    _layouts[address] = ref(cls, forget), layout
    return layout


def _layout(cls: type[BaseException]) -> _Layout | None:
    """Return the layout of a class; None if it may have state that is hidden."""
    base: Any = cls
    while id(base) not in _BUILT_IN:
        base = _BASE.__get__(base)
    size = _SIZE.__get__(base)
    members = []
    bases = _MRO.__get__(cls)
    for one in bases:
        names = _NAMES.__get__(one)
        if "__del__" in names:
            return None
        if id(one) in _MADE_BY_HAND:
            continue
        for name, value in names.items():
            kind = type(value)
            if kind is MemberDescriptorType and value.__objclass__ is one:
                members.append((name, value))
                size += 0 if id(one) in _BUILT_IN else _POINTER
            elif kind is GetSetDescriptorType and name in _KEPT_IN_C:
                members.append((name, value))
    if _WEAKREF.__get__(cls) > 0 and _WEAKREF.__get__(base) <= 0:
        size += _POINTER
    if size != _SIZE.__get__(cls):
        return None
    is_group = any(one is BaseExceptionGroup for one in bases)
    return _Layout(base, tuple(members), is_group)
