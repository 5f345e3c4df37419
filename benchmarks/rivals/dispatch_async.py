"""The same for dispatchers that are awaited, in a task of a running event loop."""

# The annotations of handlers are read at run time, so they must be no strings.
import dataclasses
from typing import Any

from benchmarks.rivals.dispatch import (
    BARE,
    BETWEEN_THEM,
    kerux_behavior,
    py_mediatr_behavior,
)
from benchmarks.rivals.duel import Duels, Match, handler, passing
from benchmarks.rivals.handwritten import bare_closures_async, passing_closures_async
from benchmarks.rivals.messages import (
    BETWEEN,
    NAME,
    PLAIN,
    QUANTITY,
    Order,
    PlainOrder,
    answer_async,
    around_async,
    ours_async,
    sends_async,
)
from benchmarks.rivals.slck import slck_mediator
from benchmarks.table import LoopOperation
from benchmarks.workload import AsyncDispatcher
from cqrs_fast import CommandBus

DUELS = Duels("dispatch, async")


def bare(theirs: Any, message: Any) -> Match:
    return Match(ours_async(), sends_async(theirs, message))


def between(theirs: Any, message: Any) -> Match:
    return Match(
        ours_async(*[around_async] * BETWEEN),
        sends_async(theirs, message),
        passed=BETWEEN,
    )


@DUELS.against(None, "await handlers[type(message)](message)", feature=BARE)
def _() -> Match:
    return bare(AsyncDispatcher({PlainOrder: answer_async}).execute, PLAIN)


@DUELS.against(None, "decorator fills a dict, a closure calls", feature=BARE)
def _() -> Match:
    return bare(bare_closures_async(), PLAIN)


@DUELS.against(None, "closures around it, without a context", feature=BETWEEN_THEM)
def _() -> Match:
    return between(passing_closures_async(BETWEEN), PLAIN)


# kerux


def kerux_mediator() -> tuple[Any, Any]:
    import kerux

    @dataclasses.dataclass(slots=True)
    class Order(kerux.Request[int]):
        name: str
        quantity: int

    mediator = kerux.Mediator()
    mediator.register(Order, answer_async)
    return mediator, Order(NAME, QUANTITY)


@DUELS.against("kerux", "Mediator", feature=BARE)
def _() -> Match:
    mediator, order = kerux_mediator()
    return bare(mediator.send, order)


