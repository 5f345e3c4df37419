"""Translate the annotations of a class into the nodes of a check, at registration.

`msgspec.inspect` does not help, because it describes what can be decoded: it rejects
valid Python annotations (`list[int] | set[int]`, bounds beyond 64 bits), reads
`Sequence[int]` as a list, and omits `UnsetType`.

An annotation that cannot be checked is a TypeError; no field is skipped silently. An
author writes `Any` for a field without a check.
"""

from __future__ import annotations

import collections.abc
import functools
import operator
import types
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

from cqrs_fast.validation import records, scalars
from cqrs_fast.validation.checks import Node
from cqrs_fast.validation.containers import (
    ArrayNode,
    LinkNode,
    MappingNode,
    TupleNode,
    UnionNode,
)
from cqrs_fast.validation.record_nodes import Field, RecordNode

Limits = dict[str, Any]  # constraints by name

NUMERIC = ("ge", "gt", "le", "lt", "multiple_of")
LENGTHS = ("min_length", "max_length")
CONSTRAINTS = (*NUMERIC, *LENGTHS, "pattern", "tz")

# The constraints that each class supports; any other constraint is an error.
ALLOWED: dict[Any, tuple[str, ...]] = {
    int: NUMERIC,
    float: NUMERIC,
    str: (*LENGTHS, "pattern"),
    **dict.fromkeys((bytes, bytearray, memoryview), LENGTHS),
    **dict.fromkeys((scalars.DATETIME, scalars.TIME), ("tz",)),
}
ARRAYS = {
    list,
    set,
    frozenset,
    tuple,
    collections.deque,
    collections.abc.Collection,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Set,
    collections.abc.MutableSet,
}
MAPPINGS = {
    dict,
    collections.ChainMap,
    collections.Counter,
    collections.OrderedDict,
    collections.defaultdict,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
    types.MappingProxyType,
}
ALLOWED |= dict.fromkeys((*ARRAYS, *MAPPINGS), LENGTHS)
# A recursive generic that needs more versions of itself than this is endless.
MOST_VERSIONS = 16


class Named:
    """The annotation behind a name, during and after its translation."""

    def __init__(self, level: int) -> None:
        self.level = level  # containers around its first use
        self.done = False
        self.node: Node | None = None
        self.link: LinkNode | None = None


