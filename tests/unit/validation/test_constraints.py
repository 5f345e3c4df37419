"""What a compiled check says of messages that were built in Python."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import tracemalloc
import uuid
from collections import OrderedDict, UserList
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
)

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from cqrs_fast.errors import ValidationError
from cqrs_fast.validation.constraints import MessageCheck, compile_check

T = TypeVar("T")
UserId = NewType("UserId", Annotated[int, Meta(ge=1)])


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Foreign:
    pass


class Point(Struct):
    x: int
    y: Annotated[int, Meta(ge=0)] = 0


class Row(Struct, array_like=True, tag="row"):
    a: int
    b: int


class Renamed(Struct, rename="camel"):
    long_name: int


class Pair(NamedTuple):
    left: int
    right: str


class Options(TypedDict):
    size: int
    name: NotRequired[str]


@dataclass
class Data:
    n: Annotated[int, Meta(ge=1)]
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SlottedData:
    n: int


@attrs.define
class Attrs:
    n: int


class Page(Struct, Generic[T]):
    items: list[T]


class IntPage(Page[int]):
    extra: str = ""


class Tree(Struct):
    children: list[Tree] = []
    parent: Tree | None = None


class Text(str):
    pass


UTC = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
NAIVE = dt.datetime(2020, 1, 1)
BIG = 2**80


def check_of(annotation: Any) -> MessageCheck | None:
    return compile_check(msgspec.defstruct("Message", [("f", annotation)]))


def errors_in(annotation: Any, value: Any) -> list[tuple[str, str]]:
    cls = msgspec.defstruct("Message", [("f", annotation)])
    check = compile_check(cls)
    assert check is not None
    return [(path, code) for path, code, _ in check.errors_of(cls(value))]


VALID = [
    (int, 5),
    (int, BIG),
    (int, Level.LOW),
    (float, 1),
    (float, 1.5),
    (float, math.nan),
    (Annotated[float, Meta(multiple_of=0.5)], 1.5),
    (Annotated[float, Meta(ge=0)], 10**400),
    (str, Text("x")),
    (Annotated[str, Meta(min_length=2, max_length=2)], "\U0001f600e"),
    (Annotated[str, Meta(pattern="b")], "abc"),
    (bytes, b"x"),
    (bytearray, bytearray(b"x")),
    (memoryview, memoryview(b"x")),
    (bool, True),
    (None, None),
    (Any, Foreign()),
    (Literal["a", 1, None], 1),
    (Literal["a", 1, None], None),
    (Color, Color.RED),
    (int | None, None),
    (int | str, "x"),
    (list[int] | set[int], {1}),
    (list[int], [1, 2]),
    (list, [object()]),
    (set[int], {1}),
    (frozenset[int], frozenset({1})),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[int, str], (1, "a")),
    (tuple[()], ()),
    (dict[str, int], {"a": 1}),
    (dict[str, int], OrderedDict(a=1)),
    (Sequence[int], (1, 2)),
    (Sequence[int], range(3)),
    (Mapping[str, int], {"a": 1}),
    (Set[int], frozenset({1})),
    (Point, Point(1)),
    (Data, Data(1)),
    (SlottedData, SlottedData(1)),
    (Attrs, Attrs(1)),
    (Pair, Pair(1, "a")),
    (Options, {"size": 1}),
    (Page[int], Page([1])),
    (dt.datetime, NAIVE),
    (Annotated[dt.datetime, Meta(tz=True)], UTC),
    (Annotated[dt.datetime, Meta(tz=False)], NAIVE),
    (dt.date, dt.date(2020, 1, 1)),
    (Annotated[dt.time, Meta(tz=False)], dt.time(1)),
    (dt.timedelta, dt.timedelta(1)),
    (uuid.UUID, uuid.UUID(int=1)),
    (decimal.Decimal, decimal.Decimal(1)),
    (msgspec.Raw, msgspec.Raw(b"1")),
    (msgspec.msgpack.Ext, msgspec.msgpack.Ext(1, b"")),
    (int | UnsetType, UNSET),
    (Foreign, Foreign()),
    (Foreign | int, 1),
    (UserId, 1),
    (Annotated[int, Meta(ge=-BIG, le=BIG)], BIG),
    (Annotated[int | None, Meta(ge=1)], None),
]

INVALID = [
    (int, "1", "$.f", "type"),
    (int, True, "$.f", "type"),
    (int, 1.0, "$.f", "type"),
    (int, UNSET, "$.f", "type"),
    (float, True, "$.f", "type"),
    (float, "1", "$.f", "type"),
    (str, b"x", "$.f", "type"),
    (bytes, bytearray(b"x"), "$.f", "type"),
    (bool, 1, "$.f", "type"),
    (None, 0, "$.f", "type"),
    (Annotated[int, Meta(ge=1)], 0, "$.f", "ge"),
    (Annotated[int, Meta(ge=1)], -BIG, "$.f", "ge"),
    (Annotated[int, Meta(gt=1)], 1, "$.f", "gt"),
    (Annotated[int, Meta(le=1)], 2, "$.f", "le"),
    (Annotated[int, Meta(lt=1)], 1, "$.f", "lt"),
    (Annotated[int, Meta(lt=1)], BIG, "$.f", "lt"),
    (Annotated[int, Meta(ge=BIG)], BIG - 1, "$.f", "ge"),
    (Annotated[int, Meta(gt=2**63 - 1)], 2**63 - 1, "$.f", "gt"),
    (Annotated[int, Meta(multiple_of=3)], 4, "$.f", "multiple_of"),
    (Annotated[int, Meta(multiple_of=3)], 3 * BIG + 1, "$.f", "multiple_of"),
    (Annotated[int | None, Meta(ge=1)], 0, "$.f", "ge"),
    (Annotated[float, Meta(ge=0)], -0.5, "$.f", "ge"),
    (Annotated[float, Meta(gt=0)], 0, "$.f", "gt"),
    (Annotated[float, Meta(le=0)], 1, "$.f", "le"),
    (Annotated[float, Meta(lt=0)], 10**400, "$.f", "lt"),
    (Annotated[float, Meta(lt=0)], math.nan, "$.f", "lt"),
    (Annotated[float, Meta(ge=0)], math.nan, "$.f", "ge"),
    (Annotated[float, Meta(gt=0)], math.nan, "$.f", "gt"),
    (Annotated[float, Meta(le=0)], math.nan, "$.f", "le"),
    (Annotated[float, Meta(multiple_of=0.5)], 1.2, "$.f", "multiple_of"),
    (Annotated[float, Meta(multiple_of=0.5)], 10**400, "$.f", "multiple_of"),
    (Annotated[float, Meta(ge=2.0**53)], 2**53 - 1, "$.f", "ge"),
    (Annotated[str, Meta(min_length=2)], "x", "$.f", "min_length"),
    (Annotated[str, Meta(max_length=2)], "xyz", "$.f", "max_length"),
    (Annotated[str, Meta(max_length=2, pattern="q")], "xyz", "$.f", "max_length"),
    (Annotated[str, Meta(pattern="^b")], "ab", "$.f", "pattern"),
    (Annotated[bytes, Meta(min_length=2)], b"x", "$.f", "min_length"),
    (Annotated[list[int], Meta(min_length=2)], [1], "$.f", "min_length"),
    (Annotated[dict[str, int], Meta(max_length=0)], {"a": 1}, "$.f", "max_length"),
    (Literal["a", 1], "b", "$.f", "invalid"),
    (Literal["a", 1], True, "$.f", "type"),
    (Literal["a", 1], 1.0, "$.f", "type"),
    (Color, "red", "$.f", "type"),
    (int | None, "x", "$.f", "type"),
    (Annotated[int, Meta(ge=1)] | str, 0, "$.f", "ge"),
    (list[int], (1,), "$.f", "type"),
    (list[int], [1, "a"], "$.f[1]", "type"),
    (set[int], {"a"}, "$.f[0]", "type"),
    (frozenset[int], frozenset({"a"}), "$.f[0]", "type"),
    (tuple[int, ...], (1, "a"), "$.f[1]", "type"),
    (tuple[int, str], (1,), "$.f", "type"),
    (tuple[int, str], (1, 2), "$.f[1]", "type"),
    (dict[str, int], {"a": "b"}, "$.f[...]", "type"),
    (dict[str, int], {1: 1}, "key in $.f", "type"),
    (dict[tuple[int, str], int], {(1, 2): 1}, "key[1] in $.f", "type"),
    (list[dict[str, list[int]]], [{"a": [None]}], "$.f[0][...][0]", "type"),
    (Sequence[str], "abc", "$.f", "type"),
    (Sequence[str], UserList([1]), "$.f[0]", "type"),
    (Mapping[str, int], MappingProxyType({"a": "b"}), "$.f[...]", "type"),
    (Mapping[str, int], [("a", 1)], "$.f", "type"),
    (Point, Point("a"), "$.f.x", "type"),
    (Point, {"x": 1}, "$.f", "type"),
    (list[Point], [Point(1), Point(1, -1)], "$.f[1].y", "ge"),
    (Row, Row(1, "a"), "$.f[2]", "type"),
    (Renamed, Renamed("a"), "$.f.longName", "type"),
    (Data, Data(0), "$.f.n", "ge"),
    (SlottedData, SlottedData("a"), "$.f.n", "type"),
    (Attrs, Attrs("a"), "$.f.n", "type"),
    (Pair, Pair(1, 2), "$.f[1]", "type"),
    (Pair, (1, "a"), "$.f", "type"),
    (Options, {"size": "a"}, "$.f.size", "type"),
    (Options, {}, "$.f.size", "missing"),
    (Options, {"size": 1, "name": 2}, "$.f.name", "type"),
    (Page[int], Page(["a"]), "$.f.items[0]", "type"),
    (IntPage, IntPage(["a"]), "$.f.items[0]", "type"),
    (Annotated[dt.datetime, Meta(tz=True)], NAIVE, "$.f", "tz"),
    (Annotated[dt.datetime, Meta(tz=False)], UTC, "$.f", "tz"),
    (Annotated[dt.time, Meta(tz=True)], dt.time(1), "$.f", "tz"),
    (dt.datetime, "2020-01-01", "$.f", "type"),
    (uuid.UUID, "x", "$.f", "type"),
    (decimal.Decimal, 1, "$.f", "type"),
    (Foreign, 1, "$.f", "type"),
    (UserId, 0, "$.f", "ge"),
]


@pytest.mark.parametrize(("annotation", "value"), VALID)
def test_a_value_of_the_annotated_type_is_valid(annotation: Any, value: Any) -> None:
    cls = msgspec.defstruct("Message", [("f", annotation), ("g", int)])
    check = compile_check(cls)
    assert check is not None
    assert check.errors_of(cls(value, 1)) == []


@pytest.mark.parametrize(("annotation", "value", "path", "code"), INVALID)
def test_a_wrong_value_is_told_by_path_and_code(
    annotation: Any, value: Any, path: str, code: str
) -> None:
    assert errors_in(annotation, value) == [(path, code)]


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (Annotated[int, Meta(ge=1)], 0, "expected int >= 1"),
        (Annotated[str, Meta(max_length=1)], "ab", "expected str of length <= 1"),
        (int, "secret", "expected int, got str"),
        (int | None, "secret", "expected int | None, got str"),
        (Literal["a", "b"], "secret", "expected one of 'a', 'b'"),
        (Annotated[str, Meta(pattern="^a")], "s", "expected str matching regex '^a'"),
        (
            Annotated[int, Meta(multiple_of=2)],
            3,
            "expected int that is a multiple of 2",
        ),
        (tuple[int, int], (1,), "expected tuple of length 2"),
        (
            Annotated[dt.time, Meta(tz=True)],
            dt.time(1),
            "expected time with a timezone",
        ),
    ],
)
def test_the_text_says_what_was_expected(
    annotation: Any, value: Any, text: str
) -> None:
    cls = msgspec.defstruct("Message", [("f", annotation)])
    check = compile_check(cls)
    assert check is not None
    assert [error[2] for error in check.errors_of(cls(value))] == [text]


@pytest.mark.parametrize(
    "annotation", [Any, object, Any | int, TypeVar("T"), list[Any] | Any]
)
def test_a_class_that_cannot_be_wrong_has_no_check(annotation: Any) -> None:
    assert check_of(annotation) is None


def test_an_unset_field_is_missing() -> None:
    check = compile_check(Point)
    assert check is not None
    point = Point(1)
    del point.x
    assert check.errors_of(point) == [("$.x", "missing", "required, but not set")]


def test_a_message_of_another_class_is_no_message() -> None:
    check = compile_check(Point)
    assert check is not None
    assert check.errors_of(3) == [("$", "type", "expected Point, got int")]


def test_a_subclass_is_read_by_the_check_of_its_base() -> None:
    class Deep(Point):
        z: int = 0

    check = compile_check(Point)
    assert check is not None
    assert check.errors_of(Deep(1, -1, "z"))[0][:2] == ("$.y", "ge")


def test_errors_stop_at_the_limit() -> None:
    cls = msgspec.defstruct("Many", [("f", list[int])])
    check = compile_check(cls)
    assert check is not None
    many = cls(["x"] * 100)
    assert len(check.errors_of(many)) == 32
    assert check.errors_of(many, 2) == [
        ("$.f[0]", "type", "expected int, got str"),
        ("$.f[1]", "type", "expected int, got str"),
    ]
    with pytest.raises(ValueError, match="max_errors must be at least 1, got 0"):
        check.errors_of(many, 0)


def test_a_cycle_ends_with_an_error_instead_of_a_crash() -> None:
    check = compile_check(Tree)
    assert check is not None
    tree = Tree()
    tree.children = [tree, tree, tree]
    tree.parent = tree
    errors = check.errors_of(tree)
    assert len(errors) == 32
    assert {code for _, code, _ in errors} == {"invalid"}


class Link(Struct):
    next: Link | None = None


@pytest.mark.parametrize(("depth", "codes"), [(64, []), (65, ["invalid"])])
def test_sixty_four_levels_of_nesting_are_accepted(
    depth: int, codes: list[str]
) -> None:
    check = compile_check(Link)
    assert check is not None
    link = Link()
    for _ in range(depth - 1):
        link = Link(link)
    assert [code for _, code, _ in check.errors_of(link)] == codes


class Booking(Struct):
    first: int
    last: int

    def validate(self) -> None:
        if self.last < self.first:
            raise ValueError("last lies before first")


def test_validate_runs_after_the_fields_and_its_text_is_kept() -> None:
    check = compile_check(Booking)
    assert check is not None
    assert check.errors_of(Booking(1, 2)) == []
    assert check.errors_of(Booking(2, 1)) == [
        ("$", "invalid", "last lies before first")
    ]
    assert [path for path, _, _ in check.errors_of(Booking("x", 1))] == ["$.first"]


def test_validate_may_raise_errors_of_its_own() -> None:
    class Own(Struct):
        error: Any

        def validate(self) -> None:
            raise self.error

    check = compile_check(Own)
    assert check is not None
    own = [("$.a", "ge", "one"), ("$.b", "le", "two")]
    assert check.errors_of(Own(ValidationError(own))) == own
    assert check.errors_of(Own(ValidationError(own)), 1) == own[:1]
    problem = KeyError("k")
    with pytest.raises(KeyError) as caught:
        check.errors_of(Own(problem))
    assert caught.value is problem


class Plain:
    def __init__(self, ok: bool) -> None:
        self.ok = ok

    def validate(self) -> None:
        if not self.ok:
            raise ValueError("not ok")


def test_a_plain_class_has_only_its_validate() -> None:
    check = compile_check(Plain)
    assert check is not None
    assert check.errors_of(Plain(True)) == []
    assert check.errors_of(Plain(False)) == [("$", "invalid", "not ok")]


class Static:
    @staticmethod
    def validate(x: Any) -> None:
        raise ValueError


class Class:
    @classmethod
    def validate(cls) -> None:
        raise ValueError


class More:
    def validate(self, other: Any) -> None:
        raise ValueError


class Async:
    async def validate(self) -> None:
        raise ValueError


class Attribute:
    validate = 3


class Model(pydantic.BaseModel):
    x: int


@pytest.mark.parametrize("cls", [Static, Class, More, Async, Attribute, Model, object])
def test_only_a_method_of_self_alone_is_a_validator(cls: type) -> None:
    assert compile_check(cls) is None


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        ("Nowhere", "Lost.f: cannot resolve the annotation 'Nowhere'"),
        ("list[Nowhere]", "Lost.f: cannot resolve the annotation 'list"),
        (Annotated[str, Meta(ge=1)], "Lost.f: the constraint 'ge' has no meaning for"),
        (Annotated[Any, Meta(ge=1)], "Lost.f: the constraint 'ge' has no meaning for"),
        (
            Annotated[str | None, Meta(ge=1)],
            "Lost.f: the constraint 'ge' has no meaning for",
        ),
        (
            Annotated[Annotated[int, Meta(ge=1)], Meta(ge=2)],
            "Lost.f: two values for the constraint 'ge'",
        ),
    ],
)
def test_a_bad_annotation_is_refused_with_its_place(annotation: Any, text: str) -> None:
    class Lost:
        pass

    Lost.__qualname__ = "Lost"
    Lost.__annotations__ = {"ok": int, "f": annotation}
    with pytest.raises(TypeError) as caught:
        compile_check(dataclass(Lost))
    assert str(caught.value).startswith(text)
    if "resolve" in text:
        assert isinstance(caught.value.__cause__, NameError)


def test_a_check_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match=r"compile_check\(cls\)"):
        MessageCheck()


class Warm(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    age: Annotated[int, Meta(ge=0, le=200)]
    score: Annotated[float, Meta(ge=0)]
    points: list[Point]
    by_name: dict[str, int]
    seen: set[int]
    at: Annotated[dt.datetime, Meta(tz=True)]
    pair: tuple[int, str]
    kind: Literal["a", "b"]
    color: Color
    maybe: int | str | None
    data: Data
    sequence: Sequence[int]

    def validate(self) -> None:
        pass


@pytest.mark.alone
def test_a_valid_message_is_checked_without_allocating() -> None:
    check = compile_check(Warm)
    assert check is not None
    errors_of = check.errors_of
    message = Warm(
        "n", 1, 1.5, [Point(1), Point(2)], {"a": 1}, {1, 2}, UTC, (1, "a"),
        "b", Color.RED, "x", Data(1, ["t"]), (1, 2),
    )  # fmt: skip

    def peak(call: Any) -> int:
        for _ in range(20):
            call(message)
        tracemalloc.start()
        try:
            call(message)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(200):
                call(message)
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

    assert errors_of(message) == []
    # errors_of makes one empty list; nothing else may be made
    assert peak(errors_of) <= peak(lambda m: [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
ORACLE = [
    int,
    float,
    str,
    bool,
    int | None,
    int | str,
    Annotated[int, Meta(ge=0, lt=100)],
    Annotated[int, Meta(multiple_of=3)],
    Annotated[float, Meta(gt=0, multiple_of=0.5)],
    Annotated[str, Meta(min_length=1, max_length=2, pattern="a|b|c")],
    Annotated[list[Annotated[int, Meta(ge=1)] | None], Meta(max_length=2)],
    dict[Annotated[str, Meta(max_length=1)], float | str],
    list[dict[str, list[bool]]],
    Literal["a", 1, None],
]


@pytest.mark.parametrize("annotation", ORACLE)
@settings(max_examples=150, deadline=None)
@given(value=VALUES)
def test_verdict_and_path_are_those_of_msgspec(annotation: Any, value: Any) -> None:
    cls = msgspec.defstruct("Message", [("f", annotation)])
    check = compile_check(cls)
    assert check is not None
    paths = [path for path, _, _ in check.errors_of(cls(value))]
    refused_at = msgspec_path(value, cls)
    if has_whole_float(value):
        return  # msgspec takes 1.0 for an int; nothing is coerced here
    assert (refused_at in paths) if refused_at else paths == []


def msgspec_path(value: Any, cls: Any) -> str | None:
    try:
        msgspec.convert({"f": value}, cls)
    except msgspec.ValidationError as error:
        return str(error).rpartition(" - at ")[2].replace("`", "")
    return None


def has_whole_float(value: Any) -> bool:
    """Tell whether msgspec would read some float as an int: we do not."""
    if isinstance(value, dict):
        return any(has_whole_float(item) for item in value.values())
    if isinstance(value, list):
        return any(has_whole_float(item) for item in value)
    return isinstance(value, float) and value.is_integer()


@settings(max_examples=200, deadline=None)
@given(
    secret=st.text("XYZ", min_size=8, max_size=20), annotation=st.sampled_from(ORACLE)
)
def test_no_text_holds_a_value(secret: str, annotation: Any) -> None:
    cls = msgspec.defstruct("Message", [("f", annotation), ("g", annotation)])
    check = compile_check(cls)
    assert check is not None
    for value in (secret, [secret], {secret: secret}, {secret: [{secret: secret}]}):
        assert secret not in repr(check.errors_of(cls(value, value)))
