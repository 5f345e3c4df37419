"""`bus.override`: another handler within a `with`, behind the same pipeline."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from both_ways import Way, both_ways
from support import Add, Ask, Trace, suspend

from cqrs_fast import (
    AsyncHandlerError,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    CommandBus,
    HandlerNotFoundError,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RetryMiddleware,
)
from cqrs_fast.testing import ManualClock, RecordingQueryBus


def real(ask: Ask) -> int:
    return ask.number


def asked(way: Way, *middleware: Any, handler: Any = real) -> Any:
    return way.bus(QueryBus, Ask, handler, middleware=middleware)


@both_ways
def test_the_stub_answers_within_and_the_handler_after(way: Way) -> None:
    bus = asked(way)
    assert way(bus, Ask(1)) == 1
    with bus.override(Ask, way.handler(lambda ask: "stub")):
        assert way(bus, Ask(1)) == "stub"
    assert way(bus, Ask(1)) == 1


@both_ways
def test_an_error_within_restores_too(way: Way) -> None:
    bus = asked(way)
    with pytest.raises(KeyError), bus.override(Ask, way.handler(lambda ask: 2)):
        raise KeyError
    assert way(bus, Ask(1)) == 1


@both_ways
def test_an_error_of_the_stub_reaches_the_caller_as_it_is(way: Way) -> None:
    error = ConnectionError("as if it were down")

    def stub(ask: Ask) -> Any:
        raise error

    bus = asked(way)
    with bus.override(Ask, way.handler(stub)):
        assert way.error(bus, Ask()) is error


@both_ways
def test_every_form_of_handler_is_a_stub(way: Way) -> None:
    class Handled:
        def handle(self, ask: Ask) -> int:
            return 3

    bus = asked(way)
    for stub, answer in [
        (lambda ctx, ask: ask.number + 1, 2),
        (lambda *args: len(args), 2),
        (Handled(), 3),
    ]:
        with bus.override(Ask, stub):
            assert way(bus, Ask(1)) == answer


@both_ways
def test_a_name_means_the_class_that_is_registered(way: Way) -> None:
    bus = asked(way)
    with bus.override("Ask", way.handler(lambda ask: 2)):
        assert way(bus, Ask(1)) == 2
    assert way(bus, Ask(1)) == 1


# The pipeline


@both_ways
def test_the_pipeline_and_what_it_holds_stay(way: Way) -> None:
    log: list[str] = []
    own = CachingMiddleware()
    bus = QueryBus(middleware=[Trace("bus", log)], enable_metrics=True)
    bus.register_handler(Ask, way.handler(real), middleware=[Trace("own", log), own])
    before = [stage.kind for stage in bus.describe()[0].stages]
    assert way(bus, Ask(1)) == 1
    with bus.override(Ask, way.handler(lambda ask: "stub")):
        assert [stage.kind for stage in bus.describe()[0].stages] == before
        assert way(bus, Ask(1)) == 1  # the answer of before is still stored
        assert way(bus, Ask(2)) == "stub"
    assert way(bus, Ask(2)) == "stub"
    assert log == ["bus>", "own>", "<own", "<bus"] * 4
    assert bus.stats().messages["Ask"].count == 4
    assert len(own) == 2


@both_ways
def test_circuits_and_buckets_go_on(way: Way) -> None:
    clock = ManualClock(1.0)
    breaker = CircuitBreakerMiddleware(1, 30.0, clock=clock)
    bus = asked(way, RateLimitingMiddleware(3, 60.0, clock=clock), breaker)

    def down(ask: Ask) -> Any:
        raise ConnectionError

    with bus.override(Ask, way.handler(down)):
        assert isinstance(way.error(bus, Ask()), ConnectionError)
    assert isinstance(way.error(bus, Ask()), CircuitOpenError)
    breaker.reset()
    assert way(bus, Ask(1)) == 1
    with bus.override(Ask, way.handler(lambda ask: 2)):
        assert isinstance(way.error(bus, Ask()), RateLimitExceededError)


@both_ways
def test_each_attempt_of_a_retry_runs_the_stub(way: Way) -> None:
    runs: list[int] = []

    def flaky(ask: Ask) -> int:
        runs.append(1)
        if len(runs) < 3:
            raise ConnectionError
        return 7

    bus = asked(way, RetryMiddleware(3, 0.01))
    with bus.override(Ask, way.handler(flaky)):
        assert way(bus, Ask()) == 7


def test_a_bound_callable_follows() -> None:
    bus = asked(Way(False))
    bound = bus.bind(Ask)
    with bus.override(Ask, lambda ask: 2):
        assert bound(Ask(1)) == 2
    assert bound(Ask(1)) == 1


def test_middleware_may_change_within() -> None:
    log: list[str] = []
    bus = asked(Way(False))
    with bus.override(Ask, lambda ask: 2):
        bus.add_middleware(Trace("late", log))
        assert bus.execute(Ask(1)) == 2
    assert bus.execute(Ask(1)) == 1
    assert log == ["late>", "<late"] * 2


def test_it_says_which_handler_runs() -> None:
    def stub_of_a_test(ask: Ask) -> int:
        return 2

    bus = asked(Way(False))
    with bus.override(Ask, stub_of_a_test):
        assert "stub_of_a_test" in bus.describe()[0].handler
        assert "stub_of_a_test" in bus.explain(Ask)
    assert "stub_of_a_test" not in bus.explain(Ask)


# More than one


@both_ways
def test_they_nest(way: Way) -> None:
    bus = asked(way)
    with bus.override(Ask, way.handler(lambda ask: 2)):
        with bus.override(Ask, way.handler(lambda ask: 3)):
            assert way(bus, Ask(1)) == 3
        assert way(bus, Ask(1)) == 2
    assert way(bus, Ask(1)) == 1


def test_two_messages_are_two() -> None:
    bus = asked(Way(False))

    class Other(Ask, tag="Other"):
        pass

    bus.register_handler(Other, lambda other: 10)
    with bus.override(Ask, lambda ask: 2), bus.override(Other, lambda other: 20):
        assert (bus.execute(Ask()), bus.execute(Other())) == (2, 20)
    assert (bus.execute(Ask(1)), bus.execute(Other())) == (1, 10)


@both_ways
def test_a_handler_may_override_within_its_own_dispatch(way: Way) -> None:
    """What has begun ends as it began; what is nested sees the stub."""

    def plain(ctx: Any, add: Add) -> Any:
        with queries.override(Ask, way.handler(lambda ask: 2)):
            return queries.execute(Ask(1), ctx)

    async def waiting(ctx: Any, add: Add) -> Any:
        with queries.override(Ask, way.handler(lambda ask: 2)):
            return await queries.execute_async(Ask(1), ctx)

    queries = asked(way)
    bus = CommandBus()
    bus.register_handler(Add, waiting if way.is_async else plain)
    assert way(bus, Add()) == 2
    assert way(queries, Ask(1)) == 1


def test_a_dispatch_in_flight_ends_with_the_handler_it_began_with() -> None:
    async def slow(ask: Ask) -> int:
        await suspend()
        return ask.number

    bus = QueryBus()
    bus.register_handler(Ask, slow)
    steps = bus.execute_async(Ask(1)).__await__()
    next(steps)
    with bus.override(Ask, lambda ask: 2), pytest.raises(StopIteration) as ended:
        next(steps)
    assert ended.value.value == 1


def test_a_cancelled_test_restores() -> None:
    bus = asked(Way(True))

    async def use() -> None:
        with bus.override(Ask, lambda ask: 2):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(use())
        await asyncio.sleep(0)
        assert await bus.execute_async(Ask(1)) == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await bus.execute_async(Ask(1)) == 1

    asyncio.run(main())


def test_threads_see_one_or_the_other() -> None:
    bus = asked(Way(False))
    stop, seen = threading.Event(), set()

    def work() -> None:
        while not stop.is_set():
            seen.add(bus.execute(Ask(1)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            with bus.override(Ask, lambda ask: 2):
                assert bus.execute(Ask(1)) == 2
            assert bus.execute(Ask(1)) == 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen <= {1, 2}


# What is refused


def test_a_message_without_a_handler_has_nothing_to_override() -> None:
    """Refused at the call or at the `with`; nothing is registered by it."""
    bus = QueryBus()
    with pytest.raises(HandlerNotFoundError), bus.override(Ask, lambda ask: 2):
        pass
    assert bus.registered_queries() == []


@pytest.mark.parametrize("wrong", [5, None, "stub", lambda: 1, lambda a, b, c: 1])
def test_what_is_no_handler_is_refused(wrong: Any) -> None:
    bus = asked(Way(False))
    with pytest.raises(TypeError), bus.override(Ask, wrong):
        pass
    assert bus.execute(Ask(1)) == 1


def test_an_async_stub_is_for_execute_async() -> None:
    async def stub(ask: Ask) -> int:
        return 2

    bus = asked(Way(False))
    with bus.override(Ask, stub):
        with pytest.raises(AsyncHandlerError, match="execute_async"):
            bus.execute(Ask(1))
        assert asyncio.run(main(bus)) == 2
    assert bus.execute(Ask(1)) == 1


async def main(bus: Any) -> Any:
    return await bus.execute_async(Ask(1))


def test_an_override_that_was_never_entered_changes_nothing() -> None:
    bus = asked(Way(False))
    bus.override(Ask, lambda ask: 2)
    assert bus.execute(Ask(1)) == 1


def test_a_recording_bus_records_what_the_stub_answered() -> None:
    bus = RecordingQueryBus()
    bus.returns(Ask, 1)
    with bus.override(Ask, lambda ask: 2):
        assert bus.execute(Ask()) == 2
    assert [call.result for call in bus.calls] == [2]
    assert bus.execute(Ask()) == 1


# How it ends


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_overrides_end_in_any_order(order: tuple[int, ...]) -> None:
    """As those of two threads may. The one that was entered last answers."""
    bus = asked(Way(False))
    present = [bus.override(Ask, lambda ask, n=n: n) for n in (10, 11, 12)]
    for one in present:
        one.__enter__()
    active = [10, 11, 12]
    for index in order:
        assert bus.execute(Ask(1)) == active[-1]
        present[index].__exit__(None, None, None)
        active.remove(10 + index)
    assert bus.execute(Ask(1)) == 1


def test_threads_that_override_at_once_restore_the_handler() -> None:
    def work() -> None:
        for _ in range(100):
            with bus.override(Ask, lambda ask: 2):
                bus.execute(Ask(1))

    bus = asked(Way(False))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bus.execute(Ask(1)) == 1


def test_an_override_serves_async_with_too() -> None:
    bus = asked(Way(True))

    async def main() -> None:
        async with bus.override(Ask, lambda ask: 2):
            assert await bus.execute_async(Ask(1)) == 2
        assert await bus.execute_async(Ask(1)) == 1

    asyncio.run(main())


def test_an_override_may_be_entered_again_when_it_ended() -> None:
    bus = asked(Way(False))
    override = bus.override(Ask, lambda ask: 2)
    for _ in range(2):
        with override:
            assert bus.execute(Ask(1)) == 2
            with pytest.raises(RuntimeError, match="Ask is entered already"), override:
                pass
            assert bus.execute(Ask(1)) == 2
        assert bus.execute(Ask(1)) == 1


def test_a_registration_within_stays() -> None:
    bus = asked(Way(False))
    with bus.override(Ask, lambda ask: 2):
        bus.register_handler(Ask, lambda ask: 3, replace=True)
        assert bus.execute(Ask(1)) == 3
    assert bus.execute(Ask(1)) == 3
    with bus.override(Ask, lambda ask: 2):
        bus.unregister_handler(Ask)
    with pytest.raises(HandlerNotFoundError):
        bus.execute(Ask(1))


def test_a_handler_that_went_before_the_override_began_is_told() -> None:
    bus = asked(Way(False))
    override = bus.override(Ask, lambda ask: 2)
    bus.unregister_handler(Ask)
    for _ in range(2):
        with pytest.raises(HandlerNotFoundError, match="Ask"), override:
            pass
    assert "not entered" in repr(override)


def test_another_class_of_the_name_has_no_handler_to_override() -> None:
    class Again(Ask, tag="Ask"):
        pass

    bus = asked(Way(False))
    with pytest.raises(HandlerNotFoundError):
        bus.override(Again, lambda ask: 2)
