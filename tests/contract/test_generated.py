"""What Cython 3.3.1 translates to C that is not sound where memory runs out.

The item of a list comprehension or of a list that grows is dropped twice if it is a
temporary object and the list cannot grow; `return` inside of an except clause drops a
traceback that there was no memory for. The sources are read for both, by rules that
forbid more than is unsound; the C itself is read in the long run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import ROOT

SOURCES = sorted((ROOT / "cqrs_fast").rglob("*.p[yx][xd]"))
MODULES = [path for path in SOURCES if path.suffix == ".pyx"]

QUOTED = re.compile(
    r"""('''|\"\"\")(?s:\\.|.)*?\1|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*"""
)
INNERMOST = re.compile(r"([\[({])([^\[\](){}]*)[\])}]")
FILLER = "@"
# A name, which may be cast: never a temporary object unless it is a number of C.
PLAIN = re.compile(r"(<\w+ ?\??> ?)?\w+")
GROWING = re.compile(r"(\b(list|tuple|sorted)|\.join)$")

APPEND = "__Pyx_ListComp_AppendAndDecref(__pyx"
TRANSLATE = """
import sys
from Cython.Build import cythonize
*modules, folder = sys.argv[1:]
cythonize(
    modules, build_dir=folder, nthreads=2, quiet=True, force=True,
    compiler_directives={"language_level": 3, "binding": False},
)
"""


def bare(text: str) -> str:
    """Return a source without what is quoted or a comment, in as many lines."""
    return QUOTED.sub(lambda found: "\n" * found[0].count("\n"), text)


def blanked(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", FILLER, found[0])


def returns_in_except(text: str) -> Iterator[int]:
    """Yield the lines of each return inside of an except clause.

    The clause goes on as long as lines are indented deeper than it, or go on with what
    a bracket holds.
    """
    text = bare(text)
    while (joined := INNERMOST.sub(blanked, text)) != text:
        text = joined
    clauses: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        code = line.strip()
        if not code or code.startswith(FILLER):
            continue
        indent = len(line) - len(line.lstrip())
        while clauses and indent <= clauses[-1]:
            clauses.pop()
        if re.match(r"except\b", code):
            clauses.append(indent)
        if clauses and re.search(r"(^|[:;] *)return\b", code):
            yield number


def growing_temporaries(text: str) -> Iterator[int]:
    """Yield the lines of lists that grow by what may be a temporary object.

    Only a plain name may be the element of a list comprehension, of a generator in
    list(), tuple(), sorted() or join(), or stand behind a star in a list, a tuple or a
    call; there, keywords may too.
    """
    text = bare(text)
    while found := INNERMOST.search(text):
        opener, body = found.groups()
        before = text[: found.start()]
        element, comprehends, _ = body.partition(" for ")
        items = [item.strip() for item in body.split(",")]
        starred = [item.startswith("*") for item in items]
        if comprehends:
            grows = opener == "[" or (opener == "(" and GROWING.search(before))
            unsound = grows and not PLAIN.fullmatch(element.strip())
        else:
            behind = items[starred.index(True) :] if any(starred) else []
            unsound = opener != "{" and not all(map(may_follow, behind))
        if unsound:
            yield before.count("\n") + 1
        text = before + blanked(found) + text[found.end() :]


def may_follow(item: str) -> bool:
    keyword = re.match(r"\w+( \w+)* ?[=:]", item)
    return item[:1] in ("", "*", "/") or bool(keyword or PLAIN.fullmatch(item))


RETURNS = """
def plain():
    try:
        return 1
    except (
        TypeError, ValueError,
    ) as error:  # return
        "except this: return"
        for one in error.args:
            if one:
                return one
    except KeyError: return 2
    except OSError:
        returned = call(
            1,
        )
        raise
    else:
        return 3
    return returned

cdef int declared(
    object one,
) except -1:
    return one
"""

LISTS = """
names = [name for name in names if name.lower() for one in name]
casts = [<Node?>node for node in nodes]
pairs = {id(one): one.name for one in names}
call(first(), *rest, last, key=value(), *more())
whole = (first.one, *rest(), last)
def method(self, *args, int number=0, **kwargs): ...
called = [name.lower() for name in names]
joined = ", ".join(name[0] for name in names)
joined = tuple(
    (name, "[") for name in names
)
nested = {one: [f(two) for two in one] for one in names}
behind = [*rest, last()]
behind = call(*rest, one.last)
"""


def test_returns_inside_of_except_clauses_are_found() -> None:
    assert list(returns_in_except(RETURNS)) == [11, 12]


def test_lists_that_grow_by_temporary_objects_are_found() -> None:
    assert sorted(growing_temporaries(LISTS)) == [8, 9, 10, 13, 14, 15]


here = pytest.mark.skipif(not MODULES, reason="the sources are not here")


@here
def test_no_source_returns_inside_of_an_except_clause() -> None:
    assert places(returns_in_except) == []


@here
def test_no_source_grows_a_list_by_temporary_objects() -> None:
    assert places(growing_temporaries) == []


def places(rule: Callable[[str], Iterator[int]]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in rule(path.read_text())
    ]


@here
@pytest.mark.slow
def test_no_generated_list_grows_by_temporary_objects(tmp_path: Path) -> None:
    planted = tmp_path / "planted.pyx"
    planted.write_text("def f(xs): return [x() for x in xs]")
    subprocess.run(
        [sys.executable, "-c", TRANSLATE, *map(str, [planted, *MODULES, tmp_path])],
        cwd=ROOT,
        check=True,
    )
    generated = [*tmp_path.rglob("*.c")]
    assert len(generated) == len(MODULES) + 1
    growing = [path.stem for path in generated if APPEND in path.read_text()]
    assert growing == ["planted"]
