"""A payload is held to the rules of its class, and all that breaks them is told."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import sys
import traceback
import types
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from cqrs_fast import Command, CommandBus, ValidationError
from cqrs_fast.payloads.nodes import errors_of
from cqrs_fast.payloads.wire import JSON, MSGPACK, Wire
from cqrs_fast.payloads.wire_check import wire_check
from cqrs_fast.validation.constraints import compile_check

WIRES = [JSON, MSGPACK]
Positive = Annotated[int, Meta(gt=0)]
Short = Annotated[str, Meta(max_length=3)]


class Color(enum.Enum):
    RED = "red"


class Item(Struct, rename="camel"):
    sku_code: str
    count: Positive = 1


class Circle(Struct, tag="circle", tag_field="shape"):
    radius: float


class Square(Struct, tag="square", tag_field="shape"):
    side: float


class First(Struct, tag=1, array_like=True):
    x: int


class Second(Struct, tag=2, array_like=True):
    x: int
    y: int = 0


class Node(Struct):
    name: str
    next: Node | None = None


class Pair(NamedTuple):
    left: int
    right: str = ""


class Extra(TypedDict, total=False):
    n: int


@dataclass
class Data:
    n: Positive
    more: list[int] = field(default_factory=list)


@attrs.define
class Attrs:
    n: int
    m: int = 0


class Order(Command[int], kw_only=True):
    number: int = 1
    rate: float = 1.0
    name: Short = "a"
    flag: bool = False
    maybe: Positive | None = None
    either: int | Short = 1
    late: int | UnsetType = UNSET
    first: Item | None = None
    items: list[Item] = msgspec.field(default_factory=list)
    fixed: tuple[int, str] = (1, "")
    many: tuple[int, ...] = ()
    some: Sequence[Annotated[int, Meta(lt=5)]] = ()
    unique: Annotated[set[int], Meta(max_length=2)] | None = None
    counts: dict[Short, Positive] | None = None
    others: Mapping[str, int] = {}
    shape: Circle | Square | None = None
    row: First | Second | None = None
    kind: Literal["a", "b", 3] = "a"
    named: Pair | None = None
    extra: Extra | None = None
    data: Data | None = None
    attr: Attrs | None = None
    tree: Node | None = None
    by: str = msgspec.field(default="", name="by whom")


# Built in Python with these values, and written to the wire, a message breaks the same
# rules.
SAME: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"number": "1"}, [("$.number", "type")]),
    ({"number": 1.0}, [("$.number", "type")]),
    ({"number": True}, [("$.number", "type")]),
    ({"rate": "1"}, [("$.rate", "type")]),
    ({"rate": 1}, []),
    ({"name": "long"}, [("$.name", "max_length")]),
    ({"name": None}, [("$.name", "type")]),
    ({"flag": 1}, [("$.flag", "type")]),
    ({"maybe": 0}, [("$.maybe", "gt")]),
    ({"maybe": "x"}, [("$.maybe", "type")]),
    ({"either": "long"}, [("$.either", "max_length")]),
    ({"either": []}, [("$.either", "type")]),
    ({"late": "x"}, [("$.late", "type")]),
    ({"late": UNSET}, []),
    ({"first": 3}, [("$.first", "type")]),
    ({"first": Item(1, 0)}, [("$.first.skuCode", "type"), ("$.first.count", "gt")]),
    (
        {"items": [Item("a"), Item("a", -1), Item(3)]},
        [("$.items[1].count", "gt"), ("$.items[2].skuCode", "type")],
    ),
    ({"items": [None]}, [("$.items[0]", "type")]),
    ({"fixed": (1,)}, [("$.fixed", "type")]),
    ({"fixed": ("", 1)}, [("$.fixed[0]", "type"), ("$.fixed[1]", "type")]),
    ({"many": (1, "x", 3, None)}, [("$.many[1]", "type"), ("$.many[3]", "type")]),
    ({"some": [1, 5]}, [("$.some[1]", "lt")]),
    ({"unique": {1, 2, 3}}, [("$.unique", "max_length")]),
    ({"unique": {"x"}}, [("$.unique[0]", "type")]),
    (
        {"counts": {"long": 1, "a": 0}},
        [("key in $.counts", "max_length"), ("$.counts[...]", "gt")],
    ),
    ({"others": {"a": None}}, [("$.others[...]", "type")]),
    ({"shape": Circle("x")}, [("$.shape.radius", "type")]),
    ({"shape": Square("x")}, [("$.shape.side", "type")]),
    ({"row": Second("x", None)}, [("$.row[1]", "type"), ("$.row[2]", "type")]),
    ({"kind": "c"}, [("$.kind", "invalid")]),
    ({"kind": 4}, [("$.kind", "invalid")]),
    ({"kind": []}, [("$.kind", "type")]),
    ({"named": Pair("x", 1)}, [("$.named[0]", "type"), ("$.named[1]", "type")]),
    ({"extra": {"n": "x"}}, [("$.extra.n", "type")]),
    (
        {"data": Data(0, ["x"])},
        [("$.data.n", "gt"), ("$.data.more[0]", "type")],
    ),
    ({"attr": Attrs("x")}, [("$.attr.n", "type")]),
    ({"tree": Node("a", Node("b", Node(3)))}, [("$.tree.next.next.name", "type")]),
    ({"by": 3}, [("$.by whom", "type")]),
    (
        {"number": "x", "name": "long", "kind": "c"},
        [("$.number", "type"), ("$.name", "max_length"), ("$.kind", "invalid")],
    ),
]


def encoded(wire: Wire, value: Any) -> bytes:
    return (msgspec.json if wire is JSON else msgspec.msgpack).encode(value)


def wire_errors(wire: Wire, cls: Any, content: Any) -> list[tuple[str, str, str]]:
    """Return what is told of a payload, which must quote nothing of it."""
    error = refusal_of(wire.decoder(cls).decode, encoded(wire, content))
    if error is None:
        return []
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert "SECRET" not in shown.replace('"SECRET"', "")
    return error.errors


def refusal_of(call: Callable[[Any], Any], payload: bytes) -> ValidationError | None:
    try:
        call(payload)
    except ValidationError as error:
        return error
    return None


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("values", "expected"), SAME)
def test_the_same_wrong_value_has_the_same_error_in_python_and_on_the_wire(
    wire: Wire, values: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    message = Order(**values)
    check = compile_check(Order)
    assert check is not None
    in_python = check.errors_of(message)
    assert [error[:2] for error in in_python] == expected
    on_the_wire = wire_errors(wire, Order, message)
    assert [error[:2] for error in on_the_wire] == expected
    for ours, theirs in zip(in_python, on_the_wire, strict=True):
        if ", got " not in ours[2]:  # a tuple is a list there
            assert ours == theirs
        else:
            assert ours[2].split(", got ")[0] == theirs[2].split(", got ")[0]


class Texts(Struct):
    at: dt.datetime | None = None
    aware: Annotated[dt.datetime, Meta(tz=True)] | None = None
    day: dt.date | None = None
    hour: dt.time | None = None
    span: dt.timedelta | None = None
    id: uuid.UUID | None = None
    price: Decimal | None = None
    color: Color | None = None
    raw: Annotated[bytes, Meta(max_length=2)] | None = None


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["at", "aware", "day", "hour", "span", "id", "price"])
def test_text_that_is_none_of_its_kind_is_invalid(wire: Wire, name: str) -> None:
    ((path, code, text),) = wire_errors(wire, Texts, {name: "SECRET"})
    assert (path, code) == (f"$.{name}", "invalid")
    assert text.startswith("expected ")
    ((path, code, _),) = wire_errors(wire, Texts, {name: [3]})
    assert (path, code) == (f"$.{name}", "type")


@pytest.mark.parametrize("wire", WIRES)
def test_rules_beyond_the_text_are_those_of_the_value(wire: Wire) -> None:
    assert wire_errors(wire, Texts, {"aware": "2020-01-01T00:00:00", "color": "S"}) == [
        ("$.aware", "tz", "expected datetime with a timezone"),
        ("$.color", "invalid", "expected one of 'red'"),
    ]
    too_long = [("$.raw", "max_length", "expected bytes of length <= 2")]
    assert wire_errors(wire, Texts, {"raw": b"abc"}) == too_long


def test_bytes_are_base64_in_json_alone() -> None:
    assert wire_errors(JSON, Texts, {"raw": "S"}) == [
        ("$.raw", "invalid", "expected text in base64")
    ]
    assert wire_errors(MSGPACK, Texts, {"raw": "S"}) == [
        ("$.raw", "type", "expected bytes | None, got str")
    ]


class Keys(Struct):
    by_number: dict[Positive, int] = {}
    by_id: dict[uuid.UUID, int] = {}
    by_color: dict[Color, int] = {}
    by_choice: dict[Literal[1, 2], int] = {}


def test_keys_of_json_are_text_and_stand_for_what_they_are() -> None:
    good = {
        "by_number": {"1": 1},
        "by_id": {str(uuid.UUID(int=1)): 1},
        "by_color": {"red": 1},
        "by_choice": {"2": 1},
    }
    assert wire_errors(JSON, Keys, good) == []
    wrong = {name: {"SECRET": 1} for name in good}
    assert [error[:2] for error in wire_errors(JSON, Keys, wrong)] == [
        (f"key in $.{name}", "invalid") for name in good
    ]
    assert wire_errors(JSON, Keys, {"by_number": {"0": "x", "7": 1}}) == [
        ("key in $.by_number", "gt", "expected int > 0"),
        ("$.by_number[...]", "type", "expected int, got str"),
    ]


def test_keys_of_messagepack_have_types() -> None:
    assert wire_errors(MSGPACK, Keys, {"by_number": {1: 1}}) == []
    assert wire_errors(MSGPACK, Keys, {"by_number": {"SECRET": 1, 0: 1}}) == [
        ("key in $.by_number", "type", "expected int, got str"),
        ("key in $.by_number", "gt", "expected int > 0"),
    ]
    assert wire_errors(MSGPACK, Keys, {3: 1}) == [
        ("key in $", "type", "expected str, got int")
    ]
    unhashable = b"\x81\xa1x\x81\x80\x01"
    with pytest.raises(ValidationError, match="keys that are no arrays or maps"):
        MSGPACK.decoder(Free).decode(unhashable)


class Free(Struct):
    x: Any


class Closed(Struct, forbid_unknown_fields=True):
    a: int
    b: Circle | None = None


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("cls", "content", "expected"),
    [
        (Order, {"shape": {"radius": 1}}, [("$.shape.shape", "missing")]),
        (Order, {"shape": {"shape": "SECRET"}}, [("$.shape.shape", "invalid")]),
        (Order, {"shape": {"shape": 3}}, [("$.shape.shape", "type")]),
        (Order, {"shape": {"shape": "square"}}, [("$.shape.side", "missing")]),
        (Order, {"row": [3, 1]}, [("$.row[0]", "invalid")]),
        (Order, {"row": [1]}, [("$.row[1]", "missing")]),
        (Order, {"row": []}, [("$.row[0]", "missing")]),
        (Order, {"named": []}, [("$.named[0]", "missing")]),
        (Order, {"named": [1, "", 3]}, [("$.named", "type")]),
        (Order, {"items": [{"sku_code": "a"}]}, [("$.items[0].skuCode", "missing")]),
        (Order, {"data": {"more": []}}, [("$.data.n", "missing")]),
        (Order, {"attr": {}}, [("$.attr.n", "missing")]),
        (Order, {"$type": "SECRET"}, [("$.$type", "invalid")]),
        (Closed, {"SECRET": 1}, [("$.a", "missing"), ("$", "invalid")]),
        (Closed, {"a": 1, "b": {"shape": "circle", "radius": 1}, "c": 1},
         [("$", "invalid")]),
        (Order, [], [("$", "type")]),
    ],
)  # fmt: skip
def test_what_python_cannot_even_build_is_told_alike_on_both_wires(
    wire: Wire, cls: Any, content: Any, expected: list[tuple[str, str]]
) -> None:
    assert [error[:2] for error in wire_errors(wire, cls, content)] == expected


@pytest.mark.parametrize("wire", WIRES)
def test_thirty_two_errors_are_told_and_no_more(wire: Wire) -> None:
    content = {"many": ["SECRET"] * 100}
    errors = wire_errors(wire, Order, content)
    assert [path for path, _, _ in errors] == [f"$.many[{n}]" for n in range(32)]


LEAVES = st.sampled_from([None, True, 0, 1, -1, 2**63, 1.0, 0.5]) | st.sampled_from(
    ["", "a", "long", "red", "3", "P1D", "YWI=", "00:00:00", "2020-01-01"]
)
PARTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "1", "shape", "radius", "n", "skuCode", "name"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


def fields_of(cls: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(
        st.sampled_from(cls.__struct_encode_fields__), PARTS, max_size=3
    )


@settings(max_examples=600, deadline=None)
@given(content=st.one_of(*[fields_of(cls) for cls in (Order, Texts, Keys)]))
def test_nothing_is_wrong_with_what_decodes_and_something_with_what_does_not(
    content: dict[str, Any],
) -> None:
    for wire in WIRES:
        for cls in (Order, Texts, Keys):
            value = msgspec.json.decode(encoded(JSON, content))
            errors = errors_of(wire_check(cls, wire is JSON), value, 32)
            refusal = refusal_of(wire.decoder(cls).decode, encoded(wire, value))
            assert errors == (refusal.errors if refusal else [])


RUNS: list[str] = []


class Inner(Struct):
    text: str

    def __post_init__(self) -> None:
        RUNS.append(self.text)
        if self.text == "SECRET":
            raise ValueError(f"{self.text} - at `$.x`")


class Guarded(Command[int]):
    inner: list[Inner]
    number: int = 0


@pytest.mark.parametrize("wire", WIRES)
def test_a_post_init_runs_once_and_its_text_stays_with_it(wire: Wire) -> None:
    name = "json" if wire is JSON else "msgpack"
    bus = CommandBus()
    bus.register_handler(Guarded, lambda message: 1)
    execute = getattr(bus, f"execute_{name}")
    execute(encoded(wire, Guarded([Inner("a")])))  # from now on in one pass
    for _ in range(2):
        RUNS.clear()
        with pytest.raises(ValidationError) as caught:
            execute(encoded(wire, {"$type": "Guarded", "inner": [{"text": "SECRET"}]}))
        assert caught.value.errors == [
            ("$.inner[0]", "invalid", "the value is not valid")
        ]
        assert caught.value.name == "Guarded"
        assert caught.value.__context__ is None
        assert RUNS == ["SECRET"]
    RUNS.clear()
    with pytest.raises(ValidationError) as caught:
        execute(
            encoded(wire, {"$type": "Guarded", "inner": [{"text": "a"}], "number": "x"})
        )
    assert [error[0] for error in caught.value.errors] == ["$.number"]
    assert RUNS == ["a"]


def test_an_error_whose_text_fails_is_told_without_its_place() -> None:
    class Odd(ValueError):
        def __str__(self) -> str:
            RUNS.append("str")
            if RUNS.count("str") > 1:
                raise KeyError("SECRET")
            return "x"

    class Strange(Struct):
        a: int

        def __post_init__(self) -> None:
            raise Odd

    RUNS.clear()
    errors = wire_errors(JSON, list_of(Strange), {"items": [{"a": 1}]})
    assert [error[1:] for error in errors] == [("invalid", "the value is not valid")]


def list_of(cls: Any) -> Any:
    return msgspec.defstruct("ListOf", [("items", list[cls])])


class Point(pydantic.BaseModel):
    x: int = pydantic.Field(gt=0)
    by_name: dict[str, int] = {}


class MoveCommand(pydantic.BaseModel):
    to: Point
    label: str = pydantic.Field("", max_length=3, alias="the label")
    at: dt.date | None = None
    kind: Literal["a", "b"] = "a"

    @pydantic.field_validator("label")
    @classmethod
    def check_label(cls, value: str) -> str:
        if value == "no":
            raise ValueError(f"SECRET {value}")
        if value == "bug":
            raise KeyError(value)
        return value


class StrictCommand(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    when: dt.date | None = None
    n: int = 0


@pydantic.dataclasses.dataclass
class TurnCommand:
    degrees: int = pydantic.Field(le=360)


@dataclass
class CountCommand:
    n: Positive
    tags: list[str] = field(default_factory=list)


@pytest.fixture
def bus() -> CommandBus:
    bus = CommandBus()
    for cls in (MoveCommand, StrictCommand, TurnCommand, CountCommand):
        bus.register_handler(cls, repr)
    return bus


def execute(bus: CommandBus, wire: Wire, content: Any) -> Any:
    method = bus.execute_json if wire is JSON else bus.execute_msgpack
    module = msgspec.json if wire is JSON else msgspec.msgpack
    return module.decode(method(encoded(wire, content)))


def refused(bus: CommandBus, wire: Wire, content: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(ValidationError) as caught:
        execute(bus, wire, content)
    assert caught.value.__context__ is None
    assert "SECRET" not in repr(caught.value) + repr(caught.value.errors)
    return caught.value.errors


@pytest.mark.parametrize("wire", WIRES)
def test_pydantic_and_dataclass_messages_are_decoded(
    bus: CommandBus, wire: Wire
) -> None:
    move = {"$type": "Move", "to": {"x": 1}, "the label": "a", "at": "2020-01-02"}
    assert execute(bus, wire, move).startswith("MoveCommand(to=Point(x=1")
    assert execute(bus, wire, {"$type": "Turn", "degrees": 3}).endswith("(degrees=3)")
    assert execute(bus, wire, {"$type": "Count", "n": 3}) == repr(CountCommand(3))
    assert execute(bus, wire, {"$type": "Strict", "n": 3}) == repr(StrictCommand(n=3))


@pytest.mark.parametrize("wire", WIRES)
def test_errors_of_pydantic_are_told_in_our_words_and_without_values(
    bus: CommandBus, wire: Wire
) -> None:
    content = {
        "$type": "Move",
        "to": {"x": 0, "by_name": {"SECRET": "SECRET"}},
        "the label": "SECRET",
        "at": "SECRET",
        "kind": "SECRET",
    }
    assert refused(bus, wire, content) == [
        ("$.to.x", "gt", "expected a value > 0"),
        ("$.to.by_name[...]", "type", "expected int, got str"),
        ("$.the label", "max_length", "expected a length <= 3"),
        ("$.at", "invalid", "expected a valid date"),
        ("$.kind", "invalid", "the value is not valid"),
    ]
    assert refused(bus, wire, {"$type": "Move", "the label": "no"}) == [
        ("$.to", "missing", "required, but not set"),
        ("$.the label", "invalid", "the value is not valid"),
    ]
    assert [e[:2] for e in refused(bus, wire, {"$type": "Strict", "SECRET": 1})] == [
        ("$[...]", "invalid")
    ]
    assert refused(bus, wire, {"$type": "Turn", "degrees": 400}) == [
        ("$.degrees", "le", "expected a value <= 360")
    ]
    assert refused(bus, wire, {"$type": "Count", "n": 0, "tags": [1]}) == [
        ("$.n", "gt", "expected int > 0"),
        ("$.tags[0]", "type", "expected str, got int"),
    ]


@pytest.mark.parametrize("wire", WIRES)
def test_an_error_of_a_validator_that_pydantic_passes_on_is_passed_on(
    bus: CommandBus, wire: Wire
) -> None:
    with pytest.raises(KeyError, match="bug"):
        execute(bus, wire, {"$type": "Move", "to": {"x": 1}, "the label": "bug"})


class Plain:
    pass


class Holder(Command[int]):
    plain: Plain | None = None


@pytest.mark.parametrize("wire", WIRES)
def test_what_no_payload_can_become_is_a_type_error(wire: Wire) -> None:
    bus = CommandBus()
    bus.register_handler(Plain, repr)
    bus.register_handler(Holder, lambda message: 1)
    for _ in range(2):
        with pytest.raises(TypeError, match=f"{wire.format} .* into Plain: .*Struct"):
            execute(bus, wire, {"$type": "Plain"})
        assert execute(bus, wire, {"$type": "Holder"}) == 1
        with pytest.raises(TypeError, match=r"into Plain \(.*Holder\.plain\)"):
            execute(bus, wire, {"$type": "Holder", "plain": 3})


CONTAINERS = [
    (collections.deque, "deque", "list"),
    (collections.deque[int], "deque", "list"),
    (collections.OrderedDict[str, int], "OrderedDict", "dict"),
    (collections.defaultdict[str, int], "defaultdict", "dict"),
    (collections.Counter[str], "Counter", "dict"),
    (collections.ChainMap[str, int], "ChainMap", "dict"),
    (types.MappingProxyType[str, int], "mappingproxy", "dict"),
    (Callable, "Callable", "Any"),
    (Callable[[int], str], r"collections.abc.Callable\[\[int\], str\]", "Any"),
    (type[int], r"type\[int\]", "Any"),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("hint", "label", "instead"), CONTAINERS)
def test_an_annotation_without_a_form_is_the_programmers_and_hides_no_other_error(
    wire: Wire, hint: Any, label: str, instead: str
) -> None:
    fields = [("held", hint | None, None), ("many", list[hint], []), ("n", int, 0)]
    cls = msgspec.defstruct("Holding", fields)
    decode = wire.decoder(cls).decode
    assert decode(encoded(wire, {"held": None, "many": [], "n": 1})).n == 1
    for content in ({"n": "x"}, {"n": "x", "held": None}, {"n": "x", "many": []}):
        assert wire_errors(wire, cls, content) == [
            ("$.n", "type", "expected int, got str")
        ]
    for value in ([1], {"a": 1}):
        for name, content in (("held", value), ("many", [value])):
            expected = (
                rf"^{wire.format} cannot be decoded into {label} "
                rf"\(Holding\.{name}\): annotate it as .*{instead}$"
            )
            for _ in range(2):
                with pytest.raises(TypeError, match=expected):
                    decode(encoded(wire, {name: content}))


class Loose(Struct):
    some: Iterable[int] = ()
    by_call: dict[Callable[[int], str], int] = {}
    n: int = 0


@pytest.mark.parametrize("wire", WIRES)
def test_an_annotation_that_only_msgspec_reads_is_held_to_its_class(wire: Wire) -> None:
    assert wire_errors(wire, Loose, {"some": [1]}) == []
    assert [e[:2] for e in wire_errors(wire, Loose, {"some": 3, "n": "x"})] == [
        ("$.some", "type"),
        ("$.n", "type"),
    ]
    assert [e[:2] for e in wire_errors(wire, Loose, {"by_call": 3, "n": "x"})] == [
        ("$.by_call", "type"),
        ("$.n", "type"),
    ]


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Flagged(Struct):
    flags: list[Flags] = []
    n: int = 0


def test_a_flag_beyond_64_bits_is_told_with_its_place() -> None:
    assert wire_errors(JSON, Flagged, {"flags": [2**64 - 1]}) == []
    assert wire_errors(JSON, Flagged, {"flags": [1, 2**64], "n": "x"}) == [
        ("$.flags[1]", "invalid", "expected one of 1, 2"),
        ("$.n", "type", "expected int, got str"),
    ]


def test_a_key_that_hides_a_wrong_value_is_told() -> None:
    once = [("$", "invalid", "expected each key of an object once")]
    for payload in (b'{"n": "SECRET", "n": 1}', b'{"tree": {"name": 3, "name": "a"}}'):
        refusal = refusal_of(JSON.decoder(Repeating).decode, payload)
        assert refusal is not None
        assert refusal.errors == once
    assert JSON.decoder(Repeating).decode(b'{"n": 1, "n": 2}').n == 2
    long = b'{"n": "x", "n": 1, "text": "' + b"x" * 20_000 + b'"}'
    refusal = refusal_of(JSON.decoder(Repeating).decode, long)
    assert refusal is not None
    assert refusal.errors == [("$", "invalid", "the value is not valid")]


def test_a_key_that_hides_a_wrong_value_is_told_of_messagepack() -> None:
    def errors_of_keys(count: int, inner: bytes, text: str = "") -> Any:
        rest = encoded(MSGPACK, text) + b"\xa4rest" + encoded(MSGPACK, REST)
        payload = bytes([0x80 + count + 2]) + inner + b"\xa4text" + rest
        refusal = refusal_of(MSGPACK.decoder(Repeating).decode, payload)
        return refusal and refusal.errors

    once = [("$", "invalid", "expected each key of an object once")]
    assert errors_of_keys(2, b"\xa1n\xa1x\xa1n\x01") == once
    assert errors_of_keys(2, b"\xa1n\x01\xa1n\x02") is None
    long = errors_of_keys(2, b"\xa1n\xa1x\xa1n\x01", "x" * 20_000)
    assert long == [("$", "invalid", "the value is not valid")]


def test_no_key_is_told_as_repeated_that_is_not() -> None:
    class Unhashable(Struct):
        rest: Any
        unique: set[Any]

    payload = encoded(MSGPACK, {"rest": REST, "unique": [{}]})
    # msgspec 0.20 raises TypeError
    with pytest.raises((ValidationError, TypeError)) as caught:
        MSGPACK.decoder(Unhashable).decode(payload)
    assert "each key" not in str(caught.value)


class Reading(Protocol):
    read: int


@pytest.mark.parametrize("wire", WIRES)
def test_a_plain_protocol_is_told_with_its_field(wire: Wire) -> None:
    cls = msgspec.defstruct("Holding", [("held", Reading, None), ("n", int, 0)])
    with pytest.raises(TypeError, match=r"into Reading \(Holding\.held\): annotate"):
        wire.decoder(cls).decode(encoded(wire, {"held": 3}))


# One of each form that MessagePack has for a value.
REST = [
    *(None, True, 1, -1, 200, -200, 70_000, -70_000, 2**40, -(2**40), 1.5, "a"),
    *("a" * size for size in (40, 300, 70)),
    *(b"a" * size for size in (4, 300)),
    *([0] * size for size in (3, 40)),
    *({n: n for n in range(size)} for size in (3, 40)),
    {(1, (2, 3)): 4},
    *(msgspec.msgpack.Ext(1, b"a" * size) for size in (1, 2, 3, 4, 8, 16, 300)),
    dt.datetime.fromtimestamp(1.5, dt.UTC),
]


class Repeating(Struct):
    n: int = 0
    tree: Node | None = None
    text: str = ""
    rest: Any = None


class Endless(Struct):
    inner: list[Any] = []
    number: Decimal | None = None

    def __post_init__(self) -> None:
        self.__post_init__()


@pytest.mark.parametrize("wire", WIRES)
def test_a_recursion_of_user_code_is_not_told_as_nesting(wire: Wire) -> None:
    bus = CommandBus()
    bus.register_handler(Endless, lambda message: 1)
    for content in ({"$type": "Endless"}, {"$type": "Endless", "inner": [[]]}):
        with pytest.raises(RecursionError):
            execute(bus, wire, content)
    with pytest.raises(RecursionError):
        JSON.decoder(Endless).decode(b'{"number": 1e400}')


@pytest.mark.parametrize("wire", WIRES)
def test_a_caller_that_is_out_of_stack_is_not_told_of_nesting(wire: Wire) -> None:
    class Deep(Struct):
        inner: Any

    payload: Any = 1
    for _ in range(60):
        payload = [payload]
    payload = encoded(wire, {"inner": payload})
    decode = wire.decoder(Deep).decode
    outcomes = set()

    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
        else:
            decode(payload)
            wire.type_name(named)

    named = payload.replace(b"inner", b"$type")  # an array: that alone is wrong
    most = sys.getrecursionlimit()
    for levels in range(most - 200, most):
        try:
            descend(levels)
        except (RecursionError, ValidationError) as error:
            outcomes.add(str(error)[:60])
    assert not [text for text in outcomes if "nesting" in text]
    assert any("recursion" in text for text in outcomes)


class Tagged(Struct, tag="other", tag_field="$type"):
    n: int


class TaggedClosed(Struct, tag="other", forbid_unknown_fields=True):
    n: int


class TaggedThere(Struct, tag="other", tag_field="$type", forbid_unknown_fields=True):
    n: int


class TaggedByNumber(Struct, tag=3, tag_field="$type"):
    n: int


class Named(Struct, forbid_unknown_fields=True):
    name: str = msgspec.field(name="$type")
    n: int = 0


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("cls", [Tagged, TaggedClosed, TaggedThere, TaggedByNumber])
def test_a_tag_that_is_not_the_name_of_the_message_is_no_matter(
    wire: Wire, cls: Any
) -> None:
    name = cls.__name__
    bus = CommandBus()
    bus.register_handler(cls, lambda message: message.n)
    for _ in range(2):
        assert execute(bus, wire, {"$type": name, "n": 3}) == 3
        assert refused(bus, wire, {"$type": name, "n": "x"}) == [
            ("$.n", "type", "expected int, got str")
        ]


@pytest.mark.parametrize("wire", WIRES)
def test_a_closed_struct_may_have_a_field_for_the_name(wire: Wire) -> None:
    bus = CommandBus()
    bus.register_handler(Named, lambda message: [message.name, message.n])
    assert execute(bus, wire, {"$type": "Named", "n": 3}) == ["Named", 3]


@pytest.mark.parametrize("wire", WIRES)
def test_an_array_with_another_tag_than_its_name_is_a_type_error(wire: Wire) -> None:
    class Line(Struct, tag="other", array_like=True):
        n: int

    bus = CommandBus()
    bus.register_handler(Line, lambda message: message.n)
    with pytest.raises(
        TypeError, match=r"'Line', where its tag is 'other': give .*tag"
    ):
        execute(bus, wire, ["Line", 3])


@pytest.mark.parametrize("wire", WIRES)
def test_a_closed_struct_without_a_tag_takes_the_name_of_its_message(
    wire: Wire,
) -> None:
    class CloseCommand(Struct, forbid_unknown_fields=True):
        a: int

    bus = CommandBus()
    bus.register_handler(CloseCommand, lambda message: message.a)
    assert execute(bus, wire, {"$type": "Close", "a": 3}) == 3
    assert refused(bus, wire, {"$type": "Close", "b": 3}) == [
        ("$.a", "missing", "required, but not set"),
        ("$", "invalid", "expected no fields beyond the declared ones"),
    ]
