"""The section `messages`: the settings of one message, in a file, changed live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from both_ways import Way, both_ways
from configuration import refusal, write

from cqrs_fast import (
    Command,
    CommandBus,
    Config,
    ConfigError,
    ConfigManager,
    Query,
    QueryBus,
    RateLimitExceededError,
    default_config,
    load_config,
    load_config_from_env,
    merge_configs,
)
from cqrs_fast.config.reload import apply_config
from cqrs_fast.config.schema import config_schema
from cqrs_fast.testing import ManualClock


class GetUser(Query[int]):
    user_id: int = 1


class FindUsers(Query[int]):
    pass


class RefreshTokenCommand(Command[int]):
    idempotent: ClassVar[bool] = True


IN_EVERY_FORMAT = {
    ".json": """{
  "middleware": {"caching": {"enabled": true}},
  "messages": {"GetUser": {"caching": {"default_ttl_sec": 5}}}
}""",
    ".toml": """
[middleware.caching]
enabled = true
[messages.GetUser.caching]
default_ttl_sec = 5
""",
    ".yaml": """
middleware: {caching: {enabled: true}}
messages:
  GetUser:
    caching:
      default_ttl_sec: 5
""",
}
LIMITS = {"enabled": True, "requests_per_window": 3, "window_sec": 3600}


def config_of(tmp_path: Path, messages: Any, **middleware: Any) -> Config:
    document = {"middleware": middleware, "messages": messages}
    return load_config(write(tmp_path, "service.json", json.dumps(document)))


def bus_of(config: Config, way: Way | None = None, **options: Any) -> Any:
    way = way or Way(False)
    bus = QueryBus.from_config(config, clock=ManualClock(1.0), **options)
    for message in (GetUser, FindUsers):
        bus.register_handler(message, way.handler(lambda query: 1))
    return bus


def settings_of(bus: Any, name: str, kind: str) -> dict[str, Any] | None:
    (route,) = [route for route in bus.describe() if route.name == name]
    found = [stage.settings for stage in route.stages if stage.kind == kind]
    return found[0] if found else None


# What a file may say


@pytest.mark.parametrize("suffix", IN_EVERY_FORMAT)
def test_every_format_has_it(tmp_path: Path, suffix: str) -> None:
    config = load_config(write(tmp_path, f"service{suffix}", IN_EVERY_FORMAT[suffix]))
    bus = bus_of(config)
    one = settings_of(bus, "GetUser", "CachingMiddleware")
    others = settings_of(bus, "FindUsers", "CachingMiddleware")
    assert one is not None
    assert others is not None
    assert (one["ttl"], others["ttl"]) == (5.0, 600.0)
    assert one["max_size"] == others["max_size"]


def test_it_turns_a_stage_on_or_off_for_one_message(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        {
            "GetUser": {
                "retry": {"enabled": False},
                "bulkhead": {"enabled": True, "max_concurrent": 2},
            }
        },
    )
    bus = bus_of(config)
    assert settings_of(bus, "GetUser", "RetryMiddleware") is None
    assert settings_of(bus, "FindUsers", "RetryMiddleware") is not None
    bulkhead = settings_of(bus, "GetUser", "BulkheadMiddleware")
    assert bulkhead is not None
    assert bulkhead["max_concurrent"] == 2
    assert settings_of(bus, "FindUsers", "BulkheadMiddleware") is None


def test_what_it_does_not_say_is_that_of_the_bus(tmp_path: Path) -> None:
    messages = {"GetUser": {"retry": {"max_attempts": 7}}}
    config = config_of(tmp_path, messages, retry={"base_delay_ms": 40})
    found = settings_of(bus_of(config), "GetUser", "RetryMiddleware")
    assert found is not None
    assert (found["max_attempts"], found["base_delay"]) == (7, 0.04)


def test_a_stage_stands_where_the_default_order_has_it(tmp_path: Path) -> None:
    messages = {
        "GetUser": {"bulkhead": {"enabled": True}, "caching": {"enabled": True}}
    }
    (route,) = [
        route
        for route in bus_of(config_of(tmp_path, messages)).describe()
        if route.name == "GetUser"
    ]
    kinds = [stage.kind for stage in route.stages]
    assert kinds == [
        "TimeoutMiddleware",
        "ValidationMiddleware",
        "CachingMiddleware",
        "RetryMiddleware",
        "CircuitBreakerMiddleware",
        "BulkheadMiddleware",
    ]


@pytest.mark.parametrize("name", ["RefreshToken", "ChangePassword", "a.b", "ä"])
def test_a_message_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Keys that look like secrets are rejected elsewhere; here they are names."""
    config = config_of(tmp_path, {name: {"retry": {"max_attempts": 7}}})
    bus = CommandBus.from_config(config)
    assert list(bus.unknown_messages) == [name]
    bus.register_handler(RefreshTokenCommand, lambda command: 1)
    if name == "RefreshToken":
        found = settings_of(bus, name, "RetryMiddleware")
        assert found is not None
        assert found["max_attempts"] == 7


