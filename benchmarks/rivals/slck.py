"""slck-mediator, which observes each dispatch: here with as little as it can have."""

import dataclasses
from typing import Any

from benchmarks.rivals.duel import handler
from benchmarks.rivals.messages import LONGEST_NAME, NAME, QUANTITY


class Silent:
    """A logger, metrics, a tracer and its span that keep and print nothing."""

    def ignore(self, *arguments: Any, **fields: Any) -> None:
        pass

    debug = info = warning = error = ignore
    increment = record_duration = ignore
    set_attribute = record_exception = end = ignore

    def start_span(self, name: str, attributes: Any = None) -> Any:
        return self

    def snapshot(self) -> list[Any]:
        return []


def slck_mediator(*middlewares: Any, metrics: Any = None) -> tuple[Any, Any]:
    import mediator

    @dataclasses.dataclass(slots=True)
    class Order(mediator.Request[int]):
        name: str
        quantity: int

        def validate(self) -> list[str]:
            errors = []
            if not 1 <= len(self.name) <= LONGEST_NAME:
                errors.append("name")
            if self.quantity < 1:
                errors.append("quantity")
            return errors

    class Handler:
        @handler
        async def handle(self, request: Order, context: Any) -> int:
            return request.quantity

    silent = Silent()
    bus = mediator.Mediator(logger=silent, metrics=metrics or silent, tracer=silent)
    bus.register_request_handler(Order, Handler())
    for middleware in middlewares:
        bus.register_pipeline(middleware)
    return bus, Order(NAME, QUANTITY)
