"""Structural keys: typed, complete, and made without users' code."""

from __future__ import annotations

import datetime as dt
import enum
import gc
import math
import random
import uuid
from dataclasses import InitVar, dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqrs_fast import Query
from cqrs_fast.validation.keys import Unkeyable, message_key, plan_info


class Find(Query[object]):
    a: Any = None
    b: Any = None


class Other(Query[object]):
    a: Any = None
    b: Any = None


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Size(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    RED = "red"


class Bits(enum.Flag):
    A = 1
    B = 2


class Inner(msgspec.Struct, frozen=True):
    x: Any


class Twin(msgspec.Struct, frozen=True):
    x: Any


class Loose(msgspec.Struct):
    x: Any


@dataclass(frozen=True)
class Point:
    x: Any
    y: Any = 0


@dataclass
class Movable:
    x: Any


@dataclass(slots=True)
class Tight:
    x: Any


@dataclass(frozen=True, init=False)
class Named(str):
    """What it holds lies in no field."""


class Slot:
    __slots__ = ("y",)


@dataclass
class Slotted(Slot):
    x: Any


@attrs.define
class Attrs:
    x: Any


class Model(pydantic.BaseModel, extra="allow"):
    x: Any
    _hidden: Any = pydantic.PrivateAttr()

    def secretly(self, value: Any) -> Model:
        self._hidden = value
        return self


class Roomy(msgspec.Struct, frozen=True, dict=True):
    x: Any


@dataclass(frozen=True)
class Derived:
    x: Any
    more: InitVar[Any] = None

    def __post_init__(self, more: Any) -> None:
        if more is not None:
            object.__setattr__(self, "hidden", more)

    @cached_property
    def doubled(self) -> Any:
        return [self.x, self.x]


def with_more(value: Any) -> Any:
    vars(value)["more"] = 1
    return value


class Hostile:
    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __repr__(self) -> str:
        raise AssertionError("shown")


def deep(levels: int, kind: Any = list) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = kind([value])
    return value


UTC = dt.UTC
MOMENT = dt.datetime(2024, 5, 1, 12, tzinfo=UTC)

# No two of these are the same; each is made anew by its function.
DISTINCT = [
    lambda: None,
    lambda: 0,
    lambda: 1,
    lambda: 1.0,
    lambda: True,
    lambda: False,
    lambda: 0.0,
    lambda: -0.0,
    lambda: (0.0,),
    lambda: (-0.0,),
    lambda: [0.0],
    lambda: [-0.0],
    lambda: {0.0: 1},
    lambda: {-0.0: 1},
    lambda: -1,
    lambda: 1 << 30,
    lambda: 1 << 62,
    lambda: (1 << 63) - 1,
    lambda: 1 << 63,
    lambda: (1 << 61) - 1,
    lambda: 1 << 64,
    lambda: 1 << 200,
    lambda: -(1 << 200),
    lambda: math.inf,
    lambda: -math.inf,
    lambda: "",
    lambda: "1",
    lambda: "a" + chr(0),
    lambda: "ab",
    lambda: "é",
    lambda: "e\u0301",
    lambda: "\U0001f600",
    lambda: "None",
    lambda: b"",
    lambda: b"ab",
    lambda: (),
    lambda: (1,),
    lambda: (1.0,),
    lambda: (True,),
    lambda: ((1,),),
    lambda: ((), (1,)),
    lambda: ((1,), ()),
    lambda: (1, 2),
    lambda: ("1", "2"),
    lambda: ("1,2",),
    list,
    lambda: [1],
    lambda: [1, 2],
    lambda: [2, 1],
    lambda: [[1], 2],
    lambda: [(1,), 2],
    lambda: {1},
    lambda: {1.0},
    lambda: frozenset([1]),
    lambda: {1, 2},
    lambda: {1: 2},
    lambda: {1: 2.0},
    lambda: {1: None},
    lambda: {"a": [1], "b": 2},
    lambda: {"a": [1.0], "b": 2},
    lambda: [("a", [1]), ("b", 2)],
    lambda: Color.RED,
    lambda: Color.BLUE,
    lambda: Size.ONE,
    lambda: Word.RED,
    lambda: "red",
    lambda: Bits.A,
    lambda: Bits.A | Bits.B,
    lambda: [Color.RED],
    lambda: Inner(1),
    lambda: Inner(1.0),
    lambda: Twin(1),
    lambda: Inner(Inner(1)),
    lambda: Inner([1]),
    lambda: [Inner(1)],
    lambda: Point(1),
    lambda: Point(1, 2),
    lambda: Loose(1),
    lambda: Loose([1]),
    lambda: Roomy(1),
    lambda: Movable(1),
    lambda: Movable(1.0),
    lambda: Movable(Movable(1)),
    lambda: Tight(1),
    lambda: Attrs(1),
    lambda: Attrs(2),
    lambda: Model(x=1),
    lambda: Model(x=1, y=2),
    lambda: Model(x=True),
    lambda: msgspec.UNSET,
    lambda: uuid.UUID(int=1),
    lambda: uuid.UUID(int=2),
    lambda: uuid.UUID(int=1).bytes,
    lambda: Decimal("1"),
    lambda: Decimal("1.0"),
    lambda: Decimal("1.00"),
    lambda: dt.date(2024, 5, 1),
    lambda: dt.datetime(2024, 5, 1),
    lambda: dt.datetime(2024, 5, 1, 12),
    lambda: dt.datetime(2024, 5, 1, 12, tzinfo=UTC),
    lambda: dt.datetime(2024, 5, 1, 12, fold=1),
    lambda: MOMENT.astimezone(dt.timezone(dt.timedelta(hours=2))),
    lambda: MOMENT.astimezone(ZoneInfo("Europe/Paris")),
    lambda: MOMENT.astimezone(ZoneInfo("Europe/Berlin")),
    lambda: dt.time(12),
    lambda: dt.time(12, tzinfo=UTC),
    lambda: dt.timedelta(days=1),
    lambda: dt.timedelta(seconds=1),
]

NO_KEY = [
    object,
    Hostile,
    lambda: [Hostile()],
    lambda: {"a": Hostile()},
    lambda: math.nan,
    lambda: (math.nan,),
    lambda: [math.nan],
    lambda: Decimal("nan"),
    lambda: bytearray(b"a"),
    lambda: range(3),
    lambda: int,
    lambda: with_more(Movable(1)),
    lambda: with_more(Roomy(1)),
    lambda: Derived(1, 2),
    lambda: Model(x=1).secretly(2),
    lambda: Named("a"),
    lambda: Slotted(1),
    lambda: type("Text", (str,), {})("a"),
    lambda: type("Number", (int,), {})(1),
    lambda: type("Row", (tuple,), {})((1,)),
    lambda: dt.datetime(2024, 5, 1, tzinfo=type("Zone", (dt.tzinfo,), {})()),
    lambda: deep(9),
    lambda: deep(9, tuple),
    lambda: list(range(600)),
    lambda: tuple(range(600)),
    lambda: ("x" * 5000,),
    lambda: ["x" * 5000],
    lambda: [1 << 40000],
]


def test_values_that_differ_in_type_or_content_never_share_a_key() -> None:
    keys: dict[Any, int] = {}
    for index, make in enumerate(DISTINCT):
        key = message_key(Find(make()))
        assert keys.setdefault(key, index) == index, (make(), keys[key])
        assert message_key(Find(None, make())) != key or make() is None
        assert message_key(Other(make())) != key


@pytest.mark.parametrize("make", DISTINCT)
def test_values_that_are_made_alike_share_a_key(make: Any) -> None:
    one, other = message_key(Find(make(), 7)), message_key(Find(make(), 7))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize("make", NO_KEY)
def test_what_cannot_be_compared_by_content_has_no_key(make: Any) -> None:
    with pytest.raises(Unkeyable):
        message_key(Find(make()))
    with pytest.raises(Unkeyable):
        message_key(Find(), make())


def test_the_last_depth_and_weight_that_fit_are_keys() -> None:
    for value in (deep(8), deep(8, tuple), "x" * 100_000, tuple(range(500)), 1 << 9999):
        assert message_key(Find(value)) == message_key(Find(value))


def test_order_matters_only_where_a_value_has_one() -> None:
    assert message_key(Find({"a": 1, "b": 2})) == message_key(Find({"b": 2, "a": 1}))
    numbers = list(range(50))
    backwards = {*numbers[::-1]}
    assert message_key(Find(set(numbers))) == message_key(Find(backwards))
    assert message_key(Find([1, 2])) != message_key(Find([2, 1]))


@pytest.mark.parametrize("make", DISTINCT)
def test_scopes_never_mix(make: Any) -> None:
    scope = make()
    key = message_key(Find(1), scope)
    for other in DISTINCT:
        same = other is make
        assert (message_key(Find(1), other()) == key) is same
    assert message_key(Find(2), scope) != key


def test_a_frozen_key_does_not_follow_its_message() -> None:
    items = [1]
    before = message_key(Find(items))
    items.append(2)
    assert message_key(Find(items)) != before
    assert message_key(Find([1])) == before


def test_cache_key_stands_for_the_fields() -> None:
    class ById(Query[object]):
        id: int
        trace: Any = None

        def cache_key(self) -> object:
            return self.id

    class Unusable(Query[object]):
        def cache_key(self) -> object:
            return object()

    assert message_key(ById(1, Hostile())) == message_key(ById(1, 2))
    assert message_key(ById(1)) != message_key(ById(2))
    with pytest.raises(Unkeyable):
        message_key(Unusable())


@pytest.mark.parametrize(
    "kind", [Point, Movable, Tight, Attrs, Loose, lambda x: Model(x=x)]
)
def test_whatever_declares_fields_is_a_message(kind: Any) -> None:
    assert message_key(kind([2])) == message_key(kind([2]))
    assert message_key(kind(1)) != message_key(kind(1.0))
    message = kind([2])
    key = message_key(message)
    message.x.append(3)
    assert key == message_key(kind([2])) != message_key(message)


def test_what_is_worked_out_of_the_fields_does_not_count() -> None:
    asked = Derived(1)
    assert asked.doubled == [1, 1]
    assert message_key(asked) == message_key(Derived(1))


def test_a_plain_object_is_no_message() -> None:
    class Plain:
        pass

    class Child(Movable):
        pass

    for message in (Plain(), Child(1)):
        with pytest.raises(Unkeyable):
            message_key(message)


def test_a_plan_tells_what_is_cacheable_and_goes_with_its_class() -> None:
    class Never(Query[object]):
        cacheable: ClassVar[bool] = False
        a: int = 0

    class Asked(Query[object]):
        cacheable: bool = True

    assert plan_info(Never) == (True, False, ("a",))
    assert plan_info(Asked) == (True, True, ("cacheable",))
    for _ in range(100):
        made = type("Made", (Query,), {"__annotations__": {"n": int}, "n": 0})
        assert plan_info(made)[2] == ("n",)
        del made
        gc.collect(0)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 2),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, -1.0]),
    st.text(max_size=4),
    st.sampled_from(["1", "|", ":", ",", "\x00", "a|b", "é"]),
    st.binary(max_size=3),
    st.sampled_from(Color),
    st.sampled_from([Size.ONE]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        inner.map(Inner),
    ),
    max_leaves=6,
)


