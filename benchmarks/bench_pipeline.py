"""What does middleware add to a dispatch?"""

from __future__ import annotations

from typing import Any

from benchmarks import workload
from benchmarks.suite import run
from benchmarks.table import Operation, Pair, Row, Table
from benchmarks.workload import COMMAND, DISPATCHER, AroundDispatcher, Create, bus_with
from cqrs_fast import BusClosedError, ValidationMiddleware

HAND_WRITTEN = "hand-written dict dispatch"
ROWS = Table()


def hand_written() -> Operation:
    return Operation(
        "result = dispatcher.execute(command)",
        calls=["execute", "create"],
        dispatcher=DISPATCHER,
        command=COMMAND,
    )


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


@ROWS.row("metrics", against=HAND_WRITTEN)
def _() -> Pair:
    return Pair(through(stages=["Metrics"], metrics=True), hand_written())


@ROWS.row("validation of two fields", against=HAND_WRITTEN)
def _() -> Pair:
    case = through(ValidationMiddleware(), stages=["ValidationMiddleware"])
    return Pair(case, hand_written())


@ROWS.row("logging, level disabled", against=HAND_WRITTEN)
def _() -> Pair:
    case = through(workload.silent_logging(), stages=["LoggingMiddleware"])
    return Pair(case, hand_written())


@ROWS.row("slow call, none is slow", against=HAND_WRITTEN)
def _() -> Pair:
    case = through(workload.slow_call(), stages=["SlowCallMiddleware"])
    return Pair(case, hand_written())


@ROWS.row("metrics, logging, slow call and validation", against=HAND_WRITTEN)
def _() -> Pair:
    case = through(
        *workload.quiet_stages(), stages=list(workload.QUIET), metrics=True
    )
    return Pair(case, hand_written())


@ROWS.row(
    "one more compiled stage where the clock is read",
    against="direct call",
    ceiling=0.15,
    parts=("case", "baseline", "without"),
)
def _() -> Pair:
    def with_stages(count: int) -> Operation:
        return through(
            *[workload.slow_call() for _ in range(count)],
            stages=["Metrics", *["SlowCallMiddleware"] * count],
            metrics=True,
        )

    # One alone is next to nothing: the mean of several.
    several = 5
    direct = Operation(
        "result = create(command)",
        calls=["create"],
        create=workload.create,
        command=COMMAND,
    )
    return Pair(with_stages(several), direct, with_stages(0), several)


@ROWS.row("authentication", against=f"{HAND_WRITTEN} + the callback called directly")
def _() -> Pair:
    case = through(
        workload.authentication(),
        stages=["AuthenticationMiddleware"],
        before=("authenticate",),
    )
    baseline = Operation(
        """
        authenticate(ctx, command)
        result = dispatcher.execute(command)
        """,
        calls=["authenticate", "execute", "create"],
        authenticate=workload.authenticate,
        ctx=workload.CONTEXT,
        dispatcher=DISPATCHER,
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row("audit", against=f"{HAND_WRITTEN} + the sink called directly")
def _() -> Pair:
    case = through(workload.audit(), stages=["AuditMiddleware"], after=("sink",))
    baseline = Operation(
        """
        result = dispatcher.execute(command)
        sink(command)
        """,
        calls=["execute", "create", "sink"],
        sink=workload.sink,
        dispatcher=DISPATCHER,
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row(
    "Python hook middleware, not `timed`",
    against="bare `execute` + two direct Python calls",
    ceiling=1.35,
)
def _() -> Pair:
    case = through(
        workload.Looking(), stages=["Looking"], before=("before",), after=("after",)
    )
    baseline = Operation(
        """
        look(command)
        result = bus.execute(command)
        look(command)
        """,
        calls=["look", "create", "look"],
        look=workload.look,
        bus=bus_with(),
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row("around middleware", against="the same in hand-written code")
def _() -> Pair:
    case = through(workload.around, stages=["around"], before=("around",))
    baseline = Operation(
        "result = dispatcher.execute(command)",
        calls=["execute", "around", "call", "create"],
        dispatcher=AroundDispatcher({Create: workload.create}),
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row(
    "a rejected call, closed bus",
    against="raising and catching one Python exception",
    ceiling=2.5,
)
def _() -> Pair:
    bus = bus_with()
    bus.close()
    case = Operation(
        """
        try:
            bus.execute(command)
        except BusClosedError:
            result = "rejected"
        """,
        calls=[],
        bus=bus,
        command=COMMAND,
        BusClosedError=BusClosedError,
    )
    baseline = Operation(
        """
        try:
            raise Refused("the bus is closed")
        except Refused:
            result = "rejected"
        """,
        calls=[],
        Refused=workload.Refused,
    )
    return Pair(case, baseline)


def test_pipeline(benchmark: Any, row: Row, part: str) -> None:
    run(benchmark, row, part)
