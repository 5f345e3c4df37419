"""Translate the annotations of a class into the nodes of its form on the wire.

Only for payloads that did not decode. They are decoded again without types, and the
result is checked by the rules for a message that was built in Python. A value that the
wire writes as it is has the same node. A value that it writes as text (a datetime, a
UUID, bytes in JSON) is converted first; msgspec only says whether that works.
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

from cqrs_fast.payloads import nodes
from cqrs_fast.validation import scalars
from cqrs_fast.validation.annotations import MAPPINGS, Compiler, Limits
from cqrs_fast.validation.checks import Node
from cqrs_fast.validation.containers import ArrayNode, MappingNode, TupleNode, UnionNode
from cqrs_fast.validation.record_nodes import Field, RecordNode
from cqrs_fast.validation.records import is_record, shown

# Classes that the wire writes in another form: the types there, and a valid form.
TEXTS: dict[Any, tuple[tuple[type, ...], str]] = {
    scalars.DATETIME: ((str, scalars.DATETIME), "datetime in the form of RFC 3339"),
    scalars.DATE: ((str,), "date in the form of RFC 3339"),
    scalars.TIME: ((str,), "time in the form of RFC 3339"),
    scalars.TIMEDELTA: ((str,), "duration as in ISO 8601"),
    uuid.UUID: ((str, bytes), "a valid UUID"),
    Decimal: ((str, int, float, Decimal), "a valid decimal number"),
    msgspec.msgpack.Ext: ((), "an extension of MessagePack"),
    **dict.fromkeys((bytes, bytearray, memoryview), ((str,), "text in base64")),
}
WIRE_TYPES = (dict, list, str, int, float, bool, type(None), bytes)
# Classes that msgspec does not decode, and the class to annotate instead.
INSTEAD: dict[Any, str] = {
    collections.deque: "list",
    collections.ChainMap: "dict",
    collections.Counter: "dict",
    collections.OrderedDict: "dict",
    collections.defaultdict: "dict",
    types.MappingProxyType: "dict",
}


def defaulted(cls: Any) -> set[str]:
    """Return the names of the fields that a payload may omit."""
    if issubclass(cls, tuple):
        return set(typing.cast(Any, cls)._field_defaults)
    pairs: list[tuple[str, Any]] = []
    none: Any = dataclasses.MISSING
    if issubclass(cls, msgspec.Struct):
        none = msgspec.NODEFAULT
        fields, defaults = cls.__struct_fields__, cls.__struct_defaults__
        pairs = [*zip(reversed(fields), reversed(defaults), strict=False)]
    elif dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            pairs += (field.name, field.default), (field.name, field.default_factory)
    elif hasattr(cls, "__attrs_attrs__"):
        from attrs import NOTHING as none

        pairs = [(field.name, field.default) for field in cls.__attrs_attrs__]
    return {name for name, default in pairs if default is not none}


def key_converter(hint: Any) -> Callable[[str], Any]:
    """Return a function that converts the text of a key to that type."""
    keys = dict[hint, None]

    def convert(text: str) -> Any:
        (key,) = msgspec.convert({text: None}, keys, str_keys=True)
        return key

    return convert


def is_on_the_wire(cls: Any) -> bool:
    """Return whether an untyped decoder makes instances of a class."""
    try:
        return any(issubclass(known, cls) for known in WIRE_TYPES)
    except TypeError:  # such as a plain Protocol
        return False


def in_json(cls: Any) -> Callable[[Any], Any]:
    """Return a function that converts a value as the JSON decoder does.

    Integers of an enumeration have 64 bits there, whatever its Python class accepts.
    """
    decode = msgspec.json.Decoder(cls).decode

    def convert(value: Any) -> Any:
        return decode(msgspec.json.encode(value))

    return convert


class WireCompiler(Compiler):
    """Translate annotations into nodes for values that were decoded without types.

    Parameters:
        cls: the class to check.
        is_json: JSON rather than MessagePack, which has bytes and keys of any type.
    """

    def __init__(self, cls: type, is_json: bool) -> None:
        super().__init__(cls)
        self.is_json = is_json
        self.in_python = Compiler(cls)
        self.forms: dict[Any, nodes.ObjectNode | nodes.ArrayOfPartsNode] = {}

    def node(self, hint: Any, limits: Limits | None = None) -> Node | None:
        """Return the node of an annotation, or of its class if it cannot be checked.

        msgspec has accepted the annotation, or it would have decoded no payload.
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
            return nodes.labelled(scalars.InstanceNode(cls), shown(bare))
        return self.undecodable(shown(bare))

    def undecodable(self, label: str, instead: str = "") -> nodes.UndecodableNode:
        """Return the node of a field that no payload can have."""
        form = "JSON" if self.is_json else "MessagePack"
        instead = instead or "a class that payloads can become, or as Any"
        where = f"{form} cannot be decoded into {label} ({self.where})"
        return nodes.UndecodableNode(label, f"{where}: annotate it as {instead}")

    def record(self, hint: Any) -> Any:
        if hint in self.forms:
            return self.forms[hint]
        cls = typing.get_origin(hint) or hint
        config = getattr(cls, "__struct_config__", None)
        tag = config and config.tag
        is_array = issubclass(cls, tuple) or bool(config and config.array_like)
        if not is_array:
            node = nodes.ObjectNode(cls.__name__, config and config.tag_field, tag)
            self.forms[hint] = node
            fields = self.wire_fields(hint, cls, is_array)
            known = None
            if config and config.forbid_unknown_fields:
                known = frozenset([field.name for field in fields])
                known |= {config.tag_field} if tag is not None else set()
            node.fill(fields, known)
            return node
        array = nodes.ArrayOfPartsNode(cls.__name__, tag)
        self.forms[hint] = array
        fields = self.wire_fields(hint, cls, is_array)
        parts = RecordNode(tuple, cls.__name__)
        parts.fill(fields)
        is_open = config is not None and not config.forbid_unknown_fields
        array.fill(parts, -1 if is_open else len(fields) + (tag is not None))
        return array

    def wire_fields(self, hint: Any, cls: Any, is_array: bool) -> list[Field]:
        """Translate the fields of a class; they are read from an array or object."""
        optional, placed = defaulted(cls), []
        for field in self.fields(hint, cls):
            required = field.required or not issubclass(cls, dict)
            required = required and field.name not in optional
            if is_array:
                one = Field(field.name, field.position, field.node, required, False)
                one.read_from_tuple(field.position)
            else:
                name = field.wire_name or field.name
                one = Field(name, name, field.node, required, False)
                one.read_from_dict()
            placed.append(one)
        return placed

    def unwrapped(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if cls in INSTEAD:
            return self.undecodable(cls.__name__, INSTEAD[cls])
        if cls not in MAPPINGS:
            return super().unwrapped(hint, cls, limits)
        key, value = typing.get_args(hint) or (typing.Any, typing.Any)
        node = MappingNode(dict, self.key(key), self.part(value), **limits)
        return nodes.labelled(node, cls.__name__)

    def key(self, hint: Any) -> Node | None:
        """Return the node of a key: in JSON it is text, whatever its type."""
        plain, limits, _ = self.bare(hint)
        if not self.is_json or plain is str or plain is typing.Any:
            return self.part(hint)
        self.in_python.scope = self.scope
        value = self.in_python.node(hint)
        if value is None:
            return None
        if limits and not isinstance(plain, type):  # they belong to a part of it
            plain = hint
        convert, expected = key_converter(plain), f"a valid {value.label}"
        return nodes.TextNode(value.label, convert, (str,), value, expected)

    def union(self, hint: Any, limits: Limits) -> Node | None:
        node = super().union(hint, limits)
        return nodes.ChoiceNode(node.nodes) if isinstance(node, UnionNode) else node

    def array(self, hint: Any, cls: Any, limits: Limits) -> Node:
        node = super().array(hint, cls, limits)
        if isinstance(node, ArrayNode):
            return nodes.labelled(ArrayNode(list, node.item, **limits), node.label)
        form = nodes.ArrayOfPartsNode(node.label)
        form.fill(typing.cast(TupleNode, node))
        return form

    def scalar(self, hint: Any, cls: Any, limits: Limits) -> Node | None:
        if cls is msgspec.Raw:
            return None
        if is_record(cls):
            return typing.cast(Node, self.record(hint))
        node = super().scalar(hint, cls, limits)
        if self.is_json and (node is None or cls in (int, float)):
            return nodes.RangeNode(node.label if node else "Any", node, cls is float)
        if node is None:
            return None
        if cls in (bytes, bytearray, memoryview) and not self.is_json:
            return nodes.labelled(scalars.BytesNode(bytes, **limits), node.label)
        convert: Callable[[Any], Any] = functools.partial(msgspec.convert, type=cls)
        if cls in TEXTS:
            wire_types, expected = TEXTS[cls]
            return nodes.TextNode(node.label, convert, wire_types, node, expected)
        if isinstance(cls, type) and issubclass(cls, enum.Enum):
            values = [member.value for member in cls]
            expected = f"one of {', '.join(map(repr, values))}"
            wire_types = tuple(dict.fromkeys(map(type, values)))
            if self.is_json:
                convert = in_json(cls)
            return nodes.TextNode(node.label, convert, wire_types, None, expected)
        return node if is_on_the_wire(cls) else self.undecodable(node.label)


def wire_check(cls: Any, is_json: bool) -> Node:
    """Return the node of a message class."""
    return typing.cast(Node, WireCompiler(cls, is_json).record(cls))
