"""Messages to measure with: made from the types of their fields, or from a file."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import math
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from cqrs_fast.buses.registrations import Registration
from cqrs_fast.cli.lines import LineReader, open_input
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.target import told
from cqrs_fast.errors import HandlerNotFoundError, ValidationError
from cqrs_fast.payloads.decoding import Payloads
from cqrs_fast.payloads.wire import JSON

MOST_DEPTH = 16
MOST_LENGTH = 64  # of a string that is tried against a pattern
LETTERS = "a0A1-_"
WORDS = (
    "a@b.co",
    "http://a.co",
    "127.0.0.1",
    "1970-01-01",
    "+10000000000",
    "EUR",
    "A-1",
    "a-1",
    "A1",
    "a1",
    str(uuid.UUID(int=0)),
)


class NoExample(Exception):
    """There is no telling what a field may hold."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


def read_messages(
    path: str, registered: Iterable[Registration], limit: int
) -> list[Any]:
    """Decode JSON lines with a `$type`, as `cqrs-fast dispatch` does. Raises Problem.

    Parameters:
        limit: how many bytes a line may have.
    """
    classes: dict[str, type | None] = {
        one.name: one.message_class for one in registered if one.message_class
    }
    payloads = Payloads(JSON, classes, limit)
    messages = []
    for number, payload in lines_of(path, limit):
        here = f"{path}, line {number}"
        if payload is None:
            raise Problem(f"{here}: longer than {limit} bytes")
        try:
            messages.append(payloads.decode(payload))
        except HandlerNotFoundError as error:
            known = ", ".join(sorted(classes))
            raise Problem(
                f"{here}: no class for {error.name!r}; there are {known}"
            ) from None
        except (ValidationError, TypeError) as error:
            raise Problem(f"{here}: {error}") from None
    if not messages:
        raise Problem(f"{path} has no messages")
    return messages


def lines_of(path: str, limit: int) -> Iterator[tuple[int, bytes | None]]:
    with contextlib.closing(open_input(path)) as file:
        reader = LineReader(file, limit)
        while (lines := reader.read()) is not None:
            for line in lines:
                yield line.number, line.payload


def example_messages(
    registered: Iterable[Registration],
) -> tuple[list[Any], list[str]]:
    """Return one message of each class, and why there is none of the others."""
    messages, missing = [], []
    for one in registered:
        if one.message_class is None:
            missing.append(f"{one.name}: registered by name alone, without a class")
            continue
        try:
            messages.append(example_of(one.message_class))
        except NoExample as error:
            missing.append(str(error))
    return messages, missing


def example_of(cls: type) -> Any:
    """Return the smallest valid instance of a class.

    Fields with a default have it; of the others, numbers are as near to 0 and texts and
    collections as short as their constraints allow. Raises NoExample.
    """
    name = cls.__name__
    try:
        fields = smallest(inspect.type_info(cls), name, 0)
        return msgspec.convert(fields, cls)
    except NoExample:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        # msgspec's ValidationError is a ValueError; a __post_init__ may raise it too.
        raise NoExample(name, str(error)) from None
    except Exception as error:  # or anything else
        raise NoExample(name, told(error)) from None


def smallest(kind: Any, path: str, depth: int) -> Any:
    """Return what converts to the smallest value of a type."""
    if depth > MOST_DEPTH:
        raise NoExample(path, "it contains itself without an end")
    if isinstance(kind, inspect.Metadata):
        return smallest(kind.type, path, depth)
    for types, make in MAKERS:
        if isinstance(kind, types):
            return make(kind, path, depth + 1)
    told = getattr(kind, "cls", type(kind)).__name__
    raise NoExample(path, f"no example of the type {told} can be made")


def number(kind: Any, path: str, integral: bool) -> Any:
    """Return the number nearest to 0 within bounds."""
    step = 1 if integral else 0.5
    low, high = kind.ge, kind.le
    if kind.gt is not None:
        low = kind.gt + step
    if kind.lt is not None:
        high = kind.lt - step
    if not integral and low is not None and high is not None and low > high:
        low = high = (low + high) / 2  # both bounds excluded, and near each other
    value = max(0, low) if low is not None else 0
    if high is not None:
        value = min(value, high)
    if kind.multiple_of is not None:
        away = math.ceil if value >= 0 else math.floor
        value = away(value / kind.multiple_of) * kind.multiple_of
    within = (low is None or value >= low) and (high is None or value <= high)
    if not within:
        raise NoExample(path, "no number is within its bounds")
    return value


