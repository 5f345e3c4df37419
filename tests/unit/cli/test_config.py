"""`cqrs-fast config`: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cqrs_fast
from cqrs_fast import high_throughput_config, load_config, low_latency_config
from cqrs_fast.cli import main
from cqrs_fast.cli.config import tidy
from cqrs_fast.config.sections import fields_of, settings_of

OK = {"preset": "high-throughput", "middleware": {"retry": {"max_attempts": 7}}}

# What a file holds, and what is said of it.
BAD = [
    (
        "key.json",
        '{"middleware": {"retry": {"max_atempts": 7}}}',
        "middleware.retry.max_atempts: unknown key (did you mean max_attempts?)",
    ),
    (
        "type.json",
        '{"middleware": {"timeout": {"timeout_ms": "5s"}}}',
        "middleware.timeout.timeout_ms: expected number, got str",
    ),
    (
        "range.json",
        '{"performance": {"pool_size": -1}}',
        "performance.pool_size: expected int >= 0",
    ),
    (
        "choice.json",
        '{"middleware": {"retry": {"jitter": "ful"}}}',
        "middleware.retry.jitter: expected one of full, equal, none "
        "(did you mean full?)",
    ),
    (
        "preset.json",
        '{"preset": "low-latencies"}',
        "preset: expected one of default, high-throughput, low-latency "
        "(did you mean low-latency?)",
    ),
    (
        "together.json",
        '{"middleware": {"circuit_breaker": {"max_timeout_sec": 1}}}',
        "middleware.circuit_breaker: max_timeout must be at least timeout, 30.0, "
        "got 1.0",
    ),
    ("empty.toml", "", "the file is empty"),
    (
        "suffix.txt",
        "{}",
        "expected a file name that ends with .json, .toml, .yaml, .yml",
    ),
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory that only its owner can change, without variables."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("CQRS_", "SHOP_")):
            monkeypatch.delenv(name)
    return tmp_path


def written(name: str, content: str | dict[str, Any], mode: int = 0o600) -> str:
    """Write a file of the current directory and return its name."""
    text = content if isinstance(content, str) else json.dumps(content)
    file = Path(name)
    file.write_text(text)
    file.chmod(mode)
    return name


def config(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run `config` here; return its status, output and errors."""
    status = main(["config", *arguments])
    return (status, *capsys.readouterr())


def rows(output: str) -> dict[str, tuple[str, str, str]]:
    """Return the mark, value and origin of each key that `show` printed."""
    body = output.split("\n\n")[0].splitlines()[1:]
    found = {}
    for line in body:
        key, value, origin = line[2:].split(maxsplit=2)
        found[key] = (line[0], value, origin)
    return found


# schema


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = config(capsys, "schema")
    assert (status, errors) == (0, "")
    schema = json.loads(output)
    assert schema["additionalProperties"] is False
    assert set(fields_of(cqrs_fast.Config)) < set(schema["properties"])


# check


def test_a_good_file_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    written("good.json", OK)
    written("good.toml", "[middleware.retry]\nmax_attempts = 7\n")
    assert config(capsys, "check", "good.json", "good.toml") == (
        0,
        "good.json: ok\ngood.toml: ok\n",
        "",
    )


