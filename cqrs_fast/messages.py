"""Messages: the bases `Command`, `Query` and `Event`, their names and `Secret`.

A message is a frozen `msgspec.Struct`. Its name is its msgspec tag, so one name
serves the bus, the logs, the metrics and the wire.
"""

from __future__ import annotations

import types
import typing
from _thread import allocate_lock
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    TypeVar,
    cast,
    dataclass_transform,
)

import msgspec

from cqrs_fast.base.vectorcall import inherit_vectorcall
from cqrs_fast.redaction import is_plain, masked_repr, rich_fields

__all__ = [
    "Command",
    "Event",
    "Query",
    "Secret",
    "message_kind",
    "message_name",
    "name_of_class",
]

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

Secret = Annotated[T, msgspec.Meta(extra={"secret": True})]
"""Mark a field whose value no log line, trace, error text or `repr` may show.

`Secret[str]` stays a plain `str`, also on the wire.
"""

_Kind = Literal["command", "query", "event"]

_SUFFIXES: tuple[tuple[str, _Kind], ...] = (
    ("Command", "command"),
    ("Query", "query"),
    ("Event", "event"),
)
_MOST_NAMES = 16  # of one another, in an annotation
_NATIVE_REPR = msgspec.Struct.__repr__
_repr_lock = allocate_lock()


def _name_by_rule(class_name: str) -> str:
    """Return a class name without the suffix of its kind, but never an empty name.

    Pydantic's generic classes have their arguments in it: `PageQuery[int]`.
    """
    name, bracket, arguments = class_name.partition("[")
    for suffix, _ in _SUFFIXES:
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix) + bracket + arguments
    return class_name


def _resolve_tag(class_name: str, tag: object) -> str:
    """Return the tag of a new class from what its definition asks for."""
    if tag is None:
        return _name_by_rule(class_name)
    if callable(tag):
        tag = tag(class_name)
    if isinstance(tag, str) and tag:
        return str.__str__(tag)  # msgspec takes no subclass, such as a StrEnum's
    raise TypeError(
        f"{class_name}: the tag is the name of the message, a string that is not "
        f"empty; got {tag!r}"
    )


def _message_repr(self: msgspec.Struct) -> str:
    """Return the repr with secrets masked."""
    cls = type(self)
    if not is_plain(cls):
        return masked_repr(self)
    # From now on such a class uses msgspec's own repr directly. One with subclasses
    # does not: they may hold secrets and ask for super().__repr__().
    if vars(cls).get("__repr__") is _message_repr:
        with _repr_lock:
            if not cls.__subclasses__():
                type.__setattr__(cls, "__repr__", _NATIVE_REPR)
    return _NATIVE_REPR(self)


def _install_repr(cls: type) -> None:
    """Give a new class the masking repr, unless its author wrote another one."""
    with _repr_lock:
        for base in cls.__mro__[1:]:
            if isinstance(base, _MessageMeta) and (
                vars(base).get("__repr__") is _NATIVE_REPR
            ):
                type.__setattr__(base, "__repr__", _message_repr)
    if cast(Any, cls.__repr__) in (_message_repr, _NATIVE_REPR):
        type.__setattr__(cls, "__repr__", _message_repr)


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class _MessageMeta(msgspec.StructMeta):
    """Make every message class frozen, tagged with its name and safe to print."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        **options: Any,
    ) -> _MessageMeta:
        if not options.setdefault("frozen", True):
            raise TypeError(f"{name}: messages are immutable; remove frozen=False")
        # Always passed on: msgspec would let subclasses inherit an explicit tag.
        options["tag"] = _resolve_tag(name, options.get("tag"))
        cls = super().__new__(mcls, name, bases, namespace, **options)
        _install_repr(cls)
        return cls


# A message is made for every dispatch.
inherit_vectorcall(_MessageMeta)


def _tag(cls: type) -> str:
    return cast(str, cast(Any, cls).__struct_config__.tag)


class _Message(msgspec.Struct, metaclass=_MessageMeta, tag_field="$type"):
    """Hold what commands, queries and events have in common."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return rich_fields(self)