def integer(kind: inspect.IntType, path: str, depth: int) -> Any:
    return number(kind, path, True)


def floating(kind: Any, path: str, depth: int) -> Any:
    return number(kind, path, False)


def text(kind: inspect.StrType, path: str, depth: int) -> str:
    shortest = kind.min_length or 0
    if kind.pattern is None:
        return LETTERS[0] * shortest
    most = min(kind.max_length or MOST_LENGTH, shortest + MOST_LENGTH)
    same = (letter * n for n in range(shortest, most + 1) for letter in LETTERS)
    for candidate in (*same, *WORDS):
        if shortest <= len(candidate) <= most and re.search(kind.pattern, candidate):
            return candidate
    raise NoExample(path, f"no text was found that matches {kind.pattern!r}")


def items(kind: Any, path: str, depth: int) -> Any:
    count = kind.min_length or 0
    if count == 0:
        return []
    if count > 1 and isinstance(kind, (inspect.SetType, inspect.FrozenSetType)):
        raise NoExample(path, f"a set of {count} different values is not made up")
    return [smallest(kind.item_type, f"{path}[]", depth)] * count


def mapping(kind: inspect.DictType, path: str, depth: int) -> Any:
    count = kind.min_length or 0
    if count > 1:
        raise NoExample(path, f"a dict of {count} different keys is not made up")
    if count == 0:
        return {}
    key = smallest(kind.key_type, f"{path}[]", depth)
    return {key: smallest(kind.value_type, f"{path}[]", depth)}


def union(kind: inspect.UnionType, path: str, depth: int) -> Any:
    refused = NoExample(path, "no type of the union is known")
    nothing = [one for one in kind.types if isinstance(one, inspect.NoneType)]
    for one in (*nothing, *kind.types):  # None is the smallest of all
        try:
            return smallest(one, path, depth)
        except NoExample as error:
            refused = error
    raise refused


def record(kind: Any, path: str, depth: int) -> Any:
    """Return the required fields of a struct, dataclass, named tuple or typed dict."""
    tag = getattr(kind, "tag", None)
    needed = [
        (
            getattr(field, "encode_name", field.name),
            smallest(field.type, f"{path}.{field.name}", depth),
        )
        for field in kind.fields
        if field.required
    ]
    if getattr(kind, "array_like", False) or isinstance(kind, inspect.NamedTupleType):
        return [*([] if tag is None else [tag]), *(value for _, value in needed)]
    return {**({} if tag is None else {kind.tag_field: tag}), **dict(needed)}


def moment(kind: Any, path: str, depth: int) -> Any:
    zone = datetime.UTC if kind.tz else None
    if isinstance(kind, inspect.TimeType):
        return datetime.time(tzinfo=zone)
    return datetime.datetime(1970, 1, 1, tzinfo=zone)


def always(value: Any) -> Callable[[Any, str, int], Any]:
    return lambda kind, path, depth: value


MAKERS: Sequence[tuple[Any, Callable[[Any, str, int], Any]]] = (
    (inspect.IntType, integer),
    (inspect.FloatType, floating),
    (inspect.StrType, text),
    (inspect.BoolType, always(False)),
    ((inspect.NoneType, inspect.AnyType), always(None)),
    (
        (inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType),
        lambda kind, path, depth: bytes(kind.min_length or 0),
    ),
    ((inspect.DateTimeType, inspect.TimeType), moment),
    (inspect.DateType, always(datetime.date(1970, 1, 1))),
    (inspect.TimeDeltaType, always(datetime.timedelta(0))),
    (inspect.UUIDType, always(uuid.UUID(int=0))),
    (inspect.DecimalType, always(decimal.Decimal(0))),
    (inspect.RawType, always(msgspec.Raw(b"null"))),
    (inspect.EnumType, lambda kind, path, depth: next(iter(kind.cls)).value),
    (inspect.LiteralType, lambda kind, path, depth: kind.values[0]),
    (inspect.UnionType, union),
    (inspect.DictType, mapping),
    (
        inspect.TupleType,
        lambda kind, path, depth: [
            smallest(one, f"{path}[{place}]", depth)
            for place, one in enumerate(kind.item_types)
        ],
    ),
    (
        (
            inspect.ListType,
            inspect.SetType,
            inspect.FrozenSetType,
            inspect.VarTupleType,
        ),
        items,
    ),
    (
        (
            inspect.StructType,
            inspect.DataclassType,
            inspect.NamedTupleType,
            inspect.TypedDictType,
        ),
        record,
    ),
)
