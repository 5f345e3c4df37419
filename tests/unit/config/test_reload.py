"""A Config applied to running buses: what changes, what stays, and what nobody sees."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from reliability.parts import measures_memory, rss_bytes
from support import Add, Ask, Trace, drive, suspend

from cqrs_fast import (
    BulkheadFullError,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    CircuitOpenError,
    Command,
    CommandBus,
    Config,
    ConfigError,
    Context,
    MiddlewareOrderWarning,
    Query,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    RetryMiddleware,
    SlowCallMiddleware,
    TimeoutMiddleware,
    default_config,
    high_throughput_config,
)
from cqrs_fast.buses.bus import Bus
from cqrs_fast.config.loading import load_config
from cqrs_fast.config.model import (
    BulkheadConfig,
    BusConfig,
    CachingConfig,
    CircuitBreakerConfig,
    LoggingConfig,
    MiddlewareConfig,
    MonitoringConfig,
    PerformanceConfig,
    RateLimitingConfig,
    RetryConfig,
    TimeoutConfig,
    TracingConfig,
    ValidationConfig,
)
from cqrs_fast.config.reload import apply_config
from cqrs_fast.testing import ManualClock

OFF: dict[str, Any] = {
    "validation": ValidationConfig(enabled=False),
    "timeout": TimeoutConfig(enabled=False),
    "retry": RetryConfig(enabled=False),
    "caching": CachingConfig(enabled=False),
    "circuit_breaker": CircuitBreakerConfig(enabled=False),
}


def only(**sections: Any) -> Config:
    """Return a Config with these sections alone."""
    return Config(middleware=MiddlewareConfig(**(OFF | sections)))


def breaker(**settings: Any) -> Config:
    return only(circuit_breaker=CircuitBreakerConfig(**settings))


def limiter(requests: int, **settings: Any) -> Config:
    section = RateLimitingConfig(enabled=True, requests_per_window=requests, **settings)
    return only(rate_limiting=section)


def versioned(version: int) -> Config:
    """Return a Config that a handler can tell from the others by its deadline."""
    return only(
        timeout=TimeoutConfig(timeout_ms=version * 1e6),
        retry=RetryConfig(max_attempts=version + 1, base_delay_ms=0),
    )


def version_of(ctx: Context) -> int:
    remaining = ctx.remaining()
    assert remaining is not None
    return round(remaining / 1000)


def names(bus: Bus) -> list[str]:
    return [
        one.name if isinstance(one, Trace) else type(one).__name__
        for one in bus.middleware
    ]


def fail(message: Any) -> None:
    raise ConnectionError


@pytest.fixture
def quick_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def together(*work: Callable[[], None]) -> None:
    """Run each in a thread of its own until all are done; raise what any raises."""
    errors: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


# State is carried over


def test_an_open_circuit_stays_open() -> None:
    bus = QueryBus.from_config(breaker(failure_threshold=2))
    bus.register_handler(Ask, fail)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            bus.execute(Ask())
    assert apply_config(breaker(failure_threshold=9, timeout_sec=60), [bus]) == []
    with pytest.raises(CircuitOpenError):
        bus.execute(Ask())
    assert "failure_threshold=9" in bus.explain(Ask)


def test_failures_in_a_row_count_on_towards_another_threshold() -> None:
    bus = QueryBus.from_config(breaker(failure_threshold=5))
    bus.register_handler(Ask, fail)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            bus.execute(Ask())
    apply_config(breaker(failure_threshold=3), [bus])
    with pytest.raises(ConnectionError):
        bus.execute(Ask())
    with pytest.raises(CircuitOpenError):
        bus.execute(Ask())


def test_a_bucket_keeps_its_credit() -> None:
    bus = CommandBus.from_config(limiter(10, window_sec=3600))
    bus.register_handler(Add, lambda add: 1)
    for _ in range(5):
        bus.execute(Add())
    apply_config(limiter(20, window_sec=3600), [bus])
    limits = bus.middleware[0]
    assert isinstance(limits, RateLimitingMiddleware)
    assert limits.remaining_tokens() == 10
    for _ in range(10):
        bus.execute(Add())
    with pytest.raises(RateLimitExceededError):
        bus.execute(Add())


def test_a_cache_keeps_its_entries_and_shrinks() -> None:
    calls: list[int] = []
    bus = QueryBus.from_config(only(caching=CachingConfig(enabled=True)))
    bus.register_handler(Ask, lambda ask: calls.append(ask.number))
    for number in range(5):
        bus.execute(Ask(number))
    apply_config(only(caching=CachingConfig(enabled=True, max_size=2)), [bus])
    cache = bus.middleware[0]
    assert isinstance(cache, CachingMiddleware)
    assert len(cache) == 2
    bus.execute(Ask(4))
    bus.execute(Ask(3))
    assert len(calls) == 5
    bus.execute(Ask(0))
    assert len(calls) == 6


def test_a_retry_budget_stays_spent() -> None:
    def config(attempts: int) -> Config:
        return only(
            retry=RetryConfig(
                max_attempts=attempts,
                base_delay_ms=0,
                budget=1,
                budget_min_per_sec=1,
                budget_ttl_sec=1,
            )
        )

    calls: list[Any] = []
    bus = QueryBus.from_config(config(2), clock=ManualClock())

    def refuse(ask: Ask) -> None:
        calls.append(ask)
        raise ConnectionError

    bus.register_handler(Ask, refuse)
    while True:
        before = len(calls)
        with pytest.raises(ConnectionError):
            bus.execute(Ask())
        if len(calls) == before + 1:
            break
    apply_config(config(5), [bus])
    before = len(calls)
    with pytest.raises(ConnectionError):
        bus.execute(Ask())
    assert len(calls) == before + 1


def test_metrics_go_on_and_outlive_a_time_without_them() -> None:
    def config(enabled: bool, timeout_ms: float = 1000) -> Config:
        return Config(
            command_bus=BusConfig(enable_metrics=enabled),
            middleware=MiddlewareConfig(timeout=TimeoutConfig(timeout_ms=timeout_ms)),
        )

    bus = CommandBus.from_config(config(True))
    bus.register_handler(Add, lambda add: 1)

    def count() -> int:
        bus.execute(Add())
        return bus.stats().messages["Add"].count

    assert count() == 1
    apply_config(config(True, 2000), [bus])
    assert count() == 2
    apply_config(config(False), [bus])
    assert count() == 0
    apply_config(config(False, 2000), [bus])
    apply_config(config(True), [bus])
    assert count() == 3
    assert bus.explain(Add).count("Metrics") == 1


def test_a_late_count_of_a_timeout_goes_on() -> None:
    bus = CommandBus.from_config(only(timeout=TimeoutConfig(timeout_ms=0.001)))
    bus.register_handler(Add, lambda add: sum(range(10_000)))
    bus.execute(Add())
    apply_config(only(timeout=TimeoutConfig(timeout_ms=5)), [bus])
    timeout = bus.middleware[0]
    assert isinstance(timeout, TimeoutMiddleware)
    assert timeout.settings()["seconds"] == 0.005
    assert timeout.stats().late_completions == 1


# What stays, comes and goes


def test_what_did_not_change_is_the_same_object() -> None:
    bus = QueryBus.from_config(default_config())
    before = bus.middleware
    apply_config(Config(), [bus])
    assert all(one is other for one, other in zip(before, bus.middleware, strict=True))
    apply_config(
        Config(middleware=MiddlewareConfig(logging=LoggingConfig(enabled=True))), [bus]
    )
    assert bus.middleware[1:] == before


def test_a_user_s_own_update_stays_while_the_section_does() -> None:
    bus = CommandBus.from_config(limiter(10))
    limits = bus.middleware[0]
    assert isinstance(limits, RateLimitingMiddleware)
    limits.update(requests_per_window=7)
    bus.add_middleware(Trace("own", []))
    apply_config(limiter(10), [bus])
    assert limits.settings()["requests_per_window"] == 7
    apply_config(limiter(10, max_keys=5), [bus])
    settings = bus.middleware[0].settings()  # type: ignore[union-attr]
    assert settings["requests_per_window"] == 10


BREAKER = CircuitBreakerConfig()
TIMEOUT = TimeoutConfig()
LOGGING = LoggingConfig(enabled=True)
LIMITS = RateLimitingConfig(enabled=True)
BULKHEAD = BulkheadConfig(enabled=True)
CASES = {
    "from nothing": (
        only(),
        only(timeout=TIMEOUT, circuit_breaker=BREAKER),
        "TimeoutMiddleware row4 CircuitBreakerMiddleware end",
        "row4 end",
    ),
    "on both sides": (
        only(timeout=TIMEOUT, circuit_breaker=BREAKER),
        only(
            timeout=TIMEOUT,
            logging=LOGGING,
            validation=ValidationConfig(),
            rate_limiting=LIMITS,
            circuit_breaker=BREAKER,
            bulkhead=BULKHEAD,
        ),
        "LoggingMiddleware TimeoutMiddleware ValidationMiddleware row4 "
        "RateLimitingMiddleware CircuitBreakerMiddleware BulkheadMiddleware end",
        "TimeoutMiddleware row4 CircuitBreakerMiddleware end",
    ),
    "all leave": (
        only(logging=LOGGING, circuit_breaker=BREAKER),
        only(),
        "row4 end",
        "LoggingMiddleware row4 CircuitBreakerMiddleware end",
    ),
    "an attempt's timeout comes": (
        only(retry=RetryConfig()),
        only(retry=RetryConfig(attempt_timeout_ms=5)),
        "row4 RetryMiddleware TimeoutMiddleware end",
        "row4 RetryMiddleware end",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_sections_come_in_at_their_place(case: str) -> None:
    """And back again; users' own stays where it is."""
    first, second, there, back = CASES[case]
    bus = CommandBus.from_config(first, middleware=[Trace("row4", [])])
    bus.add_middleware(Trace("end", []))
    apply_config(second, [bus])
    assert names(bus) == there.split()
    apply_config(first, [bus])
    assert names(bus) == back.split()


