"""Documents: from the bytes of a JSON, TOML or YAML file to plain, checked values.

The three formats are held to what all of them share: one object of text keys, each
given once, with finite numbers, at most 32 levels, in UTF-8. Errors of a value carry
its key path; those of the syntax say where in the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from cqrs_fast.config.document_rules import MAX_DEPTH, Pairs, too_deep
from cqrs_fast.config.sections import shown
from cqrs_fast.errors import ConfigError
from cqrs_fast.redaction import SECRET_WORDS

_SECRETS = (*SECRET_WORDS, "apikey", "credential", "passphrase", "passwd", "privatekey")
_BARE = re.compile(r"[A-Za-z0-9_$-]{1,80}")


def parse_document(data: bytes, suffix: str) -> dict[str, Any]:
    """Return the object that a file holds, as dict, list, str, int, float, bool, None.

    Parameters:
        data: the whole content of the file.
        suffix: `.json`, `.toml`, `.yaml` or `.yml`: the format.

    Raises:
        ConfigError: no known suffix, wrong syntax, or a document that is not what the
            module says. Without path; with the key path where there is one.
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
    document = plain(FORMATS[suffix](text))
    if not isinstance(document, dict):
        got = type(document).__name__
        raise ConfigError(f"expected an object at the top, got {got}")
    return document


def key_path(above: str, key: str) -> str:
    """Return the path of a key below another; what is no plain word is quoted."""
    if not _BARE.fullmatch(key):
        key = shown(key)
    return f"{above}.{key}" if above else key


def plain(value: Any, key: str = "", depth: int = 0) -> Any:
    """Return a parsed value without anything that is not allowed in a document."""
    if isinstance(value, Pairs | dict | list):
        if depth == MAX_DEPTH:
            raise too_deep()
        if isinstance(value, dict):
            return _plain_object(value.items(), key, depth + 1)
        if isinstance(value, Pairs):
            return _plain_object(value, key, depth + 1)
        return [
            plain(item, f"{key}[{index}]", depth + 1)
            for index, item in enumerate(value)
        ]
    if isinstance(value, str):
        if not _is_text(value):
            raise ConfigError("text holds a lone surrogate", key=key or None)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError("expected a finite number", key=key or None)
    elif value is not None and not isinstance(value, int):
        raise ConfigError(f"no value can be a {type(value).__name__}", key=key or None)
    return value


def _plain_object(pairs: Any, above: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            raise ConfigError(
                f"expected keys that are text, got {shown(name)}", key=above or None
            )
        key = key_path(above, name)
        if name in found:
            raise ConfigError("the key is there twice", key=key)
        _refuse_secret(name, key)
        found[name] = plain(value, key, depth)
    return found


def _refuse_secret(name: str, key: str) -> None:
    """Raise ConfigError if the name of a key says that its value is a secret."""
    folded = name.casefold().replace("_", "").replace("-", "")
    if any(word in folded for word in _SECRETS):
        raise ConfigError("secrets do not belong in a configuration file", key=key)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


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


def _yaml(text: str) -> Any:
    from cqrs_fast.config.yaml_document import parse_yaml

    return parse_yaml(text)


FORMATS: dict[str, Callable[[str], Any]] = {
    ".json": _json,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
}
