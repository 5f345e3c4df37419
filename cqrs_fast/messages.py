"""Messages: the bases `Command`, `Query` and `Event`, and `Secret`.

A message is a frozen `msgspec.Struct`. Its name is its msgspec tag, so one name
serves the bus, the logs, the metrics and the wire.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast, dataclass_transform

import msgspec

from cqrs_fast.base.message_names import (
    message_kind,
    message_name,
    name_by_rule,
    name_of_class,
)
from cqrs_fast.base.vectorcall import inherit_vectorcall
from cqrs_fast.redaction import masked_repr, rich_fields

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


def _resolve_tag(class_name: str, tag: object) -> str:
    """Return the tag of a new class from what its definition asks for."""
    if tag is None:
        return name_by_rule(class_name)
    if callable(tag):
        tag = tag(class_name)
    if isinstance(tag, str) and tag:
        return str.__str__(tag)  # msgspec takes no subclass, such as a StrEnum's
    raise TypeError(
        f"{class_name}: the tag is the name of the message, a string that is not "
        f"empty; got {tag!r}"
    )


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class _MessageMeta(msgspec.StructMeta):
    """Make every message class frozen and tagged with its name."""

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
        return super().__new__(mcls, name, bases, namespace, **options)


# A message is made for every dispatch.
inherit_vectorcall(_MessageMeta)


def _tag(cls: type) -> str:
    return cast(str, cast(Any, cls).__struct_config__.tag)


class _Message(msgspec.Struct, metaclass=_MessageMeta, tag_field="$type"):
    """Hold what commands, queries and events have in common."""

    def __repr__(self) -> str:
        return masked_repr(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return rich_fields(self)


class Command(_Message, Generic[R_co]):
    """Ask for a change; the type argument is the type of the result.

    Subclasses declare fields as a `msgspec.Struct` does and take its options.
    `idempotent = True` says that running the command twice does what once does,
    which allows retries of it.
    """

    __message_kind__ = "command"
    idempotent: ClassVar[bool] = False

    @classmethod
    def command_name(cls) -> str:
        """Return the name of the command, its tag."""
        return _tag(cls)


class Query(_Message, Generic[R_co]):
    """Ask for data without changing any; the type argument is the result's type."""

    __message_kind__ = "query"

    @classmethod
    def query_name(cls) -> str:
        """Return the name of the query, its tag."""
        return _tag(cls)


class Event(_Message):
    """Tell of something that happened."""

    __message_kind__ = "event"

    @classmethod
    def event_name(cls) -> str:
        """Return the name of the event, its tag."""
        return _tag(cls)