def test_what_users_put_between_keeps_its_neighbours() -> None:
    bus = CommandBus.from_config(only(timeout=TIMEOUT, circuit_breaker=BREAKER))
    bus.add_middleware(Trace("first", []), index=0)
    bus.add_middleware(Trace("second", []), index=2)
    apply_config(only(timeout=TIMEOUT, logging=LOGGING, circuit_breaker=BREAKER), [bus])
    assert names(bus) == [
        "first",
        "LoggingMiddleware",
        "TimeoutMiddleware",
        "second",
        "CircuitBreakerMiddleware",
    ]


def test_what_users_took_off_stays_off_until_it_is_enabled_anew() -> None:
    bus = CommandBus.from_config(only(timeout=TIMEOUT, circuit_breaker=BREAKER))
    bus.remove_middleware(bus.middleware[1])
    apply_config(breaker(failure_threshold=9), [bus])
    assert names(bus) == []
    apply_config(only(), [bus])
    apply_config(only(circuit_breaker=BREAKER), [bus])
    assert names(bus) == ["CircuitBreakerMiddleware"]


@pytest.mark.parametrize("case", CASES)
def test_a_reload_comes_to_the_order_that_a_restart_would_have(case: str) -> None:
    first, second, *_ = CASES[case]
    own = Trace("row4", [])
    bus = CommandBus.from_config(first, middleware=[own])
    apply_config(second, [bus])
    assert names(bus) == names(CommandBus.from_config(second, middleware=[own]))


