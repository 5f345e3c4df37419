"""The layers of the package: imports point downwards, and importing costs little."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import cqrs_fast

PACKAGE = Path(cqrs_fast.__file__).parent

# Module, or package with everything in it, and its layer; the longest entry counts.
LAYERS = {
    # Data and helpers, nothing else
    "base": 0,
    "errors": 0,
    "domain_errors": 0,
    "messages": 0,
    "redaction": 0,
    "stats": 0,
    "policies.core": 0,
    "context": 1,
    # Usable alone, know no pipeline
    "waits": 2,
    "policies": 2,
    # Frame, stage, route and the two drivers
    "pipeline": 3,
    "validation": 3,
    # Where messages come from outside
    "payloads": 4,
    # One module or folder for each middleware
    "stages": 4,
    # From handlers to routes
    "assembly": 5,
    # Its callers wait as dispatches do
    "pools": 6,
    "buses": 6,
    # Around the buses
    "config": 7,
    "measuring": 7,
    "testing": 7,
    # The command line; and the names
    "__main__": 10,
    "cli": 10,
    "examples": 10,
    "": 11,
}

# (importing module, imported module): why it may point upwards. It must be lazy.
ALLOWED = {
    ("cqrs_fast.buses.bus", "cqrs_fast.config.reload"): "Bus.from_config",
}

# Imports that close a circle. The list may only shrink.
CLOSING_CIRCLES = {
    ("cqrs_fast.buses.bus", "cqrs_fast.config.reload"),
}

# Slow to import, or needed only by those who ask for it.
NOT_AT_IMPORT = (
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "email",
    "http",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "multiprocessing",
    "opentelemetry",
    "pydantic",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "tomllib",
    "typing_extensions",
    "unittest",
    "urllib",
)


class Import(NamedTuple):
    """One import of one module of the package by another."""

    source: str
    target: str
    lazy: bool
    where: str


def module_names() -> list[str]:
    found = pkgutil.walk_packages([str(PACKAGE)], "cqrs_fast.")
    return ["cqrs_fast", *sorted(info.name for info in found)]


MODULES = module_names()


def layer_of(module: str) -> int:
    name = module.removeprefix("cqrs_fast").removeprefix(".")
    while name and name not in LAYERS:
        name = name.rpartition(".")[0]
    assert name or module == "cqrs_fast", f"{module} has no entry in LAYERS"
    return LAYERS[name]


def targets_of(module: str, names: list[str]) -> list[str]:
    """Return the modules that `from module import names` imports."""
    within = [f"{module}.{name}" for name in names if f"{module}.{name}" in MODULES]
    return within if len(within) == len(names) and names else [module, *within]


def python_imports(text: str) -> Iterator[tuple[str, bool, int]]:
    """Yield (module, lazy, line) for Python; imports for annotations do not count."""

    def visit(node: ast.AST, lazy: bool) -> Iterator[tuple[str, bool, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, lazy, child.lineno
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"line {child.lineno}: a relative import"
                names = [alias.name for alias in child.names]
                for target in targets_of(child.module or "", names):
                    yield target, lazy, child.lineno
            else:
                inside = isinstance(
                    child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
                )
                yield from visit(child, lazy or inside)

    return visit(ast.parse(text), False)


CYTHON_FROM = re.compile(
    r"^([ \t]*)from[ \t]+(\.*[\w.]*)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n]*)",
    re.MULTILINE,
)
CYTHON_IMPORT = re.compile(r"^([ \t]*)c?import[ \t]+([\w., ]+)", re.MULTILINE)


def cython_imports(text: str) -> Iterator[tuple[str, bool, int]]:
    """Yield the same for Cython, where an indented import is lazy."""
    # Docstrings and verbatim C may hold lines that look like imports.
    text = re.sub(r'"""(.|\n)*?"""', lambda m: "\n" * m[0].count("\n"), text)
    for match in CYTHON_FROM.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        assert not match[2].startswith("."), f"line {line}: a relative import"
        names = re.findall(r"(\w+)(?:\s+as\s+\w+)?", match[3].split("#")[0])
        for target in targets_of(match[2], names):
            yield target, bool(match[1]), line
    for match in CYTHON_IMPORT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        for target in re.split(r"\s*,\s*", match[2].strip()):
            yield target.split()[0], bool(match[1]), line


def all_imports() -> list[Import]:
    found = []
    for path in sorted(PACKAGE.rglob("*.p*")):
        if path.suffix not in (".py", ".pyx", ".pxd"):
            continue
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[1] == "examples":  # an installed package has them inside it
            continue
        module = ".".join(parts).removesuffix(".__init__")
        read = python_imports if path.suffix == ".py" else cython_imports
        for target, lazy, line in read(path.read_text()):
            inside = target == "cqrs_fast" or target.startswith("cqrs_fast.")
            if inside and target != module:
                found.append(Import(module, target, lazy, f"{path.name}:{line}"))
    return found


IMPORTS = all_imports()


def fresh(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter that finds the package and nothing of the tests."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


needs_sources = pytest.mark.skipif(
    not any(PACKAGE.rglob("*.pyx")), reason="no sources of Cython here"
)


def test_every_module_has_a_layer() -> None:
    for module in MODULES:
        layer_of(module)


@needs_sources
def test_imports_are_found() -> None:
    """The readers above see what is known to be there."""
    seen = {(one.source, one.target) for one in IMPORTS}
    assert ("cqrs_fast.config.manager", "cqrs_fast.buses.bus") in seen
    assert ("cqrs_fast.buses.bus", "cqrs_fast.base.clock") in seen
    assert ("cqrs_fast.pipeline", "cqrs_fast.pipeline.stage") in seen
    text = '''
"""from cqrs_fast.buses.bus import nothing"""
from cqrs_fast.pipeline.frame cimport (
    AGAIN,      # one
    Frame as F,
)
import os, cqrs_fast.errors as errors
from cqrs_fast cimport context
def later():
    from cqrs_fast.pipeline cimport stage, route
'''
    assert sorted(cython_imports(text)) == [
        ("cqrs_fast.context", False, 8),
        ("cqrs_fast.errors", False, 7),
        ("cqrs_fast.pipeline.frame", False, 3),
        ("cqrs_fast.pipeline.route", True, 10),
        ("cqrs_fast.pipeline.stage", True, 10),
        ("os", False, 7),
    ]


def test_imports_point_downwards() -> None:
    upwards = [
        one
        for one in IMPORTS
        if layer_of(one.target) > layer_of(one.source)
        and not (one.lazy and (one.source, one.target) in ALLOWED)
    ]
    assert upwards == []


@needs_sources
def test_every_exception_is_needed() -> None:
    seen = {(one.source, one.target) for one in IMPORTS}
    assert set(ALLOWED) <= seen


def circle(excused: set[tuple[str, str]]) -> list[str]:
    """Return the modules of a circle of imports, lazy ones among them, or nothing."""
    graph: dict[str, set[str]] = {}
    for one in IMPORTS:
        if (one.source, one.target) not in excused:
            graph.setdefault(one.source, set()).add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return list(found.args[1])
    return []


def test_imports_make_no_circles() -> None:
    assert circle(CLOSING_CIRCLES) == []


@needs_sources
@pytest.mark.parametrize("closing", sorted(CLOSING_CIRCLES))
def test_every_import_that_closes_a_circle_does(closing: tuple[str, str]) -> None:
    assert set(closing) <= set(circle(CLOSING_CIRCLES - {closing}))


def test_stages_do_not_import_each_other() -> None:
    def stage_of(module: str) -> str:
        return ".".join(module.split(".")[:3])

    siblings = [
        one
        for one in IMPORTS
        if one.source.startswith("cqrs_fast.stages.")
        and one.target.startswith("cqrs_fast.stages.")
        and stage_of(one.source) != stage_of(one.target)
    ]
    assert siblings == []


IMPORT_EACH = """
import os, sys, traceback
import cqrs_fast
for module in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            __import__(module)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        print(module)
"""


def test_every_module_imports_alone_and_without_warnings() -> None:
    """Each in a process that has imported no more than the package itself."""
    modules = [name for name in MODULES if not name.endswith(".__main__")]
    run = fresh("-W", "error", "-c", IMPORT_EACH, *modules, "cqrs_fast.nothing")
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["cqrs_fast.nothing"], run.stderr


def test_import_leaves_out_what_is_not_needed() -> None:
    code = (
        "import sys, msgspec; before = set(sys.modules); import cqrs_fast; "
        "print(*sorted(set(sys.modules) - before))"
    )
    run = fresh("-c", code)
    assert run.returncode == 0, run.stderr
    loaded = run.stdout.split()
    assert "cqrs_fast.buses.bus" in loaded
    assert [name for name in loaded if name in NOT_AT_IMPORT] == []


@pytest.mark.alone
def test_import_is_quick(tmp_path: Path) -> None:
    """It may take 15 ms more than `import msgspec`, once its bytecode is cached."""
    mode = cqrs_fast.build_info()["mode"]
    if mode not in ("release", "profile"):
        pytest.skip(f"a {mode} build promises no speed")
    code = (
        "import msgspec; from time import perf_counter as now; start = now(); "
        "import cqrs_fast; print(now() - start)"
    )
    cached = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    best = 1.0
    for _ in range(40):
        best = min(best, float(fresh("-c", code, **cached).stdout))
        if best <= 0.015:
            break
    assert best <= 0.015
