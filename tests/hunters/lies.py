"""What liars.py is made of: classes to lie about, ways to lie, containers, tricks."""

import abc
import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from unittest.mock import MagicMock, Mock

import msgspec
from msgspec import Meta

UTC = datetime.UTC


@dataclasses.dataclass(slots=True)
class Slotted:
    a: str
    b: int
    c: list[int]
    d: str = ""


@dataclasses.dataclass
class Plain:
    a: str
    b: int = 0


@dataclasses.dataclass(slots=True)
class Abstract(abc.ABC):
    a: str
    b: int = 0


class Record(msgspec.Struct):
    a: str
    b: int
    c: list[int]
    d: Annotated[str, Meta(max_length=9)] = ""


class Frozen(msgspec.Struct, frozen=True, gc=False):
    a: int
    b: str


class Tagged(msgspec.Struct, tag=True, array_like=True):
    a: int


class Pair(NamedTuple):
    a: int
    b: str


class Typed(TypedDict, total=False):
    a: int
    b: str


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Number(enum.IntEnum):
    ONE = 1


class Flagged(enum.Flag):
    ONE = 1
    TWO = 2


class Kind(NamedTuple):
    """A class to lie about: its annotation, itself, and how a true one is made."""

    annotation: Any
    cls: type[Any]
    make: Callable[[], Any]


def at_least(annotation: Any, least: Any) -> Any:
    return Annotated[annotation, Meta(ge=least)]


KINDS: dict[str, Kind] = {
    "struct": Kind(Record, Record, lambda: Record("a", 1, [1])),
    "frozen-struct": Kind(Frozen, Frozen, lambda: Frozen(1, "b")),
    "tagged-struct": Kind(Tagged, Tagged, lambda: Tagged(1)),
    "slotted-dataclass": Kind(Slotted, Slotted, lambda: Slotted("a", 1, [1])),
    "dataclass": Kind(Plain, Plain, lambda: Plain("a")),
    "abstract": Kind(Abstract, Abstract, lambda: Abstract("a")),
    "namedtuple": Kind(Pair, Pair, lambda: Pair(1, "b")),
    "typeddict": Kind(Typed, dict, lambda: {"a": 1, "b": "b"}),
    "datetime": Kind(
        datetime.datetime, datetime.datetime, lambda: datetime.datetime(2020, 1, 1)
    ),
    "aware": Kind(
        Annotated[datetime.datetime, Meta(tz=True)],
        datetime.datetime,
        lambda: datetime.datetime(2020, 1, 1, tzinfo=UTC),
    ),
    "date": Kind(datetime.date, datetime.date, lambda: datetime.date(2020, 1, 1)),
    "time": Kind(datetime.time, datetime.time, lambda: datetime.time(1, 2)),
    "naive-time": Kind(
        Annotated[datetime.time, Meta(tz=False)],
        datetime.time,
        lambda: datetime.time(1, 2),
    ),
    "timedelta": Kind(
        datetime.timedelta, datetime.timedelta, lambda: datetime.timedelta(1)
    ),
    "uuid": Kind(uuid.UUID, uuid.UUID, lambda: uuid.UUID(int=1)),
    "decimal": Kind(decimal.Decimal, decimal.Decimal, lambda: decimal.Decimal(1)),
    "enum": Kind(Colour, Colour, lambda: Colour.RED),
    "intenum": Kind(Number, Number, lambda: Number.ONE),
    "flag": Kind(Flagged, Flagged, lambda: Flagged.ONE),
    "list": Kind(list[int], list, lambda: [1, 2]),
    "dict": Kind(dict[str, int], dict, lambda: {"a": 1}),
    "set": Kind(set[int], set, lambda: {1, 2}),
    "frozenset": Kind(frozenset[int], frozenset, lambda: frozenset({1})),
    "tuple": Kind(tuple[int, ...], tuple, lambda: (1, 2)),
    "fixed-tuple": Kind(tuple[int, str], tuple, lambda: (1, "b")),
    "int": Kind(at_least(int, 0), int, lambda: 1),
    "float": Kind(at_least(float, 0.0), float, lambda: 1.0),
    "str": Kind(Annotated[str, Meta(max_length=9, pattern="a")], str, lambda: "a"),
    "bytes": Kind(Annotated[bytes, Meta(max_length=9)], bytes, lambda: b"a"),
    "bytearray": Kind(bytearray, bytearray, lambda: bytearray(b"a")),
    "memoryview": Kind(memoryview, memoryview, lambda: memoryview(b"a")),
    "bool": Kind(bool, bool, lambda: True),
    "none": Kind(None, type(None), lambda: None),
    "raw": Kind(msgspec.Raw, msgspec.Raw, lambda: msgspec.Raw(b"1")),
}


