"""`cqrs-fast config`: the schema of configuration files, a check, the values in force.

Errors of a file go to standard error, results to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from typing import Any

import msgspec

from cqrs_fast.cli.arguments import FAILED
from cqrs_fast.cli.console import Style
from cqrs_fast.cli.problem import Problem
from cqrs_fast.config.loading import load_config, load_config_from_env
from cqrs_fast.config.model import Config
from cqrs_fast.config.presets import PRESETS, preset
from cqrs_fast.config.schema import config_schema
from cqrs_fast.config.sections import Setting, merged, settings_of
from cqrs_fast.errors import ConfigError

CONFIG_FILE = "a .json, .toml, .yaml or .yml file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = "example: cqrs-fast config show configs/production.json --env"
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    added(
        actions,
        "schema",
        "print the JSON Schema of configuration files, for editors and other checkers",
        "example: cqrs-fast config schema > cqrs.schema.json",
    )
    check = added(
        actions,
        "check",
        "print what is wrong with each file, or that it is ok",
        "exit status: 0 every file is ok, 1 one is not\n\n"
        "example: cqrs-fast config check configs/*.json",
    )
    check.add_argument("files", metavar="FILE", nargs="+", help=CONFIG_FILE)
    show = added(
        actions,
        "show",
        "show every value and its origin: a preset, FILE or the environment",
        "A later one overrides an earlier one: defaults, preset, file, environment.\n"
        "exit status: 0, or 2 if a value is wrong\n\n"
        "example: cqrs-fast config show --preset low-latency",
    )
    show.add_argument("file", metavar="FILE", nargs="?", help=CONFIG_FILE)
    show.add_argument(
        "--preset",
        choices=PRESETS,
        metavar="NAME",
        help="what FILE overrides: default, high-throughput or low-latency",
    )
    show.add_argument(
        "--env", action="store_true", help="apply the variables of the environment"
    )
    show.add_argument(
        "--env-prefix",
        metavar="PREFIX",
        help="apply those that begin with PREFIX instead of CQRS_",
    )
    show.add_argument(
        "--json", action="store_true", help="print a file that says the same"
    )


def added(actions: Any, name: str, summary: str, more: str) -> Any:
    """Add an action whose help begins with its summary and ends with an example."""
    return actions.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(arguments: argparse.Namespace) -> int:
    """Run one action."""
    if arguments.action == "schema":
        print(json.dumps(config_schema(), indent=2))
        return 0
    if arguments.action == "check":
        verdicts = [is_ok(file) for file in arguments.files]
        return 0 if all(verdicts) else FAILED
    return show(arguments)


def is_ok(file: str) -> bool:
    try:
        loaded(file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return False
    # Flushed, so that the lines of both streams come in the order of the files.
    print(f"{printable(file)}: ok", flush=True)
    return True


def show(arguments: argparse.Namespace) -> int:
    """Print every value: defaults under a preset under a file under the environment."""
    try:
        config = Config() if arguments.preset is None else preset(arguments.preset)
        if arguments.file is not None:
            config = merged(config, loaded(arguments.file))
        prefix = arguments.env_prefix or ("CQRS_" if arguments.env else None)
        if prefix is not None:
            config = load_config_from_env(prefix, config)
    except ValueError as error:  # a ConfigError, or an impossible prefix
        raise Problem(str(error)) from None
    if arguments.json:
        print(json.dumps(tidy(msgspec.to_builtins(config)), indent=2))
    else:
        print_settings(list(settings_of(config)), Style(sys.stdout))
    return 0


def loaded(file: str) -> Config:
    """Load a file, and print its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return load_config(file)
        finally:
            for warning in caught:
                print(f"warning: {warning.message}", file=sys.stderr)


def print_settings(settings: list[Setting], style: Style) -> None:
    """Print one line for each value, with a mark if it is not the default."""
    heading = ("key", "value", "origin")
    rows = [
        (setting.key, json.dumps(tidy(setting.value)), printable(setting.origin))
        for setting in settings
    ]
    keys, values, _ = zip(heading, *rows, strict=True)
    key_width, value_width = max(map(len, keys)), max(map(len, values))

    def line(mark: str, row: tuple[str, str, str], colour: str) -> None:
        key, value, origin = row
        text = f"{mark} {key:{key_width}}  {value:{value_width}}  {origin}"
        print(style.paint(style.fit(text), colour))

    line(" ", heading, "dim")
    changed = 0
    for setting, row in zip(settings, rows, strict=True):
        differs = setting.value != setting.field.default
        changed += differs
        line("*" if differs else " ", row, "bold" if differs else "")
    print(f"\n* not the default: {changed} of {len(settings)}")


def tidy(value: Any) -> Any:
    """Return a value with whole numbers as int, at any depth."""
    if isinstance(value, dict):
        return {key: tidy(one) for key, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def printable(text: str) -> str:
    """Return a text from outside as one that cannot spoil a terminal."""
    return text if text.isprintable() else ascii(text)
