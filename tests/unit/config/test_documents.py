"""What a configuration file may say in each format, and what it gets otherwise."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from configuration import GOOD, LEAVES, SUFFIXES, given_to, refusal, values_of, write
from hypothesis import given, settings
from hypothesis import strategies as st

import cqrs_fast
from cqrs_fast import Config, ConfigError, load_config
from cqrs_fast.config.loading import config_from
from cqrs_fast.redaction import SECRET_WORDS


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def middleware(section: str, fields: str) -> str:
    return f'{{"middleware": {{"{section}": {{{fields}}}}}}}'


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_format_says_the_same(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, f"service{suffix}", GOOD[suffix])
    config = load_config(path)
    assert config == load_config(str(path))
    values = values_of(config)
    assert values["middleware.retry.max_attempts"] == 12
    assert values["middleware.retry.base_delay_ms"] == 15.0
    assert values["middleware.logging.prefix"] == "\u00e4 [x] {y}"
    assert values["middleware.logging.level"] == "WARNING"
    assert values["monitoring.port"] == 8080
    origins = given_to(config)
    assert origins["monitoring.port"] == str(path)
    assert origins["middleware.caching.default_ttl_sec"] == "preset low-latency"
    assert "middleware.retry.multiplier" not in origins


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("key", LEAVES)
def test_every_field_can_be_given_its_default(suffix: str, key: str) -> None:
    default = LEAVES[key].default
    if default is None and suffix == ".toml":
        return  # it has no null
    *sections, name = key.split(".")
    if suffix == ".toml":
        text = f"[{'.'.join(sections)}]\n{name} = {json.dumps(default)}\n"
    else:
        text = json.dumps(default)
        for part in reversed((*sections, name)):
            text = f'{{"{part}": {text}}}'
    config = config_from(text.encode(), f"x{suffix}")
    assert config == Config()
    assert given_to(config) == {key: f"x{suffix}"}


TRAILING_COMMA = (
    "is not JSON at line 2, column 9: Illegal trailing comma before end of object"
    if sys.version_info >= (3, 13)
    else "is not JSON at line 3, column 1: Expecting property name enclosed in double "
    "quotes"
)
JSON_REFUSED = [
    # Syntax and shape
    ("", "the file is empty"),
    (" \n", "the file is empty"),
    (b"\xef\xbb\xbf{}", "begins with a byte order mark (save it without one)"),
    (b'{"a": "\xff"}', "is not UTF-8: byte 7"),
    ("{}".encode("utf-16"), "is not UTF-8: byte 0"),
    ("[]", "expected an object at the top, got list"),
    ("null", "expected an object at the top, got NoneType"),
    ('"password hunter2"', "expected an object at the top, got str"),
    ("{", "is not JSON at line 1, column 2: the file ends too early: Expecting "
     "property name enclosed in double quotes"),
    ('{"a": "b', "is not JSON at line 1, column 7: the file ends too early: "
     "Unterminated string"),
    ('{\n  "a": 1,\n}', TRAILING_COMMA),
    ("{} {}", "is not JSON at line 1, column 4: Extra data"),
    ('{"a": 1 // no\n}', "is not JSON at line 1, column 9: Expecting ',' delimiter"),
    ("{'a': 1}", "is not JSON at line 1, column 2: Expecting property name enclosed "
     "in double quotes"),
    (nested(33), "nested deeper than 32 levels"),
    ("[" * 1_000_000, "nested deeper than 32 levels"),
    # Keys
    ('{"x": 1, "x": 2}', "x: the key is there twice"),
    (middleware("retry", '"seed": 1, "seed": 1'),
     "middleware.retry.seed: the key is there twice"),
    ('{"a": [{"b": [1, {"c": 1, "c": 2}]}]}', "a[0].b[1].c: the key is there twice"),
    (middleware("retry", '"max_atempts": 1'),
     "middleware.retry.max_atempts: unknown key (did you mean max_attempts?)"),
    (middleware("retry", '"maxAttempts": 1'),
     "middleware.retry.maxAttempts: unknown key (did you mean max_attempts?)"),
    (middleware("retry", '"max_size": 1'), "middleware.retry.max_size: unknown key "
     "(max_size belongs to middleware.caching)"),
    (middleware("retry", '"max_queue": 1'), "middleware.retry.max_queue: unknown key "
     "(max_queue belongs to middleware.bulkhead)"),
    (middleware("retry", '"max_wait_ms": 1'), "middleware.retry.max_wait_ms: unknown "
     "key (max_wait_ms belongs to middleware.bulkhead or middleware.rate_limiting)"),
    (middleware("monitoring", ""),
     "middleware.monitoring: unknown key (monitoring belongs to the top level)"),
    ('{"caching": {}}', "caching: unknown key (caching belongs to middleware)"),
    ('{"qqqq": 1}', "qqqq: unknown key"),
    ('{"a\\nb": 1}', "'a\\nb': unknown key"),
    ('{"": 1}', "'': unknown key"),
    ('{"a.b": 1}', "'a.b': unknown key"),
    # Values
    (middleware("caching", '"max_size": "10"'),
     "middleware.caching.max_size: expected int, got str"),
    (middleware("caching", '"max_size": null'),
     "middleware.caching.max_size: expected int, got NoneType"),
    (middleware("caching", '"max_size": true'),
     "middleware.caching.max_size: expected int, got bool"),
    (middleware("caching", '"max_size": 5.0'),
     "middleware.caching.max_size: expected int, got float"),
    (middleware("caching", '"max_size": [5]'),
     "middleware.caching.max_size: expected int, got list"),
    (middleware("caching", '"max_size": 0'),
     "middleware.caching.max_size: expected int >= 1"),
    (middleware("caching", '"max_size": 2147483647'),
     "middleware.caching.max_size: expected int <= 1073741824"),
    (middleware("caching", '"enabled": "false"'),
     "middleware.caching.enabled: expected bool, got str"),
    (middleware("caching", '"default_ttl_sec": -1'),
     "middleware.caching.default_ttl_sec: expected number >= 0.0"),
    (middleware("caching", '"default_ttl_sec": NaN'),
     "middleware.caching.default_ttl_sec: expected a finite number"),
    (middleware("caching", '"default_ttl_sec": -Infinity'),
     "middleware.caching.default_ttl_sec: expected a finite number"),
    (middleware("caching", '"default_ttl_sec": 1e999'),
     "middleware.caching.default_ttl_sec: expected a finite number"),
    (middleware("caching", '"scope": "principle"'), "middleware.caching.scope: "
     "expected one of principal, shared (did you mean principal?)"),
    (middleware("logging", '"prefix": "\\ud800"'),
     "middleware.logging.prefix: text holds a lone surrogate"),
    ('{"middleware": null}', "middleware: expected an object, got NoneType"),
    ('{"middleware": {"retry": true}}',
     "middleware.retry: expected an object, got bool"),
    ('{"monitoring": ["hunter2"]}', "monitoring: expected an object, got list"),
    # The two keys for the loader
    ('{"preset": "low-latncy"}', "preset: expected one of default, high-throughput, "
     "low-latency (did you mean low-latency?)"),
    ('{"preset": null}', "preset: expected one of default, high-throughput, "
     "low-latency, got NoneType"),
    ('{"preset": ["default"]}', "preset: expected one of default, high-throughput, "
     "low-latency, got list (did you mean default?)"),
    ('{"$schema": 5}', "$schema: expected str, got int"),
    ('{"monitoring": {"preset": "default"}}', "monitoring.preset: unknown key "
     "(preset belongs to the top level)"),
    # What values demand of each other
    (middleware("circuit_breaker", '"timeout_sec": 10, "max_timeout_sec": 5'),
     "middleware.circuit_breaker: max_timeout must be at least timeout, 10.0, got 5.0"),
    (middleware("tracing", '"enabled": true'),
     "middleware.tracing.enabled: this version has no TracingMiddleware"),
]  # fmt: skip

TOML_REFUSED = [
    ("", "the file is empty"),
    ("a = 1\na = 2\nb = 1\n",
     "is not TOML: Cannot overwrite a value (at line 2, column 6)"),
    ("[a]\n[a]\n", "is not TOML: Cannot declare ('a',) twice (at line 2, column 3)"),
    ("[middleware\n", "is not TOML: Expected ']' at the end of a table declaration "
     "(at line 1, column 12)"),
    ("a = nan\n", "a: expected a finite number"),
    ("a = [1, -inf]\n", "a[1]: expected a finite number"),
    ("[middleware.caching]\nmax_size = 1979-05-27\n",
     "middleware.caching.max_size: no value can be a date"),
    ("a = " + "[" * 33 + "]" * 33 + "\n", "nested deeper than 32 levels"),
    ("a = " + "[" * 9_000, "nested deeper than 32 levels"),
    ("\n" + "a." * 33 + "b = 1\n", "nested deeper than 32 levels at line 2"),
    ("[" + '"a" . ' * 33 + "b]\n", "nested deeper than 32 levels at line 1"),
    ("[[middleware]]\n", "middleware: expected an object, got list"),
    ("[middleware.retry]\nmax_atempts = 1\n",
     "middleware.retry.max_atempts: unknown key (did you mean max_attempts?)"),
    ("database.password = 'hunter2'\n",
     "database.password: secrets do not belong in a configuration file"),
]  # fmt: skip

YAML_REFUSED = [
    ("", "the file is empty"),
    ("---\n", "expected an object at the top, got NoneType"),
    ("password hunter2", "expected an object at the top, got str"),
    ("a: 1\na: 2\n", "a: the key is there twice"),
    ("a: {b: 1, b: 1}\n", "a.b: the key is there twice"),
    ("a: &x 1\n", "YAML anchors and aliases are not allowed at line 1, column 4"),
    ("a: 1\nb: *x\n", "YAML anchors and aliases are not allowed at line 2, column 4"),
    ("a: !!python/object/apply:os.system [echo]\n",
     "YAML tags are not allowed at line 1, column 4"),
    ("a: !!int '1'\n", "YAML tags are not allowed at line 1, column 4"),
    ("a: ! 1\n", "YAML tags are not allowed at line 1, column 4"),
    ("a: 1\n---\nb: 1\n", "expected one YAML document at line 2, column 1"),
    ("- a\n" * 10_000, "YAML holds too many values at line 9998, column 3"),
    ("1: 2\n", "expected keys that are text, got 1"),
    ("a: {true: 2}\n", "a: expected keys that are text, got True"),
    ("? [1]\n: 2\n", "expected keys that are text, got [1]"),
    ("a: [1\n", "is not YAML at line 2, column 1: expected ',' or ']', but got "
     "'<stream end>'"),
    ("a: \x07\n", "is not YAML: special characters are not allowed"),
    ('a: "\\UFFFFFFFF"\n',
     "is not YAML: a character that does not exist"),
    ("[" * 10_000, "nested deeper than 32 levels at line 1, column 33"),
    ("- " * 10_000, "nested deeper than 32 levels at line 1, column 65"),
    ("<<: {a: 1}\n", "'<<': unknown key"),
    ("middleware: {caching: {enabled: yes}}\n",
     "middleware.caching.enabled: expected bool, got str"),
    ("middleware: {caching: {max_size: 010}}\n",
     "middleware.caching.max_size: expected int, got str"),
    ("middleware: {caching: {max_size: 0x10}}\n",
     "middleware.caching.max_size: expected int, got str"),
    ("middleware: {caching: {max_size: 1_0}}\n",
     "middleware.caching.max_size: expected int, got str"),
    ("middleware: {caching: {max_size: '10'}}\n",
     "middleware.caching.max_size: expected int, got str"),
    ("middleware: {caching: {default_ttl_sec: 1:30}}\n",
     "middleware.caching.default_ttl_sec: expected number, got str"),
    ("middleware: {caching: {default_ttl_sec: .nan}}\n",
     "middleware.caching.default_ttl_sec: expected a finite number"),
    ("middleware: {caching: {default_ttl_sec: -.inf}}\n",
     "middleware.caching.default_ttl_sec: expected a finite number"),
    ("middleware: {caching: {default_ttl_sec: 2001-12-14}}\n",
     "middleware.caching.default_ttl_sec: expected number, got str"),
    ("db: {api_key: hunter2}\n",
     "db.api_key: secrets do not belong in a configuration file"),
]  # fmt: skip

REFUSED = [
    *((".json", *row) for row in JSON_REFUSED),
    *((".toml", *row) for row in TOML_REFUSED),
    *((".yaml", *row) for row in YAML_REFUSED),
]


@pytest.mark.parametrize(("suffix", "content", "message"), REFUSED)
def test_what_a_file_may_not_say(
    tmp_path: Path, suffix: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path, f"bad{suffix}", content)
    error = refusal(load_config, path)
    if "at end of document" in str(error):  # newer versions say the place
        message = str(error).removeprefix(f"{path}: ")
    assert str(error) == f"{path}: {message}"
    assert error.path == str(path)
    assert error.hint is None or str(error).endswith(f"({error.hint})")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "hunter2" not in str(error)


DIGITS = "9" * 5000


def test_numbers_of_very_many_digits_are_refused() -> None:
    for suffix, text in ((".json", '{"a": %s}'), (".toml", "a = %s")):
        error = refusal(config_from, (text % DIGITS).encode(), f"x{suffix}")
        assert "4300 digits" in str(error)
    error = refusal(config_from, f"monitoring: {{port: {DIGITS}}}".encode(), "x.yaml")
    assert str(error) == "x.yaml: monitoring.port: expected int, got str"


@pytest.mark.parametrize("word", [*SECRET_WORDS, "api_key", "API-Key", "credentials"])
@pytest.mark.parametrize("place", ["{}", "monitoring.{}", "db.users[0].{}_x"])
def test_secrets_are_refused_without_showing_them(word: str, place: str) -> None:
    key = place.format(word.upper() if place == "{}" else word)
    document: Any = "hunter2"
    for part in reversed(key.replace("[0]", "").split(".")):
        document = {part: [document] if part == "users" else document}
    error = refusal(config_from, json.dumps(document).encode(), "x.json")
    message = "secrets do not belong in a configuration file"
    assert str(error) == f"x.json: {key}: {message}"


def test_no_field_is_taken_for_a_secret() -> None:
    for key in LEAVES:
        folded = key.replace("_", "")
        assert not any(word in folded for word in SECRET_WORDS)


def test_the_first_error_of_the_document_is_the_one_told() -> None:
    text = '{"monitoring": {"port": "x", "prt": 1}, "cachng": 1}'
    assert refusal(config_from, text.encode(), "x.json").key == "monitoring.port"


@pytest.mark.parametrize("name", ["config", "config.ini", "config.json.bak", ".json"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    error = refusal(load_config, write(tmp_path, name, "{}"))
    expected = "expected a file name that ends with .json, .toml, .yaml, .yml"
    assert str(error) == f"{tmp_path / name}: {expected}"


def test_yaml_without_its_package_says_what_to_install(tmp_path: Path) -> None:
    path = write(tmp_path, "x.yaml", "{}")
    code = (
        "import sys; sys.modules['yaml'] = None\n"
        "from cqrs_fast import ConfigError, load_config\n"
        f"try: load_config({str(path)!r})\n"
        "except ConfigError as error: print(error)"
    )
    root = str(Path(cqrs_fast.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = 'a YAML file needs PyYAML (pip install "cqrs-fast[yaml]")'
    assert run.stdout.strip() == f"{path}: {expected}"


@pytest.mark.parametrize("wrong", [3, None, b"x.json", Config()])
def test_only_paths_are_loaded(wrong: Any) -> None:
    with pytest.raises(TypeError):
        load_config(wrong)


# Truncation and fuzzing


def test_json_cut_anywhere_is_refused() -> None:
    whole = GOOD[".json"].rstrip().encode()
    for end in range(len(whole)):
        error = refusal(config_from, whole[:end], "x.json")
        text = str(error)
        assert "empty" in text or "UTF-8" in text or "not JSON at line" in text


@pytest.mark.parametrize("suffix", [".toml", ".yaml"])
def test_other_formats_cut_after_a_line_say_less_and_nothing_else(suffix: str) -> None:
    whole = values_of(config_from(GOOD[suffix].encode(), f"x{suffix}"))
    lines = GOOD[suffix].splitlines(keepends=True)
    for end in range(1, len(lines)):
        text = "".join(lines[:end])
        try:
            config = config_from(text.encode(), f"x{suffix}")
        except ConfigError:
            continue  # a section of YAML without anything in it
        for key, origin in given_to(config).items():
            assert origin != f"x{suffix}" or values_of(config)[key] == whole[key]


def is_loaded_or_refused(suffix: str, data: bytes) -> None:
    path = f"x{suffix}"
    try:
        config = config_from(data, path)
    except ConfigError as error:
        told: object = error.path == path and str(error).startswith(path)
    else:
        told = isinstance(config, Config)
    assert told


ANY_BYTES = st.binary(max_size=200) | st.text(max_size=200).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=150, deadline=None)
@given(data=ANY_BYTES)
def test_any_bytes_give_a_config_or_a_config_error(suffix: str, data: bytes) -> None:
    is_loaded_or_refused(suffix, data)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 400), gone=st.integers(0, 9), more=st.binary(max_size=4))
def test_a_damaged_file_gives_a_config_or_a_config_error(
    suffix: str, cut: int, gone: int, more: bytes
) -> None:
    whole = GOOD[suffix].encode()
    is_loaded_or_refused(suffix, whole[:cut] + more + whole[cut + gone :])


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".json", '"' + '\\"' * 100_000),
        (".json", '["a' * 100_000),
        (".toml", "a" * 300_000),
        (".toml", "\"'" * 150_000),
        (".toml", "[" + "a." * 150_000 + "b]"),
        (".toml", "a = " + "{b=" * 100_000),
        (".yaml", "{" * 300_000),
        (".yaml", "? " * 150_000),
    ],
)
def test_a_long_file_of_nonsense_is_refused_soon(suffix: str, text: str) -> None:
    start = time.perf_counter()
    refusal(config_from, text.encode(), f"x{suffix}")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        "{middleware: {caching: {max_size: hunter2}}}",
        "{middleware: {caching: {max_size: [hunter2]}}}",
        "{middleware: {caching: {max_size: {hunter2: hunter2}}}}",
        "{middleware: {caching: {scope: hunter2}}}",
        "{middleware: {logging: {enabled: hunter2}}}",
        "{middleware: hunter2}",
        "{monitoring: {port: 7777777}}",
        "{preset: hunter2}",
        "{$schema: [hunter2]}",
    ],
)
def test_no_error_quotes_a_value(text: str) -> None:
    """A secret may stand in the wrong place."""
    error = refusal(config_from, text.encode(), "x.yaml")
    assert "hunter2" not in str(error)
    assert "7777777" not in str(error)
    assert "expected" in str(error)