# Ways to lie: each makes an object that isinstance takes for one of the class, if any


def by_class_attribute(kind: Kind) -> Any:
    class Liar:
        __class__ = property(lambda self: kind.cls)  # type: ignore[assignment]
        __slots__ = ()

    return Liar()


def with_its_attributes(kind: Kind) -> Any:
    """Lie, and have what the class has, of other kinds."""

    class Liar:
        __class__ = property(lambda self: kind.cls)  # type: ignore[assignment]

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return 1

        def __iter__(self) -> Iterator[Any]:
            return iter((1, "b"))

        def __len__(self) -> int:
            return 1 << 20

        def __getitem__(self, key: Any) -> Any:
            return self

        def __hash__(self) -> int:
            return 1

        def items(self) -> Any:
            return [("a", 1), ("b",), 3]

        def keys(self) -> Any:
            return ["a", 1]

    return Liar()


def hashable_mock(kind: Kind) -> Any:
    return Mock(spec=kind.cls)


def magic_mock(kind: Kind) -> Any:
    return MagicMock(spec=kind.make())


def registered(kind: Kind) -> Any:
    class Other:
        __slots__ = ("a",)

    register = getattr(kind.cls, "register", None)
    if register is None:
        raise TypeError
    register(Other)
    return Other()


def by_metaclass(kind: Kind) -> Any:
    """A class of the true one's layout whose metaclass takes anything for its own."""

    class Meta(type(kind.cls)):  # type: ignore[misc]
        def __instancecheck__(cls, one: object) -> bool:
            return True

    Meta("Sub", (kind.cls,), {})
    return object()


def without_init(kind: Kind) -> Any:
    return kind.cls.__new__(kind.cls)


def subclass_without_init(kind: Kind) -> Any:
    class Sub(kind.cls):  # type: ignore[misc]
        pass

    return Sub.__new__(Sub)


def bare_object(kind: Kind) -> Any:
    return object.__new__(kind.cls)


def wrong_length(kind: Kind) -> Any:
    """A tuple of the class, shorter than its fields."""
    if not issubclass(kind.cls, tuple):
        raise TypeError
    return tuple.__new__(kind.cls, ())


def without_fields(kind: Kind) -> Any:
    one = kind.make()
    for name in ("a", "b", "c", "int", "_value_", "is_safe"):
        try:
            object.__delattr__(one, name)
        except (AttributeError, TypeError):
            continue
    return one


def another_class(kind: Kind) -> Any:
    """An object whose class was exchanged."""

    class Sub(kind.cls):  # type: ignore[misc]
        pass

    class Other(kind.cls):  # type: ignore[misc]
        a = property(lambda self: self)  # type: ignore[assignment]
        b = None

    one = Sub.__new__(Sub)
    one.__class__ = Other
    return one


def lying_subclass(kind: Kind) -> Any:
    """A true subclass whose methods answer nonsense."""

    class Sub(kind.cls):  # type: ignore[misc]
        def __len__(self) -> int:
            return 1 << 30

        def __iter__(self) -> Iterator[Any]:
            return iter((object(), 1))

        def __getitem__(self, key: Any) -> Any:
            return self

        def items(self) -> Any:
            return [1, (2,), ("a", "b", "c")]

        def keys(self) -> Any:
            return iter("zz")

        def __eq__(self, other: object) -> Any:
            return []

        def __ge__(self, other: object) -> Any:
            return "yes"

        def __lt__(self, other: object) -> Any:
            return self

        def __hash__(self) -> int:
            return -2

        def utcoffset(self) -> Any:
            return 5

        def __float__(self) -> Any:
            return "1"

        def __index__(self) -> Any:
            return "1"

    return Sub(*arguments_of(kind))


def arguments_of(kind: Kind) -> tuple[Any, ...]:
    if kind.cls is datetime.datetime or kind.cls is datetime.date:
        return (2020, 1, 1)
    if issubclass(kind.cls, enum.Enum):
        raise TypeError
    if kind.cls in (Record, Slotted):
        return ("a", 1, [1])
    if kind.cls in (Frozen, Pair):
        return (1, "b")
    if kind.cls in (Plain, Abstract, Tagged):
        return ("a",)
    if kind.cls is uuid.UUID:
        return ("00000000-0000-0000-0000-000000000001",)
    return (kind.make(),)


