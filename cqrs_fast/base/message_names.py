"""The names and kinds of messages, the classes of annotations, and the metaclass.

Messages of this library declare both; other classes follow the same rules.
"""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Literal, cast, dataclass_transform

import msgspec

from cqrs_fast.base.vectorcall import inherit_vectorcall

_Kind = Literal["command", "query", "event"]

_SUFFIXES: tuple[tuple[str, _Kind], ...] = (
    ("Command", "command"),
    ("Query", "query"),
    ("Event", "event"),
)
_MOST_NAMES = 16  # around one another, in an annotation


def name_by_rule(class_name: str) -> str:
    """Return a class name without the suffix of its kind, but never an empty name.

    The name of a generic class of Pydantic includes its arguments: `PageQuery[int]`.
    """
    name, bracket, arguments = class_name.partition("[")
    for suffix, _ in _SUFFIXES:
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix) + bracket + arguments
    return class_name


def _class_of(message: object) -> type:
    """Return the class of an object or a generic alias; a class itself."""
    if isinstance(message, type) and not hasattr(message, "__origin__"):
        return message
    origin = typing.get_origin(message)
    return origin if isinstance(origin, type) else type(message)


def message_meant(annotation: Any) -> Any:
    """Return the class of an annotation, with its type arguments.

    Resolves Annotated, NewType and `type` aliases. None for an annotation that is no
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
    """Return the value of a `type` alias, with its arguments filled in."""
    value = alias.__value__
    given = dict(zip(alias.__type_params__, arguments, strict=False))
    parameters = getattr(value, "__parameters__", ())
    if not given or isinstance(value, type) or not parameters:
        return value
    return value[tuple([given.get(name, name) for name in parameters])]


def class_meant(annotation: Any) -> type | None:
    """Return the class of an annotation, without type arguments, or None."""
    meant = message_meant(annotation)
    return None if meant is None else typing.get_origin(meant) or meant


def _name_method(cls: type) -> tuple[str, object] | None:
    """Return the first of the three name methods that a class has, as defined."""
    for _, kind in _SUFFIXES:
        attribute = f"{kind}_name"
        for base in cls.__mro__:
            if attribute in vars(base):
                found = vars(base)[attribute]
                # A field may have such a name: only a callable counts.
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
    """Return the message name of a class, None if only an instance knows it."""
    cls = _class_of(cls)
    if hasattr(cls, "__message_kind__"):  # the bases have it
        return cast(str, cast(Any, cls).__struct_config__.tag)
    method = _name_method(cls)
    if method is None:
        return name_by_rule(cls.__name__)
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
    # Instances may have their own names; their class has the name of the general rule.
    if method is None or not isinstance(message, cls):
        return name_by_rule(cls.__name__)
    return _checked(cls, method[0], getattr(message, method[0])())


def message_kind(cls: type) -> _Kind | None:
    """Return the kind of a class: by its base, its name method or its suffix."""
    cls = _class_of(cls)
    declared: _Kind | None = getattr(cls, "__message_kind__", None)
    if declared is not None:
        return declared
    method = _name_method(cls)
    if method is not None:
        return cast(_Kind, method[0].removesuffix("_name"))
    for suffix, kind in _SUFFIXES:
        if cls.__name__.partition("[")[0].endswith(suffix):
            return kind
    return None


def _resolve_tag(class_name: str, tag: object) -> str:
    """Return the tag of a new class from the option of its definition."""
    if tag is None:
        return name_by_rule(class_name)
    if callable(tag):
        tag = tag(class_name)
    if isinstance(tag, str) and tag:
        return str.__str__(tag)  # msgspec accepts no subclass of str, such as StrEnum
    raise TypeError(
        f"{class_name}: the tag is the name of the message, a string that is not "
        f"empty; got {tag!r}"
    )


@inherit_vectorcall  # a message is made for every dispatch
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(msgspec.StructMeta):
    """Make every message class frozen and tagged with its name."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /,
        **options: Any,
    ) -> MessageMeta:
        if not options.setdefault("frozen", True):
            raise TypeError(f"{name}: messages are immutable; remove frozen=False")
        # Always explicit: msgspec would let subclasses inherit the tag.
        options["tag"] = _resolve_tag(name, options.get("tag"))
        return super().__new__(mcls, name, bases, namespace, **options)
