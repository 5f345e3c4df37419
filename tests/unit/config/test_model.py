"""Config: what it holds by default, what it refuses, what it remembers and merges."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import pytest
from configuration import LEAVES, config_with, given_to, values_of
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Add

from cqrs_fast import (
    CommandBus,
    Config,
    ConfigError,
    default_config,
    high_throughput_config,
    low_latency_config,
    merge_configs,
)
from cqrs_fast.config.assembly import ROWS, middleware_of
from cqrs_fast.config.model import (
    BusConfig,
    CachingConfig,
    LoggingConfig,
    MiddlewareConfig,
    MonitoringConfig,
    RetryConfig,
)
from cqrs_fast.config.presets import PRESETS, preset
from cqrs_fast.config.sections import (
    Section,
    origins_of,
)
from cqrs_fast.stages.catalog import ATTEMPT_TIMEOUT

REQUIRED: dict[str, tuple[Any, ...]] = {"timeout": (30.0,), "bulkhead": (100,)}


@pytest.mark.parametrize("name", [name for name in ROWS if name != ATTEMPT_TIMEOUT])
def test_defaults_are_those_of_the_constructors(name: str) -> None:
    row = ROWS[name]
    config = config_with(f"middleware.{name}.enabled", True)
    made: Any = middleware_of(config, row.kinds[-1])[name]
    plain: Any = row.make(*REQUIRED.get(name, ()))
    assert made.settings() == plain.settings()


def test_defaults_are_those_of_the_buses() -> None:
    bus, config = CommandBus(), BusConfig()
    assert bus.max_payload_bytes == config.max_payload_bytes
    bus.register_handler(Add, lambda message: None)
    bus.execute(Add())
    assert (bus.stats().total.count > 0) is config.enable_metrics


def test_every_field_has_a_default_that_it_takes_and_a_description() -> None:
    for key, field in LEAVES.items():
        assert field.check(field.default) == field.default, key
        assert field.description, key


def test_what_the_guide_gives_its_presets_stands() -> None:
    throughput = values_of(high_throughput_config())
    assert throughput["middleware.caching.max_size"] == 100_000
    assert throughput["performance.gc_percent"] == 50
    latency = values_of(low_latency_config())
    assert latency["middleware.validation.enabled"] is False
    assert latency["middleware.retry.max_attempts"] == 1
    assert values_of(default_config()) == {
        key: field.default for key, field in LEAVES.items()
    }


def test_config_cannot_change() -> None:
    config: Any = Config()
    with pytest.raises(AttributeError):
        config.monitoring = MonitoringConfig()
    with pytest.raises(AttributeError):
        config.middleware.retry.max_attempts = 5


@pytest.mark.parametrize(
    ("cls", "name", "value", "message"),
    [
        (RetryConfig, "max_attempts", 0, "expected int >= 1"),
        (RetryConfig, "max_attempts", True, "expected int, got bool"),
        (RetryConfig, "max_attempts", "3", "expected int, got str"),
        (RetryConfig, "max_attempts", 3.0, "expected int, got float"),
        (RetryConfig, "multiplier", float("nan"), "expected a finite number"),
        (RetryConfig, "multiplier", float("inf"), "expected a finite number"),
        (RetryConfig, "budget", 1001, "expected int <= 1000"),
        (
            RetryConfig,
            "jitter",
            None,
            "expected one of full, equal, none, got NoneType (did you mean none?)",
        ),
        (
            RetryConfig,
            "jitter",
            "ful",
            "expected one of full, equal, none (did you mean full?)",
        ),
        (
            LoggingConfig,
            "level",
            "info",
            "expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL "
            "(did you mean INFO?)",
        ),
        (LoggingConfig, "enabled", 1, "expected bool, got int"),
        (
            MiddlewareConfig,
            "retry",
            {"max_attempts": 3},
            "expected a RetryConfig, got dict",
        ),
        (Config, "middleware", None, "expected a MiddlewareConfig, got NoneType"),
    ],
)
def test_what_code_may_not_give(
    cls: type[Section], name: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        cls(**{name: value})
    assert str(caught.value) == f"{name}: {message}"
    assert (caught.value.key, caught.value.path) == (name, None)


def test_a_long_value_is_cut_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        LoggingConfig(prefix="x" * 10_000)
    assert len(str(caught.value)) < 200


def test_sections_take_keywords_only() -> None:
    retry: Any = RetryConfig
    with pytest.raises(TypeError, match=r"^RetryConfig takes keyword arguments only$"):
        retry(True, 5)
    with pytest.raises(TypeError, match="unknown"):
        retry(unknown=5)


def test_config_remembers_what_it_was_given() -> None:
    config = Config(middleware=MiddlewareConfig(retry=RetryConfig(max_attempts=3)))
    assert given_to(config) == {"middleware.retry.max_attempts": "code"}
    assert given_to(Config()) == {}
    name = "preset low-latency"
    assert set(given_to(preset("low-latency")).values()) == {name}


def test_equal_configs_are_equal_whatever_they_remember() -> None:
    given_the_default = config_with("middleware.retry.max_attempts", 3)
    assert given_the_default == Config()
    assert hash(given_the_default) == hash(Config())


def test_replaced_config_remembers_what_differs_from_the_defaults() -> None:
    caching = msgspec.structs.replace(
        CachingConfig(max_size=5, default_ttl_sec=600), copy="deep"
    )
    assert origins_of(caching) == {"max_size": "code", "copy": "code"}


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_remember_what_was_given(copied: Any) -> None:
    for name in PRESETS:
        config = copied(preset(name))
        assert config == preset(name)
        assert given_to(config) == given_to(preset(name))


NUMBERS = {
    "command_bus.initial_capacity": st.integers(0, 1000),
    "middleware.retry.max_attempts": st.integers(1, 9),
    "middleware.retry.budget": st.none() | st.integers(1, 100),
    "middleware.caching.default_ttl_sec": st.floats(0, 1000),
    "middleware.logging.level": st.sampled_from(["INFO", "ERROR"]),
    "monitoring.port": st.integers(0, 65535),
}


@st.composite
def configs(draw: st.DrawFn) -> Config:
    config = Config()
    for key in draw(st.lists(st.sampled_from(sorted(NUMBERS)), max_size=6)):
        config = merge_configs(config, config_with(key, draw(NUMBERS[key])))
    return config


@settings(max_examples=50, deadline=None)
@given(configs(), configs(), configs())
def test_merging_is_associative_and_has_the_defaults_as_its_unit(
    one: Config, two: Config, three: Config
) -> None:
    left = merge_configs(merge_configs(one, two), three)
    right = merge_configs(one, merge_configs(two, three))
    assert left == right
    assert given_to(left) == given_to(right)
    for merged in (merge_configs(one, Config()), merge_configs(Config(), one)):
        assert merged == one
        assert given_to(merged) == given_to(one)


@settings(max_examples=50, deadline=None)
@given(configs(), configs())
def test_only_what_was_given_overrides(base: Config, override: Config) -> None:
    merged = values_of(merge_configs(base, override))
    wins = given_to(override)
    for key, value in merged.items():
        assert value == values_of(override if key in wins else base)[key]


def test_a_value_given_as_its_default_overrides() -> None:
    base = config_with("middleware.retry.max_attempts", 9)
    override = config_with("middleware.retry.max_attempts", 3)
    assert merge_configs(base, override).middleware.retry.max_attempts == 3


@pytest.mark.parametrize("wrong", [None, {}, RetryConfig(), "default"])
def test_only_configs_are_merged(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^base must be a Config, got "):
        merge_configs(wrong, Config())
    with pytest.raises(TypeError, match=r"^override must be a Config, got "):
        merge_configs(Config(), wrong)