def raising(kind: Kind) -> Any:
    class Liar:
        @property
        def __class__(self) -> Any:  # type: ignore[override]
            raise LookupError("nobody's")

    return Liar()


def changing(kind: Kind) -> Any:
    """Say another class each time it is asked."""

    class Liar:
        asked = 0

        @property
        def __class__(self) -> Any:  # type: ignore[override]
            Liar.asked += 1
            return kind.cls if Liar.asked % 2 else int

    return Liar()


LIARS: dict[str, Callable[[Kind], Any]] = {
    "class-attribute": by_class_attribute,
    "its-attributes": with_its_attributes,
    "mock": hashable_mock,
    "magic-mock": magic_mock,
    "registered": registered,
    "metaclass": by_metaclass,
    "no-init": without_init,
    "subclass-no-init": subclass_without_init,
    "bare": bare_object,
    "wrong-length": wrong_length,
    "no-fields": without_fields,
    "another-class": another_class,
    "lying-subclass": lying_subclass,
    "raising": raising,
    "changing": changing,
}

# Where the liar stands: an annotation of an annotation, a value of a value
WRAPPERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "plain": (lambda one: one, lambda one: one),
    "list": (lambda one: list[one], lambda one: [one, one]),
    "optional": (lambda one: one | None, lambda one: one),
    "union": (lambda one: one | int | str, lambda one: one),
    "values": (lambda one: dict[str, one], lambda one: {"a": one}),
    "keys": (lambda one: dict[one, int], lambda one: {one: 1}),
    "set": (lambda one: set[one], lambda one: {one}),
    "tuple": (lambda one: tuple[one, ...], lambda one: (one,)),
    "fixed": (lambda one: tuple[int, one], lambda one: (1, one)),
    "deep": (lambda one: list[dict[str, list[one]]], lambda one: [{"a": [one]}]),
}


# Containers that change while they are walked


class Container(NamedTuple):
    """An annotation, how an empty one is made with what ruins it, how to add to it."""

    annotation: Any
    make: Callable[[], tuple[Any, Callable[[int], None]]]
    add: Callable[[Any, Any], Any]


def ruined(make: Callable[[], Any], *ways: Callable[[Any], Any]) -> Any:
    """Make a container, and a function that ruins it in one of several ways."""

    def made() -> tuple[Any, Callable[[int], None]]:
        value = make()

        def ruin(round: int) -> None:
            ways[round % len(ways)](value)
            [bytes(40 + size) for size in range(64)]

        return value, ruin

    return made


GUARDED = at_least(int, -10)


def grow_list(value: list[Any]) -> None:
    value.extend(range(1000, 1100))


def grow_set(value: set[Any]) -> None:
    value.update(range(1000, 1100))


def grow_dict(value: dict[Any, Any]) -> None:
    value.update({number: number for number in range(1000, 1100)})


def replace_all(value: Any) -> None:
    value[:] = [bytearray(9) for _ in value]


def swap_values(value: dict[Any, Any]) -> None:
    for key in list(value):
        value[key] = bytearray(9)


def put(value: Any, item: Any) -> None:
    value[item] = item


def put_value(value: Any, item: Any) -> None:
    value[f"key {len(value)}"] = item


class Fields(msgspec.Struct):
    a: Annotated[int, Meta(ge=-10, lt=-5)] | list[int] = 0
    b: Any = None


@dataclasses.dataclass(slots=True)
class SlottedFields:
    a: GUARDED = 0
    b: GUARDED = 0


def forget_fields(value: Any) -> None:
    value.a = value.b = bytearray(9)


def delete_fields(value: Any) -> None:
    for name in ("a", "b"):
        if hasattr(value, name):
            delattr(value, name)


def set_fields(value: Any, item: Any) -> None:
    value.a = value.b = item


list_ways = (list.clear, list.pop, grow_list, replace_all)
set_ways = (set.clear, set.pop, grow_set)
dict_ways = (dict.clear, dict.popitem, grow_dict, swap_values)

