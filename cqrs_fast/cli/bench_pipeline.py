"""The cases of `cqrs-fast bench --pipeline`: a user's bus, stage by stage.

The user's own bus is only read. Each row has another one of the same kind, with the
outermost of the user's middleware, which are the user's objects. Where a function makes
the bus it is called for each row. Else the rows share these objects: what a cache, a
breaker or a limiter remembers of one row, the others find.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

from cqrs_fast.assembly.builder import Handler
from cqrs_fast.assembly.inspector import has_metrics, registrations
from cqrs_fast.base.inspection import handler_form
from cqrs_fast.base.naming import label_of
from cqrs_fast.buses.bus import similar_bus
from cqrs_fast.cli.bench_cases import (
    DIRECT,
    HAND_WRITTEN,
    NO_STAGES,
    AsyncDispatcher,
    Dispatcher,
    Group,
    baselines,
    dispatch,
    handle,
    handle_async,
)
from cqrs_fast.cli.measuring import Case
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.sample_messages import example_messages, read_messages
from cqrs_fast.cli.stepper import Stepper
from cqrs_fast.cli.target import Bus, bus_source, told
from cqrs_fast.context import Context
from cqrs_fast.pipeline.middleware import Middleware
from cqrs_fast.pipeline.stage import Stage

POINT_TO_MESSAGES = "give messages with --messages FILE"


class Subject(NamedTuple):
    """A user's bus, and what to send through it.

    Attributes:
        source: gives the bus, or another one like it for each row.
        missing: of which messages there is no example, and why.
        is_async: whether it takes `execute_async`.
    """

    target: str
    source: Callable[[], Bus]
    bus: Bus
    registered: list[Handler]
    messages: list[Any]
    missing: list[str]
    run_handlers: bool
    is_async: bool

    @property
    def handlers(self) -> str:
        """Return whose handlers run, as a person reads it."""
        return "the user's own" if self.run_handlers else "replaced by idle ones"


def load_subject(target: str, file: str | None, run_handlers: bool) -> Subject:
    """Load a bus, and read or make messages for it. Raises Problem."""
    source = bus_source(target)
    bus = source()
    registered = registrations(bus)
    if not registered:
        raise Problem(f"{target} has no handlers, so nothing to measure")
    missing: list[str] = []
    if file is not None:
        messages = read_messages(file, registered, bus.max_payload_bytes)
    else:
        messages, missing = example_messages(registered)
        if not messages:
            raise Problem(
                f"no example of a message can be made: {'; '.join(missing)}: "
                f"{POINT_TO_MESSAGES}"
            )
    is_async = any(route.is_async for route in bus.describe())
    return Subject(
        target, source, bus, registered, messages, missing, run_handlers, is_async
    )


def pipeline_group(subject: Subject, stepper: Stepper) -> Group:
    """Return the bus with 0 to all of its middleware, beside the baselines."""
    cases = (own_baselines if subject.run_handlers else idle_baselines)(
        subject, stepper
    )
    for part in parts_of(subject):
        cases.append(one_row(subject, stepper, part, own_bus(subject)))
    return Group(f"{subject.target}, {'async' if subject.is_async else 'sync'}", cases)


def whole(subject: Subject, stepper: Stepper) -> Case:
    """Return the bus with all of its middleware."""
    return one_row(subject, stepper, parts_of(subject)[-1], subject.bus)


class Part(NamedTuple):
    """How much of a bus a row has, from the outermost on."""

    name: str
    metrics: bool
    middleware: int
    with_own: bool


def parts_of(subject: Subject) -> list[Part]:
    """Return no stage, and then one stage more each time."""
    metrics = has_metrics(subject.bus)
    parts = [Part(NO_STAGES, False, 0, False)]
    if metrics:
        parts.append(Part("+ metrics", True, 0, False))
    count = 0
    for count, one in enumerate(subject.bus.middleware, 1):
        parts.append(Part(f"+ {name_of(one)}", metrics, count, False))
    if any(one.middleware for one in subject.registered):
        parts.append(Part("+ the handlers' own", metrics, count, True))
    return parts


def own_bus(subject: Subject) -> Bus:
    """Return a bus for one row alone, where a function makes buses.

    If that one differs from the first, which the messages are for, it is the first.
    """
    bus = subject.source()
    there, here = subject.registered, registrations(bus)
    same = [(one.name, one.message_class) for one in there] == [
        (one.name, one.message_class) for one in here
    ]
    if same and len(bus.middleware) == len(subject.bus.middleware):
        return bus
    return subject.bus


def one_row(subject: Subject, stepper: Stepper, part: Part, source: Bus) -> Case:
    """Return a case with a part of the middleware of a bus."""
    bus = similar_bus(source, source.middleware[: part.middleware], part.metrics)
    registered = registrations(source)
    for one in registered:
        register(bus, one, subject.run_handlers, part.with_own)
    case = dispatch(part.name, bus, subject.messages, stepper, subject.is_async)
    if any(one.offload for one in registered):
        case.handlers = None  # they run where nobody sees it
    elif subject.run_handlers:
        case.handlers = codes_of(registered)
    return case


def register(bus: Bus, one: Handler, run_handlers: bool, with_own: bool) -> None:
    """Register a handler, or an idle one like it, on the bus of a row."""
    options: dict[str, Any] = {"is_async": one.is_async, "offload": one.offload}
    if run_handlers:
        handler = one.handler
        options["with_context"] = one.with_context
    else:
        handler = handle_async if one.is_async else handle
    if with_own:
        options["middleware"] = one.middleware
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their own bus has warned already
            bus.register_handler(one.message_class or one.name, handler, **options)
    except Exception as error:  # a factory may raise anything
        reason = told(error)
        raise Problem(f"cannot build the route of {one.name}: {reason}") from None


def codes_of(registered: list[Handler]) -> frozenset[CodeType] | None:
    """Return the code of all handlers; None where one has none, being compiled."""
    codes = []
    for one in registered:
        call = handler_form(
            one.handler, is_async=one.is_async, with_context=one.with_context
        ).call
        code = getattr(getattr(call, "func", call), "__code__", None)
        if code is None:
            return None
        codes.append(code)
    return frozenset(codes)


def name_of(middleware: Any) -> str:
    """Return what a person calls a middleware."""
    if isinstance(middleware, (Middleware, Stage)):
        return type(middleware).__name__
    return label_of(middleware).rpartition(".")[2]


def idle_baselines(subject: Subject, stepper: Stepper) -> list[Case]:
    handler = handle_async if subject.is_async else handle
    handlers = {type(message): handler for message in subject.messages}
    return baselines(stepper, subject.messages, handlers, subject.is_async)


def own_baselines(subject: Subject, stepper: Stepper) -> list[Case]:
    """Return the direct call and the hand-written dispatch of the user's handlers."""
    by_class = {
        one.message_class: own_call(one, subject.is_async)
        for one in subject.registered
        if one.message_class is not None
    }
    handlers = {type(one): by_class[type(one)] for one in subject.messages}
    wait = "await " if subject.is_async else ""
    kind = AsyncDispatcher if subject.is_async else Dispatcher
    pairs = [(handlers[type(message)], message) for message in subject.messages]
    return [
        Case(
            DIRECT,
            f"handler, argument = message\nresult = {wait}handler(argument)",
            pairs,
            stepper,
        ),
        Case(
            HAND_WRITTEN,
            f"result = {wait}dispatcher.execute(message)",
            subject.messages,
            stepper,
            dispatcher=kind(handlers),
        ),
    ]


def own_call(one: Handler, is_async: bool) -> Callable[[Any], Any]:
    """Return a handler as a callable `(message)`, awaited if the others are."""
    form = handler_form(
        one.handler, is_async=one.is_async, with_context=one.with_context
    )
    call: Callable[[Any], Any] = form.call
    if one.with_context:
        call = functools.partial(form.call, Context.background())
    if form.is_async or not is_async:
        return call

    async def awaited(message: Any) -> Any:
        return call(message)

    return awaited