def test_limits_come_to_an_adopted_bus_outside_of_what_was_added_later() -> None:
    bus = CommandBus(middleware=[Trace("own", [])])
    apply_config(only(), [bus])
    bus.add_middleware(Trace("transaction", []))
    apply_config(only(bulkhead=BULKHEAD), [bus])
    assert names(bus) == ["own", "BulkheadMiddleware", "transaction"]


def test_a_handler_s_own_middleware_is_untouched() -> None:
    own = RetryMiddleware(2, 0)
    bus = QueryBus.from_config(only(timeout=TIMEOUT))
    calls: list[Any] = []

    def refuse(ask: Ask) -> None:
        calls.append(ask)
        raise ConnectionError

    bus.register_handler(Ask, refuse, middleware=[own])
    apply_config(only(retry=RetryConfig(max_attempts=3, base_delay_ms=0)), [bus])
    with pytest.raises(ConnectionError):
        bus.execute(Ask())
    assert len(calls) == 6
    assert own.settings()["max_attempts"] == 2


# What may wait from now on


def test_a_limiter_may_begin_to_wait() -> None:
    bus = CommandBus.from_config(limiter(2, window_sec=0.02))
    bus.register_handler(Add, lambda add: 1)
    apply_config(limiter(2, window_sec=0.02, max_wait_ms=5000), [bus])
    for _ in range(6):
        bus.execute(Add())
    apply_config(limiter(1, window_sec=3600), [bus])
    with suppress(RateLimitExceededError):
        bus.execute(Add())
    with pytest.raises(RateLimitExceededError):
        bus.execute(Add())


