"""How classes are decoded that msgspec alone cannot decode.

msgspec decodes Structs, dataclasses and attrs classes; Pydantic decodes its own
classes. Any other class has no form on the wire.
"""

from __future__ import annotations

import sys
from typing import Any, get_origin

import msgspec

from cqrs_fast.validation.records import is_record

Problem = tuple[str, str, str]  # path, code, message
TAG_FIELD = "$type"

# The error types of Pydantic, and their codes here.
CODES = {
    "missing": "missing",
    "greater_than": "gt",
    "greater_than_equal": "ge",
    "less_than": "lt",
    "less_than_equal": "le",
    "multiple_of": "multiple_of",
    "string_pattern_mismatch": "pattern",
    "timezone_naive": "tz",
    "timezone_aware": "tz",
    "string_too_short": "min_length",
    "bytes_too_short": "min_length",
    "too_short": "min_length",
    "string_too_long": "max_length",
    "bytes_too_long": "max_length",
    "too_long": "max_length",
}
# The texts of our codes, with the limits that Pydantic reports.
TEXTS = {
    "missing": "required, but not set",
    "gt": "expected a value > {gt}",
    "ge": "expected a value >= {ge}",
    "lt": "expected a value < {lt}",
    "le": "expected a value <= {le}",
    "multiple_of": "expected a multiple of {multiple_of}",
    "pattern": "expected str matching regex {pattern!r}",
    "min_length": "expected a length >= {min_length}",
    "max_length": "expected a length <= {max_length}",
}
NAMES = {
    "string": "str",
    "dictionary": "dict",
    "boolean": "bool",
    "model": "object",
    "model_attributes": "object",
    "dataclass": "object",
}
# Types that Pydantic parses from a text; here a text is of the wrong type.
LENIENT = ("int", "float", "bool")


def unnamed(value: Any) -> Any:
    """Return a payload without the name of its message."""
    if not isinstance(value, dict):
        return value
    return {name: part for name, part in value.items() if name != TAG_FIELD}


def form_of(
    cls: Any, is_json: bool, name: str | None = None
) -> PydanticForm | UntaggedForm | None:
    """Return how a class is decoded, None if msgspec decodes it as it is.

    Parameters:
        cls: the class, or a generic class with its arguments.
        is_json: JSON rather than MessagePack.
        name: the message name in payloads; None if it is the tag.

    Raises TypeError for a class that cannot be decoded.
    """
    if hasattr(cls, "__pydantic_validator__"):
        return PydanticForm(cls, is_json)
    plain = get_origin(cls) or cls
    if not is_record(plain) or issubclass(plain, dict | tuple):
        raise TypeError("it is no Struct, dataclass, attrs class or Pydantic model")
    config = getattr(plain, "__struct_config__", None)
    if config is None or (config.tag is not None and name in (None, config.tag)):
        return None
    if config.array_like and config.tag is None:
        raise TypeError("its name has no place in an array: give the class a tag")
    if config.array_like:
        raise TypeError(
            f"the first item of an array is its name, {name!r}, where its tag is "
            f"{config.tag!r}: give the class tag={name!r}"
        )
    is_tag = config.tag is not None and config.tag_field == TAG_FIELD
    is_unknown = TAG_FIELD not in plain.__struct_encode_fields__
    if is_tag or (config.forbid_unknown_fields and is_unknown):
        return UntaggedForm(cls, is_json)
    return None


class UntaggedForm:
    """A Struct that does not accept the name of its message.

    It accepts no unknown fields, or its tag has the field of the name.
    """

    finds_errors = False

    def __init__(self, cls: Any, is_json: bool) -> None:
        module = msgspec.json if is_json else msgspec.msgpack
        # Raw: values are kept as they were sent, to the last digit.
        self.decode_parts = module.Decoder(dict[str, msgspec.Raw]).decode
        self.decode_rest = module.Decoder(cls).decode
        self.encode = module.Encoder().encode

    def decode(self, payload: Any) -> Any:
        return self.decode_rest(self.encode(unnamed(self.decode_parts(payload))))


class Limits(dict[str, Any]):
    """The limits of an error, with a general text for one that is missing."""

    def __missing__(self, name: str) -> str:
        return "the limit"


class PydanticForm:
    """A model or dataclass of Pydantic, validated by itself."""

    finds_errors = True

    def __init__(self, cls: Any, is_json: bool) -> None:
        pydantic = sys.modules["pydantic"]
        self.adapter = pydantic.TypeAdapter(cls)
        self.is_json = is_json
        self.error = pydantic.ValidationError
        module = msgspec.json if is_json else msgspec.msgpack
        self.decode_any = module.Decoder().decode
        self.decode_parts = module.Decoder(dict[str, msgspec.Raw]).decode
        self.names = names_of(cls)
        config = getattr(cls, "model_config", None)
        config = config or getattr(cls, "__pydantic_config__", None) or {}
        self.is_closed = config.get("extra") == "forbid" and TAG_FIELD not in self.names

    def decode(self, payload: Any) -> Any:
        if self.is_json and not self.is_closed:
            if isinstance(payload, memoryview):
                payload = bytes(payload)
            return self.adapter.validate_json(payload)
        if self.is_json:
            parts = unnamed(self.decode_parts(payload))
            return self.adapter.validate_json(msgspec.json.encode(parts))
        value = self.decode_any(payload)
        return self.adapter.validate_python(unnamed(value) if self.is_closed else value)

    def problems_of(self, error: Any) -> list[Problem] | None:
        """Return the errors of Pydantic in our words, without any value.

        None for an error of user code.
        """
        if not isinstance(error, self.error):
            return None
        return [self.problem(one) for one in error.errors(include_url=False)]

    def problem(self, error: dict[str, Any]) -> Problem:
        kind, _, fault = error["type"].rpartition("_")
        kind = kind.partition("_from")[0]
        code = CODES.get(error["type"], "invalid")
        text = "the value is not valid"
        if code in TEXTS:
            # The custom error of a validator may have such a type, but no limit.
            text = TEXTS[code].format_map(Limits(error.get("ctx") or {}))
        elif fault == "type" or kind in LENIENT:
            kind = NAMES.get(kind, kind)
            code, text = "type", f"expected {kind}, got {type(error['input']).__name__}"
        elif fault == "parsing":
            text = f"expected a valid {kind}"
        return self.path(error["loc"]), code, text

    def path(self, location: tuple[str | int, ...]) -> str:
        """Return a path; names that are not of the classes come from the payload."""
        path = "$"
        for step in location:
            if isinstance(step, int):
                path += f"[{step}]"
            elif step in self.names:
                path += f".{step}"
            elif step == "[key]":
                path = f"key in {path.removesuffix('[...]')}"
            else:
                path += "[...]"
        return path


def names_of(cls: Any) -> set[str]:
    """Return the names of all fields of a class and of the classes inside it."""
    names: set[str] = set()
    seen: set[Any] = set()
    rest = [cls]
    while rest:
        hint = rest.pop()
        if id(hint) in seen:
            continue
        seen.add(id(hint))
        rest += getattr(hint, "__args__", ())
        fields = getattr(hint, "model_fields", None)
        fields = fields or getattr(hint, "__pydantic_fields__", None) or {}
        for name, field in fields.items():
            alias = field.validation_alias or field.alias
            names |= {name, alias} if isinstance(alias, str) else {name}
            rest.append(field.annotation)
    return names
