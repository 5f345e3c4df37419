"""Payloads are decoded into the registered class, whichever way they take."""

from __future__ import annotations

import asyncio
import collections
import gc
import sys
import threading
import tracemalloc
import weakref
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pydantic
import pydantic_core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from cqrs_fast import (
    Command,
    CommandBus,
    HandlerNotFoundError,
    Query,
    QueryBus,
    ValidationError,
)
from cqrs_fast.messages import message_name
from cqrs_fast.payloads.decoding import Payloads
from cqrs_fast.payloads.wire import JSON

FORMATS = ["json", "msgpack"]


class Add(Command[int]):
    left: int
    right: int = 1


class Note(Command[str]):
    text: str
    parts: list[Any] = msgspec.field(default_factory=list)


class Row(Command[int], array_like=True):
    a: int
    b: int = 2


class Kind(Command[str], tag_field="kind"):
    x: int = 0


class Other(Command[str], tag_field="kind", tag="other one"):
    x: int = 0


class Typed(Command[str]):
    kind: str


class Taken(Struct, tag="Taken", tag_field="what"):
    """A foreign Struct whose tag is its name."""

    x: int


class Foreign(Struct, tag="something else"):
    """A foreign Struct that has another name here than its tag."""

    x: int


def encoded(format: str, value: Any) -> bytes:
    return (msgspec.json if format == "json" else msgspec.msgpack).encode(value)


def execute(bus: Any, format: str, content: Any) -> Any:
    """Execute a payload, twice: the first one after a change makes ready for others."""
    payload = encoded(format, content)
    method = getattr(bus, f"execute_{format}")
    module = msgspec.json if format == "json" else msgspec.msgpack
    results = [module.decode(method(payload)) for _ in range(3)]
    assert results == results[:1] * 3
    return results[0]


def bus_of(*classes: type) -> CommandBus:
    bus = CommandBus()
    for cls in classes:
        bus.register_handler(cls, repr)
    return bus


ALL = (Add, Note, Row, Kind, Other, Typed, Taken, Foreign)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Add(1, 2), Add(1, 2)),
        ({"right": 2, "left": 1, "$type": "Add"}, Add(1, 2)),
        (Note("é\n", [[], {}]), Note("é\n", [[], {}])),
        (Row(1, 3), Row(1, 3)),
        (["Row", 1], Row(1)),
        (Kind(3), Kind(3)),
        (Other(3), Other(3)),
        ({"$type": "Typed", "kind": "Kind"}, Typed("Kind")),
        (Taken(3), Taken(3)),
        ({"$type": "Foreign", "x": 3}, Foreign(3)),
    ],
)
def test_a_message_is_found_by_its_own_field_of_the_name(
    format: str, content: Any, message: Any
) -> None:
    for classes in (ALL, ALL[::-1], (type(message),)):
        assert execute(bus_of(*classes), format, content) == repr(message)


@pytest.mark.parametrize("format", FORMATS)
def test_a_name_in_another_field_than_the_class_says_is_missing(format: str) -> None:
    bus = bus_of(*ALL)
    for _ in range(3):
        with pytest.raises(ValidationError) as caught:
            execute(bus, format, {"$type": "Kind"})
        assert caught.value.errors == [("$.kind", "missing", "required, but not set")]
        with pytest.raises(HandlerNotFoundError, match="'Nothing'"):
            execute(bus, format, {"kind": "Nothing"})
        with pytest.raises(ValidationError) as caught:
            execute(bus, format, {"kind": 3})
        assert caught.value.errors == [("$.kind", "type", "expected str, got int")]
        with pytest.raises(ValidationError) as caught:
            execute(bus, format, {"kind": "Kind", "x": "y"})
        assert caught.value.errors == [("$.x", "type", "expected int, got str")]
        assert caught.value.name == "Kind"


