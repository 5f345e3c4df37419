"""What the order service refuses although the message is well formed."""


class OrderError(Exception):
    """The base of every refusal; its text is meant for the caller."""


class UnknownCustomer(OrderError):
    """Nobody is registered under this id."""


class UnknownProduct(OrderError):
    """Nothing is offered under this number."""


class UnknownOrder(OrderError):
    """No order has this id."""


class AlreadyExists(OrderError):
    """The id, the product number or the address is taken."""


class OutOfStock(OrderError):
    """There is less on the shelf than was ordered."""


class WrongStatus(OrderError):
    """The order has come too far for this, or not far enough."""


class NotAuthenticated(OrderError):
    """The token belongs to nobody."""
