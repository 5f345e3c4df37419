"""Values that are not what they claim to be, or change while they are looked at."""

from __future__ import annotations

import abc
import dataclasses
import datetime as dt
import enum
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypedDict
from unittest.mock import Mock

import msgspec
import pytest
from msgspec import Meta, Struct
from support import run_script

from cqrs_fast import Query
from cqrs_fast.validation import annotations, keys
from cqrs_fast.validation.checks import Node
from cqrs_fast.validation.constraints import compile_check
from cqrs_fast.validation.containers import (
    ArrayNode,
    LinkNode,
    MappingNode,
    TupleNode,
    UnionNode,
)
from cqrs_fast.validation.keys import Unkeyable, message_key, plan_info
from cqrs_fast.validation.record_nodes import Field, RecordNode
from cqrs_fast.validation.scalars import (
    BytesNode,
    InstanceNode,
    IntNode,
    MomentNode,
    NumberNode,
)


def errors_of(annotation: Any, value: Any) -> list[tuple[str, str, str]]:
    cls = msgspec.defstruct("Message", [("f", annotation)])
    check = compile_check(cls)
    assert check is not None
    return check.errors_of(cls(value))


# ---- what isinstance accepts


@dataclasses.dataclass(slots=True)
class Address:
    street: str
    city: str
    zip: str
    country: str


class Point(Struct):
    x: int
    y: int


class Pair(NamedTuple):
    left: int
    right: int


class Options(TypedDict):
    deep: int


class Claim:
    """Something that isinstance takes for another class; its fields are attributes."""

    def __init__(self, cls: type, **fields: object) -> None:
        self.__dict__.update(fields)
        self.cls = cls

    @property
    def __class__(self) -> type:  # type: ignore[override]  # that is the point
        return self.cls


def test_a_mock_of_a_slotted_dataclass_is_read_by_attributes() -> None:
    mock = Mock(spec=Address)
    paths = [path for path, _, _ in errors_of(Address, mock)]
    assert paths == ["$.f.street", "$.f.city", "$.f.zip", "$.f.country"]
    mock.street = mock.city = mock.zip = mock.country = "x"
    assert errors_of(Address, mock) == []


@pytest.mark.parametrize(
    ("cls", "fields", "path"),
    [
        (Address, {"street": "", "city": "", "zip": 1, "country": ""}, "$.f.zip"),
        (Point, {"x": 1, "y": "2"}, "$.f.y"),
        (Pair, {"left": 1, "right": "2"}, "$.f[1]"),
    ],
)
def test_what_claims_to_be_a_record_is_read_by_attributes(
    cls: type, fields: dict[str, Any], path: str
) -> None:
    errors = errors_of(cls, Claim(cls, **fields))
    assert [(path, code) for path, code, _ in errors] == [(path, "type")]
    del fields[next(iter(fields))]
    assert errors_of(cls, Claim(cls, **fields))[0][1] == "missing"


def test_what_claims_to_be_a_typed_dict_is_none() -> None:
    expected = [("$.f", "type", "expected Options, got Claim")]
    assert errors_of(Options, Claim(dict, deep=1)) == expected
    assert errors_of(Options | None, Claim(dict, deep=1))[0][1] == "type"


def test_a_registered_class_is_read_by_attributes() -> None:
    slotted = dataclasses.make_dataclass("Slotted", ["x"], slots=True, bases=(abc.ABC,))
    slotted.__annotations__["x"] = int
    Other = type("Other", (), {"x": "one"})
    slotted.register(Other)  # type: ignore[attr-defined]  # ABCMeta gives it
    assert errors_of(slotted, Other())[0][:2] == ("$.f.x", "type")
    Other.x = 1  # type: ignore[attr-defined]
    assert errors_of(slotted, Other()) == []


Aware = Annotated[dt.datetime, Meta(tz=True)]
AwareTime = Annotated[dt.time, Meta(tz=True)]


@pytest.mark.parametrize(("hint", "cls"), [(Aware, dt.datetime), (AwareTime, dt.time)])
def test_what_claims_to_be_a_moment_tells_its_zone_itself(hint: Any, cls: type) -> None:
    assert errors_of(hint, Claim(cls, tzinfo=dt.UTC)) == []
    assert errors_of(hint, Claim(cls, tzinfo=None))[0][:2] == ("$.f", "tz")
    assert errors_of(hint, Claim(cls))[0][:2] == ("$.f", "tz")
    assert errors_of(hint, Mock(spec=cls)) == []  # its tzinfo is a Mock


