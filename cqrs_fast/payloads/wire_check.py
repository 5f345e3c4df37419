"""Translate the annotations of a class into the nodes of its form on the wire.

Used for payloads alone that did not decode. They are decoded once more, without types,
and what that gives is held to the same rules as a message that was built in Python: the
nodes are the same wherever the wire writes a value as it is. What it writes as text (a
datetime, a UUID, bytes in JSON) is converted first; msgspec is asked for no more than
whether that works.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import types
import typing
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from cqrs_fast.payloads.nodes import (
    ArrayOfPartsNode,
    ChoiceNode,
    ObjectNode,
    RangeNode,
    TextNode,
    UndecodableNode,
    labelled,
)
from cqrs_fast.validation.annotations import MAPPINGS, Compiler, Limits
from cqrs_fast.validation.checks import Node
from cqrs_fast.validation.containers import (
    ArrayNode,
    MappingNode,
    TupleNode,
    UnionNode,
)
from cqrs_fast.validation.record_nodes import Field, RecordNode
from cqrs_fast.validation.records import is_record, shown
from cqrs_fast.validation.scalars import (
    DATE,
    DATETIME,
    TIME,
    TIMEDELTA,
    BytesNode,
    InstanceNode,
)

# What the wire writes in another form: its types there, and what a good one is.
TEXTS: dict[Any, tuple[tuple[type, ...], str]] = {
    DATETIME: ((str, DATETIME), "datetime in the form of RFC 3339"),
    DATE: ((str,), "date in the form of RFC 3339"),
    TIME: ((str,), "time in the form of RFC 3339"),
    TIMEDELTA: ((str,), "duration as in ISO 8601"),
    uuid.UUID: ((str, bytes), "a valid UUID"),
    Decimal: ((str, int, float, Decimal), "a valid decimal number"),
    msgspec.msgpack.Ext: ((), "an extension of MessagePack"),
    **dict.fromkeys((bytes, bytearray, memoryview), ((str,), "text in base64")),
}
WIRE_TYPES = (dict, list, str, int, float, bool, type(None), bytes)
# What msgspec does not decode, and what it does that is made into it.
INSTEAD: dict[Any, str] = {
    collections.deque: "list",
    **dict.fromkeys(
        (
            collections.ChainMap,
            collections.Counter,
            collections.OrderedDict,
            collections.defaultdict,
            types.MappingProxyType,
        ),
        "dict",
    ),
}


def defaulted(cls: Any) -> set[str]:
    """Return the names of the fields that a payload may leave out."""
    if issubclass(cls, msgspec.Struct):
        defaults = cls.__struct_defaults__
        names = cls.__struct_fields__[len(cls.__struct_fields__) - len(defaults) :]
        return {
            name
            for name, default in zip(names, defaults, strict=True)
            if default is not msgspec.NODEFAULT
        }
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        return {
            field.name
            for field in dataclasses.fields(cls)
            if field.default is not missing or field.default_factory is not missing
        }
    if issubclass(cls, tuple):
        return set(typing.cast(Any, cls)._field_defaults)
    if hasattr(cls, "__attrs_attrs__"):
        from attrs import NOTHING

        return {
            field.name for field in cls.__attrs_attrs__ if field.default is not NOTHING
        }
    return set()


def key_converter(hint: Any) -> Callable[[str], Any]:
    """Return what makes a key of that type of its text."""
    keys = dict[hint, None]

    def convert(text: str) -> Any:
        (key,) = msgspec.convert({text: None}, keys, str_keys=True)
        return key

    return convert


def is_on_the_wire(cls: Any) -> bool:
    """Tell whether anything that is decoded without types is an instance."""
    try:
        return any(issubclass(known, cls) for known in WIRE_TYPES)
    except TypeError:  # such as a plain Protocol
        return False


def in_json(cls: Any) -> Callable[[Any], Any]:
    """Return what makes an instance of a value, as it is made of JSON.

    There an enumeration has integers of 64 bits, whatever its Python class takes.
    """
    decode = msgspec.json.Decoder(cls).decode

    def convert(value: Any) -> Any:
        return decode(msgspec.json.encode(value))

    return convert


class WireCompiler(Compiler):
    """Translate annotations into nodes that check what was decoded without types.

    Parameters:
        cls: the class that is checked.
        is_json: JSON rather than MessagePack, which has bytes and keys of any type.
    """

    def __init__(self, cls: type, is_json: bool) -> None:
        super().__init__(cls)
        self.is_json = is_json
        self.in_python = Compiler(cls)
        self.forms: dict[Any, ObjectNode | ArrayOfPartsNode] = {}

    def node(self, hint: Any, limits: Limits | None = None) -> Node | None:
        """Return the node of an annotation; where a check cannot be, of its class.

        msgspec has accepted it, or there would be no payload that it did not decode.
        """
        before = self.where, self.scope, self.level, self.unset_level
        count = len(self.open)
        try:
            return super().node(hint, limits)
        except TypeError:
            self.where, self.scope, self.level, self.unset_level = before
            del self.open[count:]
        try:
            bare, _ = self.unwrap(hint, {})
        except TypeError:
            return None
        cls = typing.get_origin(bare) or bare
        if not isinstance(cls, type):
            return None
        if is_on_the_wire(cls):
            return labelled(InstanceNode(cls), shown(bare))
        return self.undecodable(shown(bare))

    def undecodable(self, label: str, instead: str = "") -> UndecodableNode:
        """Return the node of a field that no payload can have."""
        form = "JSON" if self.is_json else "MessagePack"
        instead = instead or "a class that payloads can become, or as Any"
        where = f"{form} cannot be decoded into {label} ({self.where})"
        return UndecodableNode(label, f"{where}: annotate it as {instead}")

    def record(self, hint: Any) -> Any:
        if hint in self.forms:
            return self.forms[hint]
        cls = typing.get_origin(hint) or hint
        config = getattr(cls, "__struct_config__", None)
        tag = config and config.tag
        if issubclass(cls, tuple) or (config and config.array_like):
            return self.array_record(hint, cls, tag)
        node = ObjectNode(cls.__name__, config and config.tag_field, tag)
        self.forms[hint] = node
        optional, placed = defaulted(cls), []
        for field in self.fields(hint, cls):
            name = field.wire_name or field.name
            required = field.required if issubclass(cls, dict) else True
            required = required and field.name not in optional
            placed.append(Field(name, name, field.node, required, False))
            placed[-1].read_from_dict()
        known = None
        if config and config.forbid_unknown_fields:
            known = frozenset([field.name for field in placed])
            known |= {config.tag_field} if tag is not None else set()
        node.fill(placed, known)
        return node

    def array_record(self, hint: Any, cls: Any, tag: Any) -> ArrayOfPartsNode:
        node = ArrayOfPartsNode(cls.__name__, tag)
        self.forms[hint] = node
        optional, placed = defaulted(cls), []
        for field in self.fields(hint, cls):
            required = field.name not in optional
            position = field.position
            placed.append(Field(field.name, position, field.node, required, False))
            placed[-1].read_from_tuple(position)
        parts = RecordNode(tuple, cls.__name__)
        parts.fill(placed)
        config = getattr(cls, "__struct_config__", None)
        is_open = config is not None and not config.forbid_unknown_fields
        node.fill(parts, -1 if is_open else len(placed) + (tag is not None))
        return node

    def unwrapped(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if cls in INSTEAD:
            return self.undecodable(cls.__name__, INSTEAD[cls])
        if cls not in MAPPINGS:
            return super().unwrapped(hint, cls, limits)
        key, value = typing.get_args(hint) or (typing.Any, typing.Any)
        node = MappingNode(dict, self.key(key), self.part(value), **limits)
        return labelled(node, cls.__name__)

    def key(self, hint: Any) -> Node | None:
        """Return the node of a key: in JSON it is text, whatever it stands for."""
        plain, limits, _ = self.bare(hint)
        if not self.is_json or plain is str or plain is typing.Any:
            return self.part(hint)
        self.in_python.scope = self.scope
        value = self.in_python.node(hint)
        if value is None:
            return None
        if limits and not isinstance(plain, type):  # they belong to a part of it
            plain = hint
        expected = f"a valid {value.label}"
        return TextNode(value.label, key_converter(plain), (str,), value, expected)

    def union(self, hint: Any, limits: Limits) -> Node | None:
        node = super().union(hint, limits)
        return ChoiceNode(node.nodes) if isinstance(node, UnionNode) else node

    def array(self, hint: Any, cls: Any, limits: Limits) -> Node:
        node = super().array(hint, cls, limits)
        if isinstance(node, ArrayNode):
            return labelled(ArrayNode(list, node.item, **limits), node.label)
        form = ArrayOfPartsNode(node.label)
        form.fill(typing.cast(TupleNode, node))
        return form

    def scalar(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if cls is msgspec.Raw:
            return None
        if is_record(cls):
            return typing.cast(Node, self.record(hint))
        node = super().scalar(hint, cls, limits)
        if self.is_json and (node is None or cls in (int, float)):
            return RangeNode(node.label if node else "Any", node, cls is float)
        if node is None:
            return None
        if cls in (bytes, bytearray, memoryview) and not self.is_json:
            return labelled(BytesNode(bytes, **limits), node.label)
        convert: Callable[[Any], Any] = functools.partial(msgspec.convert, type=cls)
        if cls in TEXTS:
            wire_types, expected = TEXTS[cls]
            return TextNode(node.label, convert, wire_types, node, expected)
        if isinstance(cls, type) and issubclass(cls, enum.Enum):
            values = [member.value for member in cls]
            expected = f"one of {', '.join(map(repr, values))}"
            wire_types = tuple(dict.fromkeys(map(type, values)))
            if self.is_json:
                convert = in_json(cls)
            return TextNode(node.label, convert, wire_types, None, expected)
        return node if is_on_the_wire(cls) else self.undecodable(node.label)


def wire_check(cls: Any, is_json: bool) -> Node:
    """Return the node of a message class."""
    return typing.cast(Node, WireCompiler(cls, is_json).record(cls))
