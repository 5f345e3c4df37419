"""What becomes of payloads and results, whatever they contain."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import gc
import json
import sys
import traceback
import uuid
import weakref
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from cqrs_fast.errors import ValidationError
from cqrs_fast.payloads.wire import JSON, MSGPACK, Wire
from cqrs_fast.validation.constraints import compile_check

FORMATS = [JSON, MSGPACK]
MALFORMED = "malformed payload: the data is truncated or damaged"
CUT_JSON = "malformed JSON: the data is truncated"


class Color(enum.Enum):
    RED = "red"


class Item(Struct):
    x: int


class Row(Struct, array_like=True, tag="row"):
    a: int
    b: int


class Renamed(Struct, rename={"name": "first name"}):
    name: int


class Pair(NamedTuple):
    left: int
    right: str


@dataclass
class Data:
    n: int


class Checked(Struct):
    text: str

    def __post_init__(self) -> None:
        raise ValueError(f"Expected `int`, got `{self.text}`")


class Message(Struct, tag_field="$type", tag="Message", kw_only=True):
    i: int | None = None
    b: Annotated[int, Meta(gt=3, lt=10, multiple_of=2)] = 4
    g: Annotated[int, Meta(ge=1, le=5)] | str = 1
    f: Annotated[float, Meta(gt=0, multiple_of=0.5)] = 1.0
    s: Annotated[str, Meta(min_length=1, max_length=3, pattern="^a")] = "a"
    items: list[Item] = []
    short: Annotated[list[int], Meta(max_length=1)] = []
    pair: tuple[int, str] = (1, "")
    named: Pair | None = None
    ids: set[int] = set()
    by_name: dict[Annotated[str, Meta(max_length=2)], Annotated[int, Meta(lt=5)]] = {}
    by_int: dict[int, Any] = {}
    row: Row | None = None
    data: Data | None = None
    renamed: Renamed | None = None
    checked: Checked | None = None
    color: Color = Color.RED
    kind: Literal["a", 1] = "a"
    aware: Annotated[dt.datetime, Meta(tz=True)] = dt.datetime.now(dt.UTC)
    day: dt.date | None = None
    span: dt.timedelta | None = None
    id: uuid.UUID | None = None
    price: decimal.Decimal | None = None
    raw: bytes = b""


class Closed(Struct, forbid_unknown_fields=True):
    a: int = 0


FAULTS = [
    ({"i": "SECRET"}, "$.i", "type", "expected int | None, got str"),
    ({"i": True}, "$.i", "type", "expected int | None, got bool"),
    ({"b": 3}, "$.b", "gt", "expected int > 3"),
    ({"b": 10}, "$.b", "lt", "expected int < 10"),
    ({"b": 5}, "$.b", "multiple_of", "expected int that is a multiple of 2"),
    ({"g": 0}, "$.g", "ge", "expected int >= 1"),
    ({"g": 6}, "$.g", "le", "expected int <= 5"),
    ({"f": 0.0}, "$.f", "gt", "expected float > 0"),
    ({"f": 1.2}, "$.f", "multiple_of", "expected float that is a multiple of 0.5"),
    ({"s": ""}, "$.s", "min_length", "expected str of length >= 1"),
    ({"s": "SECRET"}, "$.s", "max_length", "expected str of length <= 3"),
    ({"s": "b"}, "$.s", "pattern", "expected str matching regex '^a'"),
    ({"items": [{"x": 1}, {"x": "q"}]}, "$.items[1].x", "type",
     "expected int, got str"),
    ({"items": [{}]}, "$.items[0].x", "missing", "required, but not set"),
    ({"short": [1, 2]}, "$.short", "max_length", "expected list of length <= 1"),
    ({"pair": [1]}, "$.pair", "type", "expected tuple of length 2"),
    ({"pair": [1, 2]}, "$.pair[1]", "type", "expected str, got int"),
    ({"named": [1]}, "$.named[1]", "missing", "required, but not set"),
    ({"named": [1, "", 2]}, "$.named", "type", "expected Pair of length 2"),
    ({"ids": [1, "x"]}, "$.ids[1]", "type", "expected int, got str"),
    ({"by_name": {"abc": 1}}, "key in $.by_name", "max_length",
     "expected str of length <= 2"),
    ({"by_name": {"a": 5}}, "$.by_name[...]", "lt", "expected int < 5"),
    ({"row": ["row", 1, "x"]}, "$.row[2]", "type", "expected int, got str"),
    ({"row": ["SECRET", 1, 2]}, "$.row[0]", "invalid", "expected one of 'row'"),
    ({"row": ["row", 1]}, "$.row[2]", "missing", "required, but not set"),
    ({"data": {}}, "$.data.n", "missing", "required, but not set"),
    ({"renamed": {"first name": "x"}}, "$.renamed.first name", "type",
     "expected int, got str"),
    ({"checked": {"text": "SECRET"}}, "$.checked", "invalid", "the value is not valid"),
    ({"color": "SECRET"}, "$.color", "invalid", "expected one of 'red'"),
    ({"color": "x - at `$.SECRET`"}, "$.color", "invalid", "expected one of 'red'"),
    ({"kind": 3}, "$.kind", "invalid", "expected one of 'a', 1"),
    ({"aware": "2020-01-01T00:00:00"}, "$.aware", "tz",
     "expected datetime with a timezone"),
    ({"day": "SECRET"}, "$.day", "invalid", "expected date in the form of RFC 3339"),
    ({"span": "SECRET"}, "$.span", "invalid", "expected duration as in ISO 8601"),
    ({"id": "SECRET"}, "$.id", "invalid", "expected a valid UUID"),
    ({"price": "SECRET"}, "$.price", "invalid", "expected a valid decimal number"),
    ({"$type": "SECRET"}, "$.$type", "invalid", "expected one of 'Message'"),
    ([], "$", "type", "expected Message, got list"),
]  # fmt: skip


def encoded(wire: Wire, value: Any) -> bytes:
    encode = msgspec.json.encode if wire is JSON else msgspec.msgpack.encode
    return encode(value)


def errors_of(call: Any, *args: Any) -> list[tuple[str, str, str]]:
    """Return the errors of a call that must fail, and that must not quote anything."""
    with pytest.raises(ValidationError) as caught:
        call(*args)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error)
    assert "SECRET" not in shown.replace('"SECRET"', "")
    return list(error.errors)


def refusal_of(call: Any, *args: Any) -> ValidationError | None:
    try:
        call(*args)
    except ValidationError as error:
        return error
    return None


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize(("content", "path", "code", "text"), FAULTS)
def test_a_fault_is_told_by_path_and_code_without_its_value(
    wire: Wire, content: Any, path: str, code: str, text: str
) -> None:
    decoder = wire.decoder(Message)
    assert errors_of(decoder.decode, encoded(wire, content)) == [(path, code, text)]


@pytest.mark.parametrize("wire", FORMATS)
def test_a_valid_payload_becomes_its_message(wire: Wire) -> None:
    message = Message(i=3, items=[Item(1)], row=Row(1, 2), by_int={1: [None]})
    payload = encoded(wire, message)
    for form in (payload, bytearray(payload), memoryview(payload)):
        assert wire.type_name(form) == "Message"
        assert wire.decode(form, Message) == message
        assert wire.decoder(Message).decode(form) == message


def test_json_may_be_text() -> None:
    text = '{"$type": "Message", "i": 3}'
    assert JSON.type_name(text) == "Message"
    assert JSON.decode(text, Message).i == 3
    assert JSON.type_name('{"\\u0024type": "A\\u0042"}') == "AB"


@pytest.mark.parametrize("wire", FORMATS)
def test_an_array_like_message_has_its_name_first(wire: Wire) -> None:
    payload = encoded(wire, Row(1, 2))
    assert wire.type_name(payload) == "row"
    assert wire.decode(payload, Row) == Row(1, 2)


def test_a_strided_view_is_read_as_its_bytes() -> None:
    payload = encoded(JSON, {"$type": "Message"})
    doubled = bytes(byte for char in payload for byte in (char, 0))
    assert JSON.type_name(memoryview(doubled)[::2]) == "Message"


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize(
    ("content", "path", "code"),
    [
        ({}, "$.$type", "missing"),
        ({"type": "A"}, "$.$type", "missing"),
        ({"$type": 3}, "$.$type", "type"),
        ({"$type": None}, "$.$type", "type"),
        (["x"][:0], "$", "type"),
        ([3], "$[0]", "type"),
        ("text", "$", "type"),
        (None, "$", "type"),
    ],
)
def test_a_payload_without_a_type_name_is_refused(
    wire: Wire, content: Any, path: str, code: str
) -> None:
    assert [e[:2] for e in errors_of(wire.type_name, encoded(wire, content))] == [
        (path, code)
    ]


@pytest.mark.parametrize(
    ("wire", "payload", "text"),
    [
        (JSON, b"", CUT_JSON),
        (JSON, b'{"$type": "A"', CUT_JSON),
        (JSON, b'{"$type": "A", "x": 1e400, ', CUT_JSON),
        (JSON, b'{"$type": tru}', "malformed JSON at byte 10"),
        (JSON, b'{"$type": "A"} x', "malformed JSON at byte 15"),
        (JSON, '{"äöü": tru}'.encode(), "malformed JSON at byte 11"),
        (JSON, b'{"$type": "A', "malformed JSON at byte 10"),
        (JSON, b'{"$type": "\\ud800"}', MALFORMED),
        (JSON, b'{"$type": tru}' + b" " * 20_000, MALFORMED),
        (JSON, b'{"$type": NaN}',
         "malformed JSON: NaN and Infinity are not part of it"),
        (JSON, b"1e400", "expected a value within range"),
        (JSON, b'{"$type": "\xff"}', "expected text encoded as UTF-8"),
        (JSON, '{"$type": "\ud800"}', "expected text encoded as UTF-8"),
        (MSGPACK, b"", "malformed MessagePack: the data is truncated"),
        (MSGPACK, b"\x81", "malformed MessagePack: the data is truncated"),
        (MSGPACK, b"\x81\xa5$type", "malformed MessagePack: the data is truncated"),
        (
            MSGPACK,
            b"\xdf\xff\xff\xff\xff",
            "malformed MessagePack: the data is truncated",
        ),
        (
            MSGPACK,
            b"\xdb\xff\xff\xff\xff",
            "malformed MessagePack: the data is truncated",
        ),
        (MSGPACK, b"\xdd\xff", "malformed MessagePack: the data is truncated"),
        (MSGPACK, b"\xc1", "malformed MessagePack: invalid opcode"),
        (MSGPACK, b"\x80\x80", "malformed MessagePack: there is data after the end"),
        (MSGPACK, b"\x81\xa5$type\xa1\xff", "expected text encoded as UTF-8"),
        (MSGPACK, b"\x82\xa1x\x91\xc4\x01\xff\xa5$type\xd9\x01\xff",
         "expected text encoded as UTF-8"),
        (MSGPACK, b"\x81\x80\x91\xa1x", "expected keys that are no arrays or maps"),
        (MSGPACK, b"\x82\xc4\x01\xff\xca\x00\x00\x00\x00\xd4\x05\x00\xc0",
         "expected keys that are no arrays or maps"),
        (MSGPACK, b"\xd4\xff\x00", "expected a value within range"),
    ],
)  # fmt: skip
def test_broken_syntax_is_told_without_the_payload(
    wire: Wire, payload: Any, text: str
) -> None:
    assert errors_of(wire.type_name, payload) == [("$", "invalid", text)]


def nested(wire: Wire, depth: int) -> bytes:
    """Return an object with arrays inside, `depth` levels in all."""
    if wire is JSON:
        return b'{"$type":"A","x":%b}' % (b"[" * (depth - 1) + b"]" * (depth - 1))
    return b"\x82\xa5$type\xa1A\xa1x" + b"\x91" * (depth - 2) + b"\x90"


@pytest.mark.parametrize("wire", FORMATS)
def test_sixty_four_levels_are_accepted_and_no_more(wire: Wire) -> None:
    assert wire.type_name(nested(wire, 64)) == "A"
    too_deep = [("$", "invalid", "expected at most 64 levels of nesting")]
    for depth in (65, 10**6):
        assert errors_of(wire.type_name, nested(wire, depth)) == too_deep
        assert errors_of(wire.decode, nested(wire, depth), Message) == too_deep


def test_brackets_inside_strings_are_no_depth() -> None:
    text = "[" * 100 + '\\"' + "{" * 100 + "\\\\"
    assert JSON.type_name('{"$type": "A", "x": "' + text + '"}') == "A"


def test_a_decoder_alone_survives_deep_nesting() -> None:
    depth = 10**6

    class Open(Struct):
        x: Any

    payload = b'{"x":%b}' % (b"[" * depth + b"]" * depth)
    assert errors_of(JSON.decoder(Open).decode, payload)[0][1] == "invalid"


@pytest.mark.parametrize("wire", FORMATS)
def test_a_payload_may_have_max_bytes_and_no_more(wire: Wire) -> None:
    payload = encoded(wire, {"$type": "A"})
    assert wire.type_name(payload, len(payload)) == "A"
    size = len(payload) - 1
    refusal = [("$", "max_length", f"expected a payload of at most {size} bytes")]
    assert errors_of(wire.type_name, payload, size) == refusal
    assert errors_of(wire.type_name, memoryview(payload), size) == refusal
    assert errors_of(wire.decode, payload, Message, size) == refusal


def test_the_size_of_text_is_that_of_its_utf8() -> None:
    text = '{"$type": "äöü"}'
    assert JSON.type_name(text, len(text.encode())) == "äöü"
    assert errors_of(JSON.type_name, text, len(text))[0][1] == "max_length"


@pytest.mark.parametrize("wire", FORMATS)
def test_a_hundred_megabytes_are_refused_at_once(wire: Wire) -> None:
    assert errors_of(wire.type_name, bytes(100_000_000))[0][1] == "max_length"


def test_numbers_beyond_their_types_are_refused() -> None:
    for content in ("1e400", "9" * 5000):
        payload = '{"f": ' + content + "}"
        assert errors_of(JSON.decoder(Message).decode, payload) == [
            ("$.f", "invalid", "expected a value within range")
        ]


class Wide(Struct):
    f: float = 0.0
    i: int = 0
    either: int | str | None = None
    d: decimal.Decimal | None = None
    raw: msgspec.Raw | None = None
    anything: Any = None
    texts: list[str] = []


BEYOND = "expected a value within range"


@pytest.mark.parametrize(
    "huge", ["1e400", "-1e400", "1e" + "9" * 30, "9" * 4301, "-" + "9" * 4301]
)
def test_a_number_beyond_its_type_is_told_where_it_is_and_nowhere_else(
    huge: str,
) -> None:
    decode = JSON.decoder(Wide).decode
    for name in ("f", "either", "anything"):
        payload = f'{{"{name}": {huge}}}'
        assert errors_of(decode, payload) == [(f"$.{name}", "invalid", BEYOND)]
    assert errors_of(decode, f'{{"raw": {huge}, "anything": [[{huge}]]}}') == [
        ("$", "invalid", BEYOND)
    ]
    for name in ("raw", "unknown"):
        payload = f'{{"{name}": {huge}, "texts": [3], "f": {huge}}}'
        assert errors_of(decode, payload) == [
            ("$.f", "invalid", BEYOND),
            ("$.texts[0]", "type", "expected str, got int"),
        ]


def test_an_integer_may_be_beyond_floats_alone() -> None:
    large = "9" * 400
    decode = JSON.decoder(Wide).decode
    assert decode(f'{{"i": {large}}}').i == int(large)
    assert errors_of(decode, f'{{"i": {large}, "f": {large}}}') == [
        ("$.f", "invalid", BEYOND)
    ]


def test_a_number_that_a_decimal_can_hold_is_not_the_wrong_one() -> None:
    decode = JSON.decoder(Wide).decode
    assert decode('{"d": 1e400}').d == decimal.Decimal("1e400")
    assert errors_of(decode, '{"d": 1e400, "texts": [3]}') == [
        ("$.texts[0]", "type", "expected str, got int")
    ]


def test_a_long_payload_with_a_number_beyond_its_type_is_told_without_its_place() -> (
    None
):
    payload = '{"f": 1e400, "texts": ["' + "x" * 20_000 + '"]}'
    assert errors_of(JSON.decoder(Wide).decode, payload) == [("$", "invalid", BEYOND)]


def test_a_process_that_reads_few_digits_is_told_as_another() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(700)
    try:
        payload = '{"i": ' + "9" * 4301 + ', "raw": ' + "9" * 800 + "}"
        errors = errors_of(JSON.decoder(Wide).decode, payload)
    finally:
        sys.set_int_max_str_digits(before)
    assert errors == [("$.i", "invalid", BEYOND)]


def test_an_unknown_field_is_not_quoted() -> None:
    for name in ("SECRET", "SECRET` - at `SECRET"):
        payload = encoded(JSON, {name: 1})
        assert errors_of(JSON.decoder(Closed).decode, payload) == [
            ("$", "invalid", "expected no fields beyond the declared ones")
        ]


@pytest.mark.parametrize(
    ("wire", "payload", "text"),
    [
        (JSON, b'{"n": "a"', CUT_JSON),
        (JSON, b'{"n": "\xff"}', "expected text encoded as UTF-8"),
        (JSON, bytearray(b'{"n": "\xff"}'), "expected text encoded as UTF-8"),
        (JSON, '{"n": "\ud800"}', "expected text encoded as UTF-8"),
        (MSGPACK, b"\x81\xa1n", "malformed MessagePack: the data is truncated"),
        (MSGPACK, b"\x81\xa1n\xa1\xff", "expected text encoded as UTF-8"),
    ],
)
def test_a_decoder_alone_tells_broken_syntax_from_bad_text(
    wire: Wire, payload: Any, text: str
) -> None:
    class Named(Struct):
        n: str

    assert errors_of(wire.decoder(Named).decode, payload) == [("$", "invalid", text)]


def test_errors_of_user_code_and_of_memory_pass() -> None:
    class Failing(Struct):
        kind: int

        def __post_init__(self) -> None:
            raise [KeyError("k"), MemoryError()][self.kind]

    for kind, error in enumerate((KeyError, MemoryError)):
        with pytest.raises(error):
            JSON.decoder(Failing).decode(b'{"kind": %d}' % kind)


@pytest.mark.parametrize("wire", FORMATS)
def test_another_type_than_a_payload_is_a_type_error(wire: Wire) -> None:
    for wrong in (3, None, [b""], object()):
        for call in (wire.type_name, wire.decoder(Message).decode):
            with pytest.raises(TypeError, match=f"payload is .*{type(wrong).__name__}"):
                call(wrong)
    with pytest.raises(TypeError, match="not str"):
        MSGPACK.type_name("text")


@pytest.mark.parametrize("wire", FORMATS)
def test_a_class_that_cannot_be_decoded_into_is_named(wire: Wire) -> None:
    class Odd(Struct):
        a: list[int] | set[int]

    with pytest.raises(TypeError, match=f"{wire.format} cannot be .* into .*Odd"):
        wire.decoder(Odd)


@pytest.mark.parametrize("wire", FORMATS)
def test_results_are_encoded(wire: Wire) -> None:
    decode = msgspec.json.decode if wire is JSON else msgspec.msgpack.decode
    for result in (None, 3, "x", [1], {"a": 1.5}, Item(1)):
        expected = msgspec.to_builtins(result)
        assert decode(wire.encode(result, "Get")) == expected


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize(
    ("result", "text"),
    [
        (object(), "the result of Get is object, which cannot"),
        ([Exception("SECRET")], "is list (it contains Exception), which"),
        ({"a": Item([1, object()])}, "is dict (it contains object), which"),
        ("\ud800", "the result of Get is str, which cannot"),
    ],
)
def test_a_result_that_cannot_be_encoded_is_named(
    wire: Wire, result: Any, text: str
) -> None:
    with pytest.raises(TypeError) as caught:
        wire.encode(result, "Get")
    assert text in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("wire", FORMATS)
def test_a_cyclic_result_is_a_type_error(wire: Wire) -> None:
    result: list[Any] = []
    result.append(result)
    with pytest.raises(TypeError, match="the result of Get is list"):
        wire.encode(result, "Get")


def test_a_decoder_is_all_that_keeps_its_class_alive() -> None:
    cls = msgspec.defstruct("Dynamic", [("a", Annotated[int, Meta(gt=1)])])
    gone = weakref.ref(cls)
    JSON.decode(b'{"a": 3}', cls)
    errors_of(JSON.decode, b'{"a": 1}', cls)
    compile_check(cls)
    del cls
    gc.collect()
    assert gone() is None


@settings(max_examples=400, deadline=None)
@given(payload=st.binary(max_size=200))
@example(payload=b"\xff" * 100)
@example(payload=b'"' + b"\\" * 7)
def test_random_bytes_are_decoded_or_refused(payload: bytes) -> None:
    for wire in FORMATS:
        for call in (wire.type_name, lambda p, w=wire: w.decode(p, Message)):
            refusal = refusal_of(call, payload)
            assert refusal is None or refusal.errors
            assert refusal is None or refusal.__context__ is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()
    | st.floats(allow_nan=False) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(value=VALUES, cut=st.integers(1, 10))
def test_every_valid_messagepack_passes_the_scan_and_no_part_of_one(
    value: Any, cut: int
) -> None:
    class Open(Struct):
        x: Any

    payload = msgspec.msgpack.encode({"$type": "A", "x": value})
    assert MSGPACK.type_name(payload) == "A"
    assert MSGPACK.decode(payload, Open).x == value
    assert errors_of(MSGPACK.type_name, payload[:-cut])[0][1] == "invalid"
    assert errors_of(MSGPACK.type_name, payload + b"\xc0" * cut)[0][1] == "invalid"


@settings(max_examples=200, deadline=None)
@given(value=st.dictionaries(st.text(), VALUES))
def test_every_valid_json_passes_the_scan(value: dict[str, Any]) -> None:
    payload = msgspec.json.encode({**value, "$type": "A"})
    assert JSON.type_name(payload) == "A"
    assert JSON.type_name(payload.decode()) == "A"
    assert json.loads(payload)["$type"] == "A"


@settings(max_examples=200, deadline=None)
@given(
    content=st.dictionaries(
        st.sampled_from([*Message.__struct_fields__, "other"]),
        st.recursive(
            st.sampled_from(["SECRET", "SECRET - at `$.SECRET`", "`SECRET`", 3, None]),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["SECRET", "a"]), inner, max_size=2)
            ),
            max_leaves=4,
        ),
    )
)
def test_no_error_quotes_a_value(content: dict[str, Any]) -> None:
    payload = msgspec.json.encode(content)
    refusal = refusal_of(JSON.decode, payload, Message)
    assert "SECRET" not in repr(refusal and (refusal, refusal.errors))


def test_the_scan_knows_every_opcode_by_its_length() -> None:
    pad = bytes(70_000)
    for opcode in range(256):
        for size in range(1, 24):
            payload = bytes([opcode]) + pad[: size - 1]
            try:
                msgspec.msgpack.decode(payload)
            except (msgspec.DecodeError, ValueError):
                continue
            # what msgspec takes as complete is complete for the scan as well
            text = repr(errors_of(MSGPACK.type_name, payload))
            assert "malformed" not in text, opcode
