"""Loading a Config: which files are trusted, what variables say, what wins."""

from __future__ import annotations

import json
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from configuration import (
    GOOD,
    LEAVES,
    SUFFIXES,
    config_with,
    given_to,
    refusal,
    values_of,
    write,
)
from jsonschema import Draft202012Validator

from cqrs_fast import (
    Config,
    ConfigError,
    load_config,
    load_config_from_env,
    load_environment_config,
    merge_configs,
)
from cqrs_fast.config.documents import parse_document
from cqrs_fast.config.files import MAX_BYTES, read_file
from cqrs_fast.config.presets import PRESETS, preset
from cqrs_fast.config.problems import Problems
from cqrs_fast.config.schema import config_schema

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root may give files away")
TTL = "CQRS_MIDDLEWARE__CACHING__DEFAULT_TTL_SEC"

Variables = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: Variables) -> None:
    for name in os.environ:
        if name.startswith("CQRS_") or name == "ENV":
            monkeypatch.delenv(name)


# Files


@contextmanager
def user(number: int, directory: Path) -> Iterator[None]:
    """Be another user for a while, one that may enter the directory."""
    folders = (directory, *directory.parents[:2])  # of pytest, closed to others
    modes = [folder.stat().st_mode & 0o7777 for folder in folders]
    for folder, mode in zip(folders, modes, strict=True):
        folder.chmod(mode | 0o011)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        for folder, mode in zip(folders, modes, strict=True):
            folder.chmod(mode)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.json"
    folder.mkdir()
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    loop = tmp_path / "loop.json"
    loop.symlink_to(loop)
    dangling = tmp_path / "dangling.json"
    dangling.symlink_to("nowhere")
    device = tmp_path / "device.json"
    device.symlink_to("/dev/zero")
    large = write(tmp_path, "large.json", b" " * (MAX_BYTES + 1))
    address = tmp_path / "socket.json"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        table: dict[Path | str, str] = {
            folder: "is a directory (name a file in it)",
            pipe: "is not a regular file",
            device: "is not a regular file",
            loop: "cannot be read: Too many levels of symbolic links",
            dangling: "there is no such file",
            tmp_path / "none.json": "there is no such file",
            large / "x.json": "cannot be read: Not a directory",
            large: "the file is larger than 1048576 bytes",
            address: "cannot be read: No such device or address",
            "a\0.json": "cannot be read: the path holds a null byte",
        }
        for path, message in table.items():
            assert str(refusal(load_config, path)) == f"{path}: {message}"


def test_a_file_of_exactly_the_largest_size_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "x.json", b"{}" + b" " * (MAX_BYTES - 2))
    assert load_config(path) == Config()


@pytest.mark.alone
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "x.json", "{}", 0o000)
    if not ROOT:
        error = refusal(load_config, path)
    else:  # who may read every file
        with user(12345, tmp_path):
            error = refusal(load_config, path)
    assert str(error) == f"{path}: cannot be read: Permission denied"


@pytest.mark.parametrize("mode", [0o646, 0o602, 0o666, 0o777])
def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, "x.json", "{}", mode)
    error = refusal(load_config, path)
    assert str(error) == f"{path}: everybody may write it (chmod o-w)"


@as_root
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "x.json", "{}")
    os.chown(path, 12345, -1)
    assert str(refusal(load_config, path)) == (
        f"{path}: belongs to user 12345, who could change it "
        "(it must belong to root or to user 0)"
    )


@pytest.mark.alone
@as_root
def test_a_file_of_root_is_read_by_another_user(tmp_path: Path) -> None:
    path = write(tmp_path, "x.json", "{}")
    own = write(tmp_path, "own.json", "{}")
    os.chown(own, 12345, -1)
    with user(12345, tmp_path):
        assert load_config(path) == load_config(own) == Config()


def test_a_file_that_its_group_may_write_warns_once(tmp_path: Path) -> None:
    path = write(tmp_path, "x.json", "{}", 0o664)
    group = path.stat().st_gid
    with pytest.warns(UserWarning, match="may write this configuration") as caught:
        load_config(path)
    assert str(caught[0].message) == (
        f"{path}: group {group} may write this configuration; chmod g-w"
    )
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_config(path)


def test_what_a_link_leads_to_is_what_is_checked(tmp_path: Path) -> None:
    target = write(tmp_path, "..data", GOOD[".json"])
    link = tmp_path / "x.json"
    link.symlink_to(target)
    assert given_to(load_config(link))["monitoring.port"] == str(link)
    target.chmod(0o666)
    assert str(refusal(load_config, link)) == (
        f"{link}: everybody may write it (chmod o-w)"
    )


