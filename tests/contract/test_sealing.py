"""Objects are made by their constructors alone, and once."""

from __future__ import annotations

import copy
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

import cqrs_fast
from cqrs_fast import (
    AuditMiddleware,
    AuthenticationMiddleware,
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    CommandBus,
    Context,
    DebugMiddleware,
    FallbackMiddleware,
    IdempotencyMiddleware,
    LatencyHistogram,
    LoggingMiddleware,
    LRUCache,
    ObjectPool,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    RetryPolicy,
    SlowCallMiddleware,
    TimeoutMiddleware,
    TokenBucket,
    ValidationMiddleware,
)
from cqrs_fast.assembly.class_table import ClassTable
from cqrs_fast.base.clock import Clock, ManualClock
from cqrs_fast.base.rejection import Rejection
from cqrs_fast.buses.metrics import Metrics
from cqrs_fast.pipeline.route import Route
from cqrs_fast.policies.keyed_buckets import Bucket
from cqrs_fast.validation.key_plan import KeyPlan
from cqrs_fast.validation.keys import TypedKey

MAKERS: list[Callable[[], Any]] = [
    lambda: AuditMiddleware(print),
    lambda: AuthenticationMiddleware(lambda ctx, message: "me"),
    lambda: BulkheadMiddleware(1),
    CachingMiddleware,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    DebugMiddleware,
    lambda: FallbackMiddleware(lambda ctx, message, error: 1),
    IdempotencyMiddleware,
    LatencyHistogram,
    LoggingMiddleware,
    LRUCache,
    ManualClock,
    Metrics,
    lambda: ObjectPool(list, 1),
    RateLimitingMiddleware,
    RetryMiddleware,
    RetryPolicy,
    lambda: SlowCallMiddleware(1.0),
    lambda: TimeoutMiddleware(1.0),
    TokenBucket,
    ValidationMiddleware,
    ClassTable,
]
NAMES = [type(make()).__name__ for make in MAKERS]
INTERNAL = [Bucket, KeyPlan, Route, TypedKey]


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
def test_an_object_is_made_by_a_call_and_initialised_once(
    make: Callable[[], Any],
) -> None:
    one = make()
    cls = type(one)
    name = cls.__name__
    refusal = rf"^{name}\.__new__ makes no usable object: call the class$"
    with pytest.raises(TypeError, match=refusal):
        cls.__new__(cls)
    with pytest.raises(TypeError, match="not safe"):
        object.__new__(cls)
    with pytest.raises(TypeError, match=r"cannot pickle|makes no usable object"):
        copy.copy(one)
    again = rf"^{name} is initialised already: make another one$"
    for arguments in ((), (1,), (None, None)):
        with pytest.raises(RuntimeError, match=again):
            one.__init__(*arguments)
    assert type(make()) is cls


@pytest.mark.parametrize("cls", INTERNAL)
def test_what_the_library_makes_is_made_by_nobody_else(cls: Any) -> None:
    refusal = rf"^{cls.__name__} objects are made by the library alone$"
    for arguments in ((), (1,), (1, 2)):
        with pytest.raises(TypeError, match=refusal):
            cls(*arguments)
    with pytest.raises(TypeError, match="makes no usable object"):
        cls.__new__(cls)


def test_a_context_tells_where_it_comes_from() -> None:
    with pytest.raises(TypeError, match=r"Context\.background"):
        Context()
    with pytest.raises(TypeError, match="makes no usable object"):
        Context.__new__(Context)
    with pytest.raises(RuntimeError, match="Context is initialised already"):
        Context.background().__init__()  # type: ignore[misc]


@pytest.mark.parametrize("cls", [CommandBus, QueryBus])
def test_a_bus_is_initialised_once_and_whole_without_it(cls: Any) -> None:
    bus = cls()
    with pytest.raises(RuntimeError, match=f"^{cls.__name__} is initialised already"):
        bus.__init__(enable_metrics=True)

    class Forgetful(cls):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    forgetful = Forgetful()
    assert forgetful.registered_names() == []
    super(Forgetful, forgetful).__init__(enable_metrics=True)
    with pytest.raises(RuntimeError, match="Forgetful is initialised already"):
        super(Forgetful, forgetful).__init__()


def test_an_open_class_still_has_subclasses() -> None:
    class Late(Clock):
        pass

    assert Late()() > 0
    assert Late.__new__(Late)() > 0


def test_constructors_keep_their_docs() -> None:
    assert LRUCache.__init__.__name__ == "__init__"
    assert "max_size" in (LRUCache.__doc__ or "")


def compiled_classes() -> list[type]:
    found = []
    for info in pkgutil.walk_packages(cqrs_fast.__path__, "cqrs_fast."):
        if info.name.startswith(("cqrs_fast.cli", "cqrs_fast.__main__")):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError:  # of a package that is not installed
            continue
        file = module.__file__ or ""
        if file.endswith((".so", ".pyd")):
            found += [
                one
                for one in vars(module).values()
                if isinstance(one, type)
                and one.__module__ == info.name
                and not one.__flags__ & 1 << 9  # written in C
            ]
    return found


def test_no_compiled_object_is_made_of_foreign_state() -> None:
    """Cython's own __setstate__ would fill in whatever it is given."""
    classes = compiled_classes()
    assert len(classes) > 100
    for cls in classes:
        assert not hasattr(cls, "__setstate_cython__"), cls
        assert not hasattr(cls, "__setstate__"), cls


def test_a_rejection_has_room_for_three_extras() -> None:
    with pytest.raises(TypeError, match="expected at most 3 extras, got 4"):
        Rejection(cqrs_fast.RejectedError, *["name"] * 4)


def test_a_table_of_no_possible_size_ends_at_once() -> None:
    for capacity in (2**31, 2**63 - 1, 2**64 - 1):
        with pytest.raises(MemoryError):
            ClassTable(capacity)
