"""Find the bus that MODULE:BUS names."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeAlias

from cqrs_fast.buses.bus import CommandBus, QueryBus
from cqrs_fast.cli.problem import Problem

Bus: TypeAlias = CommandBus | QueryBus


def load_bus(target: str) -> Bus:
    """Return the bus that is named, or that the named function makes.

    Imports from the current directory too. What the module prints goes to standard
    error, as standard output belongs to the command. Raises Problem.
    """
    return bus_source(target)()


def bus_source(target: str) -> Callable[[], Bus]:
    """Return a function that returns the bus, or makes a new one each time.

    Both functions raise Problem.
    """
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise Problem(
            f"expected MODULE:BUS, such as myapp.buses:commands, got {target!r}"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with contextlib.redirect_stdout(sys.stderr):
        found = attribute_of(import_module(module_name), module_name, attribute)

    def bus() -> Bus:
        made = found
        if not isinstance(found, Bus) and callable(found):
            with contextlib.redirect_stdout(sys.stderr):
                made = call(found, target)
        if not isinstance(made, Bus):
            raise Problem(
                f"{target} is {describe(made)}, not a bus or a function without "
                "parameters that returns one"
            )
        return made

    return bus


def import_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        hint = ""
        if "/" in name or name.endswith(".py"):
            hint = "; write the module's dotted name, not its file"
        raise Problem(f"cannot import {name}: {located(error)}{hint}") from None


def attribute_of(module: Any, module_name: str, path: str) -> Any:
    found = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            named = vars(module).items()
            buses = [name for name, value in named if isinstance(value, Bus)]
            there = f"; it has the buses {', '.join(buses)}" if buses else ""
            raise Problem(f"{module_name} has no attribute {path!r}{there}") from None
        except Exception as error:  # a property may run anything
            text = f"cannot read {module_name}:{path}: {located(error)}"
            raise Problem(text) from None
    return found


def call(factory: Any, target: str) -> Any:
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise Problem(f"{target}() failed: {located(error)}") from None


def describe(found: object) -> str:
    if found is None:
        return "None"
    name = type(found).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def located(error: BaseException) -> str:
    """Return an error as one line that says where it was raised."""
    text = " ".join(str(error).split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    here = (__file__, importlib.__file__)
    theirs = [
        one
        for one in frames
        if one.filename not in here and not one.filename.startswith("<frozen ")
    ]
    if theirs:
        line += f" ({theirs[-1].filename}, line {theirs[-1].lineno})"
    return line
