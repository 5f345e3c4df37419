"""Decode the payloads of one format into one set of registered classes."""

from typing import Any, final

from cqrs_fast.payloads.wire import Wire

LONGEST_WIRE_NAME: int

def another(tag_field: str, array_like: bool) -> type: ...
def other_tag_field(field: str) -> tuple[bool, str]: ...
def tag_field_of(cls: type | None, name: str) -> str: ...

@final
class Payloads:
    wire: Wire
    def __init__(
        self, wire: Wire, classes: dict[str, type | None], max_bytes: int
    ) -> None: ...
    def decode(self, payload: bytes | bytearray | memoryview | str) -> Any: ...
