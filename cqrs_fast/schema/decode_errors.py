"""Say what is wrong with a payload in words of our own.

msgspec's texts quote values (`Invalid enum value 'x'`), so none is passed on: each is
compared with the forms that are known, and a sentence is composed from the parts that
come from the class. Whatever is not recognised becomes one general sentence.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from cqrs_fast.schema.annotations import Compiler
from cqrs_fast.schema.containers import (
    ArrayNode,
    LinkNode,
    MappingNode,
    RecordNode,
    TupleNode,
    UnionNode,
)
from cqrs_fast.schema.records import is_record

Problem = tuple[str, str, str]

_TYPE = r"`(?P<type>[\w |.\[\],]+)`"
_NUMBER = r"(?P<limit>[-+\w.]+)"
# Paths hold names of fields only; the keys of a mapping appear as "[...]" and "key".
_PLACE = r"(?:\.[^`\[\]]+|\[\d+\]|\[\.\.\.\])*"
_PATH = re.compile(rf" - at (?P<path>(?:`key{_PLACE}` in )*`\${_PLACE}`)", re.DOTALL)
_SIGNS = {">=": "ge", ">": "gt", "<=": "le", "<": "lt"}

# form, code (None: it depends on the sign), our sentence
_FORMS: list[tuple[re.Pattern[str], str | None, str]] = [
    (re.compile(pattern, re.DOTALL), code, sentence)
    for pattern, code, sentence in (
        (rf"Expected {_TYPE}", "type", "expected {type}"),
        (
            rf"Expected {_TYPE}, got `(?P<got>\w+)`",
            "type",
            "expected {type}, got {got}",
        ),
        (
            rf"Expected {_TYPE} of length (?P<sign>[<>]=) (?P<limit>\d+)",
            None,
            "expected {type} of length {sign} {limit}",
        ),
        (
            rf"Expected {_TYPE} (?P<sign>[<>]=?) {_NUMBER}",
            None,
            "expected {type} {sign} {limit}",
        ),
        (
            rf"Expected {_TYPE} that's a multiple of {_NUMBER}",
            "multiple_of",
            "expected {type} that is a multiple of {limit}",
        ),
        (
            rf"Expected {_TYPE} matching regex (?P<limit>.+)",
            "pattern",
            "expected {type} matching regex {limit}",
        ),
        (
            rf"Expected {_TYPE} with (?P<limit>a|no) timezone component",
            "tz",
            "expected {type} with {limit} timezone",
        ),
        (
            r"Expected `array` of length (?P<limit>\d+(?: to \d+)?)(?:, got \d+)?",
            "type",
            "expected array of length {limit}",
        ),
        (
            r"Expected `array` of at (?P<sign>least|most) length (?P<limit>\d+)"
            r"(?:, got \d+)?",
            "type",
            "expected array of length at {sign} {limit}",
        ),
        (
            r"Invalid RFC3339 encoded (?P<type>datetime|date|time)",
            "invalid",
            "expected {type} in the form of RFC 3339",
        ),
        (r"Invalid ISO8601 duration", "invalid", "expected duration as in ISO 8601"),
        (r"Invalid UUID(?: bytes)?", "invalid", "expected a valid UUID"),
        (r"Invalid decimal string", "invalid", "expected a valid decimal number"),
        (r"Invalid base64 encoded string", "invalid", "expected text in base64"),
        (r"Invalid epoch timestamp", "invalid", "expected a valid timestamp"),
        (r"Invalid MessagePack timestamp.*", "invalid", "expected a valid timestamp"),
        (
            r"(?P<type>Integer value|Number|Timestamp|Duration)(?: is)? out of range ?",
            "invalid",
            "expected a value within range",
        ),
        (
            r"Invalid (?:enum )?value .*",
            "invalid",
            "expected one of the allowed values",
        ),
        (
            r"Object contains unknown field .*",
            "invalid",
            "expected no fields beyond the declared ones",
        ),
    )
]
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_MALFORMED = re.compile(
    r"(?P<format>JSON|MessagePack) (?:data )?is malformed: .*\(byte (?P<byte>\d+)\)"
)


def describe(error: msgspec.ValidationError) -> Problem:
    """Return (path, code, message) for an error of msgspec, without its own text."""
    body, path = _split(str(error))
    if error.__cause__ is not None:  # raised by __post_init__: not msgspec's own text
        return path, "invalid", "the value is not valid"
    if missing := _MISSING.fullmatch(body):
        return f"{path}.{missing[1]}", "missing", "required, but not given"
    for form, code, sentence in _FORMS:
        if found := form.fullmatch(body):
            return path, code or _code(found), sentence.format(**found.groupdict())
    return path, "invalid", "the value is not valid"


def as_declared(problem: Problem, cls: Any) -> Problem:
    """Tell of `gt` and `lt` where the class says so: msgspec writes `> 3` as `>= 4`."""
    path, code, message = problem
    found = re.fullmatch(r"expected int (?:>=|<=) (-?\d+)", message)
    if found is None or not is_record(cls):
        return problem
    name, sign, step = ("gt", ">", -1) if code == "ge" else ("lt", "<", 1)
    declared = int(found[1]) + step
    try:
        root = Compiler(cls).record(cls)
    except TypeError:  # msgspec reads an annotation that a check does not
        return problem
    for node in _nodes_at(root, path):
        if getattr(node, name, None) == declared:
            return path, name, f"expected int {sign} {declared}"
    return problem


def _nodes_at(root: Any, path: str) -> list[Any]:
    """Return the nodes that a path may lead to; several where a union is on the way."""
    nodes = _choices([root])
    for part in reversed(path.split(" in ")):
        if part.startswith("key"):
            nodes = _choices([n.key for n in nodes if isinstance(n, MappingNode)])
        for name, index in re.findall(r"\.([^\[]+?)(?=\.|\[|$)|\[(\d+|\.\.\.)\]", part):
            nodes = _choices([child for n in nodes for child in _parts(n, name, index)])
    return nodes


def _parts(node: Any, name: str, index: str) -> list[Any]:
    if isinstance(node, RecordNode):
        place = int(index) if index.isdigit() else -1
        return [
            field.node
            for field in node.fields
            if (field.wire_name == name if name else field.position == place)
        ]
    if isinstance(node, MappingNode):
        return [node.value]
    if isinstance(node, ArrayNode):
        return [node.item]
    if isinstance(node, TupleNode) and index.isdigit():
        return [node.items[int(index)]]
    return []


def _choices(nodes: list[Any]) -> list[Any]:
    """Put the members of a union in its place, and what a link leads to."""
    flat: list[Any] = []
    for node in nodes:
        if isinstance(node, LinkNode):
            node = node.target
        flat += _choices(list(node.nodes)) if isinstance(node, UnionNode) else [node]
    return flat


def _split(text: str) -> tuple[str, str]:
    """Separate what msgspec says from where it says it is."""
    start = text.rfind(" - at `")
    while start > 0 and text.endswith("`"):
        if found := _PATH.fullmatch(text, start):
            return text[:start], found["path"].replace("`", "")
        start = text.rfind(" - at `", 0, start)
    return text, "$"


def _code(found: re.Match[str]) -> str:
    if "of length" in found[0]:
        return "min_length" if found["sign"] == ">=" else "max_length"
    return _SIGNS[found["sign"]]


def malformed(text: str) -> str:
    """Say where msgspec says that the syntax of a payload breaks."""
    if found := _MALFORMED.fullmatch(text):
        return f"malformed {found['format']} at byte {found['byte']}"
    return "malformed payload: the data is truncated or damaged"