def test_a_bulkhead_that_grows_lets_in_who_waits() -> None:
    def config(size: int, queue: int) -> Config:
        return only(
            bulkhead=BulkheadConfig(enabled=True, max_concurrent=size, max_queue=queue)
        )

    async def scene() -> list[int]:
        bus = CommandBus.from_config(config(1, 0))
        opened = asyncio.Event()

        async def handler(add: Add) -> int:
            await opened.wait()
            return add.number

        bus.register_handler(Add, handler)
        inside = asyncio.create_task(run(bus, 1))
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFullError):
            await bus.execute_async(Add(2))
        apply_config(config(1, 5), [bus])
        waiting = [asyncio.create_task(run(bus, number)) for number in (3, 4)]
        await asyncio.sleep(0)
        bulkhead: Any = bus.middleware[0]
        assert bulkhead.snapshot().waiting == 2
        apply_config(config(3, 5), [bus])
        assert bulkhead.snapshot().waiting == 0
        opened.set()
        return await asyncio.gather(inside, *waiting)

    async def run(bus: CommandBus, number: int) -> int:
        result: int = await bus.execute_async(Add(number))
        return result

    assert asyncio.run(scene()) == [1, 3, 4]


# Keywords, restarts, adoption


def test_keywords_win_over_every_later_config() -> None:
    own = Trace("own", [])
    bus = CommandBus.from_config(
        default_config(), enable_metrics=True, max_payload_bytes=50, middleware=[own]
    )
    bus.register_handler(Add, lambda add: 1)
    section = BusConfig(enable_metrics=False, max_payload_bytes=70)
    apply_config(Config(command_bus=section), [bus])
    bus.execute(Add())
    assert bus.max_payload_bytes == 50
    assert bus.stats().messages["Add"].count == 1
    assert bus.middleware[2] is own


def test_the_limit_of_payloads_changes() -> None:
    bus = CommandBus.from_config(default_config())
    apply_config(Config(command_bus=BusConfig(max_payload_bytes=70)), [bus])
    assert bus.max_payload_bytes == 70


