"""Everything that is wrong with a file is told at once."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from configuration import refusal, write

from cqrs_fast import Config, ConfigManager, load_config, merge_configs
from cqrs_fast.cli import main

WRONG: dict[str, Any] = {
    "preset": "high-throughputt",
    "$schema": 5,
    "middlewares": {},
    "command_bus": {"initial_capacity": -1, "password": "hunter2"},
    "middleware": {
        "caching": [],
        "retry": {"max_attempts": 0, "jitter": "ful"},
        "timeout": {"timeout_ms": float("nan")},
    },
    "messages": {"GetUser": {"caching": {"default_ttl": 5}}, "FindUsers": 1},
}
KEYS = {
    "preset",
    "$schema",
    "middlewares",
    "command_bus.initial_capacity",
    "command_bus.password",
    "middleware.caching",
    "middleware.retry.max_attempts",
    "middleware.retry.jitter",
    "middleware.timeout.timeout_ms",
    "messages.GetUser.caching.default_ttl",
    "messages.FindUsers",
}


def wrong_file(directory: Path) -> Path:
    return write(directory, "service.json", json.dumps(WRONG))


def test_one_error_has_all_of_them(tmp_path: Path) -> None:
    path = wrong_file(tmp_path)
    error = refusal(load_config, path)
    found = [error, *error.others]
    assert {one.key for one in found} == KEYS
    assert len(found) == len(KEYS)
    assert {one.path for one in found} == {str(path)}
    assert all(one.others == () for one in error.others)
    lines = str(error).splitlines()
    assert len(lines) == len(KEYS)
    assert all(line.startswith(str(path)) for line in lines)
    assert "hunter2" not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_values_that_contradict_each_other_are_all_told(tmp_path: Path) -> None:
    middleware = {"circuit_breaker": {"timeout_sec": 90, "max_timeout_sec": 60}}
    messages = {"GetUser": {"circuit_breaker": {"max_timeout_sec": 30}}}
    document = {"middleware": middleware, "messages": messages}
    path = write(tmp_path, "service.json", json.dumps(document))
    error = refusal(load_config, path)
    assert [one.key for one in (error, *error.others)] == [
        "middleware.circuit_breaker",
        "messages.GetUser.circuit_breaker",
    ]


def test_the_command_line_prints_a_line_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "check", str(wrong_file(tmp_path))]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert {line.split(": ")[1] for line in lines} == KEYS


def test_a_manager_keeps_all_of_them(tmp_path: Path) -> None:
    manager = ConfigManager(wrong_file(tmp_path))
    refusal(manager.load_config)
    assert manager.last_error is not None
    assert len(manager.last_error.others) == len(KEYS) - 1


def test_what_is_given_for_messages_cannot_change() -> None:
    """A Config is shared, and is compared to tell whether a file has changed."""
    given = {"GetUser": {"retry": {"max_attempts": 3}}}
    config = Config(messages=given)
    given["GetUser"]["retry"]["max_attempts"] = 5
    assert config.messages == {"GetUser": {"retry": {"max_attempts": 3}}}
    for change in (
        lambda: config.messages.clear(),
        lambda: config.messages["GetUser"].pop("retry"),
        lambda: config.messages["GetUser"]["retry"].update(max_attempts=1),
    ):
        with pytest.raises(TypeError, match="immutable"):
            change()
    assert config != Config()
    for one in (
        copy.copy(config),
        copy.deepcopy(config),
        pickle.loads(pickle.dumps(config)),
        merge_configs(Config(), config),
    ):
        assert one == config
        assert hash(one) == hash(config)


def test_values_for_messages_are_checked_in_code_too() -> None:
    wrong = {"GetUser": {"retry": {"max_attempts": 0}}}
    error = refusal(lambda: Config(messages=wrong))
    assert error.key == "messages.GetUser.retry.max_attempts"
    nothing: Any = []
    error = refusal(lambda: Config(messages=nothing))
    assert error.key == "messages"
