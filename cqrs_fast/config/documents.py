"""Documents: from the bytes of a JSON, TOML or YAML file to plain, checked values.

All formats keep to what they share: one object of text keys, each given once, finite
numbers, at most 32 levels, UTF-8. An error of a value has its key path; a syntax error
has its place in the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from cqrs_fast.config.problems import Problems
from cqrs_fast.config.sections import MESSAGES, key_path, shown
from cqrs_fast.errors import ConfigError
from cqrs_fast.redaction import SECRET_WORDS

MAX_DEPTH = 32

_SECRETS = (*SECRET_WORDS, "apikey", "credential", "passphrase", "passwd", "privatekey")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(
    r"[-+]?(?:(?P<whole>0|[1-9][0-9]*)|(?:0|[1-9][0-9]*)?\.[0-9]+|[1-9][0-9]*\.)"
    r"(?P<power>[eE][-+]?[0-9]+)?"
)


class Pairs(list[tuple[Any, Any]]):
    """An object of a document: its keys and values in order, keys maybe repeated."""


def parse_document(data: bytes, suffix: str, problems: Problems) -> dict[str, Any]:
    """Return the object that a file holds, as dict, list, str, int, float, bool, None.

    Parameters:
        data: the whole content of the file.
        suffix: `.json`, `.toml`, `.yaml` or `.yml`: the format.
        problems: gets each value that breaks the rules of this module, with its key
            path; the result is without it.

    Raises:
        ConfigError: no known suffix, wrong syntax, or no object at all. It has no file
            path.
    """
    if suffix not in FORMATS:
        raise ConfigError(f"expected a file name that ends with {', '.join(FORMATS)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8: byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise ConfigError("begins with a byte order mark", hint="save it without one")
    if not text.strip():
        raise ConfigError("the file is empty")
    document = plain(FORMATS[suffix](text), problems)
    if not isinstance(document, dict):
        got = type(document).__name__
        raise ConfigError(f"expected an object at the top, got {got}")
    return document


def number(text: str) -> int | float | None:
    """Return the number that a text is in decimal, or None."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match["power"] or not match["whole"]:
        return float(text)
    try:
        return int(text)
    except ValueError:  # more digits than CPython reads
        return None


def too_deep(where: str = "") -> ConfigError:
    """Return the error of a document with too many levels."""
    return ConfigError(f"nested deeper than {MAX_DEPTH} levels{where}")


def plain(value: Any, problems: Problems, key: str = "", depth: int = 0) -> Any:
    """Return a parsed value without what a document may not hold.

    Adds a problem for each such value. Raises ConfigError for too many levels.
    """
    if isinstance(value, Pairs | dict | list):
        if depth == MAX_DEPTH:
            raise too_deep()
        if isinstance(value, dict):
            return _plain_object(value.items(), problems, key, depth + 1)
        if isinstance(value, Pairs):
            return _plain_object(value, problems, key, depth + 1)
        return [
            plain(one, problems, f"{key}[{at}]", depth + 1)
            for at, one in enumerate(value)
        ]
    if isinstance(value, str):
        if _SURROGATE.search(value):
            problems.add("text holds a lone surrogate", key or None)
    elif isinstance(value, float):
        if not math.isfinite(value):
            problems.add("expected a finite number", key or None)
    elif value is not None and not isinstance(value, int):
        problems.add(f"no value can be a {type(value).__name__}", key or None)
    return value


def _plain_object(
    pairs: Iterable[tuple[Any, Any]], problems: Problems, above: str, depth: int
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            text = f"expected keys that are text, got {shown(name)}"
            problems.add(text, above or None)
            continue
        key = key_path(above, name)
        folded = name.casefold().replace("_", "").replace("-", "")
        if name in found:
            problems.add("the key is there twice", key)
        elif above != MESSAGES and any(word in folded for word in _SECRETS):
            problems.add("secrets do not belong in a configuration file", key)
        else:
            found[name] = plain(value, problems, key, depth)
    return found


# JSON and TOML


def _json(text: str) -> Any:
    import json

    try:
        return json.loads(text, object_pairs_hook=Pairs)
    except RecursionError:
        raise too_deep() from None
    except json.JSONDecodeError as error:
        what = error.msg.partition(" starting")[0]
        if error.pos >= len(text.rstrip()) or what == "Unterminated string":
            what = f"the file ends too early: {what}"
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"is not JSON at {where}: {what}") from None
    except ValueError as error:  # an int of too many digits
        raise ConfigError(f"is not JSON that can be read: {error}") from None


# The parser of CPython takes quadratic time for keys of very many parts.
_TOML_DEEP_KEY = re.compile(
    r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*)"""
    rf"{{{MAX_DEPTH}}}"
)


def _toml(text: str) -> Any:
    import tomllib

    match = _TOML_DEEP_KEY.search(text)
    if match is not None:
        raise too_deep(f" at line {text.count(chr(10), 0, match.start()) + 1}")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:
        raise ConfigError(f"is not TOML: {error}") from None


# YAML, as much of it as JSON has. The values are made from the parser's events, so
# nothing is constructed by name, expanded or repeated. Plain words mean what the core
# schema of YAML 1.2 says: `on` and `010` are texts.

# Many times what a Config has; PyYAML takes seconds for as many as a file can hold.
_MOST_EVENTS = 10_000
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        hint = 'pip install "cqrs-fast[yaml]"'
        raise ConfigError("a YAML file needs PyYAML", hint=hint) from None
    try:
        return _yaml_value(yaml, yaml.parse(text, yaml.SafeLoader))
    except ConfigError:
        raise
    except yaml.MarkedYAMLError as error:
        what = error.problem or error.context
        where = _place(error.problem_mark)
        raise ConfigError(f"is not YAML{where}: {what}") from None
    except yaml.YAMLError as error:
        what = getattr(error, "reason", None) or str(error)
        raise ConfigError(f"is not YAML: {what}") from None
    except (ValueError, OverflowError):
        raise ConfigError("is not YAML: a character that does not exist") from None


def _place(mark: Any) -> str:
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _yaml_value(yaml: Any, events: Any) -> Any:
    """Build the value without recursion; open collections are on a stack of lists."""
    stack: list[list[Any]] = [[]]
    documents = 0
    for count, event in enumerate(events):
        where = _place(event.start_mark)
        if count == _MOST_EVENTS:
            raise ConfigError(f"YAML holds too many values{where}")
        if getattr(event, "anchor", None) is not None:
            raise ConfigError(f"YAML anchors and aliases are not allowed{where}")
        if getattr(event, "tag", None) is not None:
            raise ConfigError(f"YAML tags are not allowed{where}")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ConfigError(f"expected one YAML document{where}")
        elif isinstance(event, yaml.ScalarEvent):
            stack[-1].append(_yaml_scalar(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append([])
            if len(stack) > MAX_DEPTH + 1:
                raise too_deep(where)
        elif isinstance(event, yaml.CollectionEndEvent):
            items = stack.pop()
            if isinstance(event, yaml.MappingEndEvent):
                items = Pairs(zip(items[::2], items[1::2], strict=True))
            stack[-1].append(items)
    return stack[0][0] if documents else {}


def _yaml_scalar(event: Any) -> Any:
    text = event.value
    if event.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    found = number(text)
    return text if found is None else found


FORMATS: dict[str, Callable[[str], Any]] = {
    ".json": _json,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
}
