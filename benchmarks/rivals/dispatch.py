"""Who finds the handler of a message: dispatchers that answer without awaiting."""

# The annotations of handlers are read at run time, so they must be no strings.
import dataclasses
from functools import singledispatch
from typing import Any

from benchmarks.rivals.duel import Duels, Match, handler, passing
from benchmarks.rivals.handwritten import bare_closures, passing_closures
from benchmarks.rivals.isolation import STANDARD_LIBRARY
from benchmarks.rivals.messages import (
    BETWEEN,
    NAME,
    PLAIN,
    QUANTITY,
    PlainOrder,
    answer,
    around,
    ours,
    sends,
)
from benchmarks.workload import Dispatcher

BARE = "dispatch by the type of the message"
BETWEEN_THEM = f"dispatch through {BETWEEN} Python middlewares that pass it on"
DUELS = Duels("dispatch")


def bare(theirs: Any, message: Any) -> Match:
    return Match(ours(), sends(theirs, message))


def between(theirs: Any, message: Any) -> Match:
    return Match(ours(*[around] * BETWEEN), sends(theirs, message), passed=BETWEEN)


@DUELS.against(None, "handlers[type(message)](message)", feature=BARE)
def _() -> Match:
    return bare(Dispatcher({PlainOrder: answer}).execute, PLAIN)


@DUELS.against(None, "decorator fills a dict, a closure calls", feature=BARE)
def _() -> Match:
    return bare(bare_closures(), PLAIN)


@DUELS.against(None, "closures around it, without a context", feature=BETWEEN_THEM)
def _() -> Match:
    return between(passing_closures(BETWEEN), PLAIN)


@DUELS.against(STANDARD_LIBRARY, "singledispatch", feature=BARE)
def _() -> Match:
    dispatch = singledispatch(lambda message: None)
    dispatch.register(PlainOrder, answer)
    return bare(dispatch, PLAIN)


# kerux


def kerux_mediator() -> tuple[Any, Any]:
    import kerux

    @dataclasses.dataclass(slots=True)
    class Order(kerux.Request[int]):
        name: str
        quantity: int

    mediator = kerux.SyncMediator()
    mediator.register(Order, answer)
    return mediator, Order(NAME, QUANTITY)


@DUELS.against("kerux", "SyncMediator", feature=BARE)
def _() -> Match:
    mediator, order = kerux_mediator()
    return bare(mediator.send, order)


@passing
def kerux_behavior(request: object, next: Any) -> Any:
    return next()


@DUELS.against("kerux", "SyncMediator, behaviors", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = kerux_mediator()
    for _ in range(BETWEEN):
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
        def handle(self, request: Order) -> int:
            return request.quantity

    mediator = py_mediatr.Mediator(auto_discover=False, behaviors=behaviors)
    mediator.register_handler(Order, Handler())
    return mediator, Order(NAME, QUANTITY)


def py_mediatr_behavior() -> Any:
    import py_mediatr

    class Behavior(py_mediatr.IPipelineBehavior):
        @passing
        def handle(self, request: Any, next_handler: Any) -> Any:
            return next_handler()

    return Behavior()


@DUELS.against("py-mediatR", "Mediator", feature=BARE)
def _() -> Match:
    mediator, order = py_mediatr([])
    return bare(mediator.send, order)


@DUELS.against("py-mediatR", "Mediator, behaviors", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = py_mediatr([py_mediatr_behavior() for _ in range(BETWEEN)])
    return between(mediator.send, order)


# mediatr: its registry is one for the process, so each duel has a class of its own


def mediatr_mediator() -> tuple[Any, Any]:
    import mediatr

    class Order(mediatr.GenericQuery[int]):
        def __init__(self, name: str, quantity: int) -> None:
            self.name = name
            self.quantity = quantity

    @mediatr.Mediator.handler
    @handler
    def answer(request: Order) -> int:
        return request.quantity

    return mediatr.Mediator(), Order(NAME, QUANTITY)


@DUELS.against("mediatr", "Mediator", feature=BARE)
def _() -> Match:
    mediator, order = mediatr_mediator()
    return bare(mediator.send, order)


@DUELS.against("mediatr", "Mediator, behaviors", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = mediatr_mediator()
    kind: Any = type(order)
    for _ in range(BETWEEN):
        # Each a function of its own: the same one is registered once only.
        @mediator.behavior
        @passing
        def behavior(request: kind, next: Any) -> Any:
            return next()

    return between(mediator.send, order)


# pymediate


def pymediate_mediator(behaviors: int = 0) -> tuple[Any, Any]:
    from pymediate import Request
    from pymediate.sync import Mediator, PipelineBehavior, RequestHandler, Services

    @dataclasses.dataclass
    class Order(Request[int]):
        name: str
        quantity: int

    class Handler(RequestHandler[Order]):
        @handler
        def __call__(self, request: Order) -> int:
            return request.quantity

    services = Services()
    services.add(Handler())
    for _ in range(behaviors):

        class Behavior(PipelineBehavior[Any]):
            @passing
            def __call__(self, request: Any, next: Any) -> Any:
                return next()

        services.add(Behavior())
    return Mediator(services.provider()), Order(NAME, QUANTITY)


@DUELS.against("pymediate", "sync.Mediator", feature=BARE)
def _() -> Match:
    mediator, order = pymediate_mediator()
    return bare(mediator.send, order)


@DUELS.against("pymediate", "sync.Mediator, behaviors", feature=BETWEEN_THEM)
def _() -> Match:
    mediator, order = pymediate_mediator(BETWEEN)
    return between(mediator.send, order)
