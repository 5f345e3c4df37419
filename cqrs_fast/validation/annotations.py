"""Translate the annotations of a class into the nodes of a check, at registration.

The annotations are read here rather than with `msgspec.inspect`, which speaks of what
can be decoded: it refuses what is fine in Python (`list[int] | set[int]`, bounds beyond
64 bits), takes `Sequence[int]` for a list, and leaves out `UnsetType`.

What cannot be checked is a TypeError, never a field that is passed over: `Any` is how
an author says that anything goes.
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

from cqrs_fast.validation.checks import Node, NoneNode
from cqrs_fast.validation.containers import (
    ArrayNode,
    LinkNode,
    MappingNode,
    TupleNode,
    UnionNode,
)
from cqrs_fast.validation.numbers import FloatNode, IntNode
from cqrs_fast.validation.record_nodes import Field, RecordNode
from cqrs_fast.validation.records import (
    DECLARED_ONLY,
    Scope,
    alias_of,
    bound_names,
    fields_of,
    hints_of,
    is_record,
    is_wrapper,
    owner_of,
    place,
    says_nothing,
    scopes_of,
    shown,
    substitute,
)
from cqrs_fast.validation.scalars import (
    DATETIME,
    TIME,
    BytesNode,
    InstanceNode,
    LiteralNode,
    MomentNode,
    StrNode,
)

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
# A recursive generic that needs more versions of itself than this needs ever more.
MOST_VERSIONS = 16


class Named:
    """The annotation behind a name, while it is translated and then."""

    def __init__(self, level: int) -> None:
        self.level = level  # containers around it where it was met first
        self.done = False
        self.node: Node | None = None
        self.link: LinkNode | None = None


class Compiler:
    """Translate annotations into nodes; what holds itself is translated once."""

    def __init__(self, cls: type) -> None:
        self.records: dict[Any, RecordNode] = {}
        self.names: dict[Any, Named] = {}
        self.where = cls.__qualname__  # for error texts: class, then class and field
        self.scope = Scope(cls, cls, {})
        self.level = 0  # how many containers are around what is being translated
        self.unset_level = -1  # where UNSET is looked for by the field itself
        self.open: list[Any] = []  # classes and names that are being translated

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
            place(field, cls)
        node.fill(fields)
        return node

    def fields(self, hint: Any, cls: Any) -> list[Field]:
        """Translate the fields of a class; how they are read is to be settled."""
        self.begin(cls)
        before = self.where, self.scope, self.level, self.unset_level
        fields = []
        self.level += 1
        hints: dict[str, Any] = {}
        scopes: dict[type, Scope] = {}
        for name, wire_name, required in fields_of(cls):
            self.where = f"{cls.__qualname__}.{name}"
            owner, plain = owner_of(cls, name)
            if plain is not None:
                node = self.scalar(plain, plain, {})
                fields.append(Field(name, wire_name, node, required, False))
                continue
            if not scopes:
                hints, scopes = hints_of(cls), scopes_of(cls, hint)
            self.scope = scopes[owner]
            field_hint = hints.get(name, typing.Any)
            if isinstance(field_hint, str):
                field_hint, _ = self.behind(field_hint)
            field_hint = substitute(field_hint, self.scope.bindings)
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
        """Return the node of an annotation, None where anything goes."""
        hint, limits = self.unwrap(hint, dict(limits or {}))
        if self.is_name(hint):
            return self.named(hint, limits)
        return self.unwrapped(hint, typing.get_origin(hint) or hint, limits)

    def part(self, hint: Any) -> Node | None:
        """Return the node of what is inside of a container."""
        self.level += 1
        node = self.node(hint)
        self.level -= 1
        return node

    def unwrap(self, hint: Any, limits: Limits) -> tuple[Any, Limits]:
        """Strip what is around a type, and collect the constraints on the way."""
        while True:
            origin = typing.get_origin(hint)
            if origin is typing.Annotated:
                for extra in hint.__metadata__:
                    if isinstance(extra, msgspec.Meta):
                        self.collect(extra, limits)
                hint = hint.__origin__
            elif is_wrapper(origin):
                hint = typing.get_args(hint)[0]
            elif isinstance(hint, typing.TypeVar):
                either = functools.reduce(operator.or_, hint.__constraints__ or (Any,))
                hint = hint.__bound__ or either
            elif hint is typing.Self:
                hint = self.scope.hint
            else:
                return hint, limits

    def is_name(self, hint: Any) -> bool:
        """Tell whether an annotation only names another one."""
        return (
            isinstance(hint, str | typing.ForwardRef)
            or hasattr(hint, "__supertype__")
            or alias_of(hint) is not None
        )

    def behind(self, hint: Any) -> tuple[Any, Scope]:
        """Return what a name stands for, and where the names in that are looked up."""
        if isinstance(hint, str | typing.ForwardRef):
            text = hint if isinstance(hint, str) else hint.__forward_arg__
            try:
                return self.scope.resolve(text), self.scope
            except Exception as error:  # an annotation is any expression
                self.cannot_resolve(text, error)
        if hasattr(hint, "__supertype__"):  # NewType
            return hint.__supertype__, Scope(hint, hint, {})
        alias = alias_of(hint)
        bindings = bound_names(alias.__type_params__, typing.get_args(hint))
        try:
            value = alias.__value__
        except Exception as error:
            self.cannot_resolve(str(hint), error)
        return substitute(value, bindings), Scope(alias, self.scope.hint, bindings)

    def named(self, hint: Any, limits: Limits) -> Node | None:
        """Return the node of what a name stands for: inside of itself, a link to it."""
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
                self.cannot_check(hint, "it stands for itself")
            if entry.link is None:
                entry.link = LinkNode(str(text or getattr(hint, "__name__", hint)))
            return entry.link
        return entry.node

    def begin(self, name: Any) -> None:
        """Note what is translated now; refuse what expands without end."""
        if self.open.count(name) >= MOST_VERSIONS:
            self.cannot_check(name, "each version of it needs another one")
        self.open.append(name)

    def cannot_check(
        self, hint: Any, why: str, remedy: str = "write Any where anything may go"
    ) -> typing.NoReturn:
        raise TypeError(
            f"{self.where}: validation cannot check {shown(hint)}: {why}; {remedy}"
        )

    def cannot_resolve(self, text: Any, error: Exception) -> typing.NoReturn:
        owner = self.scope.owner
        if "<locals>" in getattr(owner, "__qualname__", ""):
            remedy = (
                "the names inside of a function are lost to an annotation that is a "
                "string or postponed: define what it names in the module"
            )
        else:
            remedy = f"it must be known in {owner.__module__} at run time"
        raise TypeError(
            f"{self.where}: cannot resolve the annotation {text!r} ({error}): "
            f"{remedy}, or write Any"
        ) from error

    def collect(self, meta: msgspec.Meta, limits: Limits) -> None:
        for name in CONSTRAINTS:
            value = getattr(meta, name)
            if value is not None and limits.setdefault(name, value) != value:
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
        if cls in (typing.Union, types.UnionType):
            return self.union(hint, limits)
        self.refuse(limits, ALLOWED.get(cls, ()), hint)
        if hint is None or hint is type(None):
            return NoneNode()
        if cls is typing.Literal:
            return LiteralNode(typing.get_args(hint))
        if cls in ARRAYS:
            return self.array(hint, cls, limits)
        if cls in MAPPINGS:
            arguments = typing.get_args(hint) or (typing.Any, typing.Any)
            if cls is collections.Counter:
                arguments = (arguments[0], int)
            key, value = map(self.part, arguments)
            return MappingNode(cls, key, value, **limits)
        if is_record(cls):
            return self.record(hint)
        return self.scalar(hint, cls, limits)

    def union(self, hint: Any, limits: Limits) -> Node | None:
        """Check the parts one by one; a constraint goes to those that can have it."""
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
        self.refuse(unused, (), hint)
        checked = [node for node in nodes if node is not None]
        if len(checked) < len(nodes):
            return None
        return checked[0] if len(checked) == 1 else UnionNode(checked)

    def bare(self, hint: Any) -> tuple[Any, Limits, Scope]:
        """Return what is behind all names, with its constraints and its scope."""
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
        """Tell whether UNSET is among the values of an annotation."""
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
        # Without them it is bare: tuple, not tuple[()].
        if cls is tuple and hasattr(hint, "__args__") and arguments[1:] != (...,):
            self.refuse(limits, (), hint)
            if any(typing.get_origin(one) is typing.Unpack for one in arguments):
                self.cannot_check(hint, "its length is open")
            return TupleNode(map(self.part, arguments))
        item = self.part(arguments[0]) if arguments else None
        return ArrayNode(cls, item, **limits)

    def scalar(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if cls is int:
            return IntNode(**limits)
        if cls is float:
            return FloatNode(**limits)
        if cls in (str, typing.LiteralString):
            return StrNode(**limits)
        if cls in (bytes, bytearray, memoryview):
            return BytesNode(cls, **limits)
        if "tz" in limits:
            return MomentNode(cls, limits["tz"])
        if cls is object or cls is typing.Any:
            return None
        if not isinstance(cls, type):
            self.cannot_check(hint, "it is no class")
        if cls in DECLARED_ONLY:
            self.cannot_check(hint, "no file is an instance of it")
        if not all(map(says_nothing, typing.get_args(hint))):
            remedy = "write Any for each of them, or for all of it"
            self.cannot_check(hint, "it sees the class, not the arguments", remedy)
        try:
            return InstanceNode(cls)
        except TypeError as error:  # such as a plain Protocol
            self.cannot_check(hint, str(error).lower())
