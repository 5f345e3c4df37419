"""The JSON Schema of a configuration file, made from the model."""

from __future__ import annotations

from typing import Any

import msgspec

from cqrs_fast.config.model import Config
from cqrs_fast.config.presets import PRESETS
from cqrs_fast.config.sections import fields_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER = "urn:cqrs-fast:config"


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `load_config` takes.

    A new dict each time, of JSON types only. It has each default, range and
    description, but no rules between values. Safe to call from any thread.
    """
    sections = msgspec.json.schema(Config)["$defs"]
    for section in sections.values():
        del section["required"]  # it is always empty
        for field in section["properties"].values():
            _tidy(field)
    root = sections.pop(Config.__name__)
    return {
        "$schema": DIALECT,
        "$id": IDENTIFIER,
        "title": "A configuration of cqrs-fast",
        "type": "object",
        "properties": {
            "$schema": {"description": "for editors, ignored", "type": "string"},
            "preset": {
                "description": "the values that the file does not give",
                "enum": list(PRESETS),
                "default": "default",
            },
            **{name: root["properties"][name] for name in fields_of(Config)},
        },
        "additionalProperties": False,
        "$defs": sections,
    }


def _tidy(field: dict[str, Any]) -> None:
    """Keep each default and description once, where editors expect it."""
    if "$ref" in field:
        field.pop("default", None)  # the fields of the section have their own
    for choice in field.get("anyOf", ()):
        if "description" in choice:
            field["description"] = choice.pop("description")
