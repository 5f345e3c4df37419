"""The error tree: its bases, attributes, texts, and how errors travel."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import weakref
from typing import Any

import pytest

from cqrs_fast import errors
from cqrs_fast.errors import (
    AsyncHandlerError,
    BulkheadFullError,
    BusClosedError,
    CircuitOpenError,
    ConfigError,
    ContextCancelledError,
    CQRSError,
    DeadlineExceededError,
    HandlerAlreadyRegisteredError,
    HandlerNotFoundError,
    IdempotencyConflictError,
    IdempotencyInProgressError,
    OverloadedError,
    PoolExhaustedError,
    RateLimitExceededError,
    RejectedError,
    ResultTypeError,
    ValidationError,
)

REJECTION: dict[str, Any] = {"retry_after": 0.5, "middleware": "Mw", "name": "Pay"}

# class, arguments, a part of the text, metric outcome, bases beside CQRSError
CASES: list[tuple[type[CQRSError], dict[str, Any], str, str, tuple[type, ...]]] = [
    (
        HandlerNotFoundError,
        {"name": "Pay", "registered": ["Pax"], "hint": "A hint."},
        "'Pay'",
        "error",
        (LookupError,),
    ),
    (
        HandlerAlreadyRegisteredError,
        {"name": "Pay", "handler": "app.pay"},
        "app.pay",
        "error",
        (),
    ),
    (
        AsyncHandlerError,
        {"name": "Pay", "reason": "it waits", "hint": "do not"},
        "it waits; do not",
        "error",
        (TypeError,),
    ),
    (
        ValidationError,
        {"errors": [("$.a", "type", "Expected `int`")], "name": "Pay"},
        "$.a: Expected `int`",
        "invalid",
        (ValueError,),
    ),
    (
        ResultTypeError,
        {"expected": "int", "actual": "str", "name": "Pay", "path": "$[0]"},
        "the result of Pay at $[0] is str, expected int",
        "error",
        (TypeError,),
    ),
    (
        DeadlineExceededError,
        {"timeout": 1.5, "stage": "queue"},
        "deadline of 1.5 s passed while the call waited",
        "timeout",
        (TimeoutError,),
    ),
    (ContextCancelledError, {"reason": "bye"}, ": bye", "cancelled", ()),
    (
        ConfigError,
        {"message": "too big", "path": "a.toml", "key": "x.y", "hint": "at most 3"},
        "a.toml: x.y: too big (at most 3)",
        "error",
        (ValueError,),
    ),
    (IdempotencyConflictError, {"name": "Pay"}, "'Pay'", "error", ()),
    (RejectedError, REJECTION, "rejected by Mw", "rejected_other", ()),
    (
        RateLimitExceededError,
        {**REJECTION, "limit": 3, "window": 60.0, "remaining": 1},
        "limit of 3 calls in 60 s",
        "rejected_rate",
        (RejectedError,),
    ),
    (
        CircuitOpenError,
        {**REJECTION, "state": "half-open", "failures": 5},
        "half-open after 5 failures",
        "rejected_open",
        (RejectedError,),
    ),
    (
        BulkheadFullError,
        {**REJECTION, "in_flight": 4, "limit": 4},
        "4 of 4 concurrent calls",
        "rejected_bulkhead",
        (RejectedError,),
    ),
    (OverloadedError, REJECTION, "no room", "rejected_other", (RejectedError,)),
    (
        IdempotencyInProgressError,
        REJECTION,
        "still in progress",
        "rejected_other",
        (RejectedError,),
    ),
    (PoolExhaustedError, REJECTION, "in use", "rejected_other", (RejectedError,)),
    (BusClosedError, REJECTION, "closed", "rejected_closed", (RejectedError,)),
]

each_error = pytest.mark.parametrize(
    ("cls", "fields", "part", "outcome", "bases"),
    CASES,
    ids=[case[0].__name__ for case in CASES],
)


def test_every_public_error_is_covered_here() -> None:
    listed = {case[0].__name__ for case in CASES}
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert listed | {"CQRSError", "MiddlewareOrderWarning"} == public


@each_error
def test_an_error_has_its_bases_attributes_text_and_outcome(
    cls: type[CQRSError],
    fields: dict[str, Any],
    part: str,
    outcome: str,
    bases: tuple[type, ...],
) -> None:
    error = cls(**fields)
    assert issubclass(cls, (CQRSError, *bases))
    assert all(issubclass(cls, base) for base in bases)
    for name, value in fields.items():
        assert getattr(error, name) == value
    assert part in str(error)
    assert repr(error) == f"{cls.__name__}({str(error)!r})"
    assert cls.outcome == error.outcome == outcome
    assert cls.__doc__


@each_error
@pytest.mark.parametrize("positional", [False, True])
@pytest.mark.parametrize(
    "clone",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_an_error_travels_as_type_and_plain_fields_without_notes(
    cls: type[CQRSError],
    fields: dict[str, Any],
    part: str,
    outcome: str,
    bases: tuple[type, ...],
    clone: Any,
    positional: bool,
) -> None:
    error = cls(*fields.values()) if positional else cls(**fields)
    error.add_note("a note")
    twin = clone(error)
    assert type(twin) is cls
    assert twin is not error
    assert str(twin) == str(error)
    assert twin.args == error.args
    assert not hasattr(twin, "__notes__")
    for name, value in fields.items():
        assert getattr(twin, name) == value


class Refused(RejectedError):
    """Have another constructor than the base, as errors of users do."""

    def __init__(self, user: str) -> None:
        super().__init__(retry_after=2.0)
        self.user = user


def test_an_error_class_of_a_user_travels_whatever_its_constructor_takes() -> None:
    twin = pickle.loads(pickle.dumps(Refused("ann")))
    assert (twin.user, twin.retry_after, twin.args) == ("ann", 2.0, ("ann",))


class Sealed(RejectedError):
    """Keep something in a slot of its own, under a private name."""

    __slots__ = ("__seal", "unset")

    def __init__(self, seal: str) -> None:
        super().__init__(name="Pay")
        self.__seal = seal

    def seal(self) -> str:
        return self.__seal


def test_slots_of_users_travel_and_empty_ones_stay_empty() -> None:
    twin = pickle.loads(pickle.dumps(Sealed("wax")))
    assert (twin.seal(), twin.name) == ("wax", "Pay")
    assert not hasattr(twin, "unset")


class Application(Exception):
    """Be the base of an application's errors."""