def test_every_kind_of_buffer_and_text_gives_the_same() -> None:
    bus = bus_of(Add, Note)
    payload = b'{"$type":"Note","text":"\xc3\xa9"}'
    doubled = bytes(byte for char in payload for byte in (char, 0))
    for _ in range(2):
        for form in (
            payload,
            bytearray(payload),
            memoryview(payload),
            memoryview(doubled)[::2],
            payload.decode(),
        ):
            assert msgspec.json.decode(bus.execute_json(form)) == repr(Note("é"))
        assert b"left=1" in bus.execute_json('{"$type":"Add","left":1}')
        with pytest.raises(TypeError, match=r"JSON payload is .*not int"):
            bus.execute_json(3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"MessagePack payload is .*not str"):
            bus.execute_msgpack("x")  # type: ignore[arg-type]


def nested(format: str, depth: int) -> bytes:
    """Return a Note with so many levels, its own and that of `parts` included."""
    inner = depth - 2
    if format == "json":
        brackets = b"[" * inner + b"]" * inner
        return b'{"$type":"Note","text":"[[[[","parts":[%b]}' % brackets
    return (
        b"\x83\xa5$type\xa4Note\xa4text\xa1x\xa5parts\x91"
        + b"\x91" * (inner - 1)
        + b"\x90"
    )


@pytest.mark.parametrize("format", FORMATS)
def test_size_and_depth_are_bounded_in_one_pass_as_in_two(format: str) -> None:
    deepest = nested(format, 64)
    bus = CommandBus(max_payload_bytes=len(deepest) + 1)
    bus.register_handler(Note, lambda message: 1)
    method = getattr(bus, f"execute_{format}")
    for _ in range(3):
        method(deepest)
        with pytest.raises(ValidationError, match="at most 64 levels of nesting"):
            method(nested(format, 65)[: len(deepest) + 1])
        with pytest.raises(ValidationError) as caught:
            method(deepest + b"  ")
        assert caught.value.errors[0][:2] == ("$", "max_length")


@pytest.mark.parametrize("format", FORMATS)
def test_a_change_of_the_bus_changes_what_payloads_become(format: str) -> None:
    bus = bus_of(Add)
    assert execute(bus, format, Add(1)) == repr(Add(1))
    with pytest.raises(HandlerNotFoundError):
        execute(bus, format, Note("a"))
    bus.register_handler(Note, lambda message: "noted")
    assert execute(bus, format, Note("a")) == "noted"
    bus.add_middleware(lambda ctx, message, next: f"<{next(ctx, message)}>")
    assert execute(bus, format, Note("a")) == "<noted>"
    bus.unregister_handler(Add)
    with pytest.raises(HandlerNotFoundError):
        execute(bus, format, Add(1))

    class Successor(Command[str], tag="Note"):
        text: int

    bus.register_handler(Successor, lambda message: "changed", replace=True)
    assert execute(bus, format, {"$type": "Note", "text": 3}) == "<changed>"


@pytest.mark.parametrize("format", FORMATS)
def test_a_class_that_cannot_be_decoded_keeps_no_other_from_one_pass(
    format: str,
) -> None:
    class Odd(Command[int]):
        a: "list[int] | set[int]"  # noqa: UP037

    bus = bus_of(Add, Odd)
    bus.register_handler("Named", repr)
    for _ in range(2):
        assert execute(bus, format, Add(1)) == repr(Add(1))
        with pytest.raises(TypeError, match=r"cannot be decoded into .*Odd: "):
            execute(bus, format, {"$type": "Odd", "a": []})
        with pytest.raises(TypeError, match="Named is registered by name alone"):
            execute(bus, format, {"$type": "Named"})


@pytest.mark.parametrize("format", FORMATS)
def test_what_never_reaches_its_handler_is_counted(format: str) -> None:
    bus = CommandBus(enable_metrics=True)
    bus.register_handler(Add, lambda message: 1)
    bus.register_handler("Named", repr)
    execute(bus, format, Add(1))
    for content, error in (
        ({"$type": "Add"}, ValidationError),
        ({"left": 1}, ValidationError),
        ({"$type": "Nothing"}, HandlerNotFoundError),
        ({"$type": "Named"}, TypeError),
    ):
        with pytest.raises(error):
            execute(bus, format, content)
    stats = bus.stats()
    counted = {
        name: {key: count for key, count in one.outcomes.items() if count}
        for name, one in stats.messages.items()
    }
    assert counted == {
        "Add": {"ok": 3, "invalid": 1},
        "Named": {"error": 1},
        "_unknown": {"invalid": 1, "error": 1},
    }