def test_reading_leaves_no_descriptor_open(tmp_path: Path) -> None:
    good = write(tmp_path, "x.json", "{}")
    bad = write(tmp_path, "bad.json", "{}", 0o666)
    count = len(os.listdir("/dev/fd"))
    for _ in range(20):
        read_file(str(good))
        refusal(read_file, str(bad))
        refusal(read_file, str(tmp_path))
    assert len(os.listdir("/dev/fd")) == count


# The environment


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("MIDDLEWARE__CACHING__MAX_SIZE", "60", "middleware.caching.max_size", 60),
        (TTL[5:], "60", "middleware.caching.default_ttl_sec", 60.0),
        (TTL[5:], "1.5e1", "middleware.caching.default_ttl_sec", 15.0),
        (TTL[5:], ".5", "middleware.caching.default_ttl_sec", 0.5),
        ("MIDDLEWARE__CACHING__ENABLED", "False", "middleware.caching.enabled", False),
        ("MIDDLEWARE__CACHING__ENABLED", "0", "middleware.caching.enabled", False),
        ("MIDDLEWARE__BULKHEAD__ENABLED", "1", "middleware.bulkhead.enabled", True),
        ("MIDDLEWARE__BULKHEAD__ENABLED", "TRUE", "middleware.bulkhead.enabled", True),
        ("MIDDLEWARE__RETRY__BUDGET", "", "middleware.retry.budget", None),
        ("MIDDLEWARE__RETRY__BUDGET", "null", "middleware.retry.budget", None),
        ("MIDDLEWARE__RETRY__BUDGET", "20", "middleware.retry.budget", 20),
        ("MIDDLEWARE__LOGGING__PREFIX", "", "middleware.logging.prefix", ""),
        ("MIDDLEWARE__LOGGING__PREFIX", "1", "middleware.logging.prefix", "1"),
        ("MIDDLEWARE__LOGGING__LEVEL", "ERROR", "middleware.logging.level", "ERROR"),
        ("PERFORMANCE__GC_PERCENT", "-1", "performance.gc_percent", -1),
        ("COMMAND_BUS__INITIAL_CAPACITY", "7", "command_bus.initial_capacity", 7),
    ],
)
def test_a_variable_gives_a_value(
    monkeypatch: Variables, name: str, text: str, key: str, value: object
) -> None:
    monkeypatch.setenv(f"CQRS_{name}", text)
    config = load_config_from_env()
    assert values_of(config)[key] == value
    assert type(values_of(config)[key]) is type(value)
    assert given_to(config) == {key: f"CQRS_{name}"}


FLAG = "expected bool, got"
INT = "middleware.caching.max_size: expected int, got"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("MIDDLEWARE__CACHING__MAX_SIZE", "", f"{INT} str"),
        ("MIDDLEWARE__CACHING__MAX_SIZE", " 5", f"{INT} str"),
        ("MIDDLEWARE__CACHING__MAX_SIZE", "1_0", f"{INT} str"),
        ("MIDDLEWARE__CACHING__MAX_SIZE", "010", f"{INT} str"),
        ("MIDDLEWARE__CACHING__MAX_SIZE", "\u0661", f"{INT} str"),
        ("MIDDLEWARE__CACHING__MAX_SIZE", "5.0", f"{INT} float"),
        ("MIDDLEWARE__CACHING__MAX_SIZE", "true", f"{INT} str"),
        ("MIDDLEWARE__CACHING__MAX_SIZE", "9" * 5000, f"{INT} str"),
        (
            "MIDDLEWARE__CACHING__MAX_SIZE",
            "0",
            "middleware.caching.max_size: expected int >= 1",
        ),
        (
            TTL[5:],
            "nan",
            "middleware.caching.default_ttl_sec: expected number, got str",
        ),
        (
            TTL[5:],
            "1e999",
            "middleware.caching.default_ttl_sec: expected a finite number",
        ),
        (
            "MIDDLEWARE__CACHING__ENABLED",
            "yes",
            f"middleware.caching.enabled: {FLAG} str",
        ),
        ("MIDDLEWARE__CACHING__ENABLED", "", f"middleware.caching.enabled: {FLAG} str"),
        (
            "MIDDLEWARE__LOGGING__LEVEL",
            "warning",
            "middleware.logging.level: expected one of DEBUG, INFO, WARNING, ERROR, "
            "CRITICAL (did you mean WARNING?)",
        ),
        (
            "MIDDLEWARE__LOGGING__PREFIX",
            "\udcff",
            "middleware.logging.prefix: text holds a lone surrogate",
        ),
        (
            "MIDDLEWARE__CACHING__MAX_SIZ",
            "hunter2",
            "middleware.caching.max_siz: unknown key (did you mean max_size?)",
        ),
        (
            "MIDDLEWARE__RETRY__MAX_SIZE",
            "5",
            "middleware.retry.max_size: unknown key (max_size belongs to "
            "middleware.caching)",
        ),
        (
            "MIDDLEWARE__CACHING",
            "hunter2",
            "middleware.caching: names a section, expected one of its keys",
        ),
        ("MIDDLEWARE__", "hunter2", "middleware.'': unknown key"),
        (
            "MIDDLEWARE__CACHING__MAX_SIZE__X",
            "hunter2",
            "middleware.caching.max_size: the key holds no other keys",
        ),
        (
            "MIDDLEWARE__caching__MAX_SIZE",
            "5",
            "expected upper case (did you mean CQRS_MIDDLEWARE__CACHING__MAX_SIZE?)",
        ),
        (
            "MIDDLEWARE__AUTH__X",
            "hunter2",
            "middleware.auth: unknown key",
        ),
        (
            "MIDDLEWARE__AUTH_TOKEN",
            "hunter2",
            "middleware.auth_token: secrets do not belong in a configuration file",
        ),
        (
            "MONITORING__PASSWORD",
            "hunter2",
            "monitoring.password: secrets do not belong in a configuration file",
        ),
    ],
)
def test_what_a_variable_may_not_say(
    monkeypatch: Variables, name: str, text: str, message: str
) -> None:
    name = f"CQRS_{name}"
    monkeypatch.setenv(name, text)
    error = refusal(load_config_from_env)
    assert str(error) == f"{name}: {message}"
    assert error.path == name


