from collections.abc import Coroutine
from typing import Any, TypeAlias

from typing_extensions import disjoint_base

from cqrs_fast.assembly.inspector import Inspector
from cqrs_fast.context import Context

_Payload: TypeAlias = bytes | bytearray | memoryview | str

UNKNOWN: str

@disjoint_base
class PayloadBus(Inspector):
    @property
    def latency_sample(self) -> int: ...
    @property
    def max_payload_bytes(self) -> int: ...
    def execute_json(self, payload: _Payload, ctx: Context | None = None) -> bytes: ...
    def execute_msgpack(
        self, payload: _Payload, ctx: Context | None = None
    ) -> bytes: ...
    def execute_json_async(
        self, payload: _Payload, ctx: Context | None = None
    ) -> Coroutine[Any, Any, bytes]: ...
    def execute_msgpack_async(
        self, payload: _Payload, ctx: Context | None = None
    ) -> Coroutine[Any, Any, bytes]: ...

def execute_payload_async(
    bus: PayloadBus, is_json: bool, payload: _Payload, ctx: Context | None
) -> Coroutine[Any, Any, bytes]: ...
