"""Section: the base of every part of a Config.

A section remembers which of its fields were given, and the origin of each. Only these
fields override those of another section.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from cqrs_fast.config.given import Given
from cqrs_fast.errors import ConfigError

S = TypeVar("S", bound="Section")

CODE = "code"
MESSAGES = "messages"
SHOWN_CHARACTERS = 80

_BARE = re.compile(r"[A-Za-z0-9_$-]{1,80}")


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,)
)
class _SectionMeta(msgspec.StructMeta):
    """Make a section remember the fields that its constructor was given."""

    def __call__(cls, *args: Any, **given: Any) -> Any:
        if args:  # their names would be unknown
            raise TypeError(f"{cls.__name__} takes keyword arguments only")
        section = super().__call__(**given)
        section.__dict__["origins"] = dict.fromkeys(given, CODE)
        return section


class Section(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    dict=True,
    forbid_unknown_fields=True,
    metaclass=_SectionMeta,
):
    """The base of Config and its parts: immutable, so safe to share.

    Raises ConfigError for a value of a wrong type or out of range, naming the field.
    """

    def __post_init__(self) -> None:
        for field in fields_of(type(self)).values():
            field.check(getattr(self, field.name))

    # A copy by msgspec would forget what was given.
    def __copy__(self: S) -> S:
        return self

    def __deepcopy__(self: S, memo: object) -> S:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        values = {name: getattr(self, name) for name in fields_of(type(self))}
        return _restore, (type(self), values, origins_of(self))


def _restore(cls: type[S], values: dict[str, Any], origins: dict[str, str]) -> S:
    """Rebuild a pickled section."""
    return with_origins(cls(**values), origins)


class Field(NamedTuple):
    """One field of a section.

    Attributes:
        name: without the path to it.
        type: its annotation.
        default: its value if none is given.
        section: the class of the section that it is, or None.
        choices: the allowed words; empty for any.
        description: one line for people; empty for a section.
        each: the class of the section that each value of an object is, or None. Only
            given values are kept of these, as a Given: a default would override.
    """

    name: str
    type: Any
    default: Any
    section: type[Section] | None
    choices: tuple[str, ...]
    description: str
    each: type[Section] | None = None

    def check(self, value: object) -> Any:
        """Return `value` as the type says, or raise a ConfigError with this key."""
        if self.section is not None:
            if isinstance(value, self.section):
                return value
            self.reject(f"expected a {self.section.__name__}, got {kind(value)}")
        if self.each is not None:
            if not isinstance(value, dict):
                self.reject(f"expected an object, got {kind(value)}")
            return value
        if self.choices and value not in self.choices:
            hint = nearest(value, self.choices)
            got = "" if isinstance(value, str) else f", got {kind(value)}"
            self.reject(f"expected one of {', '.join(self.choices)}{got}", hint)
        if isinstance(value, float) and not math.isfinite(value):
            self.reject("expected a finite number")
        try:
            return msgspec.convert(value, self.type)
        except msgspec.ValidationError as error:
            wanted, of_another_type, _ = str(error).partition(", got ")
            wanted = wanted.split(" - at ")[0]
            wanted = wanted.replace("`", "").replace("float", "number")
            got = f", got {kind(value)}" if of_another_type else ""
            self.reject(f"{wanted[:1].lower()}{wanted[1:]}{got}")

    def reject(self, text: str, hint: str | None = None) -> None:
        """Raise a ConfigError without the value, which may be a misplaced secret."""
        raise ConfigError(text, key=self.name, hint=hint)


def kind(value: object) -> str:
    """Return what an error shows of a value: only its type."""
    return type(value).__name__


def shown(value: object) -> str:
    """Return a value for an error, cut short."""
    text = repr(value)
    cut = text[:SHOWN_CHARACTERS]
    return text if text == cut else f"{cut}..."


def key_path(above: str, key: str) -> str:
    """Return the path of a key below another; a key that is no plain word is quoted."""
    if not _BARE.fullmatch(key):
        key = shown(key)
    return f"{above}.{key}" if above else key


def nearest(name: object, known: tuple[str, ...]) -> str | None:
    """Return a hint with what was probably meant, or None."""
    folded = {other.casefold(): other for other in known}
    wanted = str(name)[:SHOWN_CHARACTERS].casefold()
    matches = get_close_matches(wanted, folded, 1)
    return f"did you mean {folded[matches[0]]}?" if matches else None


@cache
def fields_of(section: type[Section]) -> dict[str, Field]:
    """Return the fields of a section by name, in order."""
    hints = get_type_hints(section, include_extras=True)
    found = {}
    for field in msgspec.structs.fields(section):
        hint = hints[field.name]
        is_section = isinstance(hint, type) and issubclass(hint, Section)
        bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        found[field.name] = Field(
            name=field.name,
            type=hint,
            default=field.default,
            section=hint if is_section else None,
            choices=get_args(bare) if get_origin(bare) is Literal else (),
            description="" if is_section else _description(hint),
            each=_each(hint),
        )
    return found


def _each(hint: Any) -> type[Section] | None:
    extras = [meta.extra or {} for meta in getattr(hint, "__metadata__", ())]
    return next((extra["each"] for extra in extras if "each" in extra), None)


def _description(hint: Any) -> str:
    if get_origin(hint) is UnionType or NoneType in get_args(hint):
        return next(filter(None, map(_description, get_args(hint))), "")
    metas = getattr(hint, "__metadata__", ())
    return next((meta.description for meta in metas if meta.description), "")


def origins_of(section: Section) -> dict[str, str]:
    """Return the fields that were given, each with its origin.

    A result of `msgspec.structs.replace` remembers nothing: there it is what differs
    from the defaults.
    """
    origins: dict[str, str] | None = section.__dict__.get("origins")
    if origins is not None:
        return origins
    return {
        name: CODE
        for name, field in fields_of(type(section)).items()
        if field.section is not None or getattr(section, name) != field.default
    }


def with_origins(section: S, origins: dict[str, str]) -> S:
    """Set the origins of a new section, and return it."""
    vars(section)["origins"] = origins
    return section


class Setting(NamedTuple):
    """One value of a Config: its key path, value, origin and field."""

    key: str
    value: Any
    origin: str
    field: Field


def settings_of(section: Section, path: str = "") -> Iterator[Setting]:
    """Yield every value in a section and those below it, in order."""
    origins = origins_of(section)
    for name, field in fields_of(type(section)).items():
        value = getattr(section, name)
        if field.section is not None:
            yield from settings_of(value, f"{path}{name}.")
        elif field.each is not None:
            for key, setting, one in given_settings(field.each, value, name):
                yield Setting(f"{path}{key}", setting, origins.get(key, CODE), one)
        else:
            origin = origins.get(name, "default")
            yield Setting(f"{path}{name}", value, origin, field)


def merged(base: S, override: S) -> S:
    """Return `base` with the fields that were given to `override`, at every level."""
    given = origins_of(override)
    values, origins = {}, dict(origins_of(base))
    origins.update((key, origin) for key, origin in given.items() if "." in key)
    for name, field in fields_of(type(base)).items():
        value = getattr(base, name)
        if field.section is not None:
            value = merged(value, getattr(override, name))
        elif name in given:
            of_override = getattr(override, name)
            value = of_override if field.each is None else value.merged(of_override)
            origins[name] = given[name]
        values[name] = value
    return with_origins(type(base)(**values), origins)


def marked(section: S, origin: str) -> S:
    """Return the same values, with `origin` for all that were given."""
    values = {
        name: marked(getattr(section, name), origin)
        if field.section is not None
        else getattr(section, name)
        for name, field in fields_of(type(section)).items()
    }
    origins = dict.fromkeys(origins_of(section), origin)
    return with_origins(type(section)(**values), origins)


def given_settings(
    cls: type[Section], given: Given, above: str
) -> Iterator[tuple[str, Any, Field]]:
    """Yield the key path, the value and the field of each value for a message."""
    for name, sections in given.items():
        for section, values in sections.items():
            below = fields_of(cls)[section].section
            assert below is not None
            for field, value in values.items():
                key = f"{key_path(above, name)}.{section}.{field}"
                # There is no default: what is not given is that of the bus.
                one = fields_of(below)[field]._replace(default=msgspec.UNSET)
                yield key, value, one
