"""Errors by which an application says no, and a handler that raises them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from cqrs_fast import Command, DomainError


class OutOfStockError(DomainError):
    pass


class NotYours(DomainError):
    status: ClassVar[int] = 403


class Gone(DomainError):
    status: ClassVar[int] = 410
    code: ClassVar[str] = "order_gone"

    def __init__(self, order: int) -> None:
        super().__init__(f"order {order} is gone")
        self.order = order

    def public(self) -> dict[str, Any]:
        return {**super().public(), "order": self.order}


class OldOrderError(Exception):
    """A domain error of an application that cannot inherit."""


class VeryOldOrderError(OldOrderError):
    pass


class Pay(Command[int]):
    idempotency_key: str | None = None
    idempotent: ClassVar[bool] = True


# (the error, the options of a bus that make it a domain error)
DOMAIN: list[tuple[Exception, dict[str, Any]]] = [
    (OutOfStockError("no hats"), {}),
    (Gone(7), {}),
    (OldOrderError("no hats"), {"domain_errors": (OldOrderError,)}),
    (VeryOldOrderError("no hats"), {"domain_errors": (KeyError, OldOrderError)}),
    (OSError("no hats"), {"domain_errors": (OSError,)}),
]
domain = pytest.mark.parametrize(
    ("error", "options"), DOMAIN, ids=lambda one: type(one).__name__
)


def raising(error: BaseException, calls: list[Any]) -> Callable[[Any], Any]:
    def body(message: Any) -> Any:
        calls.append(message)
        raise error

    return body


def outcomes(bus: Any) -> dict[str, int]:
    """Return what was counted; the outcomes of all and of each sum to its count."""
    stats = bus.stats()
    for one in (stats.total, *stats.messages.values()):
        assert sum(one.outcomes.values()) == one.count
    return {name: count for name, count in stats.total.outcomes.items() if count}