@pytest.mark.parametrize("format", FORMATS)
def test_errors_of_user_code_pass_as_they_are(format: str) -> None:
    class Failing(Command[int]):
        kind: int

        errors: ClassVar[list[BaseException]] = [
            KeyError("k"),
            MemoryError(),
            KeyboardInterrupt(),
        ]

        def __post_init__(self) -> None:
            if self.kind < 3:
                raise self.errors[self.kind]

    bus = bus_of(Failing, Kind, Row)
    assert execute(bus, format, Failing(3)) == repr(Failing(3))
    for kind, error in enumerate(Failing.errors):
        for _ in range(2):
            with pytest.raises(type(error)) as caught:
                execute(bus, format, {"$type": "Failing", "kind": kind})
            assert caught.value is error


@pytest.mark.parametrize("format", FORMATS)
def test_a_result_that_cannot_be_encoded_is_told_with_its_name(format: str) -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda message: object())
    for _ in range(2):
        with pytest.raises(TypeError, match="the result of Add is object, which"):
            execute(bus, format, Add(1))


@pytest.mark.parametrize("format", FORMATS)
def test_an_async_twin_does_the_same(format: str) -> None:
    bus = CommandBus()

    async def add(message: Add) -> int:
        return message.left + message.right

    bus.register_handler(Add, add)
    method = getattr(bus, f"execute_{format}_async")

    async def run() -> None:
        for _ in range(3):
            assert await method(encoded(format, Add(1, 2))) == encoded(format, 3)
            with pytest.raises(ValidationError) as caught:
                await method(encoded(format, {"$type": "Add", "left": "x"}))
            assert caught.value.errors[0][:2] == ("$.left", "type")

    asyncio.run(run())


def test_queries_are_decoded_too() -> None:
    class Get(Query[int]):
        x: int

    bus = QueryBus()
    bus.register_handler(Get, lambda query: query.x)
    assert execute(bus, "json", Get(7)) == 7


def test_payloads_of_many_threads_are_decoded_while_the_bus_changes() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda message: message.left)
    wrong: list[object] = []

    def work() -> None:
        for number in range(300):
            found = bus.execute_json(b'{"$type":"Add","left":%d}' % number)
            if found != b"%d" % number:
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        bus.register_handler(Note, repr, replace=True)
        bus.unregister_handler(Note)
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.alone
@pytest.mark.parametrize("format", FORMATS)
def test_an_invalid_payload_leaves_nothing_behind(format: str) -> None:
    bus = bus_of(Add, Note, Row, Kind)
    good, bad = encoded(format, Add(1)), encoded(format, {"$type": "Add", "left": ""})
    method = getattr(bus, f"execute_{format}")

    def round_of_both() -> None:
        method(good)
        with pytest.raises(ValidationError):
            method(bad)

    for _ in range(20):
        round_of_both()
    counted = sys.getrefcount(good), sys.getrefcount(bad)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            round_of_both()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 5_000
    assert (sys.getrefcount(good), sys.getrefcount(bad)) == counted


def test_a_bus_that_is_gone_keeps_no_class_that_cannot_be_united() -> None:
    class Alone(Struct):
        x: int

    bus = bus_of(Alone)
    gone = weakref.ref(Alone)
    with pytest.raises(ValidationError):
        bus.execute_json(b'{"$type":"Alone"}')
    del bus, Alone
    gc.collect()
    assert gone() is None