class Command(_Message, Generic[R_co]):
    """Ask for a change; the type argument is the type of the result.

    Subclasses declare fields as a `msgspec.Struct` does and take its options.
    `idempotent = True` says that running the command twice does what once does,
    which allows retries of it.
    """

    idempotent: ClassVar[bool] = False

    @classmethod
    def command_name(cls) -> str:
        """Return the name of the command, its tag."""
        return _tag(cls)


class Query(_Message, Generic[R_co]):
    """Ask for data without changing any; the type argument is the result's type."""

    @classmethod
    def query_name(cls) -> str:
        """Return the name of the query, its tag."""
        return _tag(cls)


class Event(_Message):
    """Tell of something that happened."""

    @classmethod
    def event_name(cls) -> str:
        """Return the name of the event, its tag."""
        return _tag(cls)


def _class_of(message: object) -> type:
    """Return the class that an object, a class or a generic alias stands for."""
    if isinstance(message, type) and not hasattr(message, "__origin__"):
        return message
    origin = typing.get_origin(message)
    return origin if isinstance(origin, type) else type(message)


def message_meant(annotation: Any) -> Any:
    """Return the class that an annotation means, or a generic one with its arguments.

    It looks through Annotated, NewType and `type` aliases. None for what means no
    class, such as a union.
    """
    alias = annotation
    for _ in range(_MOST_NAMES):
        origin = typing.get_origin(annotation)
        alias = annotation if origin is None else origin
        if origin is Annotated:
            annotation = annotation.__origin__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(alias).__name__ == "TypeAliasType":
            annotation = _alias_value(alias, typing.get_args(annotation))
        else:
            break
    is_class = isinstance(alias, type) and alias is not types.UnionType
    return annotation if is_class else None


def _alias_value(alias: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what a `type` alias stands for, with its arguments in their places."""
    value = alias.__value__
    given = dict(zip(alias.__type_params__, arguments, strict=False))
    parameters = getattr(value, "__parameters__", ())
    if not given or isinstance(value, type) or not parameters:
        return value
    return value[tuple([given.get(name, name) for name in parameters])]


def class_meant(annotation: Any) -> type | None:
    """Return the class that an annotation means, without type arguments, or None."""
    meant = message_meant(annotation)
    return None if meant is None else typing.get_origin(meant) or meant


def _name_method(cls: type) -> tuple[str, object] | None:
    """Return the first of the three name methods that a class has, as defined."""
    for _, kind in _SUFFIXES:
        attribute = f"{kind}_name"
        for base in cls.__mro__:
            if attribute in vars(base):
                found = vars(base)[attribute]
                # A field may have such a name: only what can be called counts.
                if callable(found) or isinstance(found, classmethod):
                    return attribute, found
                break
    return None


def _checked(cls: type, attribute: str, name: object) -> str:
    if isinstance(name, str) and name:
        return name
    raise TypeError(
        f"{cls.__name__}.{attribute}() must return a string that is not empty; "
        f"got {name!r}"
    )


def name_of_class(cls: type) -> str | None:
    """Return the message name of a class, None where only an instance can tell it."""
    cls = _class_of(cls)
    if isinstance(cls, _MessageMeta):
        return _tag(cls)
    method = _name_method(cls)
    if method is None:
        return _name_by_rule(cls.__name__)
    attribute, found = method
    if isinstance(found, classmethod | staticmethod):
        return _checked(cls, attribute, getattr(cls, attribute)())
    return None


def message_name(message: object) -> str:
    """Return the name of a message, given as an instance or as its class."""
    cls = _class_of(message)
    name = name_of_class(cls)
    if name is not None:
        return name
    method = _name_method(cls)
    # A class whose instances name themselves has the name of the general rule.
    if method is None or not isinstance(message, cls):
        return _name_by_rule(cls.__name__)
    return _checked(cls, method[0], getattr(message, method[0])())


def message_kind(cls: type) -> _Kind | None:
    """Return what a class is: by its base, its name method or the end of its name."""
    cls = _class_of(cls)
    for base, kind in _KINDS:
        if issubclass(cls, base):
            return kind
    method = _name_method(cls)
    if method is not None:
        return cast(_Kind, method[0].removesuffix("_name"))
    for suffix, kind in _SUFFIXES:
        if cls.__name__.partition("[")[0].endswith(suffix):
            return kind
    return None


_KINDS: tuple[tuple[type, _Kind], ...] = (
    (Command, "command"),
    (Query, "query"),
    (Event, "event"),
)