class Compiler:
    """Translate annotations into nodes; a recursive type is translated once."""

    def __init__(self, cls: type) -> None:
        self.records: dict[Any, RecordNode] = {}
        self.names: dict[Any, Named] = {}
        self.where = cls.__qualname__  # for error texts: class, then class and field
        self.scope = records.Scope(cls, cls, {})
        self.level = 0  # containers around the current annotation
        self.unset_level = -1  # the level at which the field itself accepts UNSET
        self.open: list[Any] = []  # classes and names in translation

    def record(self, hint: Any) -> RecordNode:
        """Return the node of a class (or generic alias) with fields."""
        if hint in self.records:
            return self.records[hint]
        cls = typing.get_origin(hint) or hint
        node = RecordNode(dict if issubclass(cls, dict) else cls, cls.__name__)
        self.records[hint] = node
        fields = self.fields(hint, cls)
        for field in fields:
            records.place(field, cls)
        node.fill(fields)
        return node

    def fields(self, hint: Any, cls: Any) -> list[Field]:
        """Translate the fields of a class; `place` sets how they are read."""
        self.begin(cls)
        before = self.where, self.scope, self.level, self.unset_level
        fields = []
        self.level += 1
        hints: dict[str, Any] = {}
        scopes: dict[type, records.Scope] = {}
        for name, wire_name, required in records.fields_of(cls):
            self.where = f"{cls.__qualname__}.{name}"
            owner, plain = records.owner_of(cls, name)
            if plain is not None:
                node = self.scalar(plain, plain, {})
                fields.append(Field(name, wire_name, node, required, False))
                continue
            if not scopes:
                hints, scopes = records.hints_of(cls), records.scopes_of(cls, hint)
            self.scope = scopes[owner]
            field_hint = hints.get(name, typing.Any)
            if isinstance(field_hint, str):
                field_hint, _ = self.behind(field_hint)
            field_hint = records.substitute(field_hint, self.scope.bindings)
            # __required_keys__ misses these where annotations are strings
            if typing.get_origin(field_hint) in (typing.Required, typing.NotRequired):
                required = typing.get_origin(field_hint) is typing.Required
            unset = self.may_be_unset(field_hint)
            self.unset_level = self.level if unset else -1
            node = self.node(field_hint)
            fields.append(Field(name, wire_name, node, required, unset))
        self.where, self.scope, self.level, self.unset_level = before
        self.open.pop()
        return fields

    def node(self, hint: Any, limits: Limits | None = None) -> Node | None:
        """Return the node of an annotation, None if any value is valid."""
        hint, limits = self.unwrap(hint, dict(limits or {}))
        if self.is_name(hint):
            return self.named(hint, limits)
        return self.unwrapped(hint, typing.get_origin(hint) or hint, limits)

    def part(self, hint: Any) -> Node | None:
        """Return the node of the items of a container."""
        self.level += 1
        node = self.node(hint)
        self.level -= 1
        return node

    def unwrap(self, hint: Any, limits: Limits) -> tuple[Any, Limits]:
        """Strip the wrappers of a type and collect their constraints."""
        while True:
            origin = typing.get_origin(hint)
            if origin is typing.Annotated:
                for extra in hint.__metadata__:
                    if isinstance(extra, msgspec.Meta):
                        self.collect(extra, limits)
                hint = hint.__origin__
            elif records.is_wrapper(origin):
                hint = typing.get_args(hint)[0]
            elif isinstance(hint, typing.TypeVar):
                either = functools.reduce(operator.or_, hint.__constraints__ or (Any,))
                hint = hint.__bound__ or either
            elif hint is typing.Self:
                hint = self.scope.hint
            else:
                return hint, limits

    def is_name(self, hint: Any) -> bool:
        """Return whether an annotation only names another one."""
        return (
            isinstance(hint, str | typing.ForwardRef)
            or hasattr(hint, "__supertype__")
            or records.alias_of(hint) is not None
        )

    def behind(self, hint: Any) -> tuple[Any, records.Scope]:
        """Return the annotation behind a name, and the scope of its own names."""
        if isinstance(hint, str | typing.ForwardRef):
            text = hint if isinstance(hint, str) else hint.__forward_arg__
            try:
                return self.scope.resolve(text), self.scope
            except Exception as error:  # an annotation is any expression
                self.cannot_resolve(text, error)
        if hasattr(hint, "__supertype__"):  # NewType
            return hint.__supertype__, records.Scope(hint, hint, {})
        alias = records.alias_of(hint)
        bindings = records.bound_names(alias.__type_params__, typing.get_args(hint))
        try:
            value = alias.__value__
        except Exception as error:
            self.cannot_resolve(str(hint), error)
        scope = records.Scope(alias, self.scope.hint, bindings)
        return records.substitute(value, bindings), scope

    def named(self, hint: Any, limits: Limits) -> Node | None:
        """Return the node of a named annotation; inside itself, a link to it."""
        text = hint if isinstance(hint, str) else getattr(hint, "__forward_arg__", None)
        own: Any = hint
        if text is not None:
            own = (text, self.scope.owner, tuple(self.scope.bindings.items()))
        key = (own, tuple(sorted(limits.items())), self.level == self.unset_level)
        entry = self.names.get(key)
        if entry is None:
            entry = self.names[key] = Named(self.level)
            before = self.scope
            self.begin(text or typing.get_origin(hint) or hint)
            behind, self.scope = self.behind(hint)
            entry.node = self.node(behind, limits)
            self.scope = before
            self.open.pop()
            entry.done = True
            if entry.link is not None:
                entry.link.lead_to(entry.node)
        elif not entry.done:
            if entry.level == self.level:
                self.cannot_check(hint, "it refers to itself")
            if entry.link is None:
                entry.link = LinkNode(str(text or getattr(hint, "__name__", hint)))
            return entry.link
        return entry.node

    def begin(self, name: Any) -> None:
        """Note the current name; reject one that expands without end."""
        if self.open.count(name) >= MOST_VERSIONS:
            self.cannot_check(name, "each version of it needs another one")
        self.open.append(name)

    def cannot_check(
        self, hint: Any, why: str, remedy: str = "write Any to accept any value"
    ) -> typing.NoReturn:
        text = f"{self.where}: validation cannot check {records.shown(hint)}"
        raise TypeError(f"{text}: {why}; {remedy}")

    def cannot_resolve(self, text: Any, error: Exception) -> typing.NoReturn:
        owner = self.scope.owner
        remedy = f"it must be known in {owner.__module__} at run time"
        if "<locals>" in getattr(owner, "__qualname__", ""):
            remedy = (
                "a string or postponed annotation cannot see the names inside a "
                "function: define the named class in the module"
            )
        text = f"{self.where}: cannot resolve the annotation {text!r} ({error})"
        raise TypeError(f"{text}: {remedy}, or write Any") from error

    def collect(self, meta: msgspec.Meta, limits: Limits) -> None:
        for name in CONSTRAINTS:
            value = getattr(meta, name)
            if value is not None and limits.setdefault(name, value) != value:
                raise TypeError(f"{self.where}: two values for the constraint {name!r}")

    def reject(self, limits: Iterable[str], allowed: Iterable[str], hint: Any) -> None:
        """Raise for a constraint that would have no effect."""
        for name in limits:
            if name not in allowed:
                text = f"the constraint {name!r} has no meaning for {hint!r}"
                raise TypeError(f"{self.where}: {text}")

    def unwrapped(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if cls in (typing.Union, types.UnionType):
            return self.union(hint, limits)
        self.reject(limits, ALLOWED.get(cls, ()), hint)
        if hint is None or hint is type(None):
            return scalars.NoneNode()
        if cls is typing.Literal:
            return scalars.LiteralNode(typing.get_args(hint))
        if cls in ARRAYS:
            return self.array(hint, cls, limits)
        if cls in MAPPINGS:
            arguments = typing.get_args(hint) or (typing.Any, typing.Any)
            if cls is collections.Counter:
                arguments = (arguments[0], int)
            key, value = map(self.part, arguments)
            return MappingNode(cls, key, value, **limits)
        if records.is_record(cls):
            return self.record(hint)
        return self.scalar(hint, cls, limits)

    def union(self, hint: Any, limits: Limits) -> Node | None:
        """Translate the members; each takes the constraints that it supports."""
        nodes, unused = [], set(limits)
        for part in typing.get_args(hint):
            bare, own, scope = self.bare(part)
            if bare is msgspec.UnsetType and self.level == self.unset_level:
                continue
            allowed = ALLOWED.get(typing.get_origin(bare) or bare, ())
            taken = {name: limits[name] for name in limits if name in allowed}
            unused -= taken.keys()
            if taken:
                before, self.scope = self.scope, scope
                nodes.append(self.node(bare, taken | own))
                self.scope = before
            else:
                nodes.append(self.node(part))
        self.reject(unused, (), hint)
        checked = [node for node in nodes if node is not None]
        if len(checked) < len(nodes):
            return None
        return checked[0] if len(checked) == 1 else UnionNode(checked)

    def bare(self, hint: Any) -> tuple[Any, Limits, records.Scope]:
        """Return the annotation behind all names, its constraints and its scope."""
        before = self.scope
        limits: Limits = {}
        for _ in range(MOST_VERSIONS):
            hint, limits = self.unwrap(hint, limits)
            if not self.is_name(hint):
                break
            hint, self.scope = self.behind(hint)
        scope, self.scope = self.scope, before
        return hint, limits, scope

    def may_be_unset(self, hint: Any, most: int = MOST_VERSIONS) -> bool:
        """Return whether UNSET is a valid value of an annotation."""
        bare, _, scope = self.bare(hint)
        if typing.get_origin(bare) not in (typing.Union, types.UnionType):
            return bare is msgspec.UnsetType
        before, self.scope = self.scope, scope
        parts = typing.get_args(bare) if most else ()
        found = any(self.may_be_unset(part, most - 1) for part in parts)
        self.scope = before
        return found

    def array(self, hint: Any, cls: Any, limits: Limits) -> Node:
        arguments = typing.get_args(hint)
        # Without __args__ it is a bare tuple, not tuple[()].
        if cls is tuple and hasattr(hint, "__args__") and arguments[1:] != (...,):
            self.reject(limits, (), hint)
            if any(typing.get_origin(one) is typing.Unpack for one in arguments):
                self.cannot_check(hint, "its length is open")
            return TupleNode(map(self.part, arguments))
        item = self.part(arguments[0]) if arguments else None
        return ArrayNode(cls, item, **limits)

    def scalar(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if cls is int:
            return scalars.IntNode(**limits)
        if cls is float:
            return scalars.FloatNode(**limits)
        if cls in (str, typing.LiteralString):
            return scalars.StrNode(**limits)
        if cls in (bytes, bytearray, memoryview):
            return scalars.BytesNode(cls, **limits)
        if "tz" in limits:
            return scalars.MomentNode(cls, limits["tz"])
        if cls is object or cls is typing.Any:
            return None
        if not isinstance(cls, type):
            self.cannot_check(hint, "it is not a class")
        if cls in records.DECLARED_ONLY:
            self.cannot_check(hint, "no file is an instance of it")
        if not all(map(records.says_nothing, typing.get_args(hint))):
            remedy = "write Any for each argument, or for the whole"
            self.cannot_check(hint, "it sees the class, not the arguments", remedy)
        try:
            return scalars.InstanceNode(cls)
        except TypeError as error:  # such as a plain Protocol
            self.cannot_check(hint, str(error).lower())
