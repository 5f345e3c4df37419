"""A bus made from a Config: its middleware, its settings, and what wins over them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import inspect
from support import Add, Ask, Trace

from cqrs_fast import (
    Command,
    CommandBus,
    Config,
    ConfigError,
    QueryBus,
    TimeoutMiddleware,
    default_config,
)
from cqrs_fast.assembly.order import DEFAULT_ORDER
from cqrs_fast.buses.bus import Bus
from cqrs_fast.config.assembly import check_config, middleware_of
from cqrs_fast.config.model import (
    BusConfig,
    MiddlewareConfig,
    RetryConfig,
)
from cqrs_fast.config.sections import fields_of, marked

BUSES = [CommandBus, QueryBus]

# section.field -> a value that is not its default, and what the middleware then shows:
# (parameter, value); None where that is in no setting.
FIELDS: dict[str, tuple[Any, tuple[str, Any] | None]] = {
    "logging.prefix": ("shop", ("prefix", "shop")),
    "logging.logger": ("shop.bus", ("logger", "shop.bus")),
    "logging.level": ("ERROR", ("level", logging.ERROR)),
    "logging.slow_threshold_ms": (250, ("slow_threshold", 0.25)),
    "logging.sample": (7, ("sample", 7)),
    "validation.max_errors": (5, ("max_errors", 5)),
    "timeout.timeout_ms": (1500, ("seconds", 1.5)),
    "timeout.on_late": ("raise", ("on_late", "raise")),
    "retry.max_attempts": (5, ("max_attempts", 5)),
    "retry.base_delay_ms": (10, ("base_delay", 0.01)),
    "retry.max_delay_ms": (750, ("max_delay", 0.75)),
    "retry.multiplier": (3.0, ("multiplier", 3.0)),
    "retry.jitter": ("equal", ("jitter", "equal")),
    "retry.max_elapsed_ms": (2500, ("max_elapsed", 2.5)),
    "retry.retry_commands": (True, ("retry_commands", True)),
    "retry.budget": (20, ("budget", 20)),
    "retry.budget_min_per_sec": (3, ("budget_min_per_sec", 3)),
    "retry.budget_ttl_sec": (20, ("budget_ttl", 20.0)),
    "retry.seed": (11, None),
    "caching.default_ttl_sec": (60, ("ttl", 60.0)),
    "caching.max_size": (5, ("max_size", 5)),
    "caching.scope": ("shared", ("scope", "shared")),
    "caching.ttl_jitter": (0.5, ("ttl_jitter", 0.5)),
    "caching.negative_ttl_sec": (2, ("negative_ttl", 2.0)),
    "caching.single_flight": (False, ("single_flight", False)),
    "caching.flight_wait_max_ms": (125, ("flight_wait_max", 0.125)),
    "caching.copy": ("deep", ("copy", "deep")),
    "caching.ttl_from": ("start", ("ttl_from", "start")),
    "caching.seed": (11, None),
    "circuit_breaker.failure_threshold": (2, ("failure_threshold", 2)),
    "circuit_breaker.timeout_sec": (15, ("timeout", 15.0)),
    "circuit_breaker.half_open_max_calls": (3, ("half_open_max_calls", 3)),
    "circuit_breaker.success_threshold": (3, ("success_threshold", 3)),
    "circuit_breaker.probe_timeout_sec": (9, ("probe_timeout", 9.0)),
    "circuit_breaker.timeout_multiplier": (2.0, ("timeout_multiplier", 2.0)),
    "circuit_breaker.max_timeout_sec": (90, ("max_timeout", 90.0)),
    "circuit_breaker.timeout_jitter": (0.5, ("timeout_jitter", 0.5)),
    "circuit_breaker.per": ("bus", ("per", "bus")),
    "circuit_breaker.seed": (11, None),
    "rate_limiting.requests_per_window": (50, ("requests_per_window", 50)),
    "rate_limiting.window_sec": (5, ("window", 5.0)),
    "rate_limiting.burst": (9, ("burst", 9)),
    "rate_limiting.scope": ("principal", ("scope", "principal")),
    "rate_limiting.max_keys": (8, ("max_keys", 8)),
    "rate_limiting.max_wait_ms": (1500, ("max_wait", 1.5)),
    "rate_limiting.max_waiters": (4, ("max_waiters", 4)),
    "bulkhead.max_concurrent": (3, ("max_concurrent", 3)),
    "bulkhead.max_queue": (6, ("max_queue", 6)),
    "bulkhead.max_wait_ms": (500, ("max_wait", 0.5)),
}
SECTIONS = fields_of(MiddlewareConfig)
ELSEWHERE = {"retry.attempt_timeout_ms", "tracing.sample_ratio"}


def config_with(section: str, **values: Any) -> Config:
    made = SECTIONS[section].section
    assert made is not None
    return Config(middleware=MiddlewareConfig(**{section: made(**values)}))


def shown(section: str, kind: str = "query", **values: Any) -> dict[str, Any]:
    """Return the settings of the middleware that a section makes."""
    config = config_with(section, enabled=True, **values)
    return middleware_of(config, kind)[section].settings()


def everything(**replaced: Any) -> Config:
    """Return a Config with all of its middleware enabled."""
    sections: dict[str, Any] = {
        name: field.section(enabled=True)
        for name, field in SECTIONS.items()
        if field.section is not None and name != "tracing"
    }
    sections["retry"] = RetryConfig(attempt_timeout_ms=2000)
    return Config(middleware=MiddlewareConfig(**(sections | replaced)))


# Every field reaches its constructor


def test_no_field_is_forgotten() -> None:
    known = {
        f"{name}.{field}"
        for name, section in SECTIONS.items()
        if section.section is not None
        for field in fields_of(section.section)
        if field != "enabled"
    }
    assert known == set(FIELDS) | ELSEWHERE


@pytest.mark.parametrize("path", FIELDS)
def test_each_field_reaches_the_constructor(path: str) -> None:
    section, field = path.split(".")
    value, expected = FIELDS[path]
    settings = shown(section, **{field: value})
    others = shown(section)
    if expected is None:
        assert settings == others
        return
    parameter, seconds = expected
    assert settings[parameter] == seconds
    assert type(settings[parameter]) is type(seconds)
    assert others[parameter] != seconds


def test_a_seed_makes_what_is_random_repeat() -> None:
    def fail(ask: Ask) -> None:
        raise OSError("gone")

    def delays(seed: int) -> list[float]:
        bus = QueryBus.from_config(
            config_with("retry", seed=seed, max_attempts=4, base_delay_ms=0.5)
        )
        found: list[float] = []
        retry = bus.middleware[2]
        retry.update(on_retry=lambda attempt, delay, error: found.append(delay))
        bus.register_handler(Ask, fail)
        with pytest.raises(OSError, match="gone"):
            bus.execute(Ask())
        return found

    first = delays(5)
    assert len(first) == 3
    assert delays(5) == first
    assert delays(6) != first


@pytest.mark.parametrize("path", FIELDS)
def test_the_ends_of_every_range_can_be_made(path: str) -> None:
    """What the model takes by itself a constructor takes too."""
    section, field = path.split(".")
    for end in ends_of(section, field):
        if (path, end) not in APART:
            assert shown(section, **{field: end})


# Ends that other fields have to follow.
APART = {
    ("circuit_breaker.max_timeout_sec", 1e-9),
    ("rate_limiting.burst", 10**12),
}


def ends_of(section: str, field: str) -> list[Any]:
    """Return the least and the most that the model takes; none for no number."""
    made = SECTIONS[section].section
    assert made is not None
    info = inspect.type_info(fields_of(made)[field].type)
    if isinstance(info, inspect.UnionType):
        info = info.types[0]
    if isinstance(info, inspect.Metadata):
        info = info.type
    if not isinstance(info, inspect.IntType | inspect.FloatType):
        return []
    return [1e-9 if info.ge is None else info.ge, info.le]


# The default order

KINDS_OF = {
    "logging": "LoggingMiddleware",
    "timeout": "TimeoutMiddleware",
    "validation": "ValidationMiddleware",
    "custom": "custom",
    "rate_limiting": "RateLimitingMiddleware",
    "caching": "CachingMiddleware",
    "retry": "RetryMiddleware",
    "circuit_breaker": "CircuitBreakerMiddleware",
    "bulkhead": "BulkheadMiddleware",
    "attempt_timeout": "TimeoutMiddleware",
}


@pytest.mark.parametrize("bus_class", BUSES)
def test_the_default_order(bus_class: type[Bus]) -> None:
    own = Trace("own", [])
    bus = bus_class.from_config(everything(), middleware=[own])
    kinds = ["custom" if one is own else type(one).__name__ for one in bus.middleware]
    expected = [
        kind
        for section, kind in KINDS_OF.items()
        if section != "caching" or bus_class is QueryBus
    ]
    assert kinds == expected
    assert [kind for kind in DEFAULT_ORDER if kind in expected] == kinds
    total, attempt = bus.middleware[1], bus.middleware[-1]
    assert isinstance(total, TimeoutMiddleware)
    assert isinstance(attempt, TimeoutMiddleware)
    assert total.settings() == {"seconds": 30.0, "on_late": "return"}
    assert attempt.settings() == {"seconds": 2.0, "on_late": "return"}


def test_what_the_defaults_enable() -> None:
    config = default_config()
    assert list(middleware_of(config, "command")) == [
        "timeout",
        "validation",
        "retry",
        "circuit_breaker",
    ]
    assert list(middleware_of(config, "query")) == [
        "timeout",
        "validation",
        "retry",
        "circuit_breaker",
    ]


def test_without_retry_there_is_no_attempt() -> None:
    retry = RetryConfig(enabled=False, attempt_timeout_ms=2000)
    made = middleware_of(everything(retry=retry), "query")
    assert "retry" not in made
    assert "attempt_timeout" not in made


def test_what_is_not_enabled_is_not_made() -> None:
    off: dict[str, Any] = {}
    for name, field in SECTIONS.items():
        assert field.section is not None
        off[name] = field.section(enabled=False)
    config = Config(middleware=MiddlewareConfig(**off))
    for bus_class in BUSES:
        assert bus_class.from_config(config).middleware == ()


def test_each_bus_has_objects_of_its_own() -> None:
    config = everything()
    first, second = CommandBus.from_config(config), QueryBus.from_config(config)
    assert not {id(one) for one in first.middleware} & {
        id(one) for one in second.middleware
    }


def test_retry_serves_only_commands_that_are_idempotent() -> None:
    class Pay(Command[int]):
        idempotent = True

    bus = CommandBus.from_config(config_with("retry", base_delay_ms=0))
    calls: list[Any] = []

    def fail(message: Any) -> None:
        calls.append(message)
        raise ConnectionError

    for message in (Pay, Add):
        bus.register_handler(message, fail)
        with pytest.raises(ConnectionError):
            bus.execute(message())
    assert [type(one) for one in calls] == [Pay, Pay, Pay, Add]


def test_a_config_says_nothing_of_commands_that_retry_never_serves(
    recwarn: pytest.WarningsRecorder,
) -> None:
    bus = CommandBus.from_config(default_config())
    bus.register_handler(Add, lambda add: 1)
    assert "RetryMiddleware" not in bus.explain(Add)
    assert list(recwarn) == []


# The bus itself, and what wins over the config


def test_a_bus_takes_the_settings_of_its_kind() -> None:
    config = Config(
        command_bus=BusConfig(enable_metrics=True, max_payload_bytes=1000),
        query_bus=BusConfig(max_payload_bytes=2000),
    )
    commands, queries = CommandBus.from_config(config), QueryBus.from_config(config)
    commands.register_handler(Add, lambda add: 1)
    queries.register_handler(Ask, lambda ask: 1)
    commands.execute(Add())
    queries.execute(Ask())
    assert commands.max_payload_bytes == 1000
    assert queries.max_payload_bytes == 2000
    assert commands.stats().messages["Add"].count == 1
    assert queries.stats().messages["Ask"].count == 0


def test_keywords_win_over_the_config() -> None:
    config = Config(command_bus=BusConfig(enable_metrics=True, max_payload_bytes=1000))
    bus = CommandBus.from_config(
        config, enable_metrics=False, max_payload_bytes=5, initial_capacity=7
    )
    bus.register_handler(Add, lambda add: 1)
    bus.execute(Add())
    assert bus.max_payload_bytes == 5
    assert bus.stats().messages["Add"].count == 0


def test_the_clock_of_a_bus_is_that_of_its_middleware() -> None:
    readings = [0]
    config = config_with("caching", enabled=True)
    bus = QueryBus.from_config(config, clock=lambda: readings[0])
    calls: list[Any] = []
    bus.register_handler(Ask, calls.append)
    bus.execute(Ask())
    bus.execute(Ask())
    assert len(calls) == 1
    readings[0] += 600 * 10**9
    bus.execute(Ask())
    assert len(calls) == 2


def test_a_subclass_is_made() -> None:
    class Shop(CommandBus):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.ready = True

    bus = Shop.from_config(default_config())
    assert type(bus) is Shop
    assert bus.ready
    assert len(bus.middleware) == 4


def test_middleware_may_come_from_an_iterator() -> None:
    log: list[str] = []
    bus = CommandBus.from_config(
        default_config(), middleware=iter([Trace("a", log), Trace("b", log)])
    )
    bus.register_handler(Add, lambda add: 1)
    bus.execute(Add())
    assert log == ["a>", "b>", "<b", "<a"]


def test_a_bus_from_a_config_tells_nothing_to_the_collector() -> None:
    import gc

    from cqrs_fast import high_throughput_config

    before = gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()
    CommandBus.from_config(high_throughput_config())
    QueryBus.from_config(high_throughput_config())
    assert (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()) == before


# What is refused


@pytest.mark.parametrize("bus_class", [CommandBus, QueryBus])
@pytest.mark.parametrize("config", [None, {}, "configs/test.json", Config, 3])
def test_only_a_config_is_taken(bus_class: type[Bus], config: Any) -> None:
    with pytest.raises(TypeError, match=r"^config must be a Config, got "):
        bus_class.from_config(config)


def test_the_error_of_an_endless_thing_is_short() -> None:
    with pytest.raises(TypeError) as caught:
        CommandBus.from_config("x" * 10_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 150


def test_what_both_buses_share_is_no_bus() -> None:
    with pytest.raises(TypeError, match="make a CommandBus or a QueryBus"):
        Bus.from_config(default_config())


def test_an_unknown_keyword_is_the_constructors_error() -> None:
    with pytest.raises(TypeError, match="Did you mean 'initial_capacity'"):
        CommandBus.from_config(default_config(), capacity=3)


def test_a_bad_keyword_is_the_constructors_error() -> None:
    with pytest.raises(ValueError, match="max_payload_bytes must be from 1 to"):
        CommandBus.from_config(default_config(), max_payload_bytes=0)
    with pytest.raises(TypeError, match="3 is no middleware"):
        CommandBus.from_config(default_config(), middleware=[3])  # type: ignore[list-item]


# A Config that each field would pass by itself, and the error of the whole.
REFUSED: dict[str, tuple[Callable[[], Config], str]] = {
    "longer than the longest": (
        lambda: config_with("circuit_breaker", timeout_sec=60, max_timeout_sec=30),
        "middleware.circuit_breaker: max_timeout must be at least timeout, 60.0, got "
        "30.0",
    ),
    "there is no tracing": (
        lambda: config_with("tracing", enabled=True),
        "middleware.tracing.enabled: this version has no TracingMiddleware",
    ),
    "more than a bucket can count": (
        lambda: config_with(
            "rate_limiting",
            enabled=True,
            requests_per_window=10**12 - 1,
            window_sec=1e9,
        ),
        "middleware.rate_limiting: ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("bus_class", BUSES)
def test_what_does_not_go_together_is_told_by_its_section(
    case: str, bus_class: type[Bus]
) -> None:
    make, message = REFUSED[case]
    for use in (check_config, bus_class.from_config):
        with pytest.raises(ConfigError) as caught:
            use(make())
        assert str(caught.value).startswith(message)
        assert caught.value.path is None


def test_the_error_names_the_file_that_the_values_come_from() -> None:
    config = marked(config_with("tracing", enabled=True), "shop.toml")
    with pytest.raises(ConfigError) as caught:
        check_config(config)
    assert caught.value.path == "shop.toml"


def test_what_is_not_enabled_is_not_held_to_its_rules() -> None:
    config = config_with(
        "rate_limiting", requests_per_window=10**12 - 1, window_sec=1e9
    )
    check_config(config)


def test_the_presets_and_everything_at_once_are_fine() -> None:
    check_config(everything())
    check_config(default_config())