RESTARTS: list[tuple[Config, list[str]]] = [
    (Config(), []),
    (Config(middleware=MiddlewareConfig(timeout=TimeoutConfig(timeout_ms=5))), []),
    (
        Config(performance=PerformanceConfig(pool_size=5, gc_freeze=True)),
        ["performance.gc_freeze", "performance.pool_size"],
    ),
    (
        Config(monitoring=MonitoringConfig(port=81), query_bus=BusConfig()),
        ["monitoring.port"],
    ),
    (
        Config(
            command_bus=BusConfig(initial_capacity=5),
            query_bus=BusConfig(initial_capacity=6),
        ),
        ["command_bus.initial_capacity"],
    ),
    (
        Config(middleware=MiddlewareConfig(retry=RetryConfig(seed=5))),
        ["middleware.retry.seed"],
    ),
]


@pytest.mark.parametrize(("config", "keys"), RESTARTS)
def test_what_needs_a_restart_is_told_until_then(
    config: Config, keys: list[str]
) -> None:
    bus = CommandBus.from_config(default_config())
    assert apply_config(config, [bus]) == keys
    assert apply_config(config, [bus]) == keys
    assert apply_config(Config(), [bus]) == []


def test_what_keywords_win_over_needs_no_restart() -> None:
    bus = CommandBus.from_config(default_config(), initial_capacity=3)
    config = Config(command_bus=BusConfig(initial_capacity=5))
    assert apply_config(config, [bus]) == []


def test_the_key_of_the_coarse_clock_is_accepted_and_does_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"performance": {"coarse_clock": true}}')
    with pytest.warns(DeprecationWarning, match=r"coarse_clock does nothing any more"):
        config = load_config(file)
    bus = CommandBus.from_config(default_config())
    bus.register_handler(Add, lambda add: 1)
    assert apply_config(config, [bus]) == []
    assert bus.execute(Add()) == 1


def test_a_bus_that_no_config_made_is_adopted() -> None:
    own = SlowCallMiddleware(1)
    bus = QueryBus(middleware=[own], enable_metrics=True)
    bus.register_handler(Ask, lambda ask: 1)
    bus.execute(Ask())
    assert apply_config(high_throughput_config(), [bus]) == []
    assert names(bus) == [
        "TimeoutMiddleware",
        "ValidationMiddleware",
        "SlowCallMiddleware",
        "CachingMiddleware",
        "RetryMiddleware",
        "CircuitBreakerMiddleware",
    ]
    bus.execute(Ask())
    assert bus.stats().messages["Ask"].count == 2
    assert apply_config(default_config(), [bus]) != []


def test_metrics_come_to_an_adopted_bus() -> None:
    bus = CommandBus()
    bus.register_handler(Add, lambda add: 1)
    config = Config(command_bus=BusConfig(enable_metrics=True, max_payload_bytes=70))
    apply_config(config, [bus])
    bus.execute(Add())
    assert bus.stats().messages["Add"].count == 1
    assert bus.max_payload_bytes == 70


# What is refused changes nothing


@pytest.mark.parametrize("config", [None, {}, "configs/test.json", 3])
def test_only_a_config_is_applied(config: Any) -> None:
    bus = CommandBus()
    with pytest.raises(TypeError) as caught:
        apply_config(config, [bus])
    text = f"config must be a Config, got {config!r}; load_config makes one"
    assert str(caught.value) == text


@pytest.mark.parametrize("one", [None, 3, CommandBus, Bus.__new__(Bus)])
def test_only_buses_are_taken(one: Any) -> None:
    bus = CommandBus()
    with pytest.raises(TypeError, match=r"^expected a CommandBus or a QueryBus, got "):
        apply_config(default_config(), [bus, one])
    assert bus.middleware == ()


BAD: dict[str, Config] = {
    "middleware.tracing.enabled": Config(
        middleware=MiddlewareConfig(tracing=TracingConfig(enabled=True))
    ),
    "middleware.rate_limiting": limiter(10**12 - 1, window_sec=1e9),
    "middleware.circuit_breaker": breaker(timeout_sec=60, max_timeout_sec=30),
}


@pytest.mark.parametrize("running", [only(), default_config(), limiter(10)])
@pytest.mark.parametrize("key", BAD)
def test_a_bad_config_changes_nothing(key: str, running: Config) -> None:
    buses: list[Bus] = [CommandBus.from_config(running), QueryBus.from_config(running)]
    buses[0].register_handler(Add, lambda add: 1)
    before = [(bus.middleware, bus.describe()) for bus in buses]
    with pytest.raises(ConfigError) as caught:
        apply_config(BAD[key], buses)
    assert caught.value.key == key
    assert [(bus.middleware, bus.describe()) for bus in buses] == before


def test_a_factory_that_raises_on_one_bus_changes_no_bus() -> None:
    broken = False

    def factory(next: Any) -> Any:
        if broken:
            raise ZeroDivisionError
        return lambda ctx, message: next(ctx, message)

    good = CommandBus.from_config(limiter(10))
    bad = QueryBus.from_config(limiter(10), middleware=[factory])
    good.register_handler(Add, lambda add: 1)
    bad.register_handler(Ask, lambda ask: 1)
    broken = True
    before = [bus.middleware for bus in (good, bad)]
    with pytest.raises(ZeroDivisionError):
        apply_config(limiter(99, max_wait_ms=5), [good, bad])
    assert [bus.middleware for bus in (good, bad)] == before
    assert "requests_per_window=10," in good.explain(Add)
    assert good.execute(Add()) == bad.execute(Ask()) == 1
    broken = False
    apply_config(limiter(99), [good, bad])
    assert "requests_per_window=99," in good.explain(Add)
    assert "requests_per_window=99," in bad.explain(Ask)


def test_an_order_warning_that_is_an_error_changes_nothing() -> None:
    bus = QueryBus.from_config(only(retry=RetryConfig()))
    bus.register_handler(Ask, lambda ask: 1)
    before = bus.explain(Ask)
    config = only(
        timeout=TimeoutConfig(timeout_ms=10), retry=RetryConfig(attempt_timeout_ms=10)
    )
    with pytest.raises(MiddlewareOrderWarning):
        apply_config(config, [bus])
    assert bus.explain(Ask) == before


def test_a_closed_bus_is_no_hindrance() -> None:
    closed, bus = CommandBus.from_config(limiter(10)), CommandBus.from_config(only())
    closed.close(0)
    apply_config(limiter(20), [closed, bus])
    assert closed.closed
    assert names(bus) == ["RateLimitingMiddleware"]


def test_a_bus_may_be_named_twice_and_no_bus_at_all() -> None:
    bus = CommandBus.from_config(only())
    apply_config(limiter(20), [bus, bus])
    assert names(bus) == ["RateLimitingMiddleware"]
    assert apply_config(limiter(20), []) == []


# One version


def test_a_call_in_flight_ends_on_the_program_it_started_on() -> None:
    log: list[str] = []
    first = only(retry=RetryConfig(max_attempts=2, base_delay_ms=0))
    bus = QueryBus.from_config(first, middleware=[Trace("own", log)])

    async def handler(ask: Ask) -> None:
        log.append("handler")
        await suspend()
        raise ConnectionError

    bus.register_handler(Ask, handler)
    dispatch = bus.execute_async(Ask())
    dispatch.send(None)
    bus.remove_middleware(bus.middleware[0])
    apply_config(only(retry=RetryConfig(max_attempts=4, base_delay_ms=0)), [bus])
    with pytest.raises(ConnectionError):
        drive(dispatch)
    assert log == ["own>", "handler", "handler", "!own"]
    log.clear()
    with pytest.raises(ConnectionError):
        drive(bus.execute_async(Ask()))
    assert log == ["handler"] * 4


