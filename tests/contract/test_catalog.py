"""The catalog: what is in it is public, stubbed, documented, measured, and in order."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from reliability.parts import MAKERS

import cqrs_fast
from cqrs_fast.config.model import MiddlewareConfig
from cqrs_fast.config.sections import fields_of
from cqrs_fast.pipeline.stage import Stage
from cqrs_fast.stages.catalog import (
    ATTEMPT_TIMEOUT,
    CATALOG,
    CUSTOM,
    Row,
    middleware_rows,
    row_of,
)

STAGES = Path(cqrs_fast.__file__).parent / "stages"
ROWS = list(middleware_rows())
NAMES = [row.name for row in ROWS]
DOCUMENT = ROOT / "docs" / "middleware.md"

needs_sources = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the sources are not here"
)


def made(row: Row) -> Any:
    return row.load()(**row.passing)


# Nothing is forgotten


def test_every_middleware_has_a_row() -> None:
    """Each public class of a stage in this folder."""
    found = set()
    for path in STAGES.rglob("*.pyi"):
        parts = path.relative_to(STAGES.parent).with_suffix("").parts
        module = importlib.import_module(".".join(("cqrs_fast", *parts)))
        found |= {name for name in vars(module) if name.endswith("Middleware")}
    assert found == set(NAMES)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_a_row_is_public_under_its_name_and_stubbed(row: Row) -> None:
    assert getattr(cqrs_fast, row.name) is row.load()
    assert issubclass(row.load(), Stage)
    stub = STAGES.joinpath(*row.module.split(".")).with_suffix(".pyi").read_text()
    assert re.search(rf"^class {row.name}\(Stage\):", stub, re.M)
    names = STAGES.parent.joinpath("__init__.pyi").read_text()
    assert f"from cqrs_fast.stages.{row.module} import {row.name}\n" in names


def parameters_of(row: Row) -> set[str]:
    """Return the parameters of a constructor, as type checkers are told them."""
    stub = STAGES.joinpath(*row.module.split(".")).with_suffix(".pyi").read_text()
    (found,) = [
        function
        for node in ast.parse(stub).body
        if isinstance(node, ast.ClassDef) and node.name == row.name
        for function in node.body
        if isinstance(function, ast.FunctionDef) and function.name == "__init__"
    ]
    arguments = [*found.args.args, *found.args.kwonlyargs]
    return {argument.arg for argument in arguments} - {"self"}


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_the_class_documents_each_parameter(row: Row) -> None:
    text = inspect.getdoc(row.load()) or ""
    if "those of RetryPolicy" in text:
        text += inspect.getdoc(cqrs_fast.RetryPolicy) or ""
    parameters = parameters_of(row)
    assert parameters
    missing = [name for name in parameters if not re.search(rf"\b{name}\b", text)]
    assert missing == []
    assert re.search(r"[Rr]aise", text), f"{row.name} does not say what it raises"


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_settings_have_the_names_of_parameters(row: Row) -> None:
    assert set(row.passing) <= parameters_of(row)
    assert set(made(row).settings()) <= parameters_of(row)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_an_unknown_setting_is_rejected_by_every_update(row: Row) -> None:
    stage = made(row)
    before = stage.settings()
    text = "has no setting 'colour'|has no settings that change in place: put"
    with pytest.raises(TypeError, match=text):
        stage.update(colour=1)
    assert stage.settings() == before
    assert stage.stats() == stage.snapshot()


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_each_row_is_in_the_matrix_of_the_reliability_bar(row: Row) -> None:
    assert type(MAKERS[row.label]()) is row.load()


def test_rows_and_sections_of_a_configuration_belong_together() -> None:
    sections = [row.section for row in CATALOG if row.section]
    known = set(fields_of(MiddlewareConfig))
    # `tracing` waits for its middleware.
    assert sorted(sections) == sorted(known - {"tracing"} | {ATTEMPT_TIMEOUT})


def test_what_a_row_says_of_orders_is_true_of_its_class() -> None:
    for row in ROWS:
        if row.limits:
            assert row.limits in made(row).settings()
        if row.rejects:
            assert issubclass(getattr(cqrs_fast, row.rejects), cqrs_fast.RejectedError)
    (repeating,) = [row for row in ROWS if row.repeats]
    settings = made(repeating).settings()
    assert {"retry_on", "max_attempts", "base_delay", "multiplier"} <= set(settings)


def test_what_is_not_in_the_catalog_has_no_rules() -> None:
    unknown = row_of("MyOwnMiddleware")
    assert not any(unknown[1:3] + unknown[6:])
    assert [row.name for row in CATALOG].count(CUSTOM) == 1


def test_the_catalog_imports_no_stage() -> None:
    code = (
        "import sys, cqrs_fast, cqrs_fast.stages.catalog\n"
        "print(*[name for name in sys.modules if name.startswith('cqrs_fast.stages.')])"
    )
    found = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert found.split() == ["cqrs_fast.stages.catalog"]


# What is written about it


def table() -> str:
    """Return the table of docs/middleware.md."""
    lines = [
        "| middleware | what it does | why it stands there |",
        "| --- | --- | --- |",
    ]
    for row in CATALOG:
        name = f"`{row.name}`" if row.module else row.name
        if row.name == "Metrics":
            name, does = "metrics", "`enable_metrics=True` of a bus"
        elif row.name == CUSTOM:
            name, does = "your own", ""
        else:
            does = row.does
        if row.module or row.name in ("Metrics", CUSTOM):
            lines.append(f"| {name} | {does} | {row.place} |")
    return "\n".join(lines)


@needs_sources
def test_the_document_has_the_table_of_the_catalog() -> None:
    text = DOCUMENT.read_text()
    assert table() in text, f"paste this into {DOCUMENT.name}:\n{table()}"


@needs_sources
@pytest.mark.parametrize("name", NAMES)
def test_the_changelog_names_it(name: str) -> None:
    assert f"`{name}`" in (ROOT / "CHANGELOG.md").read_text()


@needs_sources
def test_contributing_lists_every_flag_of_a_stage() -> None:
    declared = (STAGES.parent / "pipeline" / "stage.pxd").read_text()
    declared = declared.partition("cdef class Stage:")[2]
    flags = re.findall(r"cdef readonly bint (\w+)\s+#", declared)
    assert len(flags) == 9
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for flag in flags:
        assert f"| `{flag}` |" in text


@needs_sources
def test_each_row_has_a_benchmark() -> None:
    from benchmarks import bench_middleware
    from benchmarks import table as bench_table

    measured = {
        stage
        for row in bench_middleware.ROWS
        if isinstance(row, bench_table.Row)
        for stage in row.pair.case.stages
    }
    # Of these two the benchmarks of queries and of outcomes have rows.
    assert set(NAMES) - measured == {"CachingMiddleware", "IdempotencyMiddleware"}