def test_other_variables_do_not_count(monkeypatch: Variables) -> None:
    for name in (
        "CQRS_MIDDLEWARE",
        "CQRS_MIDDLEWARE_CACHING",
        "CQRS_PRESET",
        "CQRS_DATABASE__PASSWORD",
        "CQRS_FAST_MIDDLEWARE__X",
        "CQRS_FAST_BUILD",
        "XCQRS_MIDDLEWARE__X",
        "MIDDLEWARE__X",
    ):
        monkeypatch.setenv(name, "hunter2")
    assert given_to(load_config_from_env()) == {}


def test_a_prefix_of_ones_own(monkeypatch: Variables) -> None:
    monkeypatch.setenv("SHOP_MONITORING__PORT", "1")
    monkeypatch.setenv("CQRS_MONITORING__PORT", "2")
    assert load_config_from_env("SHOP_").monitoring.port == 1


@pytest.mark.parametrize("prefix", ["", "1X", "A=", "A B", "CQRS_FAST_", "\u00c4_"])
def test_prefixes_that_no_variable_may_have(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"^prefix must be the beginning of a") as one:
        load_config_from_env(prefix)
    assert not isinstance(one.value, ConfigError)


def test_wrong_arguments_are_type_errors() -> None:
    wrong: Any = 5
    for act, message in (
        (lambda: load_config_from_env(wrong), "prefix must be a str, got 5"),
        (lambda: load_config_from_env(base=wrong), "base must be a Config, got 5"),
        (
            lambda: load_environment_config(b"configs"),
            "directory must be a str or a PathLike of str, got b'configs'",
        ),
        (
            lambda: load_environment_config(env_var=wrong),
            "env_var must be a str, got 5",
        ),
    ):
        with pytest.raises(TypeError) as caught:
            act()
        assert str(caught.value) == message


def test_each_source_overrides_the_one_before(
    tmp_path: Path, monkeypatch: Variables
) -> None:
    text = '{"preset": "low-latency", "middleware": {"caching": {"max_size": 7}, '
    path = write(tmp_path, "x.json", text + '"retry": {"max_attempts": 2}}}')
    monkeypatch.setenv("CQRS_MIDDLEWARE__RETRY__MAX_ATTEMPTS", "4")
    monkeypatch.setenv("CQRS_MONITORING__PORT", "1")
    config = merge_configs(
        load_config_from_env(base=load_config(path)),
        config_with("monitoring.port", 2),
    )
    values, origins = values_of(config), given_to(config)
    for key, value, origin in (
        ("middleware.caching.default_ttl_sec", 60, "preset low-latency"),
        ("middleware.caching.max_size", 7, str(path)),
        ("middleware.retry.max_attempts", 4, "CQRS_MIDDLEWARE__RETRY__MAX_ATTEMPTS"),
        ("monitoring.port", 2, "code"),
    ):
        assert (values[key], origins[key]) == (value, origin)
    assert "middleware.retry.multiplier" not in origins
    # The same, in the order of the guide.
    assert merge_configs(load_config(path), load_config_from_env()) == (
        load_config_from_env(base=load_config(path))
    )


def test_values_are_held_to_each_other_where_the_whole_is_known(
    monkeypatch: Variables,
) -> None:
    name = "CQRS_MIDDLEWARE__CIRCUIT_BREAKER__MAX_TIMEOUT_SEC"
    monkeypatch.setenv(name, "20")
    part = load_config_from_env()
    base = config_with("middleware.circuit_breaker.timeout_sec", 10)
    assert load_config_from_env(base=base) == merge_configs(base, part)
    error = refusal(load_config_from_env, "CQRS_", Config())
    assert str(error) == (
        f"{name}: middleware.circuit_breaker: max_timeout must be at least timeout, "
        "30.0, got 20.0"
    )