@DUELS.against("kerux", "Mediator, behaviors", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = kerux_mediator()
    for _ in range(BETWEEN):
        # It returns the awaitable of the next one, which spares it one of its own.
        mediator.add_behavior(kerux_behavior)
    return between(mediator.send, order)


# py-mediatR


def py_mediatr(behaviors: list[Any]) -> tuple[Any, Any]:
    import py_mediatr

    @dataclasses.dataclass
    class Order(py_mediatr.IRequest):
        name: str
        quantity: int

    class Handler:
        @handler
        async def handle(self, request: Order) -> int:
            return request.quantity

    mediator = py_mediatr.Mediator(auto_discover=False, behaviors=behaviors)
    mediator.register_handler(Order, Handler())
    return mediator, Order(NAME, QUANTITY)


@DUELS.against("py-mediatR", "Mediator.send_async", feature=BARE)
def _() -> Match:
    mediator, order = py_mediatr([])
    return bare(mediator.send_async, order)


@DUELS.against("py-mediatR", "Mediator.send_async, behaviors", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = py_mediatr([py_mediatr_behavior() for _ in range(BETWEEN)])
    return between(mediator.send_async, order)


# mediatr


def mediatr_mediator() -> tuple[Any, Any]:
    import mediatr

    class Order(mediatr.GenericQuery[int]):
        def __init__(self, name: str, quantity: int) -> None:
            self.name = name
            self.quantity = quantity

    @mediatr.Mediator.handler
    @handler
    async def answer(request: Order) -> int:
        return request.quantity

    return mediatr.Mediator(), Order(NAME, QUANTITY)


@DUELS.against("mediatr", "Mediator.send_async", feature=BARE)
def _() -> Match:
    mediator, order = mediatr_mediator()
    return bare(mediator.send_async, order)


@DUELS.against("mediatr", "Mediator.send_async, behaviors", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = mediatr_mediator()
    kind: Any = type(order)
    for _ in range(BETWEEN):
        # Each a function of its own: the same one is registered once only.
        @mediator.behavior
        @passing
        async def behavior(request: kind, next: Any) -> Any:
            return await next()

    return between(mediator.send_async, order)


# pymediate


def pymediate_mediator(behaviors: int = 0) -> tuple[Any, Any]:
    from pymediate import (
        Mediator,
        PipelineBehavior,
        Request,
        RequestHandler,
        Services,
    )

    @dataclasses.dataclass
    class Order(Request[int]):
        name: str
        quantity: int

    class Handler(RequestHandler[Order]):
        @handler
        async def __call__(self, request: Order) -> int:
            return request.quantity

    services = Services()
    services.add(Handler())
    for _ in range(behaviors):

        class Behavior(PipelineBehavior[Any]):
            @passing
            async def __call__(self, request: Any, next: Any) -> Any:
                return await next()

        services.add(Behavior())
    return Mediator(services.provider()), Order(NAME, QUANTITY)


@DUELS.against("pymediate", "Mediator", feature=BARE)
def _() -> Match:
    mediator, order = pymediate_mediator()
    return bare(mediator.send, order)


@DUELS.against("pymediate", "Mediator, behaviors", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = pymediate_mediator(BETWEEN)
    return between(mediator.send, order)


# python-cqrs and diator: a container makes the handler, the least one there can be


class Container:
    """Makes what it is asked for, as these libraries' protocol of containers wants."""

    external_container = None

    def attach_external_container(self, container: Any) -> None:
        raise NotImplementedError

    async def resolve(self, type_: type) -> Any:
        return type_()


@passing
async def handing_on(request: Any, handle: Any) -> Any:
    return await handle(request)


def python_cqrs(middlewares: int = 0) -> tuple[Any, Any]:
    import cqrs
    from cqrs.middlewares.base import MiddlewareChain

    class Order(cqrs.Request[int]):
        name: str
        quantity: int

    class Handler(cqrs.RequestHandler[Order, int]):
        events = ()

        @handler
        async def handle(self, request: Order) -> int:
            return request.quantity

    requests = cqrs.RequestMap()
    requests.bind(Order, Handler)
    chain = MiddlewareChain()
    chain.set([handing_on] * middlewares)
    mediator = cqrs.RequestMediator(requests, Container(), middleware_chain=chain)
    return mediator, Order(NAME, QUANTITY)


@DUELS.against("python-cqrs", "RequestMediator", feature=BARE)
def _() -> Match:
    mediator, order = python_cqrs()
    return bare(mediator.send, order)


@DUELS.against("python-cqrs", "RequestMediator, middlewares", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = python_cqrs(BETWEEN)
    return between(mediator.send, order)


def diator(middlewares: int = 0) -> tuple[Any, Any]:
    from diator.mediator import Mediator
    from diator.middlewares import MiddlewareChain
    from diator.requests import Request, RequestHandler, RequestMap

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Order(Request):
        name: str
        quantity: int

    class Handler(RequestHandler[Order, Any]):
        events = ()

        @handler
        async def handle(self, request: Order) -> int:
            return request.quantity

    requests = RequestMap()
    requests.bind(Order, Handler)
    chain = MiddlewareChain()
    chain.set([handing_on] * middlewares)
    mediator = Mediator(requests, Container(), middleware_chain=chain)
    return mediator, Order(name=NAME, quantity=QUANTITY)


@DUELS.against("diator", "Mediator", feature=BARE)
def _() -> Match:
    mediator, order = diator()
    return bare(mediator.send, order)


@DUELS.against("diator", "Mediator, middlewares", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = diator(BETWEEN)
    return between(mediator.send, order)


# slck-mediator


class SlckMiddleware:
    name = "passing"

    @passing
    async def handle(self, request: Any, next_handler: Any, context: Any) -> Any:
        return await next_handler()


@DUELS.against("slck-mediator", "Mediator, silent observers", feature=BARE)
def _() -> Match:
    bus, order = slck_mediator()
    return bare(bus.send, order)


@DUELS.against("slck-mediator", "Mediator, pipeline", feature=BETWEEN_THEM)
def _() -> Match:
    bus, order = slck_mediator(*[SlckMiddleware()] * BETWEEN)
    return between(bus.send, order)


# bubus: an event is dispatched once, so both sides make their message anew


@DUELS.against("bubus", "EventBus", feature=f"making the message, and {BARE}")
def _() -> Match:
    import bubus

    class Ordered(bubus.BaseEvent[int]):
        name: str
        quantity: int

    @handler
    async def answer(event: Ordered) -> int:
        return event.quantity

    # It goes through its history for each event: the shortest is the fastest.
    theirs = bubus.EventBus("duel", max_history_size=1)
    theirs.on(Ordered, answer)
    bus = CommandBus()
    bus.register_handler(Order, answer_async)
    message = {"calls": [], "name": NAME, "quantity": QUANTITY}
    return Match(
        LoopOperation(
            "result = await bus.execute_async(Order(name, quantity))",
            bus=bus,
            Order=Order,
            **message,
        ),
        LoopOperation(
            """
            event = bus.dispatch(Ordered(name=name, quantity=quantity))
            result = await event.event_result()
            """,
            bus=theirs,
            Ordered=Ordered,
            **message,
        ),
    )
