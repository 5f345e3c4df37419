"""Assembly: the middleware that a Config stands for, in the default order."""

from __future__ import annotations

import logging
from typing import Any

from cqrs_fast.config.model import Config
from cqrs_fast.config.sections import Section, fields_of, origins_of, shown
from cqrs_fast.errors import ConfigError
from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stages.catalog import ATTEMPT_TIMEOUT, CATALOG, CUSTOM, Row

KINDS = ("command", "query")

# What the names of fields end with, and what makes seconds of it.
UNITS = {"_ms": 1000, "_sec": 1}
RATE = "_per_sec"


ROWS = {row.section: row for row in CATALOG if row.section}
_OWN_AT = [row.name for row in CATALOG].index(CUSTOM)
# Users' own middleware goes between the two.
OUTER = {row.section: row for row in CATALOG[:_OWN_AT] if row.section}
INNER = {row.section: row for row in CATALOG[_OWN_AT:] if row.section}

Arguments = dict[str, Any]


def check_config(config: Config) -> None:
    """Raise the ConfigError that a bus made from `config` would raise, if any.

    TypeError for what is no Config.
    """
    for kind in KINDS:
        middleware_of(config, kind)


def middleware_of(config: Config, kind: str) -> dict[str, Stage]:
    """Make the middleware of one bus, outermost first, each under its section's name.

    Parameters:
        config: what is not enabled there is left out.
        kind: of the bus, "command" or "query".

    `attempt_timeout` is the second timeout, of one attempt. Raises ConfigError where
    the values of a section do not go together, with the section as its key.
    """
    return {
        name: make(name, arguments, config)
        for name, arguments in arguments_of(config, kind).items()
    }


def arguments_of(config: Config, kind: str) -> dict[str, Arguments]:
    """Return what each middleware of a bus is constructed with, outermost first."""
    middleware = checked(config).middleware
    if middleware.tracing.enabled:
        raise ConfigError(
            "this version has no TracingMiddleware",
            path=_path_of(middleware.tracing, "enabled"),
            key="middleware.tracing.enabled",
        )
    found = {}
    for name, row in ROWS.items():
        # That of an attempt has no section: it is made by `retry.attempt_timeout_ms`.
        if name == ATTEMPT_TIMEOUT or kind not in row.kinds:
            continue
        if getattr(middleware, name).enabled:
            found[name] = _arguments(getattr(middleware, name), row)
    attempt_ms = middleware.retry.attempt_timeout_ms
    if "retry" in found and attempt_ms is not None:
        found[ATTEMPT_TIMEOUT] = {"seconds": attempt_ms / 1000}
    return found


def make(name: str, arguments: Arguments, config: Config) -> Stage:
    """Make one middleware; a refusal is a ConfigError with the section as its key."""
    try:
        made: Stage = ROWS[name].make(**arguments)
    except (TypeError, ValueError) as error:
        raise refusal(name, error, config) from error
    return made


def refusal(name: str, error: Exception, config: Config) -> ConfigError:
    """Return what to raise where a middleware refuses the values of its section."""
    section = "retry" if name == ATTEMPT_TIMEOUT else name
    path = _path_of(getattr(config.middleware, section))
    return ConfigError(str(error), path=path, key=f"middleware.{section}")


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
    """Return the one file or variable that the given fields come from, or None."""
    origins = origins_of(section)
    given = origins.values() if field is None else [origins.get(field, "default")]
    paths = {one for one in given if one not in ("code", "default")}
    paths = {one for one in paths if not one.startswith("preset ")}
    return paths.pop() if len(paths) == 1 else None
