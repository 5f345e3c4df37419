from typing import Annotated, Any, ClassVar, Generic, Never, Self, TypeVar

import msgspec

from cqrs_fast.base.message_names import MessageMeta
from cqrs_fast.base.message_names import message_name as message_name

__all__ = ["Command", "Event", "Query", "Secret", "message_name"]

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

Secret = Annotated[T, msgspec.Meta(extra={"secret": True})]

class _Message(msgspec.Struct, metaclass=MessageMeta, tag_field="$type"):
    # By this and the two `_result`s type checkers tell what is a message.
    def __delattr__(self, name: Never, /) -> None: ...  # type: ignore[override]
    def __rich_repr__(self) -> list[tuple[str, Any]]: ...

class Command(_Message, Generic[R_co]):
    __message_kind__: ClassVar[str]
    idempotent: ClassVar[bool]
    @classmethod
    def _command_result(cls) -> dict[Self, R_co]: ...
    @classmethod
    def command_name(cls) -> str: ...

class Query(_Message, Generic[R_co]):
    __message_kind__: ClassVar[str]
    @classmethod
    def _query_result(cls) -> dict[Self, R_co]: ...
    @classmethod
    def query_name(cls) -> str: ...

class Event(_Message):
    __message_kind__: ClassVar[str]
    @classmethod
    def event_name(cls) -> str: ...