# One file for each environment


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    for number, name in enumerate(("development", "production", "eu-1.blue_2")):
        text = json.dumps({"monitoring": {"port": number}})
        write(tmp_path, f"{name}.json", text)
    write(tmp_path, "test.toml", "[monitoring]\nport = 3\n")
    write(tmp_path, "staging.yml", "monitoring: {port: 4}\n")
    write(tmp_path, "twice.yaml", "monitoring: {port: 5}\n")
    write(tmp_path, "twice.json", "{}")
    write(tmp_path, "README.md", "")
    write(tmp_path, ".hidden.json", "{}")
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "port"),
    [
        (None, 0),
        ("", 0),
        ("development", 0),
        ("production", 1),
        ("eu-1.blue_2", 2),
        ("test", 3),
        ("staging", 4),
    ],
)
def test_the_variable_names_the_file(
    configs: Path, monkeypatch: Variables, environment: str | None, port: int
) -> None:
    if environment is not None:
        monkeypatch.setenv("ENV", environment)
    assert load_environment_config(configs).monitoring.port == port
    monkeypatch.chdir(configs.parent)
    config = load_environment_config(configs.name)
    assert given_to(config)["monitoring.port"].startswith(f"{configs.name}/")


@pytest.mark.parametrize(
    "environment", ["../secret", "a/b", "..", ".hidden", "a b", "a\n", "\u00e4", "a\\b"]
)
def test_an_environment_cannot_lead_elsewhere(
    configs: Path, monkeypatch: Variables, environment: str
) -> None:
    monkeypatch.setenv("STAGE", environment)
    error = refusal(load_environment_config, configs, "STAGE")
    assert str(error) == (
        "STAGE: the name of an environment is made of letters, digits, '_', '-' and '.'"
    )


def test_an_environment_needs_exactly_one_file(
    configs: Path, monkeypatch: Variables
) -> None:
    for environment, message in {
        "prod": f"{configs}: there is no file for the environment prod (there are: "
        "development, eu-1.blue_2, production, staging, test, twice)",
        "README": f"{configs}: there is no file for the environment README (there "
        "are: development, eu-1.blue_2, production, staging, test, twice)",
        "twice": f"{configs}: there are several files for the environment twice: "
        "twice.json, twice.yaml (keep one)",
    }.items():
        monkeypatch.setenv("ENV", environment)
        assert str(refusal(load_environment_config, configs)) == message


def test_a_directory_without_environments(tmp_path: Path) -> None:
    assert str(refusal(load_environment_config, tmp_path)) == (
        f"{tmp_path}: there is no file for the environment development (there is none "
        "at all)"
    )
    missing = tmp_path / "configs"
    assert str(refusal(load_environment_config, missing)) == (
        f"{missing}: cannot be listed: No such file or directory"
    )


# The schema


def whole(config: Config) -> dict[str, Any]:
    """Return the document that gives every value of a config."""
    document: dict[str, Any] = {}
    for key, value in values_of(config).items():
        *sections, name = key.split(".")
        place = document
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return document


def test_the_schema_is_one_and_describes_every_field() -> None:
    schema = config_schema()
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    for key, field in LEAVES.items():
        place = schema
        for part in key.split("."):
            if "$ref" in place:
                place = schema["$defs"][place["$ref"].rpartition("/")[2]]
            place = place["properties"][part]
        assert (place["default"], place["description"]) == (
            field.default,
            field.description,
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_loads_is_valid_by_the_schema(suffix: str) -> None:
    validator = Draft202012Validator(config_schema())
    validator.validate(parse_document(GOOD[suffix].encode(), suffix, Problems()))
    for name in PRESETS:
        validator.validate({"preset": name})
        validator.validate(whole(preset(name)))


@pytest.mark.parametrize(
    "document",
    [
        {"preset": "fast"},
        {"preset": None},
        {"$schema": 5},
        {"caching": {}},
        {"middleware": None},
        {"middleware": {"caching": {"max_size": 0}}},
        {"middleware": {"caching": {"max_siz": 1}}},
        {"middleware": {"caching": {"max_size": True}}},
        {"middleware": {"caching": {"default_ttl_sec": "60"}}},
        {"middleware": {"retry": {"jitter": "some"}}},
        {"middleware": {"retry": {"budget": 0}}},
    ],
)
def test_what_does_not_load_is_not_valid(document: Any, tmp_path: Path) -> None:
    assert not Draft202012Validator(config_schema()).is_valid(document)
    refusal(load_config, write(tmp_path, "x.json", json.dumps(document)))
