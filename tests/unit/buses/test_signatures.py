"""Constructors tell their parameters at run time: to `inspect`, `help` and `repr`."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any

import pytest
from stub_signatures import stub_parameters
from support import Ask

from cqrs_fast import (
    CachingMiddleware,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    CommandBus,
    Context,
    LatencyHistogram,
    LRUCache,
    ObjectPool,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    RetryPolicy,
    TimeoutMiddleware,
    TokenBucket,
    ValidationMiddleware,
)
from cqrs_fast.stages.catalog import middleware_rows
from cqrs_fast.testing import ManualClock

MIDDLEWARE = [row.load() for row in middleware_rows()]
POLICIES = [
    CircuitBreaker,
    LatencyHistogram,
    LRUCache,
    ObjectPool,
    RetryPolicy,
    TokenBucket,
]
CLASSES: list[Any] = [CommandBus, QueryBus, *MIDDLEWARE, *POLICIES, ManualClock]
each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def parameters(cls: Any) -> list[str]:
    """Return the parameters as `inspect` sees them, in the form of the stubs."""
    return [
        f"*{name}" if one.kind is inspect.Parameter.KEYWORD_ONLY else name
        for name, one in inspect.signature(cls).parameters.items()
    ]


@each_class
def test_a_constructor_has_the_signature_of_its_stub(cls: Any) -> None:
    found = inspect.signature(cls).parameters.values()
    catch_all = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    assert not [one for one in found if one.kind in catch_all]
    expected = stub_parameters(cls)
    assert parameters(cls)[: len(expected)] == expected
    assert sorted(parameters(cls)) == sorted(expected)


@each_class
def test_help_has_the_parameters(cls: Any) -> None:
    text = pydoc.render_doc(cls, renderer=pydoc.plaintext)
    head = text[: text.index("Method")] if "Method" in text else text
    for name in parameters(cls):
        assert name.removeprefix("*") in head, name


@pytest.mark.parametrize(
    ("cls", "name", "default"),
    [
        (CommandBus, "enable_metrics", False),
        (CommandBus, "clock", None),
        (QueryBus, "domain_errors", ()),
        (CachingMiddleware, "ttl", 600.0),
        (CachingMiddleware, "scope", "principal"),
        (RetryMiddleware, "max_attempts", 3),
        (RetryPolicy, "jitter", "full"),
        (RateLimitingMiddleware, "scope", "bus"),
        (CircuitBreakerMiddleware, "timeout", 30.0),
        (ValidationMiddleware, "max_errors", 32),
        (LRUCache, "ttl", None),
    ],
)
def test_defaults_are_those_that_count(cls: Any, name: str, default: Any) -> None:
    assert inspect.signature(cls).parameters[name].default == default


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (CommandBus, inspect.Parameter.KEYWORD_ONLY),
        (QueryBus, inspect.Parameter.KEYWORD_ONLY),
    ],
)
def test_a_bus_takes_keywords_alone(cls: Any, kind: Any) -> None:
    found = inspect.signature(cls).parameters
    assert {one.kind for one in found.values()} == {kind}
    assert {"middleware", "enable_metrics", "domain_errors", "offload"} <= set(found)


@pytest.mark.parametrize("cls", [CommandBus, QueryBus])
@pytest.mark.parametrize(
    "method",
    ["execute", "execute_async", "register_handler", "handler", "bind", "explain"],
)
def test_methods_have_signatures_too(cls: Any, method: str) -> None:
    function = getattr(cls(), method)
    expected = [name.removeprefix("*") for name in stub_parameters(cls, method)]
    assert set(inspect.signature(function).parameters) == set(expected)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_signature_binds_what_the_constructor_takes(cls: Any) -> None:
    """What `inspect` accepts, the class accepts: tools build calls from it."""
    signature = inspect.signature(cls)
    required = {
        name
        for name, one in signature.parameters.items()
        if one.default is inspect.Parameter.empty
    }
    known: dict[str, Any] = {
        "size": 1,
        "factory": dict,
        "max_concurrent": 1,
        "max_size": 1,
        "seconds": 1.0,
        "threshold": 1.0,
        "authenticate": lambda ctx, message: "ann",
        "sink": lambda event: None,
        "fallback": lambda ctx, message, error: None,
        "failure_threshold": 5,
        "requests_per_window": 5,
    }
    bound = signature.bind(**{name: known[name] for name in required})
    cls(*bound.args, **bound.kwargs)
    with pytest.raises(TypeError):
        signature.bind(no_such_parameter=1)


class Own(CommandBus):
    """A subclass without a constructor."""


class Wrapped(QueryBus):
    """One that hands on what it gets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)