@pytest.mark.parametrize(("name", "content", "told"), BAD)
def test_a_bad_file_is_told_in_one_line(
    name: str, content: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(name, content)
    assert config(capsys, "check", name) == (1, "", f"{name}: {told}\n")
    assert config(capsys, "show", name) == (2, "", f"cqrs-fast: {name}: {told}\n")


def test_every_file_is_checked_although_one_is_bad(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [written(name, content) for name, content, _ in BAD]
    written("good.json", OK)
    status, output, errors = config(
        capsys, "check", names[0], "good.json", *names[1:], "missing.json"
    )
    assert (status, output) == (1, "good.json: ok\n")
    told = [f"{name}: {told}" for name, _, told in BAD]
    assert errors.splitlines() == [*told, "missing.json: there is no such file"]


def test_a_file_that_others_may_write(capsys: pytest.CaptureFixture[str]) -> None:
    written("group.json", OK, 0o660)
    group = os.stat("group.json").st_gid
    warning = (
        f"warning: group.json: group {group} may write this configuration; chmod g-w\n"
    )
    assert config(capsys, "check", "group.json") == (0, "group.json: ok\n", warning)
    written("world.json", OK, 0o606)
    refusal = "world.json: everybody may write it (chmod o-w)\n"
    assert config(capsys, "check", "world.json") == (1, "", refusal)


def test_a_warning_is_told_of_a_bad_file_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written("both.json", "[]", 0o660)
    status, output, errors = config(capsys, "check", "both.json")
    assert (status, output) == (1, "")
    assert [line.split()[0] for line in errors.splitlines()] == [
        "warning:",
        "both.json:",
    ]


def test_a_name_cannot_spoil_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    name = written("a\n\x1b[31mb.json", OK)
    assert config(capsys, "check", name)[1] == "'a\\n\\x1b[31mb.json': ok\n"
    assert rows(config(capsys, "show", name)[1])["middleware.retry.max_attempts"] == (
        "*",
        "7",
        "'a\\n\\x1b[31mb.json'",
    )


# show


def test_the_low_latency_preset(capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = config(capsys, "show", "--preset", "low-latency")
    assert (status, errors) == (0, "")
    shown = rows(output)
    settings = {setting.key: setting for setting in settings_of(low_latency_config())}
    assert list(shown) == list(settings)
    for key, (mark, value, origin) in shown.items():
        setting = settings[key]
        assert value == json.dumps(tidy(setting.value)), key
        assert mark == ("*" if setting.value != setting.field.default else " "), key
        given = setting.origin != "default"
        assert origin == ("preset low-latency" if given else "default"), key
    assert shown["middleware.validation.enabled"] == (
        "*",
        "false",
        "preset low-latency",
    )
    # Given by the preset, and yet no different.
    assert shown["middleware.logging.enabled"] == (" ", "false", "preset low-latency")
    changed = sum(mark == "*" for mark, _, _ in shown.values())
    assert output.endswith(f"\n\n* not the default: {changed} of {len(shown)}\n")


def test_columns_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 60
    name = written("long.json", {"middleware": {"logging": {"prefix": long}}})
    lines = config(capsys, "show", name)[1].split("\n\n")[0].splitlines()
    value, origin = lines[0].index("value"), lines[0].index("origin")
    for line in lines:
        assert line[value - 2 : value] == "  "
        assert line[value] != " "
        assert line[origin - 2 : origin] == "  "
        assert line[origin] != " "


def test_each_source_overrides_the_ones_before_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(
        "shop.json",
        {
            "command_bus": {"initial_capacity": 128},
            "middleware": {"caching": {"default_ttl_sec": 5}, "retry": {"seed": 1}},
        },
    )
    variable = "CQRS_MIDDLEWARE__CACHING__DEFAULT_TTL_SEC"
    monkeypatch.setenv(variable, "2.5")
    monkeypatch.setenv("SHOP_MIDDLEWARE__RETRY__SEED", "null")
    preset = ("--preset", "high-throughput")
    sources = [(), preset, (*preset, "shop.json"), (*preset, "shop.json", "--env")]
    ttl, capacity = "middleware.caching.default_ttl_sec", "command_bus.initial_capacity"
    shown = [rows(config(capsys, "show", *source)[1]) for source in sources]
    assert [one[ttl] for one in shown] == [
        (" ", "600", "default"),
        ("*", "300", "preset high-throughput"),
        ("*", "5", "shop.json"),
        ("*", "2.5", variable),
    ]
    assert [one[capacity] for one in shown] == [
        (" ", "128", "default"),
        ("*", "1024", "preset high-throughput"),
        (" ", "128", "shop.json"),
        (" ", "128", "shop.json"),
    ]
    _, output, _ = config(capsys, "show", "shop.json", "--env-prefix", "SHOP_")
    other = rows(output)
    assert other[ttl] == ("*", "5", "shop.json")
    assert other["middleware.retry.seed"] == (
        " ",
        "null",
        "SHOP_MIDDLEWARE__RETRY__SEED",
    )


def test_the_preset_of_a_file_is_shown_as_such(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = rows(config(capsys, "show", written("good.json", OK))[1])
    assert shown["middleware.retry.max_attempts"] == ("*", "7", "good.json")
    size = high_throughput_config().performance.pool_size
    assert shown["performance.pool_size"] == (
        "*",
        str(size),
        "preset high-throughput",
    )


def test_a_wrong_variable_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CQRS_MIDDLEWARE__RETRY__MAX_ATTEMPTS", "many")
    assert config(capsys, "show", "--env") == (
        2,
        "",
        "cqrs-fast: CQRS_MIDDLEWARE__RETRY__MAX_ATTEMPTS: "
        "middleware.retry.max_attempts: expected int, got str\n",
    )
    assert config(capsys, "show")[0] == 0


@pytest.mark.parametrize("prefix", ["1", "CQRS_FAST_", "a-b"])
def test_a_prefix_that_cannot_be_one(
    prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, errors = config(capsys, "show", "--env-prefix", prefix)
    assert (status, output) == (2, "")
    assert errors.startswith("cqrs-fast: prefix must be the beginning of a variable's ")
    assert errors.count("\n") == 1


def test_what_show_writes_as_json_loads_as_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("show", "--preset", "low-latency", written("good.json", OK))
    status, output, errors = config(capsys, *arguments, "--json")
    assert (status, errors) == (0, "")
    again = written("again.json", output)
    assert config(capsys, "show", again, "--json") == (0, output, "")
    table = rows(config(capsys, *arguments)[1])
    loaded = {one.key: one.value for one in settings_of(load_config(again))}
    assert loaded == {key: json.loads(value) for key, (_, value, _) in table.items()}


# Around them


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["check"],
        ["show", "--preset", "fast"],
        ["show", "--env-prefix"],
    ],
)
def test_misuse_is_told_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, errors = config(capsys, *arguments)
    assert (status, output) == (2, "")
    assert "usage: cqrs-fast config" in errors


@pytest.mark.parametrize("action", ["schema", "check", "show"])
def test_every_help_has_an_example(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, _ = config(capsys, action, "--help")
    assert status == 0
    assert f"example: cqrs-fast config {action}" in output


def test_in_a_pipe_with_plain_characters(place: Path) -> None:
    root = str(Path(cqrs_fast.__file__).parents[1])
    name = written("größe.json", {"middleware": {"logging": {"prefix": "ü│"}}})
    done = subprocess.run(
        [sys.executable, "-m", "cqrs_fast", "config", "show", name],
        cwd=place,
        env=os.environ
        | {"PYTHONPATH": root, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
        capture_output=True,
        check=True,
    )
    line = next(row for row in done.stdout.splitlines() if b"logging.prefix" in row)
    assert line.split()[2:] == [b'"\\u00fc\\u2502"', b"gr\\xf6\\xdfe.json"]
    assert b"\x1b" not in done.stdout
