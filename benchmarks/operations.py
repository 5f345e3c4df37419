"""The statements that several files of the benchmarks measure, or measure against."""

from __future__ import annotations

from typing import Any

from benchmarks import workload
from benchmarks.table import LoopOperation, Operation
from benchmarks.workload import COMMAND, DISPATCHER, bus_with

HAND_WRITTEN = "hand-written dict dispatch"
DIRECT = "direct call"
AWAITED = "`await handler(command)`"
RAISED = "raising and catching one Python exception"
SUSPENDING = ("create_after_suspending", "suspend")
"""What one step of that handler calls; it is entered again after its suspension."""


# Without a bus


def hand_written() -> Operation:
    return Operation(
        "result = dispatcher.execute(command)",
        calls=["execute", "create"],
        dispatcher=DISPATCHER,
        command=COMMAND,
    )


def direct() -> Operation:
    return Operation(
        "result = create(command)",
        calls=["create"],
        create=workload.create,
        command=COMMAND,
    )


def awaited(handler: Any, *calls: str) -> Operation:
    return Operation(
        "result = await handler(command)", calls=calls, handler=handler, command=COMMAND
    )


def awaited_on(kind: str, handler: Any, *calls: str) -> Operation:
    """Return the same in a task of a loop of that kind."""
    return LoopOperation(
        "result = await handler(command)",
        kind=kind,
        calls=calls,
        handler=handler,
        command=COMMAND,
    )


def raising() -> Operation:
    return Operation(
        """
        try:
            raise Refused("not now")
        except Refused:
            result = "rejected"
        """,
        calls=[],
        Refused=workload.Refused,
    )


# Through a bus


def through(
    *middleware: Any,
    stages: list[str],
    before: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    metrics: bool = False,
) -> Operation:
    """Return a dispatch through middleware that calls Python before and after."""
    return Operation(
        "result = bus.execute(command)",
        calls=[*before, "create", *after],
        stages=stages,
        bus=bus_with(*middleware, metrics=metrics),
        command=COMMAND,
    )


def dispatched(
    handler: Any, *calls: str, middleware: Any = (), stages: Any = ()
) -> Operation:
    """Return an `execute_async` that is awaited without an event loop."""
    return Operation(
        "result = await bus.execute_async(command)",
        calls=calls,
        stages=stages,
        bus=bus_with(*middleware, handler=handler, metrics="Metrics" in stages),
        command=COMMAND,
    )


def dispatched_on(
    kind: str, handler: Any, *calls: str, middleware: Any = (), stages: Any = ()
) -> Operation:
    """Return the same in a task of a loop of that kind."""
    return LoopOperation(
        "result = await bus.execute_async(command)",
        kind=kind,
        calls=calls,
        stages=stages,
        bus=bus_with(*middleware, handler=handler, metrics="Metrics" in stages),
        command=COMMAND,
    )


def rejected(
    bus: Any,
    error: type[Exception],
    *calls: str,
    stages: Any = (),
    command: Any = COMMAND,
    **names: Any,
) -> Operation:
    """Return a dispatch that is rejected with that error, which is caught."""
    arguments = ", ".join(["command", *names])
    return Operation(
        f"""
        try:
            bus.execute({arguments})
        except error:
            result = "rejected"
        """,
        calls=calls,
        stages=stages,
        bus=bus,
        command=command,
        error=error,
        **names,
    )
