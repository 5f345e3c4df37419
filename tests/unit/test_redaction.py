"""Redaction: what is hidden, bounded and escaped in texts for people."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import gc
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, NamedTuple, NewType, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from cqrs_fast.messages import Command, Secret, T
from cqrs_fast.redaction import masked_repr, redact, secret_fields

Pin = NewType("Pin", Secret[str])


class Color(enum.Enum):
    RED = "hunter2"


class Struct(msgspec.Struct):
    login: str
    value: Secret[str]


@dataclass
class Data:
    login: str
    value: Secret[str]
    hidden: str = field(default="hunter2", repr=False)


@attrs.define
class Attrs:
    login: str
    value: Secret[str]


class Model(pydantic.BaseModel):
    login: str
    value: Secret[str]


class Named(NamedTuple):
    login: str
    value: Secret[str]


class Typed(TypedDict):
    login: str
    value: Secret[str]


RECORDS = [Struct, Data, Attrs, Model, Named]


class Holder(msgspec.Struct):
    item: Any


class Everything(msgspec.Struct):
    plain: str
    direct: Secret[str]
    optional: Secret[int] | None
    items: list[Secret[str]]
    mapping: dict[str, tuple[Secret[bytes], ...]]
    constrained: Annotated[Secret[str], Meta(min_length=8)]
    renewed: Pin
    typed: Typed
    record: Struct
    forward: list["Secret[str]"]  # noqa: UP037  # the quotes are the point


def test_secret_fields_are_found_at_any_depth_of_a_type() -> None:
    expected = {*Everything.__struct_fields__} - {"plain", "record"}
    assert secret_fields(Everything) == expected


@pytest.mark.parametrize("cls", [*RECORDS, Typed])
def test_secret_fields_of_every_kind_of_record(cls: type) -> None:
    assert secret_fields(cls) == {"value"}


def test_secret_fields_of_annotations_without_a_meaning_are_all_fields() -> None:
    class Odd(msgspec.Struct):
        a: int
        b: NoSuchName  # type: ignore[name-defined]  # noqa: F821  # the point

    assert secret_fields(Odd) == {"a", "b"}
    assert masked_repr(Odd(1, 2)) == "Odd(a='***', b='***')"


def test_secret_fields_keep_no_class_alive() -> None:
    cls: Any = msgspec.defstruct("Gone", [("a", Secret[str]), ("b", int)])
    assert secret_fields(cls) == {"a"}
    reference = weakref.ref(cls)
    del cls
    gc.collect()
    assert reference() is None


def test_a_secret_type_argument_is_found_through_the_bases() -> None:
    class Box(msgspec.Struct, Generic[T]):
        item: T
        size: int = 1

    class SecretBox(Box[Secret[str]]):
        pass

    class OpenBox(Box[str]):
        pass

    assert secret_fields(SecretBox) == {"item"}
    assert secret_fields(OpenBox) == secret_fields(Box) == frozenset()


def test_a_type_argument_that_cannot_be_resolved_masks_the_field() -> None:
    class Box(msgspec.Struct, Generic[T]):
        item: T
        size: int = 1

    class OddBox(Box["NoSuchName"]):  # type: ignore[name-defined]  # the point
        pass

    assert masked_repr(OddBox("hunter2")) == "OddBox(item='***', size=1)"


class Link(Command[None]):
    value: Any
    next: Any = None


def test_the_repr_of_messages_in_one_another_takes_no_exponential_time() -> None:
    chain = Link(1)
    for _ in range(60):
        chain = Link(1, chain)
    assert repr(chain).count("Link(value=1") == 61
    assert repr(Link(Struct("ann", "hunter2"), chain)).count("'***'") == 1


def test_the_annotation_of_a_callable_is_no_obstacle() -> None:
    class Calls(msgspec.Struct):
        call: Callable[[int, str], None] | None
        any_call: Callable[..., None] | None = None

    assert masked_repr(Calls(None)) == "Calls(call=None, any_call=None)"


# masked_repr


@pytest.mark.parametrize("cls", RECORDS)
def test_the_masked_repr_is_the_repr_with_secrets_masked(cls: Any) -> None:
    record = cls(login="ann", value="hunter2")
    text = f"{cls.__name__}(login='ann', value='***')"
    assert masked_repr(record) == text
    assert masked_repr(Holder([record])) == f"Holder(item=[{text}])"


@pytest.mark.parametrize(
    "value",
    [
        1,
        "a\n",
        None,
        [1, [2]],
        {"a": (1,)},
        {1},
        set(),
        frozenset(),
        collections.OrderedDict(a=1),
        collections.deque([1]),
        datetime.date(2020, 1, 1),
        Color.RED,
        int,
        range(3),
    ],
    ids=repr,
)
def test_the_masked_repr_of_what_holds_no_secret_is_its_repr(value: Any) -> None:
    assert masked_repr(value) == repr(value)
    assert masked_repr(Holder(value)) == repr(Holder(value))


@pytest.mark.parametrize(
    ("wrap", "text"),
    [
        (lambda x: [x], "[@]"),
        (lambda x: (x,), "(@,)"),
        (lambda x: (x, 1), "(@, 1)"),
        (lambda x: {"a": x}, "{'a': @}"),
        (lambda x: collections.deque([x]), "deque([@])"),
        (lambda x: collections.UserDict(a=x), "UserDict({'a': @})"),
        (lambda x: types.MappingProxyType({"a": x}), "mappingproxy({'a': @})"),
        (lambda x: {Named(*x)}, "{@}"),
        (lambda x: frozenset([Named(*x)]), "frozenset({@})"),
    ],
)
def test_the_masked_repr_looks_into_containers(wrap: Any, text: str) -> None:
    record = Named("ann", "hunter2")
    expected = text.replace("@", "Named(login='ann', value='***')")
    assert masked_repr(wrap(record)) == expected


def test_the_masked_repr_ends_on_cycles_and_depth() -> None:
    cycle: list[Any] = [Struct("ann", "hunter2")]
    cycle.append(cycle)
    assert masked_repr(cycle) == "[Struct(login='ann', value='***'), ...]"
    deep: Any = Struct("ann", "hunter2")
    for _ in range(2000):
        deep = [deep]
    assert masked_repr(deep).strip("[]") == "..."


class Unreadable(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("hunter2")

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "hunter2"


def test_a_container_that_cannot_be_read_shows_only_its_class() -> None:
    assert masked_repr(Holder(Unreadable())) == "Holder(item=<Unreadable>)"
    assert redact(Holder(Unreadable())) == "Holder(item=<Unreadable>)"


# redact


@pytest.mark.parametrize("cls", RECORDS)
def test_redact_hides_secret_fields_and_what_a_class_keeps_to_itself(cls: Any) -> None:
    text = redact([cls(login="ann", value="hunter2")])
    assert "hunter2" not in text
    assert f"{cls.__name__}(login='ann', value='***'" in text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "userPassword",
        "API_TOKEN",
        "client_secret",
        "Authorization",
        "Set-Cookie",
        "CARD_number",
    ],
)
def test_redact_hides_by_name(name: str) -> None:
    for value in (
        {name: "hunter2"},
        {name.encode(): "hunter2"},
        {"a": [{name: {"b": "hunter2"}}]},
        [(name, "hunter2")],
        [[name.encode(), "hunter2"]],
    ):
        assert "hunter2" not in redact(value)
        assert "'***'" in redact(value)
    if name.isidentifier():
        cls = msgspec.defstruct("Named", [(name, str), ("other", int)])
        assert redact(cls("hunter2", 1)) == f"Named({name}='***', other=1)"


def test_redact_cuts_each_value() -> None:
    text = redact({"a": "x" * 500, "b": b"y" * 500, "c": list(range(500)), "d": 1})
    assert "x" * 200 in text
    assert "x" * 201 not in text
    assert "y" * 201 not in text
    assert len(text) < 700
    assert text.endswith("'d': 1}")
    assert redact("x" * 20, limit=10) == "'xxxxxxxxxx'..."


def test_redact_bounds_the_size_of_everything() -> None:
    wide = {f"k{i}": ["x" * 10**6] * 1000 for i in range(1000)}
    assert len(redact(wide)) < 64 * 300
    assert len(redact([wide] * 100)) < 64 * 300
    assert "... 936 more" in redact(wide)
    assert redact(10**10_000) == "<int of 33220 bits>"
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert "..." in redact(deep)
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    assert redact(cycle) == "{'self': ...}"


@given(st.text())
def test_redact_escapes_what_could_forge_a_line(text: str) -> None:
    for value in (text, {text: 1}, [text], Holder(text)):
        assert redact(value).isprintable()


def test_redact_escapes_the_name_of_a_class() -> None:
    assert redact(type("A\nB", (), {})()) == "<A\\nB>"


class Loud:
    def __repr__(self) -> str:
        raise AssertionError("redact must not run this")

    __str__ = __repr__


class LoudText(str):
    __slots__ = ()

    def __repr__(self) -> str:
        raise AssertionError("redact must not run this")


class LoudZone(datetime.tzinfo):
    def utcoffset(self, dt: datetime.datetime | None) -> None:
        return None

    def dst(self, dt: datetime.datetime | None) -> None:
        return None

    def tzname(self, dt: datetime.datetime | None) -> None:
        return None

    def __repr__(self) -> str:
        raise RuntimeError("hunter2")


@dataclass
class LoudProperty:
    @property
    def login(self) -> str:
        raise RuntimeError("hunter2")


LoudProperty.__dataclass_fields__ = Data.__dataclass_fields__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Loud(), "<Loud>"),
        (LoudText("hunter2"), "<LoudText>"),
        (datetime.datetime(2020, 1, 1, tzinfo=LoudZone()), "<datetime>"),
        (LoudProperty(), "<LoudProperty>"),
        (Struct, "<StructMeta>"),
        (ValueError("hunter2"), "<ValueError>"),
        (Color.RED, "Color.RED"),
        (True, "True"),
        (1.5, "1.5"),
        (decimal.Decimal(1), "Decimal('1')"),
        (datetime.date(2020, 1, 1), "datetime.date(2020, 1, 1)"),
        (range(3), "<range>"),
        ({1}, "{1}"),
        ({1: 2}, "{1: 2}"),
        ((1,), "(1,)"),
        (set(), "set()"),
    ],
)
def test_redact_writes_scalars_and_only_the_class_of_the_rest(
    value: Any, text: str
) -> None:
    assert redact(value) == text


def test_redact_of_a_message_shows_its_fields() -> None:
    class Pay(Command[None]):
        to: str
        card: str

    assert redact(Pay("ann", "hunter2")) == "Pay(to='ann', card='***')"
