"""What the README shows runs: each snippet that is marked, after those before it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from cqrs_fast import load_config
from cqrs_fast.cli import main

README = (ROOT / "README.md").read_text()
MARKED = re.compile(r"<!-- run: (\w+) -->\n```python\n(.*?)```", re.DOTALL)
JSON = re.compile(r"```json\n(.*?)```", re.DOTALL)


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work where the configuration of the README is that of two environments."""
    (document,) = JSON.findall(README)
    folder = tmp_path / "configs"
    folder.mkdir()
    for name in ("production.json", "development.json"):
        (folder / name).write_text(document)
        (folder / name).chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENV", raising=False)
    return folder


def test_the_configuration_runs(configs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CQRS_MIDDLEWARE__TIMEOUT__TIMEOUT_MS", "500")
    snippets = MARKED.findall(README)
    assert [name for name, _ in snippets] == ["configuration", "tuning", "reload"]
    names: dict[str, Any] = {}
    for name, text in snippets:
        exec(compile(text, name, "exec"), names)
        if name == "configuration":
            kinds = [one.settings() for one in names["commands"].middleware[:1]]
            assert kinds[0]["seconds"] == 0.5
            assert names["config"].middleware.validation.enabled is False
    assert names["manager"].version == 1
    assert names["manager"].config.middleware.timeout.timeout_ms == 500


def test_what_show_prints_is_as_it_is_shown(
    configs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CQRS_MIDDLEWARE__RETRY__SEED", "7")
    assert main(["config", "show", "configs/production.json", "--env"]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = README.split("configs/production.json --env\n")[1].split("  …")[0]
    assert shown.count("\n") == 5
    for line in shown.splitlines():
        assert line.split() in printed, line


def test_the_file_of_the_readme_is_valid(configs: Path) -> None:
    config = load_config("configs/production.json")
    given = json.loads((configs / "production.json").read_bytes())
    assert (
        config.middleware.rate_limiting.requests_per_window
        == (given["middleware"]["rate_limiting"]["requests_per_window"])
    )
