"""Translate the annotations of a class into the nodes of a check, at registration.

The annotations are read here rather than with `msgspec.inspect`, which speaks of what
can be decoded: it refuses what is fine in Python (`list[int] | set[int]`, bounds beyond
64 bits), takes `Sequence[int]` for a list, and leaves out `UnsetType`.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cqrs_fast.schema.checks import (
    DATETIME,
    TIME,
    BytesNode,
    FloatNode,
    InstanceNode,
    IntNode,
    LiteralNode,
    MomentNode,
    Node,
    NoneNode,
    StrNode,
)
from cqrs_fast.schema.containers import (
    ArrayNode,
    Field,
    MappingNode,
    RecordNode,
    TupleNode,
    UnionNode,
)

Bindings = dict[Any, Any]  # type variables and what they stand for
Limits = dict[str, Any]  # constraints by name

NUMERIC = ("ge", "gt", "le", "lt", "multiple_of")
LENGTHS = ("min_length", "max_length")
CONSTRAINTS = (*NUMERIC, *LENGTHS, "pattern", "tz")

# What each class may be constrained by; a constraint on anything else is an error.
ALLOWED: dict[Any, tuple[str, ...]] = {
    int: NUMERIC,
    float: NUMERIC,
    str: (*LENGTHS, "pattern"),
    **dict.fromkeys((bytes, bytearray, memoryview), LENGTHS),
    **dict.fromkeys((DATETIME, TIME), ("tz",)),
}
ARRAYS = {
    list,
    set,
    frozenset,
    tuple,
    collections.abc.Collection,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Set,
    collections.abc.MutableSet,
}
MAPPINGS = {dict, collections.abc.Mapping, collections.abc.MutableMapping}
WRAPPERS = {typing.Final, typing.ClassVar, typing.Required, typing.NotRequired}
ALIAS = getattr(typing, "TypeAliasType", ())  # Python 3.12


def is_record(hint: Any) -> bool:
    """Tell whether this is a class whose fields msgspec would read."""
    return (
        isinstance(hint, type)
        and not hasattr(hint, "__pydantic_validator__")  # Pydantic checks its own
        and (
            issubclass(hint, msgspec.Struct)
            or dataclasses.is_dataclass(hint)
            or hasattr(hint, "__attrs_attrs__")
            or (issubclass(hint, tuple) and hasattr(hint, "_fields"))
            or (issubclass(hint, dict) and hasattr(hint, "__total__"))
        )
    )


def substitute(hint: Any, bindings: Bindings) -> Any:
    """Put what type variables stand for in their place."""
    if isinstance(hint, typing.TypeVar):
        return bindings.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) or not isinstance(parameters, tuple) or not parameters:
        return hint
    return hint[tuple([bindings.get(name, name) for name in parameters])]


def bindings_of(hint: Any) -> dict[type, Bindings]:
    """Return, for each generic class below, what its type variables stand for."""
    found: dict[type, Bindings] = {}

    def visit(alias: Any, scope: Bindings) -> None:
        origin = typing.get_origin(alias) or alias
        if not isinstance(origin, type) or origin in found or origin is typing.Generic:
            return
        parameters = getattr(origin, "__parameters__", ())
        arguments = [substitute(part, scope) for part in typing.get_args(alias)]
        found[origin] = dict(zip(parameters, arguments, strict=False))
        for base in vars(origin).get("__orig_bases__", origin.__bases__):
            visit(base, found[origin])

    visit(hint, {})
    return found


class Unresolved:
    """An annotation that names something which cannot be found."""

    def __init__(self, annotation: Any, error: Exception) -> None:
        self.annotation = annotation
        self.error = error


def hints_of(cls: type) -> dict[str, Any]:
    """Return the resolved annotations of a class, which may name itself."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # one bad annotation hides all others: take them one by one
        hints: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            names = dict(vars(sys.modules.get(base.__module__, types)))
            names[cls.__name__] = cls
            for name, annotation in vars(base).get("__annotations__", {}).items():
                holder = types.SimpleNamespace(__annotations__={name: annotation})
                try:
                    hints |= typing.get_type_hints(holder, names, vars(base), True)
                except Exception as error:
                    hints[name] = Unresolved(annotation, error)
        return hints


