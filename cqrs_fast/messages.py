"""Messages: the bases `Command`, `Query` and `Event`, and `Secret`.

A message is a frozen `msgspec.Struct`. Its name is its msgspec tag, so one name
serves the bus, the logs, the metrics and the wire.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast

import msgspec

from cqrs_fast.base.message_names import MessageMeta, message_name
from cqrs_fast.redaction import masked_repr, rich_fields

__all__ = ["Command", "Event", "Query", "Secret", "message_name"]

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

Secret = Annotated[T, msgspec.Meta(extra={"secret": True})]
"""Mark a field whose value no log line, trace, error text or `repr` may show.

`Secret[str]` stays a plain `str`, also on the wire.
"""


def _tag(cls: type) -> str:
    return cast(str, cast(Any, cls).__struct_config__.tag)


class _Message(msgspec.Struct, metaclass=MessageMeta, tag_field="$type"):
    """The base of commands, queries and events."""

    def __repr__(self) -> str:
        return masked_repr(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return rich_fields(self)


class Command(_Message, Generic[R_co]):
    """Ask for a change; the type argument is the type of the result.

    Subclasses declare fields as a `msgspec.Struct` does and accept its options.
    `idempotent = True` says that running the command twice has the effect of running
    it once; then it may be retried.
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
    """Report something that happened."""

    __message_kind__ = "event"

    @classmethod
    def event_name(cls) -> str:
        """Return the name of the event, its tag."""
        return _tag(cls)
