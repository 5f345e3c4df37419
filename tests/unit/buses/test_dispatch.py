"""Dispatching one message, many, bound, and looking at what a bus does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from support import Add, Ask, Trace, drive, suspend

from cqrs_fast import (
    AsyncHandlerError,
    BusClosedError,
    CommandBus,
    Context,
    HandlerNotFoundError,
    Middleware,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RouteInfo,
    StageInfo,
)


def numbers() -> CommandBus:
    """Make a bus that answers the number; a negative one is a ValueError."""
    bus = CommandBus(enable_metrics=True)

    @bus.handler
    def number(add: Add) -> int:
        if add.number < 0:
            raise ValueError(add.number)
        return add.number

    return bus


def adds(*values: int) -> list[Add]:
    return [Add(value) for value in values]


def test_the_message_and_the_result_are_passed_as_they_are() -> None:
    bus, given, answer = CommandBus(), Add(1), object()
    seen: list[Any] = []
    bus.register_handler(Add, lambda m: seen.append(m) or answer)
    assert bus.execute(given) is answer
    assert drive(bus.execute_async(given)) is answer
    assert seen[0] is seen[1] is given


def test_the_handlers_own_error_reaches_the_caller() -> None:
    error = ValueError("mine")
    cause = KeyError("cause")

    def handler(add: Add) -> None:
        raise error from cause

    bus = CommandBus(middleware=[Trace("A", [])])
    bus.register_handler(Add, handler)
    for run in (bus.execute, lambda m: drive(bus.execute_async(m))):
        with pytest.raises(ValueError, match="mine") as caught:
            run(Add())
        assert caught.value is error
        assert error.__cause__ is cause
        assert "handler" in [entry.name for entry in caught.traceback]


def test_a_batch_follows_a_change_made_by_one_of_its_handlers() -> None:
    bus = CommandBus()

    def first(add: Add) -> str:
        bus.register_handler(Add, lambda add: "second", replace=True)
        return "first"

    bus.register_handler(Add, first)
    assert bus.execute_many(adds(1, 2, 3)) == ["first", "second", "second"]


def test_a_traceback_leads_from_the_caller_to_the_handler() -> None:
    def handler(add: Add) -> None:
        raise ValueError("mine")

    for middleware in ([], [Trace("A", [])]):
        bus = CommandBus(middleware=middleware)
        bus.register_handler(Add, handler)
        for awaited in (False, True):
            with pytest.raises(ValueError, match="mine") as caught:
                drive(bus.execute_async(Add())) if awaited else bus.execute(Add())
            names = [entry.name for entry in caught.traceback]
            assert names[0] == "test_a_traceback_leads_from_the_caller_to_the_handler"
            assert names[-1] == "handler"
            assert not any("Bus.execute" in name for name in names)


def test_the_traceback_of_a_rejected_call_ends_where_it_was_called() -> None:
    bus = CommandBus(middleware=[RateLimitingMiddleware(1, 3600.0)])
    bus.register_handler(Add, lambda add: None)
    bus.execute(Add())
    with pytest.raises(RateLimitExceededError, match="Add") as caught:
        bus.execute(Add())
    assert len(caught.traceback) == 1


@pytest.mark.parametrize("wrong", ["ctx", 1, {}, object()])
def test_a_context_that_is_none_is_refused(wrong: Any) -> None:
    bus = numbers()
    for dispatch in (bus.execute, bus.execute_async, bus.bind(Add)):
        with pytest.raises(TypeError, match="ctx"):
            dispatch(Add(), wrong)
    with pytest.raises(TypeError, match="ctx"):
        bus.execute_many([Add()], wrong)
    assert bus.stats().total.count == 0


def test_nothing_runs_before_async_is_refused() -> None:
    log: list[str] = []

    async def handler(add: Add) -> None: ...

    async def around(ctx: Context, message: Any, next: Any) -> Any:
        return await next(ctx, message)

    for middleware, inner in (([], handler), ([around], lambda m: log.append("ran"))):
        bus = CommandBus(middleware=[Trace("A", log), *middleware], enable_metrics=True)
        bus.register_handler(Add, inner)
        with pytest.raises(AsyncHandlerError, match=r"'Add'.*execute_async"):
            bus.execute(Add())
        with pytest.raises(AsyncHandlerError):
            bus.bind(Add)(Add())
        with pytest.raises(AsyncHandlerError):
            bus.execute_many([Add()])
    assert log == []


# Many


def test_execute_many_keeps_the_order() -> None:
    bus = numbers()
    assert bus.execute_many(adds(3, 1, 2)) == [3, 1, 2]
    assert bus.execute_many(iter(())) == []
    assert bus.stats().messages["Add"].count == 3


def test_execute_many_stops_at_the_first_error_and_reads_no_further() -> None:
    bus, read = numbers(), []

    def lazily() -> Iterator[Add]:
        for value in (1, -2, 3):
            read.append(value)
            yield Add(value)

    with pytest.raises(ValueError, match="-2"):
        bus.execute_many(lazily())
    assert read == [1, -2]


def test_execute_many_returns_exceptions() -> None:
    results = numbers().execute_many(
        [Add(1), Add(-2), Ask(), Add(3)], return_exceptions=True
    )
    assert [type(one) for one in results] == [
        int,
        ValueError,
        HandlerNotFoundError,
        int,
    ]


def test_execute_many_lets_base_exceptions_pass() -> None:
    bus = CommandBus()

    def handler(add: Add) -> None:
        raise KeyboardInterrupt

    bus.register_handler(Add, handler)
    with pytest.raises(KeyboardInterrupt):
        bus.execute_many(adds(1), return_exceptions=True)


@pytest.mark.parametrize("concurrency", [None, 1, 2, 10])
class TestExecuteManyAsync:
    def test_keeps_the_order(self, concurrency: int | None) -> None:
        bus, running, most = CommandBus(), 0, 0

        async def handler(add: Add) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(5 - add.number % 5):
                await asyncio.sleep(0)
            running -= 1
            return add.number

        bus.register_handler(Add, handler)
        many = bus.execute_many_async(adds(*range(20)), concurrency=concurrency)
        assert asyncio.run(many) == list(range(20))
        assert most == (concurrency or 1)

    def test_the_first_error_stops_the_rest(self, concurrency: int | None) -> None:
        bus, log, read = CommandBus(), [], []

        def lazily() -> Iterator[Add]:
            for value in range(100):
                read.append(value)
                yield Add(value)

        async def handler(add: Add) -> None:
            if add.number == 0:
                await asyncio.sleep(0)
                raise ValueError("first")
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        bus.register_handler(Add, handler)

        async def main() -> None:
            with pytest.raises(ValueError, match="first"):
                await bus.execute_many_async(lazily(), concurrency=concurrency)
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(main())
        assert log == ["cancelled"] * ((concurrency or 1) - 1)
        assert len(read) <= (concurrency or 1)
        assert bus.close(0).drained

    def test_returns_exceptions(self, concurrency: int | None) -> None:
        many = numbers().execute_many_async(
            [Add(1), Add(-2), Ask(), Add(3)],
            return_exceptions=True,
            concurrency=concurrency,
        )
        kinds = [type(one) for one in asyncio.run(many)]
        assert kinds == [int, ValueError, HandlerNotFoundError, int]

    def test_cancelled_it_cancels_what_runs(self, concurrency: int | None) -> None:
        bus, log = CommandBus(), []

        async def handler(add: Add) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                log.append(add.number)

        bus.register_handler(Add, handler)

        async def main() -> None:
            many = bus.execute_many_async(adds(0, 1, 2), concurrency=concurrency)
            task = asyncio.ensure_future(many)
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert sorted(log) == list(range(min(concurrency or 1, 3)))
        assert bus.close(0).drained


def test_one_after_another_makes_no_task() -> None:
    bus = CommandBus()

    async def handler(add: Add) -> int:
        await suspend()
        return add.number

    bus.register_handler(Add, handler)
    assert drive(bus.execute_many_async(adds(1, 2))) == [1, 2]


def test_no_more_tasks_than_messages() -> None:
    bus, most = CommandBus(), 0

    async def handler(add: Add) -> None:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))

    bus.register_handler(Add, handler)
    asyncio.run(bus.execute_many_async(adds(1, 2), concurrency=1000))
    assert most <= 3


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_concurrency_is_a_positive_int(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="concurrency"):
        numbers().execute_many_async([], concurrency=wrong)


# Bound


def test_a_bound_callable_follows_registration() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda m: "first")
    bound = bus.bind(Add)
    assert bound(Add()) == "first"
    bus.register_handler(Add, lambda m: "second", replace=True)
    assert bound(Add()) == "second"
    bus.add_middleware(Trace("A", log := []))
    bound(Add(), None)
    bound(Add(), ctx=Context.background())
    assert log == ["A>", "<A"] * 2
    bus.unregister_handler(Add)
    with pytest.raises(HandlerNotFoundError):
        bound(Add())
    bus.register_handler("Add", lambda m: "by name")
    assert bound(Add()) == "by name"
    bus.close()
    with pytest.raises(BusClosedError):
        bound(Add())


def test_a_bound_callable_survives_a_change_by_its_own_handler() -> None:
    bus = CommandBus()

    def first(add: Add) -> Any:
        bus.register_handler(Add, lambda m: "second", replace=True)
        return "first", bound(Add())

    bus.register_handler(Add, first)
    bound = bus.bind(Add)
    del first
    assert bound(Add()) == ("first", "second")


def test_a_bound_callable_takes_its_class_and_subclasses() -> None:
    class More(Add):
        pass

    bus = numbers()
    bound = bus.bind(Add)
    assert bound(More(2)) == 2
    for wrong in (Ask(), Add, None, "Add"):
        with pytest.raises(TypeError):
            bound(wrong)
    for wrong in ("Add", Add(1), None):
        with pytest.raises(TypeError):
            bus.bind(wrong)


# Looking


def test_stats_count_every_outcome_once() -> None:
    bus = numbers()
    for value in (1, 2, -1):
        with suppress(ValueError):
            bus.execute(Add(value))
    dispatch = bus.execute_async(Add(1))
    assert bus.stats().total.count == 3
    drive(dispatch)
    with pytest.raises(HandlerNotFoundError):
        bus.execute(Ask())
    cancelled = Context.background().with_cancel()
    cancelled.cancel()
    with pytest.raises(Exception, match="cancel"):
        bus.execute(Add(1), cancelled)
    bus.close()
    with pytest.raises(BusClosedError):
        bus.execute(Add(1))
    stats = bus.stats()
    add = stats.messages["Add"]
    assert stats.messages["_unknown"].count == 1
    assert stats.total.count == 7
    assert add.count == sum(add.outcomes.values()) == 6
    assert (add.outcomes["ok"], add.outcomes["rejected_closed"]) == (3, 1)
    assert (add.errors, add.rejected, add.in_flight) == (1, 1, 0)
    assert 0 < add.min <= add.p50 <= add.p999
    assert add.min <= add.mean <= add.max


def test_without_metrics_all_counts_are_zero() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda m: 1)
    bus.execute(Add())
    assert bus.stats().total.count == bus.stats().messages["Add"].count == 0


def test_describe_and_explain_tell_the_route() -> None:
    def audit(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)

    def authentication(next: Any) -> Any:
        return lambda ctx, message: next(ctx, message)

    class Own(Middleware):
        def after(self, call: Any) -> None: ...

    bus = QueryBus(middleware=[Trace("A", []), audit], enable_metrics=True)
    bus.register_handler(Ask, lambda m: 1, middleware=[authentication, Own()])

    async def later(m: Any) -> None: ...

    bus.register_handler("Another", later)
    another, ask = bus.describe()
    assert isinstance(ask, RouteInfo)
    assert isinstance(ask.stages[0], StageInfo)
    assert (another.name, another.is_async) == ("Another", True)
    assert (ask.name, ask.is_async) == ("Ask", False)
    kinds = [stage.kind for stage in ask.stages]
    assert kinds == ["Metrics", "Trace", "around", "factory", "Own"]
    assert "lambda" in ask.handler
    text = bus.explain(Ask)
    assert text == bus.explain("Ask")
    positions = [text.index(part) for part in (*kinds, ask.handler[-40:])]
    assert positions == sorted(positions)
    with pytest.raises(HandlerNotFoundError):
        bus.explain(Add)


def test_errors_carry_the_messages_own_name() -> None:
    class Narrow(Add):
        pass

    async def handler(command: Add) -> int:
        return command.number

    bus = CommandBus()
    bus.register_handler(Add, handler)
    with pytest.raises(AsyncHandlerError) as refused:
        bus.execute(Narrow(1))
    assert refused.value.name == "Narrow"
    bus.close()
    with pytest.raises(BusClosedError) as closed:
        asyncio.run(bus.execute_async(Narrow(1)))
    assert closed.value.name == "Narrow"


def test_an_offloaded_handler_runs_in_a_thread_behind_a_sync_around() -> None:
    import threading

    def around(ctx: Context, message: Any, next: Any) -> Any:
        return next(ctx, message)

    bus = CommandBus(middleware=[around])
    bus.register_handler(Add, lambda _: threading.get_ident(), offload=True)
    assert asyncio.run(bus.execute_async(Add(1))) != threading.get_ident()
    assert bus.execute(Add(1)) == threading.get_ident()


@pytest.mark.parametrize("kind", [CommandBus, QueryBus])
@pytest.mark.parametrize(
    ("argument", "most"),
    [("initial_capacity", 1_000_000), ("max_payload_bytes", 2**40)],
)
def test_no_size_is_beyond_all_reason(kind: Any, argument: str, most: int) -> None:
    for size in (most + 1, 2**63 - 1, 2**64, 10**30):
        expected = f"{argument} must be from [01] to {most}, got {size}"
        with pytest.raises(ValueError, match=expected):
            kind(**{argument: size})
    kind(**{argument: most})


def test_no_more_tasks_than_a_loop_can_hold() -> None:
    bus = CommandBus()
    expected = "concurrency must be from 1 to 100000, got 9223372036854775807"
    with pytest.raises(ValueError, match=expected):
        bus.execute_many_async(iter([]), concurrency=2**63 - 1)


def test_a_clients_name_of_any_length_is_cut_in_the_error() -> None:
    bus = CommandBus()
    payload = b'{"$type": "' + b"A" * 1_000_000 + b'"}'
    with pytest.raises(HandlerNotFoundError) as caught:
        bus.execute_json(payload)
    assert caught.value.name == "A" * 128
