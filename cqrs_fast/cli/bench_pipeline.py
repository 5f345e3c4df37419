"""The cases of `cqrs-fast bench --pipeline`: a user's bus, stage by stage.

The user's bus is only read. Each row has a new bus of the same kind with the outermost
middleware of the user's bus. A function that makes the bus is called for each row; else
the rows share the middleware objects and their state.
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
    NO_STAGES,
    Group,
    baselines,
    dispatch,
    handle,
    handle_async,
)
from cqrs_fast.cli.measuring import Case, Stepper
from cqrs_fast.cli.problem import Problem
from cqrs_fast.cli.sample_messages import example_messages, read_messages
from cqrs_fast.cli.target import Bus, bus_source, located
from cqrs_fast.context import Context
from cqrs_fast.pipeline.middleware import Middleware
from cqrs_fast.pipeline.stage import Stage

POINT_TO_MESSAGES = "give messages with --messages FILE"


class Subject(NamedTuple):
    """A user's bus, and what to send through it.

    Attributes:
        source: returns the bus, or a new one like it for each row.
        missing: the messages without an example, and why.
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

    def notes(self, dispatches: str) -> list[tuple[str, str]]:
        """Return what a reader has to know, by name."""
        own = "the user's own" if self.run_handlers else "replaced by idle ones"
        return [
            ("messages", f"{len(self.messages):,}, in turn"),
            ("handlers", own),
            ("dispatches", dispatches),
            *(("left out", f"{text}: {POINT_TO_MESSAGES}") for text in self.missing),
        ]


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
    cases = baselines_of(subject, stepper)
    for part in parts_of(subject):
        cases.append(one_row(subject, stepper, part, own_bus(subject)))
    return Group(f"{subject.target}, {'async' if subject.is_async else 'sync'}", cases)


def whole(subject: Subject, stepper: Stepper) -> Case:
    """Return the bus with all of its middleware."""
    return one_row(subject, stepper, parts_of(subject)[-1], subject.bus)


class Part(NamedTuple):
    """How much of a bus a row has, from the outermost stage on."""

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
    """Return a new bus for one row, or the first one if they differ.

    The messages are those of the first.
    """
    bus = subject.source()
    first, new = (
        [(one.name, one.message_class) for one in registered]
        for registered in (subject.registered, registrations(bus))
    )
    same = first == new and len(bus.middleware) == len(subject.bus.middleware)
    return bus if same else subject.bus


def one_row(subject: Subject, stepper: Stepper, part: Part, source: Bus) -> Case:
    """Return a case with a part of the middleware of a bus."""
    bus = similar_bus(source, source.middleware[: part.middleware], part.metrics)
    registered = registrations(source)
    for one in registered:
        register(bus, one, subject.run_handlers, part.with_own)
    case = dispatch(part.name, bus, subject.messages, stepper, subject.is_async)
    if any(one.offload for one in registered):
        case.handlers = None  # they run in other threads
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
            warnings.simplefilter("ignore")  # the user's bus has warned already
            bus.register_handler(one.message_class or one.name, handler, **options)
    except Exception as error:  # a factory may raise anything
        reason = located(error)
        raise Problem(f"cannot build the route of {one.name}: {reason}") from None


def codes_of(registered: list[Handler]) -> frozenset[CodeType] | None:
    """Return the code of all handlers; None if one has none, as compiled ones."""
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


def baselines_of(subject: Subject, stepper: Stepper) -> list[Case]:
    """Return the direct call and the hand-written dispatch of a bus's handlers."""
    is_async = subject.is_async
    if not subject.run_handlers:
        handler = handle_async if is_async else handle
        idle = {type(message): handler for message in subject.messages}
        return baselines(stepper, subject.messages, idle, is_async)
    own = {
        one.message_class: own_call(one, is_async)
        for one in subject.registered
        if one.message_class is not None
    }
    return baselines(stepper, subject.messages, own, is_async, codes=None)


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
