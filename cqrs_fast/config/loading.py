"""Load a Config: from a file, from the environment, from both.

A preset overrides the defaults, a file the preset that it names, the environment the
file, and code everything. Each value remembers its origin.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from cqrs_fast.config.assembly import check_config
from cqrs_fast.config.documents import (
    FORMATS,
    number,
    parse_document,
    plain,
)
from cqrs_fast.config.files import read_file
from cqrs_fast.config.model import Config
from cqrs_fast.config.presets import PRESETS, default_config, preset
from cqrs_fast.config.problems import Problems
from cqrs_fast.config.sections import (
    MESSAGES,
    Field,
    Section,
    fields_of,
    key_path,
    kind,
    merged,
    nearest,
    shown,
)
from cqrs_fast.errors import ConfigError

# Variables of this prefix are switches of the library itself.
RESERVED_PREFIX = "CQRS_FAST_"

# Keys of a file that are not in Config.
FOR_THE_LOADER = (PRESET, SCHEMA) = ("preset", "$schema")
TOP_LEVEL = "the top level"

_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_MOST_PLACES = 3
# How similar a name is to that of a section if it is probably misspelt, from 0 to 1.
CLOSE = 0.75


def load_config(path: str | os.PathLike[str]) -> Config:
    """Return the Config that a file describes.

    The suffix of the path is the format: JSON, TOML, or YAML with the extra `yaml`. A
    top-level `preset` names the preset that the file changes; a top-level `$schema` is
    for editors. Only JSON detects a truncated file. Blocks while it reads. Safe to call
    from any thread.

    Parameters:
        path: the file, which must belong to root or to this user, and which not
            everybody may write; a symlink is followed.

    Raises:
        ConfigError: the file cannot be read or trusted, or has a wrong key or value;
            the error names the file, the key path, and often what was meant.
        TypeError: path is no path.
    """
    name = _path("path", path)
    return config_from(read_file(name, stacklevel=2), name)


def config_from(data: bytes, path: str) -> Config:
    """Return the Config that the content of a file describes; `path` names the file.

    Raises ConfigError as `load_config` does.
    """
    problems = Problems(_meant)
    with _naming(path):
        suffix = os.path.splitext(path)[1].lower()
        document = parse_document(data, suffix, problems)
        base = _base_of(document, problems)
        config = merged(base, problems.section(Config, document, path))
        problems.raise_all()
        check_config(config)
    return config


def load_config_from_env(prefix: str = "CQRS_", base: Config | None = None) -> Config:
    """Return a Config with the values that environment variables give.

    `CQRS_MIDDLEWARE__CACHING__DEFAULT_TTL_SEC=60` sets
    `middleware.caching.default_ttl_sec`. Only variables with the prefix, the name of a
    section of Config and `__` count, and each of them must name a field. One with a
    section that is close to a known name is rejected as misspelt; others are ignored.
    `messages` can only be set in a file. A flag is
    `true`, `false`, `1` or `0`. The empty text and `null` are None if a field may be
    None. Variables that begin with `CQRS_FAST_` never count. Safe to call from any
    thread.

    Parameters:
        prefix: how the variables begin.
        base: what they override. None for the defaults; then values that contradict
            each other are rejected only when a bus is made.

    Raises:
        ConfigError: a variable names no field, or its value does not fit; `path` is the
            name of the variable.
        TypeError: an argument of a wrong type.
        ValueError: a prefix that no variable can have, or that is the reserved one.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str, got {shown(prefix)}")
    if not _PREFIX.fullmatch(prefix) or prefix.startswith(RESERVED_PREFIX):
        raise ValueError(
            "prefix must be the beginning of a variable's name, and not "
            f"{RESERVED_PREFIX}, got {shown(prefix)}"
        )
    config = default_config() if base is None else _config("base", base)
    for name, keys in _variables(prefix):
        with _naming(name):
            config = merged(config, _override(name, keys))
    if base is not None:
        check_config(config)
    return config


def load_environment_config(
    directory: str | os.PathLike[str] = "configs", env_var: str = "ENV"
) -> Config:
    """Return the Config of the environment that a variable names.

    For `production` that is `configs/production.json`, or the same with `.toml`,
    `.yaml` or `.yml`. Without the variable, or if it is empty, the environment is
    `development`. Blocks while it reads. Safe to call from any thread.

    Parameters:
        directory: where the files of the environments are.
        env_var: the name of the variable.

    Raises:
        ConfigError: the name is not that of a file, it has no file or several, or
            `load_config` rejects the file.
        TypeError: an argument of a wrong type.
    """
    if not isinstance(env_var, str):
        raise TypeError(f"env_var must be a str, got {shown(env_var)}")
    folder = _path("directory", directory)
    environment = os.environ.get(env_var) or "development"
    if not _ENVIRONMENT.fullmatch(environment):
        raise ConfigError(
            "the name of an environment is made of letters, digits, '_', '-' and '.'",
            env_var,
        )
    return load_config(os.path.join(folder, _file_of(environment, folder)))


def merge_configs(base: Config, override: Config) -> Config:
    """Return `base` with the values that were given to `override`.

    Defaults of `override` change nothing. Each value keeps its origin. Neither argument
    changes. Safe to call from any thread.

    Raises:
        TypeError: an argument is no Config.
    """
    return merged(_config("base", base), _config("override", override))