class FakeMeta(type):
    """As freezegun does: the class that stands in for datetime accepts the real one."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, dt.datetime)


class FakeDatetime(dt.datetime, metaclass=FakeMeta):
    pass


REAL = dt.datetime


@pytest.fixture
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datetime.datetime", FakeDatetime)


@pytest.mark.usefixtures("_frozen")
def test_moments_are_checked_while_another_class_stands_for_datetime() -> None:
    hint = Annotated[REAL, Meta(tz=True)]
    moment = REAL(2026, 1, 1, tzinfo=dt.UTC)
    assert errors_of(hint, moment) == []
    assert errors_of(hint, FakeDatetime(2026, 1, 1, tzinfo=dt.UTC)) == []
    assert errors_of(hint, moment.replace(tzinfo=None))[0][1] == "tz"
    assert MomentNode(FakeDatetime, True).label == "FakeDatetime"
    assert annotations.ALLOWED[REAL] == ("tz",)


def test_keys_are_made_while_another_class_stands_for_datetime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Since(Query[int]):
        moment: Any

    moment, fake = REAL(2026, 1, 1), FakeDatetime(2026, 1, 1)
    before = message_key(Since(moment))
    with pytest.raises(Unkeyable):
        message_key(Since(fake))
    monkeypatch.setattr(keys.datetime, "datetime", FakeDatetime)
    assert message_key(Since(moment)) == before == message_key(Since(fake))


# ---- what changes while it is looked at

CHANGING = """
from collections import OrderedDict
from typing import Annotated, Any
from msgspec import Meta
from cqrs_fast import Query, QueryBus, ValidationError, ValidationMiddleware

Low = Annotated[int, Meta(ge=-10, lt=-5)]
store: Any = None
clear: Any = None

class Sly(int):
    def __ge__(self, other):
        clear()
        junk = [bytes(40 + n) for n in range(64)]
        return True
    def __lt__(self, other):
        clear()
        return False
    def __hash__(self):
        return 5

class Holder(Query[int]):
    a: Low
    b: Low
    c: Any = None

class Values(Query[int]):
    f: HINT

bus = QueryBus(middleware=[ValidationMiddleware()])
bus.register_handler(Values, lambda query: 1)
bus.register_handler(Holder, lambda query: 1)
for number in range(200):
    MAKE
    try:
        bus.execute(message)
    except ValidationError:
        pass
print("sound")
"""

CHANGES = {
    "set[Low]": """
    store = {Sly(1 << 70)}
    clear = store.clear
    message = Values(store)
    """,
    "list[Low]": """
    store = [Sly(1 << 70), Sly(1 << 70), Sly(1 << 70)]
    clear = store.clear
    message = Values(store)
    """,
    "list[Low | list[Low]]": """
    store = [Sly(1 << 70), [Sly(1 << 70)]]
    clear = store.clear
    message = Values(store)
    """,
    "dict[Low, Low]": """
    store = {Sly(1 << 70): Sly(1 << 71)}
    clear = store.clear
    message = Values(store)
    """,
    "dict[Low, list[Low]]": """
    store = {Sly(1 << 70): [Sly(1 << 71)]}
    clear = store.clear
    message = Values(store)
    """,
    "tuple[list[Low], Low]": """
    inner = [Sly(1 << 70)]
    clear = inner.clear
    message = Values((inner, Sly(1 << 70)))
    del inner
    """,
    "int": """
    message = Holder(Sly(1 << 70), Sly(1 << 71), [bytes(100)])
    def clear(message=message):
        Holder.a.__set__(message, -7)
        Holder.b.__set__(message, -7)
        Holder.c.__set__(message, None)
    """,
}


@pytest.mark.parametrize("hint", CHANGES)
def test_what_comparisons_empty_is_held_while_it_is_checked(hint: str) -> None:
    make = CHANGES[hint].strip()
    script = CHANGING.replace("HINT", hint).replace("MAKE", make)
    assert run_script(script) == "sound\n"


def test_a_set_that_grows_while_it_is_checked_ends() -> None:
    numbers: set[int] = set()

    class Growing(int):
        def __lt__(self, other: object) -> bool:
            if len(numbers) < 1000:
                numbers.update(range(len(numbers) * 2, len(numbers) * 2 + 40))
            return True

    numbers.add(Growing(1 << 70))
    bounded = Annotated[int, Meta(lt=1 << 80)]
    assert errors_of(set[bounded], numbers) == []


def test_a_list_that_holds_itself_is_too_deep() -> None:
    loop: list[Any] = []
    loop.append(loop)

    class Branch(Struct):
        items: list[Branch] = []  # msgspec copies it

    Branch.__annotations__["items"] = list[Branch]
    branch = Branch()
    branch.items.append(branch)
    expected = "expected at most 64 levels of nesting"
    assert [text for _, _, text in errors_of(Branch, branch)] == [expected]
    with pytest.raises(Unkeyable, match="a key is at most 8 containers deep"):
        message_key(msgspec.defstruct("M", ["f"], frozen=True)(loop))


# ---- places that are not where a class has them


def test_the_slot_of_another_class_is_read_as_an_attribute() -> None:
    class Far:
        __slots__ = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")

    @dataclasses.dataclass
    class Near:
        j: int

    Near.j = Far.j  # type: ignore[attr-defined]
    near = Near.__new__(Near)
    with pytest.raises(TypeError, match="doesn't apply to a 'Near' object"):
        errors_of(Near, near)


def test_the_slot_of_another_class_makes_no_key() -> None:
    class Far(Query[int]):
        a: int
        b: int
        c: int

    class Near(Query[int]):
        a: int

    Near.a = Far.c
    assert plan_info(Near)[0] is False
    assert plan_info(Far)[0] is True


def test_a_deleted_field_of_a_stored_key_is_no_match() -> None:
    script = """