@pytest.mark.parametrize(
    ("messages", "key", "hint"),
    [
        ([], "messages", None),
        ({"GetUser": 5}, "messages.GetUser", None),
        ({"GetUser": {"cachin": {}}}, "messages.GetUser.cachin", "caching"),
        ({"GetUser": {"enabled": True}}, "messages.GetUser.enabled", None),
        (
            {"GetUser": {"caching": {"default_ttl": 5}}},
            "messages.GetUser.caching.default_ttl",
            "default_ttl_sec",
        ),
        (
            {"GetUser": {"caching": {"default_ttl_sec": "5"}}},
            "messages.GetUser.caching.default_ttl_sec",
            None,
        ),
        (
            {"GetUser": {"retry": {"max_attempts": 0}}},
            "messages.GetUser.retry.max_attempts",
            None,
        ),
        (
            {"GetUser": {"caching": {"password": "hunter2"}}},
            "messages.GetUser.caching.password",
            None,
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_path(
    tmp_path: Path, messages: Any, key: str, hint: str | None
) -> None:
    path = write(tmp_path, "service.json", json.dumps({"messages": messages}))
    error = refusal(load_config, path)
    assert (error.path, error.key) == (str(path), key)
    if hint:
        assert hint in str(error)
    assert "hunter2" not in str(error)


def test_values_that_do_not_go_together_are_told_too(tmp_path: Path) -> None:
    """What holds between two fields holds for what a message makes of both."""
    messages = {"GetUser": {"circuit_breaker": {"timeout_sec": 90}}}
    middleware = {"circuit_breaker": {"max_timeout_sec": 60}}
    document = {"messages": messages, "middleware": middleware}
    path = write(tmp_path, "service.json", json.dumps(document))
    assert "messages.GetUser" in str(refusal(load_config, path))


def test_configs_are_merged_by_message(tmp_path: Path) -> None:
    base = config_of(
        tmp_path,
        {"GetUser": {"retry": {"max_attempts": 7, "base_delay_ms": 30}}},
    )
    other = config_of(
        tmp_path,
        {
            "GetUser": {"retry": {"max_attempts": 2}},
            "FindUsers": {"retry": {"enabled": False}},
        },
    )
    bus = bus_of(merge_configs(base, other))
    found = settings_of(bus, "GetUser", "RetryMiddleware")
    assert found is not None
    assert (found["max_attempts"], found["base_delay"]) == (2, 0.03)
    assert settings_of(bus, "FindUsers", "RetryMiddleware") is None


def test_the_schema_has_it() -> None:
    assert "messages" in config_schema()["properties"]


def test_the_environment_has_no_form_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "CQRS_MESSAGES__GETUSER__CACHING__DEFAULT_TTL_SEC"
    monkeypatch.setenv(name, "5")
    for base in (None, default_config()):
        with pytest.raises(ConfigError, match="file") as caught:
            load_config_from_env(base=base)
        assert caught.value.path == name


# Limiters


@both_ways
def test_a_limiter_there_replaces_the_bucket_of_the_bus(
    tmp_path: Path, way: Way
) -> None:
    messages = {"GetUser": {"rate_limiting": {"requests_per_window": 1}}}
    bus = bus_of(config_of(tmp_path, messages, rate_limiting=LIMITS), way)
    assert way(bus, GetUser()) == 1
    assert isinstance(way.error(bus, GetUser()), RateLimitExceededError)
    for _ in range(3):  # of which GetUser has spent nothing
        assert way(bus, FindUsers()) == 1
    assert isinstance(way.error(bus, FindUsers()), RateLimitExceededError)


@both_ways
def test_two_messages_have_two_buckets(tmp_path: Path, way: Way) -> None:
    one = {"rate_limiting": {"requests_per_window": 1}}
    messages = {"GetUser": one, "FindUsers": one}
    bus = bus_of(config_of(tmp_path, messages, rate_limiting=LIMITS), way)
    assert [way(bus, GetUser()), way(bus, FindUsers())] == [1, 1]
    assert isinstance(way.error(bus, GetUser()), RateLimitExceededError)
    assert isinstance(way.error(bus, FindUsers()), RateLimitExceededError)


# Unknown names


def test_names_without_a_handler_are_told(tmp_path: Path) -> None:
    messages = {"GetUsr": {"retry": {"enabled": False}}, "FindUsers": {}}
    bus = QueryBus.from_config(config_of(tmp_path, messages))
    assert list(bus.unknown_messages) == ["FindUsers", "GetUsr"]
    bus.register_handler(FindUsers, lambda query: 1)
    assert list(bus.unknown_messages) == ["GetUsr"]
    assert "GetUsr" in bus.explain()
    bus.unregister_handler(FindUsers)
    assert list(bus.unknown_messages) == ["FindUsers", "GetUsr"]
    assert list(QueryBus().unknown_messages) == []


def test_a_handler_registered_by_name_has_them(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"GetUser": {"retry": {"max_attempts": 7}}})
    bus = QueryBus.from_config(config)
    bus.register_handler("GetUser", lambda query: 1)
    found = settings_of(bus, "GetUser", "RetryMiddleware")
    assert found is not None
    assert found["max_attempts"] == 7
    assert list(bus.unknown_messages) == []


# Live


@both_ways
def test_a_change_of_the_file_is_in_force_at_once(tmp_path: Path, way: Way) -> None:
    path = tmp_path / "service.json"

    def says(messages: Any) -> None:
        document = {"middleware": {"rate_limiting": LIMITS}, "messages": messages}
        path.write_text(json.dumps(document))

    says({"GetUser": {"rate_limiting": {"requests_per_window": 100}}})
    manager = ConfigManager(path)
    bus = bus_of(manager.config, way)
    manager.apply_to(bus)
    for _ in range(50):
        way(bus, GetUser())
    says({"GetUser": {"rate_limiting": {"requests_per_window": 10}}})
    manager.load_config()
    # Half of what there may be is left, as it was before: the state was kept.
    for _ in range(5):
        way(bus, GetUser())
    assert isinstance(way.error(bus, GetUser()), RateLimitExceededError)
    says({})
    manager.load_config()
    for _ in range(3):  # the bucket of the bus, of which nothing was spent
        way(bus, GetUser())
    assert isinstance(way.error(bus, FindUsers()), RateLimitExceededError)
    says({"GetUser": {"rate_limiting": {"requests_per_window": "many"}}})
    with pytest.raises(ConfigError, match="GetUser"):
        manager.load_config()
    assert isinstance(way.error(bus, GetUser()), RateLimitExceededError)


def test_a_circuit_stays_open_and_answers_stay_stored(tmp_path: Path) -> None:
    caching = {"enabled": True}
    runs: list[int] = []

    def fail(query: FindUsers) -> int:
        raise ConnectionError

    config = config_of(tmp_path, {}, caching=caching, retry={"enabled": False})
    bus = QueryBus.from_config(config, clock=ManualClock(1.0))
    bus.register_handler(GetUser, lambda query: runs.append(1) or len(runs))
    bus.register_handler(FindUsers, fail)
    assert bus.execute(GetUser()) == 1
    for _ in range(5):
        with pytest.raises(ConnectionError):
            bus.execute(FindUsers())
    messages = {
        "GetUser": {"bulkhead": {"enabled": True}},
        "FindUsers": {"bulkhead": {"enabled": True}},
    }
    apply_config(config_of(tmp_path, messages, caching=caching), [bus])
    assert bus.execute(GetUser()) == 1
    with pytest.raises(Exception, match="circuit is open"):
        bus.execute(FindUsers())


def test_it_is_there_for_handlers_that_come_later(tmp_path: Path) -> None:
    bus = QueryBus.from_config(default_config())
    apply_config(config_of(tmp_path, {"GetUser": {"retry": {"enabled": False}}}), [bus])
    bus.register_handler(GetUser, lambda query: 1)
    bus.register_handler(FindUsers, lambda query: 1)
    assert settings_of(bus, "GetUser", "RetryMiddleware") is None
    assert settings_of(bus, "FindUsers", "RetryMiddleware") is not None
