"""A sync handler under execute_async: where it runs, and who hears that it blocked."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from configuration import write
from support import Ask

from cqrs_fast import (
    Middleware,
    Query,
    QueryBus,
    default_config,
    handles,
    load_config,
)
from cqrs_fast.testing import ManualClock

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="none")


class Other(Query[int]):
    pass


def where(query: Any) -> int:
    return threading.get_ident()


async def where_async(query: Any) -> int:
    return threading.get_ident()


def is_elsewhere(bus: QueryBus, message: Any = None) -> bool:
    """Dispatch on an event loop; tell whether another thread ran the handler."""

    async def main() -> bool:
        ran_in = await bus.execute_async(message or Ask())
        return bool(ran_in != threading.get_ident())

    return asyncio.run(main())


# Where it is said


def test_inline_is_the_default() -> None:
    bus = QueryBus()
    bus.register_handler(Ask, where)
    assert not is_elsewhere(bus)


def test_a_bus_says_it_for_all_its_sync_handlers() -> None:
    bus = QueryBus(offload=True)
    bus.register_handler(Ask, where)
    bus.register_handler(Other, where_async)
    assert is_elsewhere(bus)
    assert not is_elsewhere(bus, Other())
    assert bus.execute(Ask()) == threading.get_ident()


@pytest.mark.parametrize("bus_says", [False, True])
def test_a_registration_says_it_for_itself(bus_says: bool) -> None:
    bus = QueryBus(offload=bus_says)
    bus.register_handler(Ask, where, offload=not bus_says)
    bus.register_handler(Other, where)
    assert is_elsewhere(bus) is not bus_says
    assert is_elsewhere(bus, Other()) is bus_says


class Composite:
    @handles(Ask)
    def ask(self, query: Ask) -> int:
        return where(query)

    @handles(Other, offload=False)
    def other(self, query: Other) -> int:
        return where(query)


def test_a_composite_says_it_for_its_methods() -> None:
    """What a method itself says goes before it."""
    bus = QueryBus()
    bus.register(Composite(), offload=True)
    assert is_elsewhere(bus)
    assert not is_elsewhere(bus, Other())


def test_a_config_says_it(tmp_path: Path) -> None:
    """As a field of each kind of bus: the pages say only that a config has it."""
    document = json.dumps({"query_bus": {"offload": True}})
    config = load_config(write(tmp_path, "service.json", document))
    bus = QueryBus.from_config(config)
    bus.register_handler(Ask, where)
    assert is_elsewhere(bus)
    assert default_config().query_bus.offload is False
    inline = QueryBus.from_config(config, offload=False)
    inline.register_handler(Ask, where)
    assert not is_elsewhere(inline)


def test_it_is_explained() -> None:
    bus = QueryBus(offload=True)
    bus.register_handler(Ask, where)
    bus.register_handler(Other, where_async)
    assert "offload" in bus.explain(Ask)
    assert "offload" not in bus.explain(Other).splitlines()[0]


@pytest.mark.parametrize("wrong", [1, "yes", None])
def test_it_is_a_flag(wrong: Any) -> None:
    with pytest.raises(TypeError, match="offload"):
        QueryBus(offload=wrong)


# Sync arounds


def test_a_sync_around_runs_in_the_thread_of_the_handler_and_round_it() -> None:
    log: list[tuple[str, int]] = []

    def transaction(ctx: Any, message: Any, next: Any) -> Any:
        log.append(("begin", threading.get_ident()))
        result = next(ctx, message)
        log.append(("commit", threading.get_ident()))
        return result

    def handle(query: Ask) -> int:
        log.append(("handler", threading.get_ident()))
        return threading.get_ident()

    bus = QueryBus(middleware=[transaction])
    bus.register_handler(Ask, handle, offload=True)
    assert is_elsewhere(bus)
    assert [what for what, _ in log] == ["begin", "handler", "commit"]
    assert len({thread for _, thread in log}) == 1


def test_a_failed_handler_is_seen_by_the_around() -> None:
    seen: list[BaseException] = []

    def transaction(ctx: Any, message: Any, next: Any) -> Any:
        try:
            return next(ctx, message)
        except ConnectionError as error:
            seen.append(error)
            raise

    def handle(query: Ask) -> int:
        raise ConnectionError

    bus = QueryBus(middleware=[transaction])
    bus.register_handler(Ask, handle, offload=True)
    with pytest.raises(ConnectionError) as caught:
        is_elsewhere(bus)
    assert seen == [caught.value]


def test_context_variables_are_kept_through_both() -> None:
    seen: list[str] = []

    def around(ctx: Any, message: Any, next: Any) -> Any:
        seen.append(tenant.get())
        return next(ctx, message)

    def handle(query: Ask) -> int:
        seen.append(tenant.get())
        return 1

    bus = QueryBus(middleware=[around], offload=True)
    bus.register_handler(Ask, handle)

    async def main() -> None:
        tenant.set("ann")
        await bus.execute_async(Ask())

    asyncio.run(main())
    assert seen == ["ann", "ann"]


def test_the_loop_goes_on_meanwhile() -> None:
    started, go_on = threading.Event(), threading.Event()

    def handle(query: Ask) -> int:
        started.set()
        assert go_on.wait(5)
        return 5

    bus = QueryBus(offload=True)
    bus.register_handler(Ask, handle)

    async def main() -> int:
        task = asyncio.ensure_future(bus.execute_async(Ask()))
        while not started.is_set():
            await asyncio.sleep(0.001)
        go_on.set()
        return await task

    assert asyncio.run(main()) == 5


# A handler that held the loop


class Timed(Middleware):
    """Makes the pipeline read the clock before and after the handler."""

    timed = True

    def after(self, call: Any) -> None: ...


def blocking(
    seconds: float, *, handler: Any = None, **options: Any
) -> tuple[QueryBus, ManualClock]:
    clock = ManualClock(1.0)
    bus = QueryBus(middleware=[Timed()], clock=clock, **options)

    def slow_report(query: Ask) -> int:
        clock.advance(seconds)
        return 1

    bus.register_handler(Ask, handler or slow_report)
    return bus, clock


def warnings_of(caplog: pytest.LogCaptureFixture, bus: QueryBus, times: int) -> Any:
    async def main() -> None:
        for _ in range(times):
            await bus.execute_async(Ask())

    with caplog.at_level(logging.WARNING, "cqrs_fast"):
        asyncio.run(main())
    return [record.getMessage() for record in caplog.records]


def test_it_is_reported_once_by_name(caplog: pytest.LogCaptureFixture) -> None:
    bus, _ = blocking(0.2)
    (text,) = warnings_of(caplog, bus, 5)
    for word in ("Ask", "slow_report", "offload"):
        assert word in text


@pytest.mark.parametrize(
    ("seconds", "options", "count"),
    [
        (0.09, {}, 0),
        (0.11, {}, 1),
        (0.2, {"loop_block_threshold": 0.5}, 0),
        (0.6, {"loop_block_threshold": 0.5}, 1),
        (9.0, {"loop_block_threshold": None}, 0),
        (9.0, {"offload": True}, 0),
    ],
)
def test_the_threshold_decides(
    caplog: pytest.LogCaptureFixture, seconds: float, options: Any, count: int
) -> None:
    bus, _ = blocking(seconds, **options)
    assert len(warnings_of(caplog, bus, 3)) == count


def test_only_what_holds_a_loop_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    bus, _ = blocking(9.0)
    with caplog.at_level(logging.WARNING, "cqrs_fast"):
        bus.execute(Ask())
    assert caplog.records == []

    async def waits(query: Ask) -> int:
        for _ in range(3):
            await asyncio.sleep(0)
            clock.advance(9.0)
            await asyncio.sleep(0)
        return 1

    bus, clock = blocking(9.0, handler=waits)
    assert warnings_of(caplog, bus, 1) == []


def test_two_handlers_are_reported_each(caplog: pytest.LogCaptureFixture) -> None:
    bus, clock = blocking(9.0)
    bus.register_handler(Other, lambda query: clock.advance(9.0) or 1)

    async def main() -> None:
        for message in (Ask(), Other(), Ask(), Other()):
            await bus.execute_async(message)

    with caplog.at_level(logging.WARNING, "cqrs_fast"):
        asyncio.run(main())
    assert len(caplog.records) == 2


@pytest.mark.parametrize("wrong", [-1.0, "0.1", float("nan")])
def test_a_threshold_is_a_time(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="loop_block_threshold"):
        QueryBus(loop_block_threshold=wrong)


def test_a_real_block_is_seen_by_the_real_clock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = QueryBus(middleware=[Timed()], loop_block_threshold=0.005)
    bus.register_handler(Ask, lambda query: time.sleep(0.02) or 1)
    assert len(warnings_of(caplog, bus, 2)) == 1
