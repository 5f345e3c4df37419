"""Show the settings of an object: those that differ from the defaults of its class."""

from __future__ import annotations

from functools import cache
from typing import Any

_LONGEST = 60  # characters of one value


def settings_text(cls: type, settings: dict[str, Any]) -> str:
    """Return `Name(setting=value)` with the settings that are not the default ones."""
    changed = changed_settings(cls, settings)
    shown = ", ".join(f"{name}={value_text(changed[name])}" for name in changed)
    return f"{cls.__name__}({shown})"


def changed_settings(cls: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Return those of `settings` that an object made without arguments has not."""
    defaults = default_settings(cls)
    return {
        name: value
        for name, value in settings.items()
        if name not in defaults or defaults[name] != value
    }


@cache
def default_settings(cls: Any) -> dict[str, Any]:
    """Return the settings that are the default ones, none of those that have none.

    For the classes of this package: nobody else's constructor is called for it.
    """
    from inspect import signature

    if not cls.__module__.startswith("cqrs_fast."):
        return {}
    parameters = signature(cls).parameters.values()
    required = [one.name for one in parameters if one.default is one.empty]
    try:
        settings = cls(*([1] * len(required))).settings()
    except TypeError:
        settings = cls(*([_stand_in] * len(required))).settings()
    return {name: settings[name] for name in settings if name not in required}


def value_text(value: Any) -> str:
    """Return a setting as a text: the ends of a long one, as names matter there."""
    text = repr(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 3]}...{text[-_LONGEST * 2 // 3 + 3 :]}"


def _stand_in(*_: object) -> None:
    """Take the place of a function that a class cannot be made without."""
