"""YAML, as much of it as JSON has: no anchors, tags, or words that mean yes and no.

The values are made from the parser's events, so nothing is ever constructed by name,
expanded or repeated. Plain words mean what the core schema of YAML 1.2 says: `on` is a
text, and `010` too, so that neither passes for something else.
"""

from __future__ import annotations

import re
from typing import Any

from cqrs_fast.config.document_rules import MAX_DEPTH, Pairs, number, too_deep
from cqrs_fast.errors import ConfigError

# Many times what a Config has; PyYAML takes seconds for as many as a file can hold.
MOST_EVENTS = 10_000

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def parse_yaml(text: str) -> Any:
    """Return what a YAML document holds, objects as Pairs.

    Raises ConfigError for wrong syntax, for what is not allowed, and without PyYAML.
    """
    try:
        import yaml
    except ImportError:
        hint = 'pip install "cqrs-fast[yaml]"'
        raise ConfigError("a YAML file needs PyYAML", hint=hint) from None
    try:
        return _value(yaml, yaml.parse(text, yaml.SafeLoader))
    except ConfigError:
        raise
    except yaml.MarkedYAMLError as error:
        what = error.problem or error.context
        raise ConfigError(f"is not YAML{_where(error.problem_mark)}: {what}") from None
    except yaml.YAMLError as error:
        what = getattr(error, "reason", None) or str(error)
        raise ConfigError(f"is not YAML: {what}") from None
    except (ValueError, OverflowError):
        raise ConfigError("is not YAML: a character that does not exist") from None


def _where(mark: Any) -> str:
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _value(yaml: Any, events: Any) -> Any:
    """Build the value without recursion; what is open is on a stack of lists."""
    stack: list[list[Any]] = [[]]
    documents = 0
    for count, event in enumerate(events):
        where = _where(event.start_mark)
        if count == MOST_EVENTS:
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
            stack[-1].append(_scalar(event))
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


def _scalar(event: Any) -> Any:
    text = event.value
    if event.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    found = number(text)
    return text if found is None else found
