"""Problems: read plain values as sections, and collect everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cqrs_fast.config.given import Given
from cqrs_fast.config.sections import (
    CODE,
    S,
    Section,
    fields_of,
    given_settings,
    key_path,
    kind,
    nearest,
    origins_of,
    with_origins,
)
from cqrs_fast.errors import ConfigError


def given_to(section: Section) -> Given:
    """Return the values that a section was given, at every level."""
    found = {}
    for name, field in fields_of(type(section)).items():
        if name in origins_of(section):
            value = getattr(section, name)
            found[name] = value if field.section is None else given_to(value)
    return Given(found)


def section_of(cls: type[S], given: dict[str, Any], above: str = "") -> S:
    """Return a section with plain values. Raises ConfigError with the key path."""
    problems = Problems()
    section = problems.section(cls, given, CODE, above)
    problems.raise_all()
    return section


def similar_key(name: str, cls: type[Section]) -> str | None:
    """Return a hint with the key of a section that was probably meant, or None."""
    return nearest(name, tuple(fields_of(cls)))


class Problems(list[ConfigError]):
    """Read a document to its end, and collect everything that is wrong with it.

    Parameters:
        meant: returns the hint for an unknown key of a section, or None.
    """

    def __init__(
        self, meant: Callable[[str, type[Section]], str | None] = similar_key
    ) -> None:
        self._meant = meant

    def add(
        self,
        text: str,
        key: str | None,
        hint: str | None = None,
        path: str | None = None,
    ) -> None:
        """Add a problem, unless one of the same value or of a part of it is known."""
        below = (f"{key}.", f"{key}[")
        for one in self:
            if one.key and (one.key == key or one.key.startswith(below)):
                return
        self.append(ConfigError(text, path, key, hint))

    def raise_all(self) -> None:
        """Raise the first, which has the others, if there is any."""
        if self:
            first = self[0]
            first.others = tuple(self[1:])
            raise first

    def section(
        self, cls: type[S], given: dict[str, Any], origin: str, above: str = ""
    ) -> S:
        """Return a section with the values of an object that are right."""
        known = fields_of(cls)
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for name, value in given.items():
            key = key_path(above, name)
            field = known.get(name)
            if field is None:
                self.add("unknown key", key, self._meant(name, cls))
            elif field.each is not None:
                values[name] = self.messages(field.each, value, key)
                found = given_settings(field.each, values[name], name)
                origins.update((path, origin) for path, _, _ in found)
            elif field.section is None:
                try:
                    values[name] = field.check(value)
                except ConfigError as error:
                    self.add(error.message, key, error.hint)
            elif isinstance(value, dict):
                values[name] = self.section(field.section, value, origin, key)
            else:
                self.add(f"expected an object, got {kind(value)}", key)
        origins.update(dict.fromkeys(values, origin))
        return with_origins(cls(**values), origins)

    def messages(self, cls: type[Section], given: object, above: str) -> Given:
        """Return what an object gives for each message, with its values checked."""
        found = {}
        if not isinstance(given, dict):
            self.add(f"expected an object, got {kind(given)}", above)
            return Given()
        for name, value in given.items():
            key = key_path(above, str(name))
            if isinstance(name, str) and isinstance(value, dict):
                found[name] = given_to(self.section(cls, value, CODE, key))
            else:
                self.add(f"expected an object, got {kind(value)}", key)
        return Given(found)
