"""The pages are short, their links lead somewhere, and the reading path stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from places import ROOT

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the sources are not here"
)

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
MOST_LINES = {"README.md": 150, "Makefile": 60, ".ci/run": 60, "setup.py": 100}
LINK = re.compile(r"\]\(([^)\s]+)\)")

READING_PATH = 749
"""Lines of the files that docs/design.md names, together."""


def lines_of(path: Path) -> int:
    return path.read_text().count("\n")


@pytest.mark.parametrize("name", MOST_LINES)
def test_what_everybody_reads_is_short(name: str) -> None:
    if name == ".ci/run" and not (ROOT / name).exists():
        pytest.skip("a source distribution has no .ci")
    assert lines_of(ROOT / name) <= MOST_LINES[name]


def test_the_reading_path_is_short() -> None:
    page = ROOT / "docs" / "design.md"
    (section,) = re.findall(
        r"^## The reading path\n(.*?)^## ", page.read_text(), re.DOTALL | re.MULTILINE
    )
    files = [(page.parent / link).resolve() for link in LINK.findall(section)]
    names = [file.relative_to(ROOT / "cqrs_fast").as_posix() for file in files]
    assert len(set(names)) == len(names)
    assert (names[0], names[-1], len(names)) == ("messages.py", "stages/retry.pyx", 10)
    assert sum(map(lines_of, files)) <= READING_PATH


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in LINK.findall(text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_leads_to_every_page() -> None:
    links = LINK.findall((ROOT / "README.md").read_text())
    linked = {link.partition("#")[0] for link in links}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked
