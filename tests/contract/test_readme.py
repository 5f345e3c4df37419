"""What the pages show runs: the samples of a page, one after another, as one program.

A sample that needs an extra of the project names the package in front of it, as in
`<!-- needs: fastapi -->`, and is left out where that is not installed.
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from cqrs_fast import load_config
from cqrs_fast.cli import main

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SAMPLE = re.compile(
    r"(?:<!-- needs: (\w+) -->\n)?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE
)
JSON = re.compile(r"```json\n(.*?)```", re.DOTALL)
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work where the configuration of the page is that of two environments."""
    (document,) = JSON.findall(CONFIGURATION)
    folder = tmp_path / "configs"
    folder.mkdir()
    for name in ("production.json", "development.json"):
        (folder / name).write_text(document)
        (folder / name).chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENV", raising=False)
    monkeypatch.setenv("CQRS_MIDDLEWARE__TIMEOUT__TIMEOUT_MS", "500")
    return folder


def run(page: Path) -> dict[str, Any]:
    """Run the samples of a page; return their names."""
    names: dict[str, Any] = {}
    text = page.read_text()
    for sample in SAMPLE.finditer(text):
        needed, source = sample.groups()
        if needed is None or find_spec(needed) is not None:
            # So that a traceback has the lines of the page.
            above = "\n" * text.count("\n", 0, sample.start(2))
            code = compile(above + source, str(page), "exec", dont_inherit=True)
            exec(code, names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_samples_of_a_page_run(page: Path, configs: Path) -> None:
    assert page.read_text().count("```python") == len(SAMPLE.findall(page.read_text()))
    run(page)


def test_the_pages_with_samples_are_these() -> None:
    found = {page.name for page in PAGES if SAMPLE.search(page.read_text())}
    assert found == {
        "README.md",
        "configuration.md",
        "middleware.md",
        "promises.md",
        "resilience.md",
    }


def test_the_first_sample_does_what_the_page_says() -> None:
    names = run(ROOT / "README.md")
    assert names["user_id"] == 1
    kinds = [stage.kind for stage in names["commands"].describe()[0].stages]
    assert kinds == [
        "Metrics",
        "TimeoutMiddleware",
        "ValidationMiddleware",
        "RateLimitingMiddleware",
        "CircuitBreakerMiddleware",
    ]


def test_a_web_endpoint_dispatches() -> None:
    pytest.importorskip("fastapi", reason="the sample needs it: extra `bench`")
    names = run(ROOT / "README.md")
    (path,) = [route.path for route in names["app"].routes if route.path == "/users"]
    endpoint = names["post_user"]("Ann", "ann@example.com")
    with pytest.raises(StopIteration) as ended:
        endpoint.send(None)
    assert (path, ended.value.value) == ("/users", 1)


def test_the_configuration_is_in_force(configs: Path) -> None:
    names = run(ROOT / "docs" / "configuration.md")
    assert names["config"].middleware.validation.enabled is False
    assert names["queries"].middleware[0].settings()["seconds"] == 0.5
    assert names["manager"].version == 1
    assert names["manager"].config.middleware.timeout.timeout_ms == 500


def test_what_show_prints_is_as_it_is_shown(
    configs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CQRS_MIDDLEWARE__TIMEOUT__TIMEOUT_MS")
    monkeypatch.setenv("CQRS_MIDDLEWARE__RETRY__SEED", "7")
    assert main(["config", "show", "configs/production.json", "--env"]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = CONFIGURATION.split("configs/production.json --env\n")[1].split("  …")[0]
    assert shown.count("\n") == 5
    for line in shown.splitlines():
        assert line.split() in printed, line


def test_the_file_of_the_page_is_valid(configs: Path) -> None:
    config = load_config("configs/production.json")
    given = json.loads((configs / "production.json").read_bytes())
    assert (
        config.middleware.rate_limiting.requests_per_window
        == (given["middleware"]["rate_limiting"]["requests_per_window"])
    )