def fields_of(cls: Any) -> Iterator[tuple[str, str | int, bool]]:
    """Yield (name, name on the wire or position, required) for each field."""
    if issubclass(cls, msgspec.Struct):
        config = cls.__struct_config__
        names = cls.__struct_fields__
        if config.array_like:
            first = 0 if config.tag is None else 1
            wire_names = range(first, first + len(names))
        else:
            wire_names = cls.__struct_encode_fields__
        yield from zip(names, wire_names, [True] * len(names), strict=True)
    elif dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            yield field.name, field.name, field.init
    elif issubclass(cls, dict):
        required_keys = typing.cast(Any, cls).__required_keys__
        for name in cls.__annotations__:
            yield name, name, name in required_keys
    elif issubclass(cls, tuple):
        for index, name in enumerate(typing.cast(Any, cls)._fields):
            yield name, index, True
    else:
        for field in cls.__attrs_attrs__:
            yield field.name, field.name, field.init


def descriptor_of(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


def has_unset(hint: Any) -> bool:
    """Tell whether UNSET is among the values of an annotation."""
    while True:
        if typing.get_origin(hint) in (typing.Annotated, *WRAPPERS):
            hint = typing.get_args(hint)[0]
        elif ALIAS and isinstance(hint, ALIAS):
            hint = hint.__value__
        else:
            break
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(has_unset(part) for part in typing.get_args(hint))
    return hint is msgspec.UnsetType


class Compiler:
    """Translate annotations into nodes, each record once, since it may hold itself."""

    def __init__(self, cls: type) -> None:
        self.records: dict[Any, RecordNode] = {}
        self.where = cls.__qualname__  # for error texts: class, then class and field
        self.aliases: list[Any] = []  # type aliases that are being translated

    def record(self, hint: Any) -> RecordNode:
        """Return the node of a class (or generic alias) with fields."""
        if hint in self.records:
            return self.records[hint]
        cls = typing.get_origin(hint) or hint
        is_dict = issubclass(cls, dict)
        node = RecordNode(dict if is_dict else cls, cls.__name__)
        self.records[hint] = node
        fields = self.fields(hint, cls)
        for field in fields:
            self.place(field, cls)
        node.fill(fields)
        return node

    def fields(self, hint: Any, cls: Any) -> list[Field]:
        """Translate the fields of a class; how they are read is to be settled."""
        hints, bindings = hints_of(cls), bindings_of(hint)
        where, fields = self.where, []
        for name, wire_name, required in fields_of(cls):
            self.where = f"{cls.__qualname__}.{name}"
            owner = next(
                (c for c in cls.__mro__ if name in vars(c).get("__annotations__", ())),
                cls,
            )
            field_hint = substitute(
                hints.get(name, typing.Any), bindings.get(owner, {})
            )
            # __required_keys__ misses these where annotations are strings
            if typing.get_origin(field_hint) in (typing.Required, typing.NotRequired):
                required = typing.get_origin(field_hint) is typing.Required
            node = self.node(field_hint)
            fields.append(
                Field(name, wire_name, node, required, has_unset(field_hint))
            )
        self.where = where
        return fields

    def place(self, field: Field, cls: Any) -> None:
        """Settle how the field is read."""
        if issubclass(cls, tuple):
            names = typing.cast(Any, cls)._fields
            field.read_from_tuple(names.index(field.name))
        elif issubclass(cls, dict):
            field.read_from_dict()
        else:
            descriptor = descriptor_of(cls, field.name)
            # One of another class, kept under this name, lies elsewhere or nowhere.
            if isinstance(descriptor, types.MemberDescriptorType) and issubclass(
                cls, descriptor.__objclass__
            ):
                field.read_from_slot(descriptor)

    def node(self, hint: Any, limits: Limits | None = None) -> Node | None:
        """Return the node of an annotation, None where anything goes."""
        depth = len(self.aliases)
        hint, limits = self.unwrap(hint, dict(limits or {}))
        try:
            return self.unwrapped(hint, typing.get_origin(hint) or hint, limits)
        finally:
            del self.aliases[depth:]

    def unwrap(self, hint: Any, limits: Limits) -> tuple[Any, Limits]:
        """Strip what is around a type, and collect the constraints on the way."""
        while True:
            origin = typing.get_origin(hint)
            if isinstance(hint, Unresolved):
                raise TypeError(
                    f"{self.where}: cannot resolve the annotation {hint.annotation!r}"
                ) from hint.error
            if origin is typing.Annotated:
                for extra in hint.__metadata__:
                    if isinstance(extra, msgspec.Meta):
                        self.collect(extra, limits)
                hint = hint.__origin__
            elif origin in WRAPPERS:
                hint = typing.get_args(hint)[0]
            elif hasattr(hint, "__supertype__"):  # NewType
                hint = hint.__supertype__
            elif isinstance(hint, typing.TypeVar):
                hint = typing.Any if hint.__bound__ is None else hint.__bound__
            elif ALIAS and isinstance(origin or hint, ALIAS):
                if hint in self.aliases:  # the inside of a recursive alias is unchecked
                    return typing.Any, {}
                self.aliases.append(hint)
                alias = origin or hint
                values = dict(
                    zip(alias.__type_params__, typing.get_args(hint), strict=False)
                )
                hint = substitute(alias.__value__, values)
            else:
                return hint, limits

    def collect(self, meta: msgspec.Meta, limits: Limits) -> None:
        for name in CONSTRAINTS:
            value = getattr(meta, name)
            if value is None:
                continue
            if limits.setdefault(name, value) != value:
                raise TypeError(f"{self.where}: two values for the constraint {name!r}")

    def refuse(
        self, limits: Iterable[str], allowed: tuple[str, ...], hint: Any
    ) -> None:
        """Raise for a constraint that would otherwise be silently without effect."""
        for name in limits:
            if name not in allowed:
                raise TypeError(
                    f"{self.where}: the constraint {name!r} has no meaning for {hint!r}"
                )

    def unwrapped(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if hint is None or hint is type(None):
            self.refuse(limits, (), hint)
            return NoneNode()
        if cls in (typing.Union, types.UnionType):
            return self.union(hint, limits)
        if cls is typing.Literal:
            self.refuse(limits, (), hint)
            return LiteralNode(typing.get_args(hint))
        if cls in ARRAYS:
            return self.array(hint, cls, limits)
        if cls in MAPPINGS:
            self.refuse(limits, LENGTHS, hint)
            key, value = map(
                self.node, typing.get_args(hint) or (typing.Any, typing.Any)
            )
            return MappingNode(cls, key, value, **limits)
        self.refuse(limits, ALLOWED.get(cls, ()), hint)
        return self.scalar(hint, cls, limits)

    def union(self, hint: Any, limits: Limits) -> Node | None:
        """Check the parts one by one; a constraint goes to those that can have it."""
        parts = [
            part for part in typing.get_args(hint) if part is not msgspec.UnsetType
        ]
        nodes, unused = [], set(limits)
        for part in parts:
            part, own = self.unwrap(part, {})
            cls = typing.get_origin(part) or part
            allowed = ALLOWED.get(cls, ())
            if cls in ARRAYS or cls in MAPPINGS:
                allowed = LENGTHS
            for name in limits:
                if name in allowed:
                    own.setdefault(name, limits[name])
                    unused.discard(name)
            nodes.append(self.node(part, own))
        self.refuse(unused, (), hint)
        checked = [node for node in nodes if node is not None]
        if len(checked) < len(nodes):
            return None
        return checked[0] if len(checked) == 1 else UnionNode(checked)

    def array(self, hint: Any, cls: Any, limits: Limits) -> Node:
        arguments = typing.get_args(hint)
        is_bare = not hasattr(hint, "__args__")  # tuple, not tuple[()]
        if cls is tuple and not is_bare and arguments[1:] != (...,):
            self.refuse(limits, (), hint)
            return TupleNode(map(self.node, arguments))
        self.refuse(limits, LENGTHS, hint)
        item = self.node(arguments[0]) if arguments else None
        return ArrayNode(cls, item, **limits)

    def scalar(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if cls is int:
            return IntNode(**limits)
        if cls is float:
            return FloatNode(**limits)
        if cls is str:
            return StrNode(**limits)
        if cls in (bytes, bytearray, memoryview):
            return BytesNode(cls, **limits)
        if "tz" in limits:
            return MomentNode(cls, limits["tz"])
        if is_record(cls):
            return self.record(hint)
        if not isinstance(cls, type) or cls is object or cls is typing.Any:
            return None
        try:
            return InstanceNode(cls)
        except TypeError:  # a class that refuses isinstance, like a plain Protocol
            return None
