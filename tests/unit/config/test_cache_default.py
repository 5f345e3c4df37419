"""Queries are cached where somebody asked for it: in a preset, a file, a class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from both_ways import Way, both_ways
from configuration import write

from cqrs_fast import (
    Config,
    Query,
    QueryBus,
    default_config,
    high_throughput_config,
    load_config,
    load_config_from_env,
    low_latency_config,
)


class GetUser(Query[list[str]]):
    user_id: int = 1


def is_cached(config: Config) -> bool:
    bus = QueryBus.from_config(config)
    bus.register_handler(GetUser, lambda query: [])
    (route,) = bus.describe()
    return "CachingMiddleware" in [stage.kind for stage in route.stages]


def from_document(tmp_path: Path, document: Any) -> Config:
    return load_config(write(tmp_path, "service.json", json.dumps(document)))


@both_ways
@pytest.mark.parametrize("make", [default_config, Config, load_config_from_env])
def test_the_defaults_cache_nothing(way: Way, make: Any) -> None:
    """Each caller sees the row of now, in a list of its own."""
    config = make()
    assert config.middleware.caching.enabled is False
    assert not is_cached(config)
    users = {1: ["Ann"]}
    bus = QueryBus.from_config(config)
    bus.register_handler(GetUser, way.handler(lambda query: list(users[1])))
    way(bus, GetUser()).append("changed by the first caller")
    users[1].append("Bea")
    assert way(bus, GetUser()) == ["Ann", "Bea"]


@pytest.mark.parametrize(
    ("preset", "ttl"), [(high_throughput_config, 300), (low_latency_config, 60)]
)
def test_the_two_presets_cache(preset: Any, ttl: int) -> None:
    caching = preset().middleware.caching
    assert (caching.enabled, caching.default_ttl_sec) == (True, ttl)
    assert is_cached(preset())


@pytest.mark.parametrize(
    ("document", "cached"),
    [
        ({}, False),
        ({"preset": "default"}, False),
        ({"preset": "high-throughput"}, True),
        ({"preset": "low-latency"}, True),
        ({"middleware": {"caching": {"enabled": True}}}, True),
        ({"middleware": {"caching": {"default_ttl_sec": 5}}}, False),
        (
            {
                "preset": "low-latency",
                "middleware": {"caching": {"enabled": False}},
            },
            False,
        ),
    ],
)
def test_a_file_says_it(tmp_path: Path, document: Any, cached: bool) -> None:
    assert is_cached(from_document(tmp_path, document)) is cached


def test_the_environment_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CQRS_MIDDLEWARE__CACHING__ENABLED", "true")
    assert is_cached(load_config_from_env())
