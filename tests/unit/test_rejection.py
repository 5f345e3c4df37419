"""Rejections of the pipeline are what the constructors of their classes make."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from support import Add

from cqrs_fast import (
    BulkheadFullError,
    BulkheadMiddleware,
    BusClosedError,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    CommandBus,
    Context,
    CQRSError,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RejectedError,
)
from cqrs_fast.base.clock import ManualClock
from cqrs_fast.base.rejection import Rejection


def rejected(bus: CommandBus) -> RejectedError:
    bus.register_handler(Add, lambda command: 1)
    with pytest.raises(RejectedError) as caught:
        bus.execute_many([Add()] * 3)
    return caught.value


def limited() -> tuple[RejectedError, RejectedError]:
    limiter = RateLimitingMiddleware(2, 8.0)
    bus = CommandBus(middleware=[limiter], clock=ManualClock())
    made = RateLimitExceededError(4.0, "RateLimitingMiddleware", "Add", 2, 8.0, 0)
    return rejected(bus), made


def opened() -> tuple[RejectedError, RejectedError]:
    breaker = CircuitBreakerMiddleware()
    bus = CommandBus(middleware=[breaker], clock=ManualClock())
    bus.register_handler("Other", lambda command: 1)
    bus.register_handler(Add, lambda command: 1)
    breaker.force_open()
    bus.unregister_handler(Add)
    made = CircuitOpenError(None, "CircuitBreakerMiddleware", "Add", "forced-open", 0)
    return rejected(bus), made


def full() -> tuple[RejectedError, RejectedError]:
    bus = CommandBus(middleware=[BulkheadMiddleware(1)])
    bus.register_handler(Add, lambda ctx, command: bus.execute(Add(), ctx))
    with pytest.raises(BulkheadFullError) as caught:
        bus.execute(Add(), Context.background())
    return caught.value, BulkheadFullError(None, "BulkheadMiddleware", "Add", 1, 1)


def closed() -> tuple[RejectedError, RejectedError]:
    bus = CommandBus()
    bus.close()
    return rejected(bus), BusClosedError(None, "CommandBus", "Add")


def state(error: CQRSError) -> dict[str, Any]:
    slots = [vars(cls).get("__slots__", ()) for cls in type(error).__mro__]
    return {name: getattr(error, name) for names in slots for name in names}


@pytest.mark.parametrize("case", [limited, opened, full, closed])
def test_rejection_is_what_the_constructor_makes(
    case: Callable[[], tuple[RejectedError, RejectedError]],
) -> None:
    raised, made = case()
    assert type(raised) is type(made)
    assert state(raised) == state(made)
    assert str(raised) == str(made)
    for other in (pickle.loads(pickle.dumps(raised)), copy.copy(raised)):
        assert state(other) == state(made)


def test_each_rejection_is_a_fresh_one() -> None:
    bus = CommandBus()
    bus.close()
    first = rejected(bus)
    bus.unregister_handler(Add)
    assert rejected(bus) is not first


def test_a_class_without_the_slot_is_refused() -> None:
    with pytest.raises(TypeError, match=r"CircuitOpenError\.args is no slot"):
        Rejection(CircuitOpenError, "args")
