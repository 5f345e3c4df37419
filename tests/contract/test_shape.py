"""The shape of the sources: short files, declarations without bodies, few at the root.

Each rule has a list of what does not keep it yet. The lists may only shrink: what keeps
its rule must leave its list, and what is listed may not grow.
"""

from __future__ import annotations

import re

import pytest
from places import ROOT

PACKAGE = ROOT / "cqrs_fast"
pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the sources are not here"
)

SOURCES = (".py", ".pyx", ".pxd", ".pyi", ".h")

MOST_LINES = 400
LONG_FILES: dict[str, int] = {}

# What a module of bodies says of itself: a reader of declarations leaves it for last.
MARK = "Open last."
# Each counts functions with a body, and blocks of C in quotes.
BODY = re.compile(r"^[ \t]*(cdef|cpdef)[ \t]+inline\b|^cdef extern from \*:", re.M)
WITH_BODIES = {
    "assembly/class_table.pxd": 2,
    "base/rejection.pxd": 4,
    "buses/payload_bus.pxd": 1,
    "stages/caching/query_cache.pxd": 3,
}

MOST_AT_ROOT = 20


def lines_of(pattern: str) -> dict[str, int]:
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text().count("\n")
        for path in sorted(PACKAGE.rglob(pattern))
        if path.suffix in SOURCES
    }


def hold_to(found: dict[str, int], listed: dict[str, int]) -> None:
    """Fail unless the list names what is found, and as much of it or more."""
    assert {name: found[name] for name in found.keys() - listed.keys()} == {}
    assert sorted(listed.keys() - found.keys()) == [], "no exceptions any more"
    grown = {name: found[name] for name in listed if found[name] > listed[name]}
    assert grown == {}


def docstring_of(text: str) -> str:
    return text.split('"""')[1] if text.startswith('"""') else ""


def test_no_file_is_long() -> None:
    found = lines_of("*")
    assert "pipeline/frame.pxd" in found
    long = {name: lines for name, lines in found.items() if lines > MOST_LINES}
    hold_to(long, LONG_FILES)


def test_declarations_have_no_bodies() -> None:
    texts = {name: (PACKAGE / name).read_text() for name in lines_of("*.pxd")}
    found = {
        name: len(BODY.findall(text))
        for name, text in texts.items()
        if MARK not in docstring_of(text)
    }
    hold_to({name: count for name, count in found.items() if count}, WITH_BODIES)


def test_only_modules_of_bodies_are_to_be_opened_last() -> None:
    marked = {
        name: BODY.search(text) is not None
        for name in lines_of("*.pxd")
        if MARK in docstring_of(text := (PACKAGE / name).read_text())
    }
    assert marked["pipeline/walk.pxd"]
    assert [name for name, has_bodies in marked.items() if not has_bodies] == []


def test_bodies_are_seen() -> None:
    text = """
cdef extern from *:
    int f() nogil
cdef extern from "x.h":
    int g() nogil
cdef class One:
    cdef int a(self) except -1
    cdef inline int b(self) noexcept:
        return 1
cdef inline int c(
    int number,
) noexcept:
    return number
"""
    assert len(BODY.findall(text)) == 3


def test_few_files_lie_at_the_root_of_the_package() -> None:
    found = [path.name for path in PACKAGE.iterdir() if path.suffix in SOURCES]
    assert "messages.py" in found
    assert len(found) <= MOST_AT_ROOT
