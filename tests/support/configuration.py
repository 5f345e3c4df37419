"""What several tests of configuration share: files, fields, origins of values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cqrs_fast import Config, ConfigError
from cqrs_fast.config.sections import Field, Section, fields_of, settings_of

SUFFIXES = (".json", ".toml", ".yaml", ".yml")

GOOD = {
    ".json": """{
  "$schema": "urn:cqrs-fast:config",
  "preset": "low-latency",
  "middleware": {
    "retry": {"max_attempts": 12, "budget": null, "base_delay_ms": 1.5e1},
    "logging": {"prefix": "\\u00e4 [x] {y}", "level": "WARNING"},
    "bulkhead": {"enabled": true}
  },
  "monitoring": {"port": 8080}
}
""",
    ".toml": """# a comment
"$schema" = "urn:cqrs-fast:config"
preset = "low-latency"
monitoring.port = 8080

[middleware]
bulkhead.enabled = true

[middleware.retry]
max_attempts = 12
base_delay_ms = 1.5e1

[middleware.logging]
prefix = "\u00e4 [x] {y}"
level = 'WARNING'
""",
    ".yaml": """# a comment
$schema: urn:cqrs-fast:config
preset: low-latency
middleware:
  retry: {max_attempts: 12, budget: ~, base_delay_ms: 1.5e1}
  logging:
    prefix: "\u00e4 [x] {y}"
    level: WARNING
  bulkhead:
    enabled: true
monitoring:
  port: 8080
""",
}
GOOD[".yml"] = GOOD[".yaml"]


def values_of(config: Config) -> dict[str, Any]:
    return {one.key: one.value for one in settings_of(config)}


def given_to(config: Config) -> dict[str, str]:
    return {
        one.key: one.origin for one in settings_of(config) if one.origin != "default"
    }


# Without the values for single messages, which have no defaults.
def leaves(cls: type[Section] = Config, path: str = "") -> dict[str, Field]:
    found = {}
    for name, field in fields_of(cls).items():
        if field.each is not None:
            continue
        if field.section is None:
            found[path + name] = field
        else:
            found.update(leaves(field.section, f"{path}{name}."))
    return found


LEAVES = leaves()


def config_with(key: str, value: object) -> Config:
    """Return a Config to which this one value is given."""
    *sections, name = key.split(".")
    classes: list[type[Section]] = [Config]
    for section in sections:
        inner = fields_of(classes[-1])[section].section
        assert inner is not None
        classes.append(inner)
    made: Any = classes.pop()(**{name: value})
    for section in reversed(sections):
        made = classes.pop()(**{section: made})
    assert isinstance(made, Config)
    return made


def write(directory: Path, name: str, content: str | bytes, mode: int = 0o644) -> Path:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def refusal(act: Callable[..., Any], *arguments: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        act(*arguments)
    return caught.value
