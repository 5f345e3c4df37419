"""Look into a bus and make others of its kind, for tools that measure it."""

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.buses.bus cimport Bus

from typing import Any, NamedTuple

from cqrs_fast.buses.bus import CommandBus, QueryBus


class Registration(NamedTuple):
    """One handler as it was registered."""

    name: str
    message_class: Any
    handler: Any
    middleware: Any
    is_async: bool
    with_context: bool
    offload: bool


def registrations(Bus bus not None):
    """Return what is registered on a bus, sorted by name."""
    cdef Handler handler
    cdef dict handlers = bus.registry.handlers
    found = []
    for name in sorted(handlers):
        handler = handlers[name]
        found.append(
            Registration(
                name,
                handler.message_class,
                handler.handler,
                handler.middleware,
                handler.is_async,
                handler.with_context,
                handler.offload,
            )
        )
    return found


def has_metrics(Bus bus not None):
    """Whether a bus counts and times every dispatch."""
    return bus.registry.metrics is not None


def similar_bus(Bus bus not None, middleware, enable_metrics):
    """Return a bus without handlers, of the kind and with the clock of another one."""
    cls = CommandBus if bus.kind == "command" else QueryBus
    return cls(
        middleware=middleware,
        enable_metrics=enable_metrics,
        latency_sample=bus.latency_sample,
        clock=bus.clock,
    )
