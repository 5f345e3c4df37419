"""A model of the order service without a database: it foretells each outcome.

Written apart from the handlers on purpose: where the two disagree, one is wrong.
"""

from __future__ import annotations

from typing import Any

OK = "ok"


class Shop:
    """What is registered, offered, on the shelf and ordered.

    Attributes:
        customers: addresses by customer.
        products: stock by product.
        status: status by order.
        lines: quantities by product, by order.
    """

    def __init__(self) -> None:
        self.customers: dict[int, str] = {}
        self.products: dict[str, int] = {}
        self.status: dict[str, str] = {}
        self.lines: dict[str, dict[str, int]] = {}

    def outcome_of(self, message: dict[str, Any]) -> str:
        """Apply a well formed command; return "ok" or the class of the refusal."""
        outcome: str = getattr(self, message["$type"])(message)
        return outcome

    def latest(self, status: str) -> list[str]:
        """Return the newest orders of a status, at most 30."""
        found: list[str] = []
        for order_id in reversed(self.status):
            if self.status[order_id] == status:
                found.append(order_id)
                if len(found) == 30:
                    break
        return found

    def RegisterCustomer(self, message: dict[str, Any]) -> str:
        """Foretell a registration."""
        number, email = message["customer_id"], message["email"]
        if number in self.customers or email in self.customers.values():
            return "AlreadyExists"
        self.customers[number] = email
        return OK

    def AddProduct(self, message: dict[str, Any]) -> str:
        """Foretell an offer."""
        if message["sku"] in self.products:
            return "AlreadyExists"
        self.products[message["sku"]] = 0
        return OK

    def Restock(self, message: dict[str, Any]) -> str:
        """Foretell a delivery."""
        if message["sku"] not in self.products:
            return "UnknownProduct"
        self.products[message["sku"]] += message["quantity"]
        return OK

    def PlaceOrder(self, message: dict[str, Any]) -> str:
        """Predict an order; a rejected one does not change the stock."""
        order_id = message["order_id"]
        if message["customer_id"] not in self.customers:
            return "UnknownCustomer"
        if order_id in self.status:
            return "AlreadyExists"
        lines = {line["sku"]: line["quantity"] for line in message["lines"]}
        for sku, quantity in lines.items():
            if sku not in self.products:
                return "UnknownProduct"
            if self.products[sku] < quantity:
                return "OutOfStock"
        for sku, quantity in lines.items():
            self.products[sku] -= quantity
        self.status[order_id] = "open"
        self.lines[order_id] = lines
        return OK

    def ChangeQuantity(self, message: dict[str, Any]) -> str:
        """Foretell a change."""
        order_id, sku = message["order_id"], message["sku"]
        quantity = message["quantity"]
        refusal = self.refusal(order_id, "open")
        if refusal:
            return refusal
        lines = self.lines[order_id]
        if sku not in lines:
            return "UnknownProduct"
        if self.products[sku] < quantity - lines[sku]:
            return "OutOfStock"
        self.products[sku] -= quantity - lines[sku]
        lines[sku] = quantity
        if quantity == 0:
            del lines[sku]
        return OK

    def PayOrder(self, message: dict[str, Any]) -> str:
        """Foretell a payment."""
        return self.move(message["order_id"], "open", "paid")

    def ShipOrder(self, message: dict[str, Any]) -> str:
        """Foretell a shipment."""
        return self.move(message["order_id"], "paid", "shipped")

    def CancelOrder(self, message: dict[str, Any]) -> str:
        """Foretell a cancellation; the second one changes nothing."""
        order_id = message["order_id"]
        refusal = self.refusal(order_id, "open", "paid", "cancelled")
        if refusal:
            return refusal
        if self.status[order_id] != "cancelled":
            self.status[order_id] = "cancelled"
            for sku, quantity in self.lines[order_id].items():
                self.products[sku] += quantity
        return OK

    def move(self, order_id: str, before: str, after: str) -> str:
        """Bring an order from one status to the next."""
        refusal = self.refusal(order_id, before)
        if refusal:
            return refusal
        self.status[order_id] = after
        return OK

    def refusal(self, order_id: str, *allowed: str) -> str | None:
        """Return why an order is not to be touched."""
        if order_id not in self.status:
            return "UnknownOrder"
        return None if self.status[order_id] in allowed else "WrongStatus"
