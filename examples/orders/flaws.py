"""Every way in which a line of the sample can be wrong.

FLAWS never reach a handler; each stands with the outcome that it has to have.
DOMAIN_FLAWS are well formed commands that the service refuses; the model tells why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generate import Author

NOT_FOUND = "HandlerNotFoundError"
Spoil = Callable[["Author"], str]


def encode(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


def spoilt(kind: str, **fields: Any) -> Spoil:
    """Return a flaw: a command of the author with other fields, `...` to leave out."""

    def spoil(author: Author) -> str:
        message = getattr(author, kind)() | fields
        kept = {key: value for key, value in message.items() if value is not ...}
        return encode(kept)

    return spoil


def lines(*quantities: Any, **more: Any) -> list[dict[str, Any]]:
    """Return order lines with the quantities given."""
    return [
        {"sku": f"LAM-{number:04}", "quantity": quantity} | more
        for number, quantity in enumerate(quantities, 1)
    ]


def truncated(author: Author) -> str:
    """Break off in the middle of a line."""
    text = encode(author.place())
    return text[: author.random.randrange(1, len(text) - 1)]


def nested(author: Author) -> str:
    """Nest deeper than any payload may."""
    depth = author.random.randrange(70, 200)
    return '{"$type":"PlaceOrder","lines":' + "[" * depth + "]" * depth + "}"


def text(line: str) -> Spoil:
    """Return a flaw that is always the same line."""
    return lambda author: line


FLAWS: list[tuple[str, Spoil]] = [
    # No JSON at all
    ("ValidationError invalid", truncated),
    ("ValidationError invalid", text("PLACE ORDER O-000001 LAM-0001 x 3")),
    ("ValidationError invalid", text("{'$type': 'Restock'}")),
    ("ValidationError invalid", text('{"$type":"Restock","sku":"LAM-0001",}')),
    ("ValidationError invalid", text('{"$type":"Restock","quantity":NaN}')),
    ("ValidationError invalid", text(r'{"$type":"Restock","sku":"\ud800"}')),
    ("ValidationError invalid", nested),
    # JSON, but no message
    ("ValidationError type", text("42")),
    ("ValidationError type", spoilt("place", **{"$type": 7})),
    ("ValidationError missing", spoilt("restock", **{"$type": ...})),
    (NOT_FOUND, spoilt("place", **{"$type": "PlaceOrdr"})),
    (NOT_FOUND, spoilt("register", **{"$type": "DeleteEverything"})),
    (NOT_FOUND, text('{"$type":"GetOrder","order_id":"O-000001"}')),
    (NOT_FOUND, text('{"$type":"FindOrders","status":"open"}')),
    # Fields
    ("ValidationError missing", spoilt("place", customer_id=...)),
    ("ValidationError missing", spoilt("pay", card=...)),
    ("ValidationError missing", spoilt("place", lines=[{"sku": "LAM-0001"}])),
    ("ValidationError type", spoilt("restock", quantity="24")),
    ("ValidationError type", spoilt("register", name=None)),
    ("ValidationError type", spoilt("change", quantity=2.5)),
    ("ValidationError type", spoilt("place", lines=lines(1, True))),
    ("ValidationError type", spoilt("place", lines={"LAM-0001": 1})),
    ("ValidationError ge", spoilt("register", customer_id=0)),
    ("ValidationError ge", spoilt("change", quantity=-1)),
    ("ValidationError ge", spoilt("place", lines=lines(2, 0))),
    ("ValidationError gt", spoilt("add", price_cents=0)),
    ("ValidationError le", spoilt("add", price_cents=1_000_001)),
    ("ValidationError le", spoilt("place", lines=lines(1, 1, 101))),
    ("ValidationError lt", spoilt("place", discount=1.0)),
    ("ValidationError multiple_of", spoilt("restock", quantity=13)),
    ("ValidationError min_length", spoilt("register", name="")),
    ("ValidationError min_length", spoilt("place", lines=[])),
    ("ValidationError max_length", spoilt("register", name="Ada " * 26)),
    ("ValidationError max_length", spoilt("cancel", reason="no " * 70)),
    ("ValidationError max_length", spoilt("place", lines=lines(*[1] * 11))),
    ("ValidationError pattern", spoilt("restock", sku="lamp")),
    ("ValidationError pattern", spoilt("register", email="ada at example.com")),
    ("ValidationError pattern", spoilt("pay", card="4000 1234 5678 9010")),
    ("ValidationError tz", spoilt("ship", at="2026-03-01T10:00:00")),
    ("ValidationError invalid", spoilt("ship", at="2026-02-30T10:00:00Z")),
    ("ValidationError invalid", spoilt("ship", carrier="pigeon")),
    # Fields that are right one by one
    ("ValidationError invalid", spoilt("place", lines=lines(1) + lines(2))),
    (
        "ValidationError invalid",
        spoilt(
            "place",
            not_before="2026-03-09T08:00:00Z",
            not_after="2026-03-08T08:00:00Z",
        ),
    ),
]


def unknown_order(author: Author) -> dict[str, Any]:
    """Pay what was never ordered."""
    return author.pay() | {"order_id": "O-999999"}


def unknown_customer(author: Author) -> dict[str, Any]:
    """Order for somebody who is not registered."""
    return author.place() | {"customer_id": 999_999}


def unknown_product(author: Author) -> dict[str, Any]:
    """Order what is offered and, after it, what is not."""
    message = author.place()
    message["lines"].append({"sku": "ZZZ-9999", "quantity": 1})
    return message


def known_customer(author: Author) -> dict[str, Any]:
    """Register somebody again."""
    return author.register() | {"customer_id": 1}


def known_address(author: Author) -> dict[str, Any]:
    """Register somebody else under an address that is taken."""
    return author.register() | {"email": author.shop.customers[1]}


def known_product(author: Author) -> dict[str, Any]:
    """Offer a product again."""
    return author.add() | {"sku": author.product()}


def known_order(author: Author) -> dict[str, Any]:
    """Place an order again."""
    known = author.shop.latest("open") or ["O-000001"]
    return author.place() | {"order_id": author.random.choice(known)}


def out_of_stock(author: Author) -> dict[str, Any]:
    """Order all there is of several products, and more."""
    message = author.place()
    for line in message["lines"]:
        line["quantity"] = 100
    return message


def shipped_already(author: Author) -> dict[str, Any]:
    """Cancel what is on its way."""
    return author.cancel() | {"order_id": author.order("shipped")}


def not_paid(author: Author) -> dict[str, Any]:
    """Ship what nobody paid."""
    return author.ship() | {"order_id": author.order("open")}


DOMAIN_FLAWS: list[Callable[[Author], dict[str, Any]]] = [
    unknown_order,
    unknown_customer,
    unknown_product,
    known_customer,
    known_address,
    known_product,
    known_order,
    out_of_stock,
    shipped_already,
    not_paid,
]