@pytest.mark.usefixtures("quick_switches")
def test_a_dispatch_sees_one_version_of_timeout_and_retry() -> None:
    """As many attempts as the version allows whose deadline the first of them has."""

    class Look(Query[int]):
        seen: list[int]

    done = threading.Event()
    calls: list[int] = []
    bus = QueryBus.from_config(versioned(1))

    def look(ctx: Context, query: Look) -> None:
        query.seen.append(version_of(ctx))
        raise ConnectionError

    def hammer() -> None:
        while not done.is_set():
            query = Look(seen=[])
            with suppress(ConnectionError):
                bus.execute(query)
            assert set(query.seen) == {query.seen[0]}
            assert len(query.seen) == query.seen[0] + 1
            calls.append(1)

    async def loop() -> None:
        while not done.is_set():
            query = Look(seen=[])
            with suppress(ConnectionError):
                await bus.execute_async(query)
            assert len(query.seen) == query.seen[0] + 1
            calls.append(1)
            await asyncio.sleep(0)

    def reload() -> None:
        try:
            for number in range(600):
                apply_config(versioned(1 + number % 5), [bus])
        finally:
            done.set()

    bus.register_handler(Look, look)
    together(hammer, hammer, lambda: asyncio.run(loop()), reload)
    assert len(calls) > 0


@pytest.mark.usefixtures("quick_switches")
def test_a_nested_dispatch_sees_no_older_version() -> None:
    """All buses change at one moment.

    A dispatch has the version of the moment it began. One that a handler makes on
    another bus begins later, so it has the same version or a newer one; were the buses
    changed one after the other, it could have an older one.
    """
    done = threading.Event()
    pairs: list[tuple[int, int]] = []
    commands, queries = (
        CommandBus.from_config(versioned(1)),
        QueryBus.from_config(versioned(1)),
    )

    class Outer(Command[tuple[int, int]]):
        pass

    def outer(ctx: Context, message: Any) -> tuple[int, int]:
        return version_of(ctx), queries.execute(Ask())

    def back(ctx: Context, message: Ask) -> int:
        return version_of(ctx)

    def hammer() -> None:
        while not done.is_set():
            outside, inside = commands.execute(Outer())
            assert outside <= inside
            pairs.append((outside, inside))

    def reload() -> None:
        try:
            for number in range(1, 600):
                apply_config(
                    versioned(number), [queries, commands][:: number % 2 or -1]
                )
        finally:
            done.set()

    commands.register_handler(Outer, outer)
    queries.register_handler(Ask, back)
    together(hammer, hammer, reload)
    assert len({outside for outside, _ in pairs}) > 1


@pytest.mark.usefixtures("quick_switches")
def test_nothing_registered_while_reloading_is_lost() -> None:
    """Neither handlers and middleware that come meanwhile, nor the config."""

    def handlers() -> None:
        for number in range(300):
            bus.register_handler(f"name {number}", lambda message: 1)

    def middleware() -> None:
        for _ in range(100):
            guest = Trace("guest", [])
            bus.add_middleware(guest)
            bus.remove_middleware(guest)
        bus.add_middleware(Trace("stays", []))

    def reload() -> None:
        for number in range(300):
            apply_config(versioned(1 + number % 2), [bus])
        apply_config(versioned(9), [bus])

    bus = QueryBus.from_config(versioned(1))
    bus.register_handler(Ask, lambda ctx, ask: version_of(ctx))
    together(handlers, middleware, reload)
    assert len(bus.registered_names()) == 301
    assert names(bus) == ["TimeoutMiddleware", "RetryMiddleware", "stays"]
    assert bus.execute(Ask()) == 9
    for info in bus.describe():
        assert info.stages[0].settings["seconds"] == 9000


@pytest.mark.usefixtures("quick_switches")
def test_two_reloads_at_once_leave_both_buses_with_one_of_them() -> None:
    buses: list[Bus] = [
        CommandBus.from_config(versioned(1)),
        QueryBus.from_config(versioned(1)),
    ]
    buses[0].register_handler(Add, lambda ctx, add: version_of(ctx))
    buses[1].register_handler(Ask, lambda ctx, ask: version_of(ctx))

    def reload(*versions: int) -> Callable[[], None]:
        def work() -> None:
            for version in versions:
                apply_config(versioned(version), buses)

        return work

    for _ in range(50):
        together(reload(2, 3, 4), reload(5, 6, 7))
        assert buses[0].execute(Add()) == buses[1].execute(Ask())
        assert buses[0].execute(Add()) in (4, 7)


