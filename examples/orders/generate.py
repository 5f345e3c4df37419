"""Write a day of the order service as JSON lines, mistakes of every kind included.

    python -m examples.orders.generate > sample.jsonl

The same seed gives the same bytes. Beside each line stands what has to come of it,
foretold by a small model of the service, so a run can be checked line by line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from .flaws import DOMAIN_FLAWS, FLAWS
from .model import OK, Shop

SEED = 20260301
LINES = 12_000

NAMES = "Ada Alan Barbara Claude Donald Edsger Frances Grace Ken Leslie Niklaus Radia"
FAMILIES = "Allen Hopper Knuth Lamport Liskov Lovelace Perlman Shannon Thompson Wirth"
COLOURS = "amber black blue green ivory red silver white"
GOODS = "bowl chair clock desk kettle lamp mirror shelf stool table tray vase"


class Expected(NamedTuple):
    """One line of the sample.

    Attributes:
        text: the line without its end.
        outcome: "ok", the class of the error, or "ValidationError" and its first code.
    """

    text: str
    outcome: str


class Author:
    """Invent commands that suit the state of the shop, and mistakes that do not."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.shop = Shop()
        self.orders = 0

    def write(self, count: int) -> Iterator[Expected]:
        """Yield `count` lines: first what orders need, then everything mixed."""
        opening = [self.sent(message) for message in self.opening()]
        yield from opening
        kinds = [self.place] * 14 + [self.pay] * 7 + [self.ship] * 5 + [self.change] * 2
        kinds += [self.restock] * 6 + [self.cancel, self.register, self.add]
        for _ in range(count - len(opening)):
            dice = self.random.random()
            if dice < 0.12:
                outcome, spoil = self.random.choice(FLAWS)
                yield Expected(spoil(self), outcome)
            elif dice < 0.18:
                yield self.sent(self.random.choice(DOMAIN_FLAWS)(self))
            else:
                yield self.sent(self.random.choice(kinds)())

    def opening(self) -> Iterator[dict[str, Any]]:
        for _ in range(40):
            yield self.add()
        for sku in list(self.shop.products):
            yield self.restock() | {"sku": sku, "quantity": 120}
        for _ in range(60):
            yield self.register()

    def sent(self, message: dict[str, Any]) -> Expected:
        """Return a message as a line, with what the model makes of it."""
        return Expected(encode(message), self.shop.outcome_of(message))

    # Commands that suit the state

    def register(self) -> dict[str, Any]:
        """Register the next customer."""
        number = len(self.shop.customers) + 1
        name, family = self.word(NAMES), self.word(FAMILIES)
        return {
            "$type": "RegisterCustomer",
            "customer_id": number,
            "name": f"{name} {family}",
            "email": f"{name}.{family}.{number}@example.com".lower(),
        }

    def add(self) -> dict[str, Any]:
        """Offer the next product."""
        goods = self.word(GOODS)
        return {
            "$type": "AddProduct",
            "sku": f"{goods[:3].upper()}-{len(self.shop.products) + 1:04}",
            "title": f"{self.word(COLOURS)} {goods}",
            "price_cents": self.random.randrange(199, 49_999, 50),
        }

    def restock(self) -> dict[str, Any]:
        """Bring some boxes of a product."""
        quantity = 12 * self.random.randrange(1, 12)
        return {"$type": "Restock", "sku": self.product(), "quantity": quantity}

    def place(self) -> dict[str, Any]:
        """Order up to three products."""
        self.orders += 1
        wanted = {self.product() for _ in range(self.random.randrange(1, 4))}
        message = {
            "$type": "PlaceOrder",
            "order_id": f"O-{self.orders:06}",
            "customer_id": self.random.randrange(len(self.shop.customers)) + 1,
            "lines": [
                {"sku": sku, "quantity": self.random.randrange(1, 5)}
                for sku in sorted(wanted)
            ],
        }
        if self.random.random() < 0.2:
            message["discount"] = self.random.choice([0.05, 0.1, 0.15])
        if self.random.random() < 0.1:
            day = self.random.randrange(1, 20)
            message["not_before"] = f"2026-03-{day:02}T08:00:00+01:00"
            message["not_after"] = f"2026-03-{day + 5:02}T18:00:00Z"
        return message

    def change(self) -> dict[str, Any]:
        """Set another quantity of a line of an open order."""
        order_id = self.order("open")
        lines = self.shop.lines.get(order_id) or {"LAM-0001": 1}
        return {
            "$type": "ChangeQuantity",
            "order_id": order_id,
            "sku": self.random.choice(list(lines)),
            "quantity": self.random.randrange(0, 6),
        }

    def pay(self) -> dict[str, Any]:
        """Pay an open order."""
        digits = self.random.randrange(10**12)
        return {
            "$type": "PayOrder",
            "order_id": self.order("open"),
            "card": f"4000{digits:012}",
        }

    def ship(self) -> dict[str, Any]:
        """Ship a paid order."""
        hour, minute = self.random.randrange(24), self.random.randrange(60)
        return {
            "$type": "ShipOrder",
            "order_id": self.order("paid"),
            "carrier": self.random.choice(["post", "courier", "pickup"]),
            "at": f"2026-03-01T{hour:02}:{minute:02}:00Z",
        }

    def cancel(self) -> dict[str, Any]:
        """Cancel an order, sometimes for a reason, sometimes a second time."""
        status = self.random.choice(["open", "paid", "cancelled"])
        message = {"$type": "CancelOrder", "order_id": self.order(status)}
        if self.random.random() < 0.5:
            message["reason"] = "ordered by mistake"
        return message

    # Choosing

    def word(self, words: str) -> str:
        """Return one of several words."""
        return self.random.choice(words.split())

    def product(self) -> str:
        """Return a product that is offered."""
        return self.random.choice(list(self.shop.products))

    def order(self, status: str) -> str:
        """Return one of the latest orders of a status, or one that is not there."""
        known = self.shop.latest(status)
        return self.random.choice(known) if known else "O-999999"


def encode(message: dict[str, Any]) -> str:
    """Return a message as JSON without blanks."""
    return json.dumps(message, separators=(",", ":"))


def generate(seed: int = SEED, lines: int = LINES) -> list[Expected]:
    """Return the lines of a sample and what has to come of each."""
    return list(Author(seed).write(lines))


def main() -> None:
    """Write the sample to standard output, and to standard error what is in it."""
    lines = generate()
    sys.stdout.writelines(f"{line.text}\n" for line in lines)
    good = sum(line.outcome == OK for line in lines)
    print(f"{len(lines):,} lines, {good:,} of them valid", file=sys.stderr)


if __name__ == "__main__":
    main()
