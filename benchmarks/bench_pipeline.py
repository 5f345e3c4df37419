"""What does a stage add to a dispatch: a compiled one, hooks, a function around?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from benchmarks import workload
from benchmarks.operations import DIRECT, HAND_WRITTEN, direct, hand_written, through
from benchmarks.suite import run
from benchmarks.table import AnyRow, Operation, Pair, Table
from benchmarks.workload import COMMAND, PROTECTED, SIX, AroundDispatcher, Create
from cqrs_fast import ValidationMiddleware

COUNTS = (0, 1, 3, 6, 10)
ROWS = Table()


@ROWS.row(SIX, against=HAND_WRITTEN, ceiling=1.6, ceiling_312=1.8)
def _() -> Pair:
    case = through(
        *workload.protecting_stages(), stages=list(PROTECTED), metrics=True
    )
    return Pair(case, hand_written())


@ROWS.row("metrics, logging, slow call and validation", against=HAND_WRITTEN)
def _() -> Pair:
    case = through(
        *workload.quiet_stages(), stages=list(workload.QUIET), metrics=True
    )
    return Pair(case, hand_written())


@ROWS.row(
    "one more compiled stage where the clock is read",
    against=DIRECT,
    ceiling=0.15,
    ceiling_312=0.18,
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
    return Pair(with_stages(several), direct(), with_stages(0), several)


@ROWS.row(
    "Python hook middleware, not `timed`",
    against="bare `execute` + two direct Python calls",
    ceiling=1.3,
    ceiling_312=1.5,
)
def _() -> Pair:
    case = hooks(1)
    baseline = Operation(
        """
        look(command)
        result = bus.execute(command)
        look(command)
        """,
        calls=["look", "create", "look"],
        look=workload.look,
        bus=workload.bus_with(),
        command=COMMAND,
    )
    return Pair(case, baseline)


@ROWS.row(
    "generator middleware",
    against="a hooks object that reads call.context and call.message",
    ceiling=1.0,
    ceiling_312=1.0,
)
def _() -> Pair:
    case = through(
        workload.generator,
        stages=["generator"],
        before=("generator",),
        after=("generator",),
    )
    baseline = through(
        workload.Reading(), stages=["Reading"], before=("before",), after=("after",)
    )
    return Pair(case, baseline)


@ROWS.row("around middleware", against="the same in hand-written code")
def _() -> Pair:
    baseline = Operation(
        "result = dispatcher.execute(command)",
        calls=["execute", "around", "call", "create"],
        dispatcher=AroundDispatcher({Create: workload.create}),
        command=COMMAND,
    )
    return Pair(arounds(1), baseline)


@ROWS.row(
    "three around middlewares in a row",
    against="the same as closures, called directly",
    ceiling=1.4,
    ceiling_312=1.6,
)
def _() -> Pair:
    count = 3
    baseline = Operation(
        "result = chain(context, command)",
        calls=["call", "around"] * count + ["innermost", "create"],
        chain=workload.chain(workload.create, [workload.around] * count),
        context=workload.CONTEXT,
        command=COMMAND,
    )
    return Pair(arounds(count), baseline)


# The curves of the cost by stages


def compiled(count: int) -> Operation:
    """Return a dispatch through what a service would have for that many stages."""
    middleware: dict[int, Callable[[], list[Any]]] = {
        0: list,
        1: list,
        3: lambda: [ValidationMiddleware(), workload.limiter()],
        6: workload.protecting_stages,
        10: workload.ten_stages,
    }
    stages = workload.TEN if count > len(PROTECTED) else PROTECTED[:count]
    return through(*middleware[count](), stages=list(stages), metrics=count > 0)


def hooks(count: int) -> Operation:
    return through(
        *[workload.Looking() for _ in range(count)],
        stages=["Looking"] * count,
        before=("before",) * count,
        after=("after",) * count,
    )


def arounds(count: int) -> Operation:
    return through(
        *[workload.around] * count,
        stages=["around"] * count,
        before=("around",) * count,
    )


def against_direct(make: Callable[[int], Operation], count: int) -> Pair:
    return Pair(make(count), direct())


for kind, make in (("compiled", compiled), ("hook", hooks), ("around", arounds)):
    for count in COUNTS:
        ROWS.row(
            f"{count} stage{'s' * (count != 1)}, {kind}",
            against=DIRECT,
            series=f"stages, {kind}",
            x=float(count),
        )(functools.partial(against_direct, make, count))


def test_pipeline(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