class Full(BulkheadFullError, Refused):
    """Be a rejection of the library and one of an application at once."""


class Late(DeadlineExceededError, Application):
    """Be a timeout of the library and an error of an application at once."""

    def __new__(cls, *args: Any) -> Late:
        return super().__new__(cls, *args)

    def __init__(self, user: str) -> None:
        super().__init__(2.0)
        self.user = user


def test_errors_of_users_may_have_several_bases() -> None:
    full = pickle.loads(pickle.dumps(Full(1.0, "Mw", "Pay", 2, 3)))
    assert (full.in_flight, full.limit, full.name) == (2, 3, "Pay")
    late = pickle.loads(pickle.dumps(Late("ann")))
    assert issubclass(type(late), TimeoutError)
    assert issubclass(type(late), Application)
    assert (late.user, weakref.ref(late)()) == ("ann", late)
    assert str(late).startswith("the deadline of 2 s passed")


def test_the_base_error_takes_a_text() -> None:
    assert str(CQRSError("text")) == "text"


def test_errors_without_details_have_a_text() -> None:
    assert str(ContextCancelledError()) == "the context was cancelled"
    assert str(DeadlineExceededError()).endswith("before the handler began")
    assert str(DeadlineExceededError(1, "handler")).endswith("in the handler")
    assert "'other'" in str(DeadlineExceededError(1, "other"))
    assert str(RejectedError()) == "the call was rejected: it is not admitted now"
    assert "rate limit" in str(RateLimitExceededError())
    assert "the command" in str(IdempotencyConflictError())
    assert str(ResultTypeError("int", "str")) == "the result is str, expected int"
    assert str(ConfigError("bad")) == "bad"
    assert "replace=True" in str(HandlerAlreadyRegisteredError("Pay"))
    assert "execute_async" in str(AsyncHandlerError("Pay"))
    assert str(ValidationError([])) == "invalid message"


def test_handler_not_found_offers_close_matches_and_says_how_to_register() -> None:
    error = HandlerNotFoundError("CreateUsr", {"Other", "CreateUser"})
    assert error.registered == ["CreateUser", "Other"]
    assert "Did you mean 'CreateUser'?" in str(error)
    assert "register_handler" in str(error)


def test_handler_not_found_shows_at_most_ten_names() -> None:
    names = [f"Name{i:02}" for i in range(12)]
    text = str(HandlerNotFoundError("Zzz", names))
    assert "Name09 and 2 more." in text
    assert "Name10" not in text


def test_handler_not_found_on_an_empty_bus_says_so() -> None:
    assert "no handlers at all" in str(HandlerNotFoundError("Pay"))


def test_handler_not_found_bounds_and_escapes_a_hostile_name() -> None:
    name = "x\n" * 100_000
    names = [f"x{i}" for i in range(3000)]
    error = HandlerNotFoundError(name, names)
    assert error.name == name
    assert len(str(error)) < 1500
    assert "\n" not in str(error)


def test_handler_not_found_finds_matches_among_thousands_of_names() -> None:
    names = [f"Aaa{i}" for i in range(2000)] + ["CreateUser"]
    assert "'CreateUser'?" in str(HandlerNotFoundError("CreateUsr", names))


def test_validation_error_lists_all_of_its_errors() -> None:
    found = [(f"$.f{i}", "missing", "is missing") for i in range(32)]
    text = str(ValidationError(iter(found), "Pay"))
    assert text.startswith("invalid Pay: ")
    assert all(f"{path}: is missing" in text for path, _, _ in found)


def test_validation_error_of_a_text_is_one_error_of_the_whole_message() -> None:
    assert ValidationError("a before b").errors == [("$", "invalid", "a before b")]


def test_validation_error_refuses_what_is_no_triple() -> None:
    with pytest.raises(ValueError, match="unpack"):
        ValidationError([("$", "type")])  # type: ignore[list-item]  # the point


def test_deadline_exceeded_is_no_operating_system_error_code() -> None:
    error = DeadlineExceededError(2, "queue")
    assert error.errno is None
    with pytest.raises(TimeoutError):
        raise error


def test_config_error_keeps_a_path_object_as_text() -> None:
    from pathlib import Path

    assert ConfigError("bad", path=Path("a.json")).path == "a.json"


def test_a_rejection_tells_any_retry_after_without_failing() -> None:
    assert str(RejectedError("soon")).endswith("soon")  # type: ignore[arg-type]  # the point


def test_close_matching_is_loaded_only_for_a_text() -> None:
    code = (
        "import sys; from cqrs_fast.errors import HandlerNotFoundError as E; E('a');"
        "assert 'difflib' not in sys.modules; str(E('a'));"
        "assert 'difflib' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