@pytest.mark.parametrize("cls", [Own, Wrapped])
def test_a_subclass_is_told_what_is_wrong_too(cls: Any) -> None:
    with pytest.raises(TypeError, match="Did you mean 'enable_metrics'"):
        cls(enable_metric=True)
    assert cls(enable_metrics=True).stats().messages == {}


def test_a_subclass_has_the_signature_of_what_it_calls() -> None:
    assert inspect.signature(Own) == inspect.signature(CommandBus)
    assert list(inspect.signature(Wrapped).parameters) == ["options"]


def test_arguments_that_are_missing_or_too_many_are_told_with_the_class() -> None:
    for make in (
        lambda: TimeoutMiddleware(),  # type: ignore[call-arg]
        lambda: TimeoutMiddleware(1.0, 2.0),  # type: ignore[misc]
        lambda: TimeoutMiddleware(on_late="raise"),  # type: ignore[call-arg]
    ):
        with pytest.raises(TypeError, match=r"TimeoutMiddleware.*seconds, on_late"):
            make()


def test_an_error_inside_of_a_constructor_stays_as_it_is() -> None:
    with pytest.raises(TypeError, match=r"^max_attempts must be an int, got '3'$"):
        RetryMiddleware(max_attempts="3")  # type: ignore[arg-type]


# repr

TELLING: list[tuple[Any, list[str]]] = [
    (CachingMiddleware(5.0), ["CachingMiddleware", "ttl=5.0"]),
    (RetryMiddleware(7), ["RetryMiddleware", "max_attempts=7"]),
    (CircuitBreakerMiddleware(9), ["CircuitBreakerMiddleware", "threshold=9"]),
    (RateLimitingMiddleware(9, 2.0), ["RateLimitingMiddleware", "9", "window=2.0"]),
    (ValidationMiddleware(max_errors=3), ["ValidationMiddleware", "max_errors=3"]),
    (RetryPolicy(7), ["RetryPolicy", "max_attempts=7"]),
    (CircuitBreaker(9), ["CircuitBreaker", "failure_threshold=9"]),
    (TokenBucket(9, 2.0), ["TokenBucket", "9", "2.0"]),
    (LRUCache(5), ["LRUCache", "5"]),
    (ObjectPool(dict, 3), ["ObjectPool", "size=3"]),
    (LatencyHistogram(), ["LatencyHistogram", "0"]),
    (CommandBus(), ["CommandBus", "0 handlers"]),
]


@pytest.mark.parametrize(("made", "words"), TELLING, ids=lambda one: type(one).__name__)
def test_a_repr_tells_the_class_and_what_it_was_given(
    made: Any, words: list[str]
) -> None:
    text = repr(made)
    for word in words:
        assert word in text
    assert " object at 0x" not in text
    assert "\n" not in text


def test_a_repr_keeps_to_what_differs_from_the_default() -> None:
    assert "max_size" not in repr(CachingMiddleware(5.0))


def test_a_bus_says_how_many_handlers_and_whether_it_is_closed() -> None:
    bus = QueryBus()
    bus.register_handler(Ask, lambda ask: 1)
    assert "1 handler" in repr(bus)
    assert "1 handlers" not in repr(bus)
    bus.close()
    assert "closed" in repr(bus)


def test_no_repr_has_a_value_of_a_user() -> None:
    cache: LRUCache[str, str] = LRUCache(5)
    cache["name"] = "hunter2"
    policy = RetryPolicy(retry_on=KeyError, on_retry=lambda *args: None)
    ctx = Context.background().with_value("password", "hunter2")
    for made in (cache, policy, ctx):
        assert "hunter2" not in repr(made)