CONTAINERS: dict[str, Container] = {
    "list": Container(list[GUARDED], ruined(list, *list_ways), list.append),
    "list-of-any": Container(list[Any], ruined(list, *list_ways), list.append),
    "bare-list": Container(list, ruined(list, *list_ways), list.append),
    "literals": Container(
        list[Literal[1, 5, "a"]], ruined(list, *list_ways), list.append
    ),
    "numbers": Container(list[Number], ruined(list, *list_ways), list.append),
    "union-items": Container(
        list[GUARDED | str | None], ruined(list, *list_ways), list.append
    ),
    "few": Container(
        Annotated[list[GUARDED], Meta(max_length=50)],
        ruined(list, *list_ways),
        list.append,
    ),
    "set": Container(set[GUARDED], ruined(set, *set_ways), set.add),
    "bare-set": Container(set, ruined(set, *set_ways), set.add),
    "set-of-literals": Container(set[Literal[1, 5]], ruined(set, *set_ways), set.add),
    "keys": Container(dict[GUARDED, Any], ruined(dict, *dict_ways), put),
    "values": Container(dict[str, GUARDED], ruined(dict, *dict_ways), put_value),
    "both": Container(dict[GUARDED, GUARDED], ruined(dict, *dict_ways), put),
    "bare-dict": Container(dict, ruined(dict, *dict_ways), put),
    "struct": Container(
        Fields, ruined(Fields, forget_fields, delete_fields), set_fields
    ),
    "slotted": Container(
        SlottedFields, ruined(SlottedFields, forget_fields, delete_fields), set_fields
    ),
    "any": Container(Any, ruined(list, *list_ways), list.append),
    "bytearray": Container(
        Any, ruined(bytearray, bytearray.clear), lambda value, item: value.append(1)
    ),
}


def sly(base: type[Any], value: Any, ruin: Callable[[int], None], round: int) -> Any:
    """An object that ruins its container when it is compared, hashed or looked at."""

    class Sly(base):  # type: ignore[misc]
        armed = False

        def strike(self) -> None:
            if Sly.armed:
                ruin(round)

        def __ge__(self, other: object) -> bool:
            self.strike()
            return True

        def __gt__(self, other: object) -> bool:
            self.strike()
            return True

        def __lt__(self, other: object) -> bool:
            self.strike()
            return False

        def __le__(self, other: object) -> bool:
            self.strike()
            return True

        def __eq__(self, other: object) -> bool:
            self.strike()
            return self is other

        def __hash__(self) -> int:
            self.strike()
            return 5

        def __len__(self) -> int:
            self.strike()
            return 1

        def __iter__(self) -> Iterator[Any]:
            self.strike()
            yield 1
            self.strike()

        def __float__(self) -> float:
            self.strike()
            return 1.0

        def __index__(self) -> int:
            self.strike()
            return 1

        def __repr__(self) -> str:
            self.strike()
            return "sly"

    one = Sly(value) if value is not None else Sly()
    return one, Sly


def sly_items(base: type[Any], value: Any) -> Callable[[Any, int], Iterator[Any]]:
    def items(ruin: Callable[[int], None], round: int) -> Iterator[Any]:
        made = [sly(base, value, ruin, round) for _ in range(3)]
        for one, _ in made:
            yield one
        for _, cls in made:
            cls.armed = True

    return items


def asking_items(ruin: Callable[[int], None], round: int) -> Iterator[Any]:
    """Items that strike when their class is asked for."""
    armed = [False]

    class Sly:
        @property
        def __class__(self) -> Any:  # type: ignore[override]
            if armed[0]:
                ruin(round)
            return int

        def __hash__(self) -> int:
            return 5

    yield Sly()
    yield Sly()
    armed[0] = True


def dying_items(ruin: Callable[[int], None], round: int) -> Iterator[Any]:
    """Items that strike when they are freed."""

    class Sly(int):
        def __del__(self) -> None:
            ruin(round)

    yield Sly(1 << 70)
    yield Sly(5)


TRICKS: dict[str, Callable[[Callable[[int], None], int], Iterator[Any]]] = {
    "big-int": sly_items(int, 1 << 70),
    "int": sly_items(int, 5),
    "str": sly_items(str, "a"),
    "float": sly_items(float, 5.0),
    "object": sly_items(object, None),
    "list": sly_items(list, [1]),
    "tuple": sly_items(tuple, (1,)),
    "decimal": sly_items(decimal.Decimal, 1),
    "asking": asking_items,
    "dying": dying_items,
}