def _config(argument: str, value: object) -> Config:
    if not isinstance(value, Config):
        raise TypeError(f"{argument} must be a Config, got {shown(value)}")
    return value


def _path(argument: str, value: object) -> str:
    name = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(name, str):
        text = f"{argument} must be a str or a PathLike of str, got {shown(value)}"
        raise TypeError(text)
    return name


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Add the file or the variable to every ConfigError from inside."""
    try:
        yield
    except ConfigError as error:
        for one in (error, *error.others):
            one.path = one.path or path
        raise


def _base_of(document: dict[str, Any], problems: Problems) -> Config:
    """Remove the loader's keys from a document, and return the preset it names."""
    schema = document.pop(SCHEMA, "")
    if not isinstance(schema, str):
        problems.add(f"expected str, got {kind(schema)}", SCHEMA)
    name = document.pop(PRESET, "default")
    if not isinstance(name, str) or name not in PRESETS:
        got = "" if isinstance(name, str) else f", got {kind(name)}"
        text = f"expected one of {', '.join(PRESETS)}{got}"
        problems.add(text, PRESET, nearest(name, tuple(PRESETS)))
        return default_config()
    return preset(name)


def _meant(name: str, cls: type[Section]) -> str | None:
    """Return a hint for an unknown key: where it belongs, or a similar one."""
    places = sorted(above for above, key in _keys(Config) if key == name)
    if name in FOR_THE_LOADER:
        places.append(TOP_LEVEL)
    if places and len(places) <= _MOST_PLACES:
        return f"{name} belongs to {' or '.join(places)}"
    return nearest(name, tuple(fields_of(cls)))


def _keys(cls: type[Section], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path of its section, name) of every key."""
    for name, field in fields_of(cls).items():
        yield above or TOP_LEVEL, name
        if field.section is not None:
            yield from _keys(field.section, key_path(above, name))


def _variables(prefix: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the variables that count, each with the names of its keys."""
    sections = {name.upper() for name in fields_of(Config)}
    for name in sorted(os.environ):
        if not name.startswith(prefix) or name.startswith(RESERVED_PREFIX):
            continue
        section, *keys = name[len(prefix) :].split("__")
        if keys and section in sections:
            yield name, [section, *keys]
        elif keys and (meant := _section_meant(section.upper(), sections)):
            hint = f"did you mean {'__'.join([prefix + meant, *keys])}?"
            raise ConfigError("names no section", name, hint=hint)


def _section_meant(name: str, sections: set[str]) -> str | None:
    """Return the section whose name is close to another one, or None."""
    for section in sections:
        if name.startswith(f"{section}_"):
            return section
    return next(iter(get_close_matches(name, sections, 1, CLOSE)), None)


def _override(name: str, keys: list[str]) -> Config:
    """Return a Config with the one value of a variable."""
    if any(key != key.upper() for key in keys):
        raise ConfigError("expected upper case", hint=f"did you mean {name.upper()}?")
    keys = [key.lower() for key in keys]
    text = os.environ[name]
    problems = Problems()
    plain(_nested(keys, text), problems)
    problems.raise_all()
    if keys[0] == MESSAGES:
        text = "has no form in the environment: set it in a file"
        raise ConfigError(text, key=MESSAGES)
    above = ""
    section: type[Section] | None = Config
    field: Field | None = None
    for key in keys:
        if section is None:
            raise ConfigError("the key holds no other keys", key=above)
        here = key_path(above, key)
        field = fields_of(section).get(key)
        if field is None:
            raise ConfigError("unknown key", key=here, hint=_meant(key, section))
        section, above = field.section, here
    if section is not None or field is None:
        raise ConfigError("names a section, expected one of its keys", key=above)
    problems = Problems(_meant)
    found = problems.section(Config, _nested(keys, _typed(text, field)), name)
    problems.raise_all()
    return found


def _nested(keys: list[str], value: Any) -> Any:
    """Return the document of one value."""
    for key in reversed(keys):
        value = {key: value}
    return value


def _typed(text: str, field: Field) -> Any:
    """Return the value that the text of a variable means to a field, or the text."""
    types = _types(field.type)
    if NoneType in types and text in ("", "null"):
        return None
    if bool in types:
        return _FLAGS.get(text.lower(), text)
    if str in types:
        return text
    found = number(text)
    return text if found is None else found


def _types(hint: Any) -> set[Any]:
    """Return the plain types that an annotation allows."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _types(inner[0])
    if origin is Literal:
        return {str}
    return set().union(*map(_types, inner)) if inner else {hint}


def _file_of(environment: str, folder: str) -> str:
    """Return the name of the only file of an environment in a directory."""
    files: dict[str, list[str]] = {}
    try:
        listed = sorted(os.listdir(folder))
    except OSError as error:
        raise ConfigError(f"cannot be listed: {error.strerror}", folder) from None
    for file in listed:
        stem, suffix = os.path.splitext(file)
        if suffix in FORMATS and _ENVIRONMENT.fullmatch(stem):
            files.setdefault(stem, []).append(file)
    found = files.get(environment, [])
    if not found:
        text = f"there is no file for the environment {environment}"
        hint = f"there are: {', '.join(files)}" if files else "there is none at all"
        raise ConfigError(text, folder, hint=hint)
    if len(found) > 1:
        text = f"there are several files for the environment {environment}: "
        raise ConfigError(text + ", ".join(found), folder, hint="keep one")
    return found[0]