CONTENT = st.recursive(
    st.sampled_from([None, True, 1, 2.5, "Add", "a", "Kind", "Row"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$type", "kind", "left", "right", "x", "text"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(content=CONTENT, noise=st.sampled_from([b"", b" ", b"\xff", b"}", b"]"]))
def test_one_pass_and_two_steps_never_differ(content: Any, noise: bytes) -> None:
    for format in FORMATS:
        payload = encoded(format, content) + noise
        found = []
        for form in (payload, bytearray(payload)):  # the latter in two steps
            try:
                message = WARM[format](form)
            except (ValidationError, HandlerNotFoundError) as error:
                found.append(repr(error))
            else:
                found.append(message)
        assert found[0] == found[1]


def test_payloads_may_be_decoded_without_a_bus() -> None:
    payloads = Payloads(JSON, {"Add": Add, "Kind": Kind, "Named": None}, 100)
    for _ in range(2):
        assert payloads.decode(encoded("json", Add(1))) == Add(1)
        assert payloads.decode(encoded("json", Kind(1))) == Kind(1)
        with pytest.raises(TypeError, match="Named is registered by name alone"):
            payloads.decode(encoded("json", {"$type": "Named"}))
        with pytest.raises(HandlerNotFoundError, match="'Other'"):
            payloads.decode(encoded("json", {"$type": "Other"}))
        with pytest.raises(ValidationError, match="at most 100 bytes"):
            payloads.decode(b" " * 101)


BUS = bus_of(Add, Note, Row, Kind, Typed)
WARM = {"json": BUS.execute_json, "msgpack": BUS.execute_msgpack}
for one in FORMATS:
    execute(BUS, one, Add(1))


class ClosedPayment(msgspec.Struct, forbid_unknown_fields=True):
    amount: Decimal


class ClosedModel(pydantic.BaseModel, extra="forbid"):
    amount: Decimal


@pytest.mark.parametrize("cls", [ClosedPayment, ClosedModel])
@pytest.mark.parametrize("text", ["1.25", "0.1", "-3"])
def test_a_number_of_a_closed_message_keeps_its_digits(cls: Any, text: str) -> None:
    bus = CommandBus()
    bus.register_handler(cls, lambda message: str(message.amount))
    payload = f'{{"$type": "{message_name(cls)}", "amount": {text}}}'
    assert bus.execute_json(payload) == f'"{text}"'.encode()


def test_a_struct_keeps_more_digits_than_a_float_has() -> None:
    bus = CommandBus()
    bus.register_handler(ClosedPayment, lambda message: str(message.amount))
    payload = b'{"amount": 12345678901234567890.250, "$type": "ClosedPayment"}'
    assert bus.execute_json(payload) == b'"12345678901234567890.250"'


def test_an_array_without_a_tag_is_no_payload() -> None:
    class Row(msgspec.Struct, array_like=True):
        name: str

    bus = CommandBus()
    bus.register_handler(Row, lambda row: row.name)
    with pytest.raises(TypeError, match="its name has no place in an array"):
        bus.execute_json(b'["Row", "a"]')


def test_a_pydantic_error_with_the_name_of_a_limit_needs_none() -> None:
    class Custom(pydantic.BaseModel):
        a: int

        @pydantic.field_validator("a")
        @classmethod
        def check(cls, value: int) -> int:
            raise pydantic_core.PydanticCustomError("less_than", "bad")

    bus = CommandBus()
    bus.register_handler(Custom, lambda custom: custom.a)
    with pytest.raises(ValidationError) as caught:
        bus.execute_json(b'{"$type": "Custom", "a": 1}')
    assert caught.value.errors == [("$.a", "lt", "expected a value < the limit")]


def test_a_counter_beside_a_wrong_field_is_no_matter() -> None:
    class Counted(Command[None]):
        z: int
        c: collections.Counter[str] | None = None

    bus = CommandBus()
    bus.register_handler(Counted, lambda command: None)
    with pytest.raises(ValidationError) as caught:
        bus.execute_json(b'{"$type": "Counted", "z": "s"}')
    assert [error[:2] for error in caught.value.errors] == [("$.z", "type")]


def test_buses_with_one_class_share_the_class_that_stands_beside_it() -> None:
    def answer() -> bytes:
        bus = CommandBus()
        bus.register_handler(Add, lambda message: message.left)
        return bus.execute_json(b'{"$type":"Add","left":3}')

    def made() -> int:
        return sum(one.__name__ == "Another" for one in Struct.__subclasses__())

    assert answer() == b"3"
    before = made()
    assert before >= 1
    assert [answer() for _ in range(3)] == [b"3"] * 3
    assert made() == before
