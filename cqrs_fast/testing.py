"""Tools to test handlers, middleware, and services that dispatch.

`RecordingCommandBus` and `RecordingQueryBus` stand in for the real buses of a service
and remember what it dispatched; `run_middleware` runs one middleware alone;
`ManualClock` replaces real time; `assert_overhead` and `assert_no_allocation` hold a
pipeline to a contract.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import repeat
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cqrs_fast.base.clock import ManualClock
from cqrs_fast.base.message_names import message_kind
from cqrs_fast.buses.bus import CommandBus, QueryBus
from cqrs_fast.measuring import (
    best_of,
    least_traced,
    ratio_of,
    take_turns,
    times_in_round,
    tracer,
    tracing,
)
from cqrs_fast.pipeline.middleware import Middleware

if TYPE_CHECKING:
    from cqrs_fast.buses.bus import Bus
    from cqrs_fast.context import Context
    from cqrs_fast.pipeline.hooks import Call

__all__ = [
    "ManualClock",
    "Recorded",
    "RecordingCommandBus",
    "RecordingQueryBus",
    "assert_no_allocation",
    "assert_overhead",
    "run_middleware",
    "run_middleware_async",
]

M = TypeVar("M")

# A mixin to Python: the bus it is mixed with decides how an object is made.
if TYPE_CHECKING:
    _Mixin = Bus
else:
    _Mixin = object


class Recorded(NamedTuple):
    """One dispatch of a recording bus; `error` is None if it succeeded."""

    message: Any
    context: Context
    result: Any
    error: BaseException | None


class _Recorder(Middleware):
    """Append every dispatch to a list when it ends."""

    def __init__(self, calls: list[Recorded]) -> None:
        self.calls = calls

    def before(self, call: Call) -> None:
        # Kept here: after the dispatch its context can no longer be made.
        call.state["context"] = call.context

    def after(self, call: Call) -> None:
        self._record(call)

    def on_error(self, call: Call) -> None:
        self._record(call)

    def _record(self, call: Call) -> None:
        context = call.state["context"]
        self.calls.append(Recorded(call.message, context, call.result, call.error))


class _Recording(_Mixin):
    """What both recording buses add to a real one."""

    calls: list[Recorded]

    def __init__(self, **options: Any) -> None:
        self.calls = []
        options["middleware"] = [_Recorder(self.calls), *options.get("middleware", ())]
        super().__init__(**options)

    def returns(self, message: type | str, result: Any) -> None:
        """Answer every dispatch of `message` with `result`, from now on."""
        self.register_handler(message, lambda _: result, replace=True)

    def raises(self, message: type | str, error: BaseException) -> None:
        """Fail every dispatch of `message` with `error`, from now on."""

        def fail(_: object) -> None:
            raise error

        self.register_handler(message, fail, replace=True)

    @property
    def messages(self) -> list[Any]:
        """What was dispatched, in the order in which the dispatches ended."""
        return [call.message for call in self.calls]

    def sent(self, message: type[M]) -> list[M]:
        """Return the dispatched instances of one class."""
        return [one for one in self.messages if isinstance(one, message)]

    def clear(self) -> None:
        """Forget what was dispatched; the answers stay."""
        self.calls.clear()


class RecordingCommandBus(_Recording, CommandBus):
    """A CommandBus that remembers its dispatches in `calls`.

    It takes real handlers, or answers given by `returns` and `raises`; a message
    without either raises HandlerNotFoundError, as on any bus. Takes the parameters of
    CommandBus.
    """


class RecordingQueryBus(_Recording, QueryBus):
    """A QueryBus that remembers its dispatches in `calls`: see RecordingCommandBus."""


def run_middleware(
    middleware: Any,
    message: Any,
    handler: Callable[..., Any] = lambda message: None,
    ctx: Context | None = None,
) -> Any:
    """Dispatch `message` through one middleware around `handler`; return the result.

    Parameters:
        middleware: in any of the four forms.
        handler: in any form; by default it returns None.

    Raises what the middleware and the handler raise.
    """
    return _bus_of(middleware, message, handler).execute(message, ctx)


async def run_middleware_async(
    middleware: Any,
    message: Any,
    handler: Callable[..., Any] = lambda message: None,
    ctx: Context | None = None,
) -> Any:
    """Do what `run_middleware` does, on an event loop."""
    bus = _bus_of(middleware, message, handler)
    return await bus.execute_async(message, ctx)


def _bus_of(middleware: Any, message: Any, handler: Callable[..., Any]) -> Bus:
    is_query = message_kind(type(message)) == "query"
    bus: Bus = QueryBus() if is_query else CommandBus()
    bus.register_handler(type(message), handler, middleware=[middleware])
    return bus


def assert_overhead(
    call: Callable[[], object],
    baseline: Callable[[], object],
    *,
    at_most: float,
    rounds: int = 50,
    repeats: int = 5,
) -> float:
    """Assert that `call` takes at most `at_most` times as long as `baseline`.

    Both alternate in rounds of a quarter of a millisecond, and one of the best rounds
    of each counts, because other programs slow single rounds. The median of `repeats`
    such comparisons of `rounds` rounds decides. Returns that ratio; raises
    AssertionError with the times otherwise.
    """
    number = times_in_round(lambda times: _time(baseline, times))
    probes = [partial(_time, one, number) for one in (call, baseline)]
    found = [take_turns(probes, rounds=rounds) for _ in range(repeats)]
    mine, other = ([best_of(turns[side]) for turns in found] for side in (0, 1))
    ratio = ratio_of(mine, other).value
    if ratio > at_most:
        raise AssertionError(
            f"{ratio:.2f} times the baseline ({median(mine) / number:.0f} ns against "
            f"{median(other) / number:.0f} ns), where {at_most:.2f} is allowed"
        )
    return ratio


def _time(call: Callable[[], object], number: int) -> int:
    started = perf_counter_ns()
    _repeat(call, number)
    return perf_counter_ns() - started


def assert_no_allocation(
    call: Callable[[], object], *, calls: int = 200, warm_up: int = 200
) -> None:
    """Assert that a warm `call` allocates nothing that Python's allocators see.

    Memory that a call allocates and frees again counts too: the peak of `calls` calls
    must be that of a function that does nothing. Raises AssertionError with the bytes
    and the lines that kept memory. Uses tracemalloc, so do not measure time inside.
    """
    _repeat(call, warm_up)
    with tracing(10):
        allowed, used = (
            least_traced(partial(_traced, one, calls)) for one in (_nothing, call)
        )
        if used.peak > allowed.peak or used.kept > allowed.kept:
            raise AssertionError(
                f"allocated up to {used.peak - allowed.peak} bytes at a time in "
                f"{calls} calls, and kept {used.kept - allowed.kept}"
                + "".join(f"\n  {line}" for line in _grown(call, calls))
            )


def _nothing() -> None:
    pass


def _traced(call: Callable[[], object], calls: int) -> tuple[int, int]:
    found: tuple[int, int] = tracer("call()", {"call": call})(repeat(None, calls))
    return found


def _repeat(call: Callable[[], object], calls: int) -> None:
    for _ in repeat(None, calls):
        call()


def _grown(call: Callable[[], object], calls: int) -> list[str]:
    """Call again, and return the lines that keep memory, the most first."""
    before = tracemalloc.take_snapshot()
    _repeat(call, calls)
    after = tracemalloc.take_snapshot()
    # Only now, as the filters need memory themselves.
    ours = [
        tracemalloc.Filter(False, path) for path in (__file__, tracemalloc.__file__)
    ]
    differences = after.filter_traces(ours).compare_to(
        before.filter_traces(ours), "lineno"
    )
    return [str(one) for one in differences[:5] if one.size_diff > 0]
