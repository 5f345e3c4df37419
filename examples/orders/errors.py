"""What the order service rejects although the message is well formed."""

from __future__ import annotations

from cqrs_fast import DomainError


class OrderError(DomainError):
    """The base of every rejection; its text is meant for the caller.

    A DomainError is an answer: it is never retried, and opens no circuit.
    """


class UnknownCustomer(OrderError):
    """Nobody is registered under this id."""

    status = 404


class UnknownProduct(OrderError):
    """Nothing is offered under this number."""

    status = 404


class UnknownOrder(OrderError):
    """No order has this id."""

    status = 404


class AlreadyExists(OrderError):
    """The id, the product number or the address is taken."""


class OutOfStock(OrderError):
    """There is less on the shelf than was ordered."""


class WrongStatus(OrderError):
    """The order has come too far for this, or not far enough."""


class NotAuthenticated(OrderError):
    """The token belongs to nobody."""

    status = 401
