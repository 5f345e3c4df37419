"""Three composite handlers: what is done for each message.

Each runs inside one transaction (see middleware.py), so a handler that raises half way
leaves nothing behind.
"""

from __future__ import annotations

from cqrs_fast import Context, handles

from .errors import (
    AlreadyExists,
    OutOfStock,
    UnknownCustomer,
    UnknownOrder,
    UnknownProduct,
    WrongStatus,
)
from .messages import (
    AddProduct,
    CancelOrder,
    ChangeQuantity,
    CustomerReport,
    FindOrders,
    GetOrder,
    Order,
    OrderSummary,
    PayOrder,
    PlaceOrder,
    RegisterCustomer,
    Report,
    Restock,
    ShipOrder,
)
from .repository import Repository


class Catalogue:
    """Handle customers and products."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    @handles(RegisterCustomer)
    def register(self, command: RegisterCustomer) -> None:
        """Store a customer."""
        if not self.repository.add_customer(
            command.customer_id, command.name, command.email
        ):
            raise AlreadyExists(
                f"customer {command.customer_id} or the address is registered already"
            )

    @handles(AddProduct)
    def add(self, command: AddProduct) -> None:
        """Store a product."""
        if not self.repository.add_product(
            command.sku, command.title, command.price_cents
        ):
            raise AlreadyExists(f"product {command.sku} is offered already")

    @handles(Restock)
    def restock(self, command: Restock) -> int:
        """Add to the stock."""
        stock = self.repository.move_stock(command.sku, command.quantity)
        if stock is None:
            raise UnknownProduct(f"product {command.sku} is not offered")
        return stock


class Orders:
    """Handle the life of an order: open, paid, shipped, or cancelled before that."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    @handles(PlaceOrder)
    def place(self, ctx: Context, command: PlaceOrder) -> int:
        """Take the products from the shelf and store the order."""
        repository = self.repository
        order_id = command.order_id
        if not repository.has_customer(command.customer_id):
            raise UnknownCustomer(f"customer {command.customer_id} is not registered")
        if not repository.add_order(
            order_id, command.customer_id, command.discount, ctx.principal
        ):
            raise AlreadyExists(f"order {order_id} was placed already")
        for line in command.lines:
            price = repository.price_of(line.sku)
            if price is None:
                raise UnknownProduct(f"product {line.sku} is not offered")
            self.take(line.sku, line.quantity)
            repository.set_line(order_id, line.sku, line.quantity, price)
        return repository.total_of(order_id)

    @handles(ChangeQuantity)
    def change(self, command: ChangeQuantity) -> None:
        """Move the difference between the shelf and the order."""
        self.require(command.order_id, "open")
        lines = self.repository.lines_of(command.order_id)
        line = lines.get(command.sku)
        if line is None:
            raise UnknownProduct(f"order {command.order_id} has no {command.sku}")
        self.take(command.sku, command.quantity - line.quantity)
        self.repository.set_line(
            command.order_id, command.sku, command.quantity, line.price_cents
        )

    @handles(PayOrder)
    def pay(self, command: PayOrder) -> str:
        """Note the payment and the end of the card's number."""
        self.require(command.order_id, "open")
        card = f"card ending in {command.card[-4:]}"
        self.repository.set_status(command.order_id, "paid", card=card)
        return card

    @handles(ShipOrder)
    def ship(self, command: ShipOrder) -> None:
        """Note who carries it and since when."""
        self.require(command.order_id, "paid")
        note = f"{command.carrier}, {command.at.isoformat()}"
        self.repository.set_status(command.order_id, "shipped", note=note)

    @handles(CancelOrder)
    def cancel(self, ctx: Context, command: CancelOrder) -> None:
        """Put the products back; a cancelled order stays as it is."""
        status = self.require(command.order_id, "open", "paid", "cancelled")
        if status == "cancelled":
            return
        for line in self.repository.lines_of(command.order_id).values():
            self.repository.move_stock(line.sku, line.quantity)
        note = f"cancelled by {ctx.principal}: {command.reason}"
        self.repository.set_status(command.order_id, "cancelled", note=note)

    def require(self, order_id: str, *allowed: str) -> str:
        """Return the status of an order. Raises unless it is one of those allowed."""
        status = self.repository.status_of(order_id)
        if status is None:
            raise UnknownOrder(f"order {order_id} does not exist")
        if status not in allowed:
            raise WrongStatus(f"order {order_id} is {status}, not {allowed[0]}")
        return status

    def take(self, sku: str, quantity: int) -> None:
        """Take products from the shelf, or put back fewer than 0."""
        if self.repository.move_stock(sku, -quantity) is None:
            raise OutOfStock(f"fewer than {quantity} of {sku} are on the shelf")


class Reading:
    """Handle the queries; nothing here writes."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    @handles(GetOrder)
    def get(self, query: GetOrder) -> Order:
        """Return one order."""
        order = self.repository.order(query.order_id)
        if order is None:
            raise UnknownOrder(f"order {query.order_id} does not exist")
        return order

    @handles(FindOrders)
    def find(self, query: FindOrders) -> list[OrderSummary]:
        """Return one page of orders."""
        offset = (query.page - 1) * query.page_size
        return self.repository.orders(
            query.status, query.customer_id, query.page_size, offset
        )

    @handles(CustomerReport)
    def report(self, query: CustomerReport) -> Report:
        """Return the sums of one customer."""
        report = self.repository.report(query.customer_id)
        if report is None:
            raise UnknownCustomer(f"customer {query.customer_id} is not registered")
        return report
