"""`Email`: the one pattern for what the guide writes as `validate:"required,email"`.

The pages leave the name open. It is a plain annotation, `Annotated[str, Meta(pattern=…,
max_length=254)]`, so fields stay strings, and others may add to it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import pytest
from both_ways import Way, both_ways
from msgspec import Meta

from cqrs_fast import Command, CommandBus, Email, Secret, ValidationError
from cqrs_fast import ValidationMiddleware as Validation

DOCS = Path(__file__).parents[3] / "docs"


class SignUp(Command[str]):
    email: Email


class Narrow(Command[str]):
    email: Annotated[Email, Meta(min_length=10)]
    other: Email | None = None


GOOD = [
    "ann@example.com",
    "ann.b-c_d+tag@mail.example.co.uk",
    "a@b.co",
    "1@2.de",
    "o'neil@example.com",
    "ann@xn--bcher-kva.example",
    f"{'a' * 64}@example.com",
]
BAD = [
    "",
    "ann",
    "@example.com",
    "ann@",
    "ann@@example.com",
    "ann@b@example.com",
    "ann example@example.com",
    " ann@example.com",
    "ann@example.com ",
    "ann@example.com\n",
    "ann@exam ple.com",
    "ann@example",
    "ann@.com",
    "ann@example..com",
    "ann@-example.com",
    "ann\x00@example.com",
]


def bus_of(way: Way, message: Any = SignUp) -> Any:
    stages = [Validation()]
    return way.bus(CommandBus, message, lambda m: m.email, middleware=stages)


@both_ways
@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_accepted_as_it_is(way: Way, text: str) -> None:
    assert way(bus_of(way), SignUp(text)) == text


@both_ways
@pytest.mark.parametrize("text", BAD)
def test_what_is_none_is_invalid_and_not_repeated(way: Way, text: str) -> None:
    error = way.error(bus_of(way), SignUp(text))
    assert isinstance(error, ValidationError)
    ((path, code, message),) = error.errors
    assert (path, code) == ("$.email", "pattern")
    assert not text or text not in message


@pytest.mark.parametrize("text", [*GOOD, *BAD])
def test_a_payload_is_held_to_the_same(text: str) -> None:
    bus = bus_of(Way(False))
    payload = msgspec.json.encode({"$type": "SignUp", "email": text})
    if text in GOOD:
        assert msgspec.json.decode(bus.execute_json(payload)) == text
    else:
        with pytest.raises(ValidationError, match="email"):
            bus.execute_json(payload)


def test_it_may_be_narrowed_and_be_missing() -> None:
    bus = bus_of(Way(False), Narrow)
    assert bus.execute(Narrow("ann@example.com")) == "ann@example.com"
    for wrong in (Narrow("a@b.co"), Narrow("ann@example.com", "nobody")):
        with pytest.raises(ValidationError):
            bus.execute(wrong)


def test_it_may_be_a_secret() -> None:
    class Hidden(Command[str]):
        email: Secret[Email]

    assert "ann" not in repr(Hidden("ann@example.com"))
    with pytest.raises(ValidationError):
        bus_of(Way(False), Hidden).execute(Hidden("ann"))


def test_a_longer_text_is_too_long_before_the_pattern_is_tried() -> None:
    longest = f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.example"
    bus = bus_of(Way(False))
    for text in ("a" * 1_000_000, longest + "x" * 254, "a@" + "b." * 500_000):
        began = time.perf_counter()
        with pytest.raises(ValidationError) as caught:
            bus.execute(SignUp(text))
        assert time.perf_counter() - began < 0.05
        assert [code for _, code, _ in caught.value.errors] == ["max_length"]


@pytest.mark.parametrize(
    "text",
    ["a" * 254, "a@" + "a" * 252, "a@" + "a." * 126, "a@" + "a-" * 126, "." * 254],
)
def test_no_text_within_the_length_takes_long(text: str) -> None:
    """The pattern has no nested repeats to go back through."""
    bus = bus_of(Way(False))
    began = time.perf_counter()
    with pytest.raises(ValidationError):
        bus.execute(SignUp(text[:254] if len(text) > 254 else text))
    assert time.perf_counter() - began < 0.05


def test_the_pattern_is_documented() -> None:
    (pattern,) = [
        meta.pattern
        for meta in get_args(Email)[1:]
        if isinstance(meta, Meta) and meta.pattern
    ]
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert "Email" in pages
    assert pattern in pages
    assert "max_length" in pages
