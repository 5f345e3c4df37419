"""A variable whose section is misspelt is an error, one of others is none of ours."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cqrs_fast import (
    ConfigError,
    ConfigManager,
    default_config,
    load_config_from_env,
)

TYPOS = [
    ("MIDLEWARE__CACHING__DEFAULT_TTL_SEC", "MIDDLEWARE"),
    ("MIDDLEWAR__RETRY__MAX_ATTEMPTS", "MIDDLEWARE"),
    ("MIDDLEWARES__RETRY__MAX_ATTEMPTS", "MIDDLEWARE"),
    ("middleware__retry__max_attempts", "MIDDLEWARE"),
    ("Middleware__RETRY__MAX_ATTEMPTS", "MIDDLEWARE"),
    ("COMAND_BUS__INITIAL_CAPACITY", "COMMAND_BUS"),
    ("COMMANDBUS__INITIAL_CAPACITY", "COMMAND_BUS"),
    ("QUERYBUS__INITIAL_CAPACITY", "QUERY_BUS"),
    ("PERFORMANCES__POOL_SIZE", "PERFORMANCE"),
    ("MONITORNG__PORT", "MONITORING"),
    ("MIDDLEWARE_CACHING__DEFAULT_TTL_SEC", "MIDDLEWARE"),
]
OTHERS = [
    "CQRS_SERVICE__URL",
    "CQRS_HOME__DIRECTORY",
    "CQRS_X__Y",
    "CQRS___",
    "CQRS_MIDLEWARE",  # no key: not of this form
    "CQRS_FAST_MIDLEWARE__RETRY__MAX_ATTEMPTS",
    "CQRS_FAST__MIDLEWARE__RETRY",
    "OTHER_MIDLEWARE__RETRY__MAX_ATTEMPTS",
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CQRS_") and not name.startswith("CQRS_FAST_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(("name", "meant"), TYPOS)
@pytest.mark.parametrize("prefix", ["CQRS_", "SHOP_"])
def test_a_misspelt_section_is_told_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, prefix: str, name: str, meant: str
) -> None:
    monkeypatch.setenv(prefix + name, "hunter2")
    for base in (None, default_config()):
        with pytest.raises(ConfigError, match="did you mean") as caught:
            load_config_from_env(prefix, base)
        error = caught.value
        assert error.path == prefix + name
        assert prefix + meant in str(error)
        assert "hunter2" not in str(error)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_close_to_a_section_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "5")
    assert load_config_from_env() == default_config()


def test_the_sections_themselves_count_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CQRS_MIDDLEWARE__RETRY__MAX_ATTEMPTS", "7")
    monkeypatch.setenv("CQRS_COMMAND_BUS__ENABLE_METRICS", "true")
    config = load_config_from_env()
    assert config.middleware.retry.max_attempts == 7
    assert config.command_bus.enable_metrics is True


def test_a_manager_keeps_the_last_good_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "service.json"
    path.write_text(json.dumps({"middleware": {"retry": {"max_attempts": 7}}}))
    manager = ConfigManager(path, env_prefix="CQRS_")
    assert manager.config.middleware.retry.max_attempts == 7
    monkeypatch.setenv("CQRS_MIDLEWARE__RETRY__MAX_ATTEMPTS", "9")
    with pytest.raises(ConfigError, match="CQRS_MIDLEWARE"):
        manager.load_config()
    assert "CQRS_MIDLEWARE" in str(manager.last_error)
    assert manager.config.middleware.retry.max_attempts == 7
