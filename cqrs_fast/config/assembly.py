"""Assembly: the middleware that a Config describes, in the default order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cqrs_fast.config.model import Config, MiddlewareConfig
from cqrs_fast.config.problems import Problems, section_of
from cqrs_fast.config.sections import (
    MESSAGES,
    Section,
    fields_of,
    key_path,
    merged,
    origins_of,
    shown,
)
from cqrs_fast.errors import ConfigError
from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stages.catalog import ATTEMPT_TIMEOUT, CATALOG, CUSTOM, Row

KINDS = ("command", "query")

# The suffixes of field names, and how many of the unit make a second.
UNITS = {"_ms": 1000, "_sec": 1}
RATE = "_per_sec"
MIDDLEWARE = "middleware"

ROWS = {row.section: row for row in CATALOG if row.section}
_OWN_AT = [row.name for row in CATALOG].index(CUSTOM)
# Middleware of users goes between the two.
OUTER = {row.section: row for row in CATALOG[:_OWN_AT] if row.section}
INNER = {row.section: row for row in CATALOG[_OWN_AT:] if row.section}

Arguments = dict[str, Any]


def check_config(config: Config) -> None:
    """Raise all ConfigErrors of buses made from `config`; TypeError for no Config."""
    problems = Problems()
    for kind in KINDS:
        bus = {**arguments_of(config, kind), **standby_of(config, kind)}
        of_bus = OfMessage("", {**bus}, config.middleware, MIDDLEWARE)
        for one in (of_bus, *messages_of(config, kind)):
            for name, given in one.arguments.items():
                try:
                    made_all({name: given}, one.middleware, one.key)
                except ConfigError as error:
                    problems.add(error.message, error.key, path=error.path)
    problems.raise_all()


def middleware_of(config: Config, kind: str) -> dict[str, Stage]:
    """Make the enabled middleware of one bus, outermost first, by its section's name.

    Parameters:
        config: a Config.
        kind: of the bus, "command" or "query".

    `attempt_timeout` is the second timeout, of one attempt. Raises ConfigError, with
    the section as its key, if the values of a section contradict each other.
    """
    return {
        name: make(name, arguments, config.middleware)
        for name, arguments in arguments_of(config, kind).items()
    }


def arguments_of(config: Config, kind: str) -> dict[str, Arguments]:
    """Return the arguments of each middleware of a bus, outermost first."""
    return _arguments_in(checked(config).middleware, kind, MIDDLEWARE)


def standby_of(config: Config, kind: str) -> dict[str, Arguments]:
    """Return the same of what only classes that ask for it have: a cache."""
    caching = config.middleware.caching
    if caching.enabled or kind not in ROWS["caching"].kinds:
        return {}
    return {"caching": _arguments(caching, ROWS["caching"])}


class OfMessage(NamedTuple):
    """What one message has instead of the middleware of its bus.

    Attributes:
        name: of the message.
        arguments: as for a bus; None for a middleware that it does not have.
        middleware: the sections that these are from.
        key: the path to them.
    """

    name: str
    arguments: dict[str, Arguments | None]
    middleware: MiddlewareConfig
    key: str


def messages_of(config: Config, kind: str) -> Iterator[OfMessage]:
    """Yield what the section `messages` says, for one kind of bus."""
    for name, given in config.messages.items():
        middleware = merged(config.middleware, section_of(MiddlewareConfig, given))
        key = key_path(MESSAGES, name)
        wanted = _arguments_in(middleware, kind, key)
        sections = [section for section, values in given.items() if values]
        if "retry" in sections:
            sections.append(ATTEMPT_TIMEOUT)
        served = [section for section in sections if kind in ROWS[section].kinds]
        arguments = {section: wanted.get(section) for section in served}
        yield OfMessage(name, arguments, middleware, key)


def _arguments_in(
    middleware: MiddlewareConfig, kind: str, key: str
) -> dict[str, Arguments]:
    if middleware.tracing.enabled:
        raise ConfigError(
            "this version has no TracingMiddleware",
            path=_path_of(middleware.tracing, "enabled"),
            key=f"{key}.tracing.enabled",
        )
    found = {}
    for name, row in ROWS.items():
        # The timeout of an attempt has no section: see retry.attempt_timeout_ms.
        if name == ATTEMPT_TIMEOUT or kind not in row.kinds:
            continue
        if getattr(middleware, name).enabled:
            found[name] = _arguments(getattr(middleware, name), row)
    attempt_ms = middleware.retry.attempt_timeout_ms
    if "retry" in found and attempt_ms is not None:
        found[ATTEMPT_TIMEOUT] = {"seconds": attempt_ms / 1000}
    return found


def made_all(
    arguments: Mapping[str, Arguments | None],
    middleware: MiddlewareConfig,
    key: str = MIDDLEWARE,
) -> dict[str, tuple[Arguments | None, Stage | None]]:
    """Make middleware; return the arguments and the middleware of each section."""
    return {
        name: (given, None if given is None else make(name, given, middleware, key))
        for name, given in arguments.items()
    }


def make(
    name: str, arguments: Arguments, middleware: MiddlewareConfig, key: str = MIDDLEWARE
) -> Stage:
    """Make one middleware. Raises ConfigError with the section as its key."""
    try:
        made: Stage = ROWS[name].make(**arguments)
    except (TypeError, ValueError) as error:
        raise rejection(name, error, middleware, key) from error
    return made


def rejection(
    name: str, error: Exception, middleware: MiddlewareConfig, key: str = MIDDLEWARE
) -> ConfigError:
    """Return the error of a middleware that rejects the values of its section."""
    section = "retry" if name == ATTEMPT_TIMEOUT else name
    path = _path_of(getattr(middleware, section))
    return ConfigError(str(error), path=path, key=f"{key}.{section}")


def checked(config: object) -> Config:
    """Return a Config, or raise TypeError for anything else."""
    if not isinstance(config, Config):
        raise TypeError(
            f"config must be a Config, got {shown(config)}; load_config makes one"
        )
    return config


def _arguments(section: Section, row: Row) -> Arguments:
    arguments = {}
    for field in fields_of(type(section)):
        parameter, value = _parameter(field, getattr(section, field))
        parameter = row.renamed.get(field, parameter)
        if parameter is not None and field != "enabled":
            arguments[parameter] = value
    return arguments


def _parameter(field: str, value: Any) -> tuple[str | None, Any]:
    """Return a field without its unit and its value in seconds."""
    if field == "level":
        return field, logging.getLevelNamesMapping()[value]
    if field.endswith(RATE):
        return field, value
    for unit, in_a_second in UNITS.items():
        if field.endswith(unit):
            seconds = None if value is None else value / in_a_second
            return field.removesuffix(unit), seconds
    return field, value


def _path_of(section: Section, field: str | None = None) -> str | None:
    """Return the only file or variable that the fields come from, or None."""
    origins = origins_of(section)
    given = origins.values() if field is None else [origins.get(field, "default")]
    paths = {one for one in given if one not in ("code", "default")}
    paths = {one for one in paths if not one.startswith("preset ")}
    return paths.pop() if len(paths) == 1 else None