# Nothing grows


def many_versions(number: int) -> Config:
    """Return one of many configs, each with another set of sections and settings."""
    return Config(
        command_bus=BusConfig(enable_metrics=number % 3 == 0),
        middleware=MiddlewareConfig(
            logging=LoggingConfig(enabled=number % 4 == 0, level="DEBUG"),
            timeout=TimeoutConfig(timeout_ms=1000 + number % 7),
            rate_limiting=RateLimitingConfig(
                enabled=number % 2 == 0,
                requests_per_window=10**6 + number % 5,
                max_wait_ms=number % 3,
            ),
            caching=CachingConfig(
                enabled=number % 5 != 0, max_size=10 + number % 3, copy="deep"
            ),
            retry=RetryConfig(
                max_attempts=1 + number % 4,
                base_delay_ms=0,
                budget=number % 2 * 10 or None,
            ),
            circuit_breaker=CircuitBreakerConfig(failure_threshold=3 + number % 3),
            bulkhead=BulkheadConfig(
                enabled=number % 7 < 3, max_concurrent=5 + number, max_queue=number % 2
            ),
        ),
    )


def reload_often(rounds: int, buses: list[Bus]) -> None:
    for number in range(rounds):
        apply_config(many_versions(number), buses)
        buses[0].execute(Add())
        buses[1].execute(Ask(number))
        buses[0].register_handler("guest", lambda message: 1)
        buses[0].unregister_handler("guest")


@pytest.mark.alone
def test_thousands_of_reloads_leave_nothing_behind() -> None:
    buses: list[Bus] = [
        CommandBus.from_config(default_config()),
        QueryBus.from_config(default_config()),
    ]
    buses[0].register_handler(Add, lambda add: 1)
    buses[1].register_handler(Ask, lambda ask: ask.number)
    reload_often(420, buses)
    gc.collect()
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    reload_often(1680, buses)
    gc.collect()
    assert len(gc.get_objects()) - objects < 50
    assert sys.getallocatedblocks() - blocks < 500


@pytest.mark.alone
@pytest.mark.slow
@measures_memory
def test_ten_thousand_reloads_do_not_grow_the_process() -> None:
    buses: list[Bus] = [
        CommandBus.from_config(default_config()),
        QueryBus.from_config(default_config()),
    ]
    buses[0].register_handler(Add, lambda add: 1)
    buses[1].register_handler(Ask, lambda ask: ask.number)
    reload_often(2000, buses)
    before = rss_bytes()
    reload_often(10_000, buses)
    assert rss_bytes() - before < 2 * 1024 * 1024


def test_the_order_warnings_that_are_remembered_are_bounded() -> None:
    from cqrs_fast.assembly.description import StageInfo
    from cqrs_fast.assembly.order import MOST_KNOWN, check_order

    known: set[str] = set()
    for number in range(MOST_KNOWN + 10):
        timeout = StageInfo("TimeoutMiddleware", {"seconds": 1 + number})
        attempt = StageInfo("TimeoutMiddleware", {"seconds": 2000})
        retry = StageInfo("RetryMiddleware", RetryMiddleware().settings())
        with pytest.warns(MiddlewareOrderWarning):
            check_order([timeout, retry, attempt], known)
    assert len(known) == 10


def test_a_copied_config_is_applied() -> None:
    bus = CommandBus.from_config(breaker())
    config = msgspec.structs.replace(breaker(), middleware=limiter(5).middleware)
    apply_config(config, [bus])
    assert names(bus) == ["RateLimitingMiddleware"]
    assert not isinstance(bus.middleware[0], CircuitBreakerMiddleware)
