"""Messages to measure with: from a file, or made by polyfactory."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cqrs_fast.assembly.builder import Handler
from cqrs_fast.cli.lines import LineReader, open_input
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.target import located
from cqrs_fast.errors import HandlerNotFoundError, ValidationError
from cqrs_fast.payloads.decoding import Payloads
from cqrs_fast.payloads.wire import JSON

SEED = 1
FACTORIES = {
    "msgspec_factory": "MsgspecFactory",
    "dataclass_factory": "DataclassFactory",
    "pydantic_factory": "ModelFactory",
    "attrs_factory": "AttrsFactory",
}
NO_POLYFACTORY = (
    "to make messages needs polyfactory: pip install 'cqrs-fast[bench]', or give "
    "messages with --messages FILE"
)


def read_messages(
    path: str, registered: Iterable[Handler], limit: int
) -> list[Any]:
    """Decode JSON lines with a `$type`, as `cqrs-fast dispatch` does. Raises Problem.

    Parameters:
        limit: how many bytes a line may have.
    """
    classes: dict[str, type | None] = {
        one.name: one.message_class for one in registered if one.message_class
    }
    payloads = Payloads(JSON, classes, limit)
    messages = []
    for number, payload in lines_of(path, limit):
        here = f"{path}, line {number}"
        if payload is None:
            raise Problem(f"{here}: longer than {limit} bytes")
        try:
            messages.append(payloads.decode(payload))
        except HandlerNotFoundError as error:
            known = ", ".join(sorted(classes))
            raise Problem(
                f"{here}: no class for {error.name!r}; there are {known}"
            ) from None
        except (ValidationError, TypeError) as error:
            raise Problem(f"{here}: {error}") from None
    if not messages:
        raise Problem(f"{path} has no messages")
    return messages


def lines_of(path: str, limit: int) -> Iterator[tuple[int, bytes | None]]:
    with contextlib.closing(open_input(path)) as file:
        reader = LineReader(file, limit)
        while (lines := reader.read()) is not None:
            for line in lines:
                yield line.number, line.payload
        if reader.problem is not None:
            raise reader.problem


def example_messages(
    registered: Iterable[Handler],
) -> tuple[list[Any], list[str]]:
    """Return one message of each class, and why there is none of the others.

    Raises Problem where polyfactory, which makes them, is not installed.
    """
    messages, missing = [], []
    for one in registered:
        if one.message_class is None:
            missing.append(f"{one.name}: registered by name alone, without a class")
            continue
        try:
            messages.append(example_of(one.message_class))
        except Problem:
            raise
        except Exception as error:  # of a __post_init__, for instance
            missing.append(f"{one.message_class.__name__}: {located(error)}")
    return messages, missing


def example_of(cls: type) -> Any:
    """Return an instance of a class, the same each time.

    Raises Problem without polyfactory, and anything where no valid one can be made.
    """
    factory = factory_of(cls)
    settings = {"__random_seed__": SEED}
    # That of attrs leaves out fields without a default then.
    if factory.__name__ != "AttrsFactory":
        settings["__use_defaults__"] = True
    made = factory.create_factory(cls, **settings).build()
    if isinstance(made, msgspec.Struct):
        # Its factory does not know all constraints.
        msgspec.json.decode(msgspec.json.encode(made), type=cls)
    return made


def factory_of(cls: type) -> Any:
    """Return the class of polyfactory for a class's kind."""
    try:
        importlib.import_module("polyfactory")
    except ImportError:
        raise Problem(NO_POLYFACTORY) from None
    for module, name in FACTORIES.items():
        with contextlib.suppress(ImportError):  # of what that kind is made with
            found = importlib.import_module(f"polyfactory.factories.{module}")
            if getattr(found, name).is_supported_type(cls):
                return getattr(found, name)
    raise TypeError("polyfactory knows no such class")
