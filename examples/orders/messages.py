"""What the order service can be asked: its commands and queries, and what they return.

The annotations are the rules. They hold for what comes in as JSON, and through
ValidationMiddleware for what is built in Python too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from cqrs_fast import Command, Query, Secret

CustomerId = Annotated[int, Meta(ge=1)]
OrderId = Annotated[str, Meta(pattern=r"^O-[0-9]{6}$")]
Sku = Annotated[str, Meta(pattern=r"^[A-Z]{3}-[0-9]{4}$")]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$")]
Cents = Annotated[int, Meta(gt=0, le=1_000_000)]
Quantity = Annotated[int, Meta(ge=1, le=100)]
Moment = Annotated[datetime, Meta(tz=True)]
Status = Literal["open", "paid", "shipped", "cancelled"]


class OrderLine(msgspec.Struct, frozen=True):
    """So many of one product."""

    sku: Sku
    quantity: Quantity


# Commands


class RegisterCustomer(Command[None]):
    """Make a customer known."""

    customer_id: CustomerId
    name: Name
    email: Email


class AddProduct(Command[None]):
    """Offer a new product."""

    sku: Sku
    title: Name
    price_cents: Cents


class Restock(Command[int]):
    """Put full boxes of twelve on the shelf; the result is the new stock."""

    sku: Sku
    quantity: Annotated[int, Meta(gt=0, multiple_of=12)]


class PlaceOrder(Command[int]):
    """Order products; the result is what it costs, in cents.

    The customer's side chooses the id, so it can ask again after a lost answer and
    learn that the order is there already.
    """

    order_id: OrderId
    customer_id: CustomerId
    lines: Annotated[list[OrderLine], Meta(min_length=1, max_length=10)]
    discount: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    not_before: Moment | None = None
    not_after: Moment | None = None

    def validate(self) -> None:
        """Check the rules that involve several fields."""
        skus = [line.sku for line in self.lines]
        if len(set(skus)) < len(skus):
            raise ValueError("a product is listed twice: add up its quantities")
        if self.not_before and self.not_after and self.not_before > self.not_after:
            raise ValueError("the delivery would have to end before it may begin")

    def invalidates(self) -> list[Any]:
        """Name the queries whose answers this changes."""
        return order_views(self.order_id)


class ChangeQuantity(Command[None]):
    """Set how many of a product an open order has; 0 takes the product out."""

    order_id: OrderId
    sku: Sku
    quantity: Annotated[int, Meta(ge=0, le=100)]
    idempotent: ClassVar[bool] = True

    def invalidates(self) -> list[Any]:
        """Name the queries whose answers this changes."""
        return order_views(self.order_id)


class PayOrder(Command[str]):
    """Pay an open order; the result names the card by its last digits.

    Nothing that is logged, traced or raised shows the number.
    """

    order_id: OrderId
    card: Secret[Annotated[str, Meta(pattern=r"^[0-9]{16}$")]]

    def invalidates(self) -> list[Any]:
        """Name the queries whose answers this changes."""
        return order_views(self.order_id)


class CancelOrder(Command[None]):
    """Cancel an order that is not shipped; its products go back on the shelf."""

    order_id: OrderId
    reason: Annotated[str, Meta(max_length=200)] = ""
    idempotent: ClassVar[bool] = True

    def invalidates(self) -> list[Any]:
        """Name the queries whose answers this changes."""
        return order_views(self.order_id)


class ShipOrder(Command[None]):
    """Hand a paid order to a carrier."""

    order_id: OrderId
    carrier: Literal["post", "courier", "pickup"]
    at: Moment

    def invalidates(self) -> list[Any]:
        """Name the queries whose answers this changes."""
        return order_views(self.order_id)


# Queries


class PlacedLine(msgspec.Struct, frozen=True):
    """A line of an order, at the price of the day it was placed."""

    sku: str
    quantity: int
    price_cents: int


class Order(msgspec.Struct, frozen=True):
    """The current state of an order."""

    order_id: str
    customer_id: int
    status: Status
    total_cents: int
    placed_by: str
    lines: list[PlacedLine]


class OrderSummary(msgspec.Struct, frozen=True):
    """An order in a list."""

    order_id: str
    customer_id: int
    status: Status
    total_cents: int


class Report(msgspec.Struct, frozen=True):
    """What a customer has done so far."""

    customer_id: int
    name: str
    orders: int
    cancelled: int
    spent_cents: int


class GetOrder(Query[Order]):
    """Find one order."""

    order_id: OrderId


class FindOrders(Query[list[OrderSummary]]):
    """List orders, page by page."""

    status: Status | None = None
    customer_id: CustomerId | None = None
    page: Annotated[int, Meta(ge=1)] = 1
    page_size: Annotated[int, Meta(ge=1, le=200)] = 20


class CustomerReport(Query[Report]):
    """Sum up one customer."""

    customer_id: CustomerId


def order_views(order_id: str) -> list[Any]:
    """Return the queries that show an order."""
    return [GetOrder(order_id), FindOrders, CustomerReport]