from cqrs_fast import CachingMiddleware, Query, QueryBus

class Find(Query[int]):
    a: int
    b: str

calls = []
bus = QueryBus(middleware=[CachingMiddleware()])
bus.register_handler(Find, lambda query: calls.append(1) or len(calls))
stored = Find(1, "some text")
assert bus.execute(stored) == bus.execute(Find(1, "some " + "text")) == 1
Find.b.__delete__(stored)
print(bus.execute(Find(1, "".join(["some ", "text"]))))
"""
    assert run_script(script) == "2\n"


class Bits(enum.Flag):
    A = 1
    B = 2


def test_what_claims_to_be_a_flag_makes_no_key() -> None:
    class Turning:
        __class__ = Bits  # type: ignore[assignment]

        @property
        def _value_(self) -> object:
            return self

    class Find(Query[int]):
        a: Any

    with pytest.raises(Unkeyable, match="no key can be made of a Turning"):
        message_key(Find(Turning()))
    with pytest.raises(Unkeyable, match="no key can be made of a Mock"):
        message_key(Find(Mock(spec=Bits.A)))


def test_a_flag_whose_value_is_itself_is_too_deep() -> None:
    class Round(enum.Flag):
        A = 1

    class Find(Query[int]):
        a: Any

    Round.A._value_ = Round.A  # type: ignore[assignment]
    with pytest.raises(Unkeyable, match="a key is at most 8 containers deep"):
        message_key(Find(Round.A))


# ---- nodes


def slotted_field() -> Field:
    field = Field("street", "street", None, True, False)
    field.read_from_slot(Address.street)  # type: ignore[attr-defined]
    return field


def test_a_field_is_read_from_a_member_alone() -> None:
    field = Field("a", "a", None, True, False)
    with pytest.raises(TypeError, match="expected a member descriptor, got 1"):
        field.read_from_slot(1)
    with pytest.raises(ValueError, match="index must be 0 or more, got -1"):
        field.read_from_tuple(-1)


def test_a_record_takes_the_fields_of_its_class_once() -> None:
    record = RecordNode(Point, "Point")
    for wrong in (None, slotted_field()):
        with pytest.raises(TypeError, match="reads no field of Point"):
            record.fill([wrong])  # type: ignore[list-item]
    right = RecordNode(Address, "Address")
    right.fill([slotted_field()])
    with pytest.raises(RuntimeError, match="the fields of Address are set already"):
        right.fill([])


@pytest.mark.parametrize(
    "make",
    [
        lambda: InstanceNode(3),  # type: ignore[arg-type]
        lambda: BytesNode(3),  # type: ignore[arg-type]
        lambda: MomentNode(3, True),  # type: ignore[arg-type]
        lambda: ArrayNode(3, None),  # type: ignore[arg-type]
        lambda: MappingNode(3, None, None),  # type: ignore[arg-type]
        lambda: RecordNode(3, "3"),  # type: ignore[arg-type]
    ],
)
def test_a_node_is_made_for_a_class(make: Callable[[], Node]) -> None:
    with pytest.raises(TypeError, match="expected a class, got 3"):
        make()


def test_nodes_are_made_of_nodes() -> None:
    with pytest.raises(TypeError, match="expected a Node, got None"):
        UnionNode([IntNode(), None])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        TupleNode([3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="NumberNode objects are made by the library"):
        NumberNode()


def test_a_link_is_set_once() -> None:
    link = LinkNode("Tree")
    assert link.target is None
    link.lead_to(IntNode())
    with pytest.raises(RuntimeError, match="the target of Tree is set already"):
        link.lead_to(link)
    assert isinstance(link.target, IntNode)


@pytest.mark.parametrize("items", [["x"], [None, "x"]])
def test_a_tuple_takes_nodes_and_none_alone(items: list[Any]) -> None:
    TupleNode([None, IntNode()])
    with pytest.raises(TypeError, match="expected a Node or None, got"):
        TupleNode(items)
