"""Decode payloads and encode results; safe against whatever a payload contains."""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Final, Generic, TypeAlias, TypeVar, final

_T = TypeVar("_T")
_Payload: TypeAlias = bytes | bytearray | memoryview | str

DEFAULT_MAX_BYTES: Final[int]
FINDINGS: dict[int, str]
MALFORMED: str
UNHASHABLE: str
OUT_OF_RANGE: str
NOT_VALID: str
REPEATED: str
TAG_FIELD: Final[str]
MAX_ERRORS: Final[int]
UNDECODABLE: tuple[type[Exception], ...]
JSON: Wire
MSGPACK: Wire

@final
class Decoder(Generic[_T]):
    cls: type[_T]
    def __init__(self, wire: Wire, cls: type[_T], name: str | None = None) -> None: ...
    def decode(self, payload: _Payload) -> _T: ...

@final
class Wire:
    format: str
    def __init__(self, format: str, module: ModuleType) -> None: ...
    def tag_decoder(self, tag_fields: Iterable[str]) -> Callable[[_Payload], Any]: ...
    def type_name(self, payload: _Payload, max_bytes: int = 16777216) -> str: ...
    def decoder(self, cls: type[_T]) -> Decoder[_T]: ...
    def decode(
        self, payload: _Payload, cls: type[_T], max_bytes: int = 16777216
    ) -> _T: ...
    def encode(self, result: Any, name: str) -> bytes: ...