def written(value: Any) -> str:
    """Tell a value so that no two different ones look alike: the oracle."""
    kind = type(value).__name__
    if isinstance(value, enum.Enum):
        return f"{kind}.{value.name}"
    if isinstance(value, dict):
        items = sorted(written(k) + "=" + written(v) for k, v in value.items())
        return f"{kind}{items}"
    if isinstance(value, list | tuple):
        return f"{kind}{[written(item) for item in value]}"
    if isinstance(value, Inner):
        return f"{kind}({written(value.x)})"
    return f"{kind}({value!r})"


@settings(max_examples=500, deadline=None)
@given(VALUES, VALUES, VALUES, VALUES)
def test_keys_are_equal_exactly_when_scope_and_fields_are(
    a: Any, b: Any, scope: Any, other: Any
) -> None:
    same = written(a) == written(b)
    assert (message_key(Find(a)) == message_key(Find(b))) is same
    assert (message_key(Find(a, b)) == message_key(Find(b, a))) is same
    mixed = written(scope) == written(other)
    assert (message_key(Find(a), scope) == message_key(Find(a), other)) is mixed


def random_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([0, 1, -1, 2, 1 << 40, rng.getrandbits(70)])
    if kind == 1:
        return rng.choice([0.0, -0.0, 1.0, 2.0, -1.0, 0.5, float(1 << 40)])
    if kind == 2:
        return rng.choice([True, False, None])
    if kind == 3:
        return "".join(rng.choices("ab1|:,\x00é\U0001f600", k=rng.randrange(4)))
    if kind == 4:
        return rng.choice([b"", b"a", b"ab", b"1"])
    if kind == 5:
        return rng.choice(list(Color))
    items = [random_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 6:
        return items
    if kind == 7:
        return tuple(items)
    return Inner(items)


def check_pairs(count: int, seed: int) -> None:
    rng = random.Random(seed)
    keys: dict[Any, str] = {}
    texts: dict[str, Any] = {}
    for _ in range(count):
        principal, a, b = (random_value(rng) for _ in range(3))
        key = message_key(Find(a, b), principal)
        text = f"{written(principal)} {written(a)} {written(b)}"
        assert keys.setdefault(key, text) == text
        assert texts.setdefault(text, key) == key


def test_many_pairs_of_principal_and_query_keep_apart() -> None:
    check_pairs(100_000, seed=17)


@pytest.mark.slow
def test_a_million_pairs_of_principal_and_query_keep_apart() -> None:
    check_pairs(1_000_000, seed=18)
